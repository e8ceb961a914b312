"""Salesforce's payloads: their shapes, and what its errors mean. Pure.

Errors: https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/errorcodes.htm (checked 2026-11). A
call answers with an array of ``errorCode``, a row of a collection with ``statusCode``; both mean the same. Messages
are in the user's language, so codes decide; what is not in the table is refused, never believed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NotRequired, Protocol, TypedDict

from crm.errors import (
    AuthorizationExpiredError,
    ConfigurationError,
    CrmError,
    CursorExpiredError,
    DuplicateRecordError,
    FieldRefusal,
    PermissionMissingError,
    ProviderUnavailableError,
    RateLimitedError,
    RecordGoneError,
    RecordInvalidError,
    RecordLockedError,
    RejectedError,
    StaleWriteError,
    UnexpectedAnswerError,
)
from crm.http.redact import MASK, redact_text
from crm.providers.salesforce import endpoints

WireRow = dict[str, Any]
"""A record of a query: field -> JSON value, relation -> such a record or None; beside them ``attributes``."""


class WireOption(TypedDict):
    value: str
    label: NotRequired[str | None]
    active: NotRequired[bool]


class WireField(TypedDict):
    """A field's description."""

    name: str
    type: str
    label: NotRequired[str]
    length: NotRequired[int]
    nillable: NotRequired[bool]
    createable: NotRequired[bool]
    updateable: NotRequired[bool]
    defaultedOnCreate: NotRequired[bool]
    custom: NotRequired[bool]
    externalId: NotRequired[bool]
    unique: NotRequired[bool]
    restrictedPicklist: NotRequired[bool]
    picklistValues: NotRequired[list[WireOption]]
    deprecatedAndHidden: NotRequired[bool]


class WireRowResult(TypedDict):
    """One entry of a collection's answer, in the order of the records sent."""

    success: bool
    id: NotRequired[str | None]
    created: NotRequired[bool]
    errors: NotRequired[list[dict[str, Any]]]


class AnswerLike(Protocol):
    """What ``classify`` reads of an answer (``crm.http.client.Answer``)."""

    @property
    def status(self) -> int: ...

    @property
    def body(self) -> Any: ...

    @property
    def text(self) -> str: ...

    @property
    def succeeded(self) -> bool: ...

    def retry_after_seconds(self) -> float | None: ...


Entry = Mapping[str, Any]
_FIELD_CODES: Final[Mapping[str, str]] = {
    "REQUIRED_FIELD_MISSING": "field.required",
    "STRING_TOO_LONG": "field.too_long",
    "INVALID_EMAIL_ADDRESS": "field.bad_type",
    "INVALID_TYPE_ON_FIELD_IN_RECORD": "field.bad_type",
    "JSON_PARSER_ERROR": "field.bad_type",
    "NUMBER_OUTSIDE_VALID_RANGE": "field.bad_type",
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": "field.picklist",
    "FIELD_INTEGRITY_EXCEPTION": "field.picklist",
    "INVALID_CROSS_REFERENCE_KEY": "field.picklist",
    "MALFORMED_ID": "field.bad_type",
    "INACTIVE_OWNER_OR_USER": "field.picklist",
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": "perm.record",
    "INVALID_FIELD_FOR_INSERT_UPDATE": "field.readonly",
    "INVALID_FIELD": "field.missing",
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": "rule.validation",
    "FIELD_FILTER_VALIDATION_EXCEPTION": "rule.validation",
}
PERSON_ACCOUNT: Final = "state.person_account"
"""A person that is an account and a contact in one: read with this reason, never written."""
_NO_COLUMN: Final = re.compile(r"No such column '([\w.]{1,160})'")
_NO_RELATION: Final = re.compile(r"relationship '(\w{1,80})'", re.IGNORECASE)
_HELD_BY: Final = re.compile(r"\bid:\s*([0-9A-Za-z]{15,18})\b")
_QUOTED_VALUES: Final = (
    re.compile(r"(?<=invalid email address: ).{1,400}", re.DOTALL),
    re.compile(r"(?<=data value too large: ).{1,4000}?(?= \(max length)", re.DOTALL),
    re.compile(r"(?<=restricted picklist field: ).{1,400}", re.DOTALL),
)
"""Refusals quote the value they refuse: a broken address is contact data, though it looks like none."""
_SINGLE_FIELD_NOTE: Final = re.compile(r"^(\w{1,80})(?:: | field)")


def classify(answer: AnswerLike) -> CrmError | None:
    """The error that an answer means, ``None`` for any 2xx: a collection names its failures inside."""
    if answer.succeeded:
        return None
    entries = errors_of(answer.body)
    for entry in entries:
        if (case := _CALL_CASES.get(code_of(entry))) is not None:
            return case(entry)
    by_status = _by_status(answer, entries[0] if entries else {})
    if by_status is not None:
        return by_status
    if entries and any(code_of(entry) for entry in entries):
        return classify_row(entries)
    return UnexpectedAnswerError(f"Salesforce answered {answer.status} without saying why")


def _by_status(answer: AnswerLike, entry: Entry) -> CrmError | None:
    """What a status means whatever the body says; the edge answers with pages."""
    status = answer.status
    error: CrmError | None = None
    if status == 401 or (status == 403 and "Bad_OAuth_Token" in answer.text[:200]):
        error = AuthorizationExpiredError(**told(entry))
    elif status == 410:
        error = ConfigurationError("This API version is retired. Raise CRM_SALESFORCE_API_VERSION.")
    elif status == 412:
        error = StaleWriteError(**told(entry))
    elif status in {420, 429}:
        error = RateLimitedError(retry_after_seconds=answer.retry_after_seconds() or endpoints.CONCURRENCY_WAIT)
    elif status >= 500:
        error = ProviderUnavailableError(**told(entry))
    return error


def classify_row(errors: Sequence[Entry]) -> CrmError:
    """The error of one record: of several entries the one that says most; refused fields are put together."""
    for code, case in _ROW_CASES.items():
        for entry in errors:
            if code_of(entry) == code:
                return case(entry)
    refusals: dict[str, FieldRefusal] = {}
    told_of: Entry = {}
    for entry in errors:
        meaning = _FIELD_CODES.get(code_of(entry))
        if meaning is not None:
            told_of = told_of or entry
            refusals.update({field: FieldRefusal(meaning, _shown(entry.get("message"))) for field in fields_of(entry)})
    if told_of:
        first = _FIELD_CODES[code_of(told_of)]
        return RecordInvalidError(fields=refusals, code=first, **told(told_of))
    return RejectedError(**told(errors[0] if errors else {}))


def errors_of(body: Any) -> list[Entry]:
    """Of a whole call; one object instead of an array is tolerated."""
    entries = body if isinstance(body, list) else [body]
    return [entry for entry in entries if isinstance(entry, dict)]


def code_of(entry: Entry) -> str:
    code = entry.get("errorCode") or entry.get("statusCode")
    return code if isinstance(code, str) else ""


def fields_of(entry: Entry) -> list[str]:
    """The fields an entry names, in its list or, for an unknown column, in its text."""
    fields = entry.get("fields")
    named = [field for field in fields if isinstance(field, str)] if isinstance(fields, list) else []
    message = _text(entry.get("message"))
    if not named and code_of(entry) == "INVALID_FIELD":
        named = _NO_COLUMN.findall(message)[:50]
    if not named and (code_of(entry) in {"STRING_TOO_LONG", "INVALID_EMAIL_ADDRESS"}):
        named = _SINGLE_FIELD_NOTE.findall(message)[:1]
    return named


def unknown_relation(error: CrmError) -> str:
    """The relation that a query may not follow, ``""`` when that is not what the error says."""
    found = _NO_RELATION.search(error.provider_message)
    return found[1] if found else ""


class Told(TypedDict):
    """What every error keeps of an entry."""

    provider_message: str


def told(entry: Entry) -> Told:
    """The vendor's text without contact data, after its code."""
    text = _shown(entry.get("message"))
    return {"provider_message": f"{code_of(entry)[:80]}: {text}" if code_of(entry) else text}


def duplicate_ids(entry: Entry) -> list[str]:
    """The records that a duplicate rule found, where the answer lists them; a collection's row does not."""
    found: list[str] = []
    result = entry.get("duplicateResult")
    for match in _mappings(result.get("matchResults")) if isinstance(result, dict) else []:
        for matched in _mappings(match.get("matchRecords")):
            record = matched.get("record")
            if isinstance(record, dict) and isinstance(record.get("Id"), str):
                found.append(record["Id"])
    return found


def _expired(entry: Entry) -> CrmError:
    return AuthorizationExpiredError(**told(entry))


def _inactive(entry: Entry) -> CrmError:
    return AuthorizationExpiredError(code="auth.user_inactive", **told(entry))


def _no_permission(entry: Entry) -> CrmError:
    return PermissionMissingError(**told(entry))


def _no_object(entry: Entry) -> CrmError:
    return PermissionMissingError(code="perm.object", **told(entry))


def _exhausted(entry: Entry) -> CrmError:
    """The day's allowance, or too many long requests at once: only the text tells, and it is not translated."""
    if _text(entry.get("message")).startswith("Concurrent"):
        return RateLimitedError(retry_after_seconds=endpoints.CONCURRENCY_WAIT, code="quota.concurrency", **told(entry))
    return RateLimitedError(retry_after_seconds=endpoints.DAILY_WAIT, daily=True, **told(entry))


def _bad_cursor(entry: Entry) -> CrmError:
    return CursorExpiredError(**told(entry))


def _unavailable(entry: Entry) -> CrmError:
    return ProviderUnavailableError(**told(entry))


def _not_understood(entry: Entry) -> CrmError:
    return UnexpectedAnswerError("Salesforce does not understand a query of ours", **told(entry))


def _gone(entry: Entry) -> CrmError:
    return RecordGoneError(**told(entry))


def _foreign_id(entry: Entry) -> CrmError:
    """About the fields it names; when it names none, about the record itself, which a look then confirms."""
    fields = fields_of(entry)
    if not fields:
        return RecordGoneError(**told(entry))
    refusal = FieldRefusal("field.picklist", _shown(entry.get("message")))
    return RecordInvalidError(fields=dict.fromkeys(fields, refusal), code="field.picklist", **told(entry))


def _converted(entry: Entry) -> CrmError:
    return RecordGoneError("The lead was converted", code="state.converted", **told(entry))


def _locked(entry: Entry) -> CrmError:
    return RecordLockedError(**told(entry))


def _duplicates(entry: Entry) -> CrmError:
    ids = list(dict.fromkeys(duplicate_ids(entry)))
    return DuplicateRecordError(
        remote_id=ids[0] if len(ids) == 1 else "",
        code="match.duplicate_in_crm" if len(ids) == 1 else "rule.duplicate_rule",
        **told(entry),
    )


def _taken(entry: Entry) -> CrmError:
    found = _HELD_BY.search(_text(entry.get("message")))
    return DuplicateRecordError(remote_id=found[1] if found else "", **told(entry))


def _no_access(entry: Entry) -> CrmError:
    return RejectedError(code="perm.record", **told(entry))


def _person_account(entry: Entry) -> CrmError:
    return RejectedError("A person account is not written", code=PERSON_ACCOUNT, **told(entry))


def _rule(entry: Entry) -> CrmError:
    return RejectedError(code="rule.validation", **told(entry))


Case = Callable[[Entry], CrmError]
_CALL_CASES: Final[Mapping[str, Case]] = {
    "INVALID_SESSION_ID": _expired,
    "INVALID_AUTH_HEADER": _expired,
    "INACTIVE_USER": _inactive,
    "REQUEST_LIMIT_EXCEEDED": _exhausted,
    "API_DISABLED_FOR_ORG": _no_permission,
    "API_CURRENTLY_DISABLED": _no_permission,
    "INVALID_TYPE": _no_object,
    "INVALID_QUERY_LOCATOR": _bad_cursor,
    "QUERY_TIMEOUT": _unavailable,
    "SERVER_UNAVAILABLE": _unavailable,
    "MALFORMED_QUERY": _not_understood,
    "INVALID_QUERY_FILTER_OPERATOR": _not_understood,
}
"""Codes that concern the call, whatever record it is about."""
_ROW_CASES: Final[Mapping[str, Case]] = {
    "UNABLE_TO_LOCK_ROW": _locked,
    "ENTITY_IS_LOCKED": _locked,
    "ENTITY_IS_DELETED": _gone,
    "NOT_FOUND": _gone,
    "INVALID_CROSS_REFERENCE_KEY": _foreign_id,
    "CANNOT_UPDATE_CONVERTED_LEAD": _converted,
    "DUPLICATES_DETECTED": _duplicates,
    "DUPLICATE_VALUE": _taken,
    "INSUFFICIENT_ACCESS": _no_access,
    "INSUFFICIENT_ACCESS_OR_READONLY": _no_access,
    "INVALID_PERSON_ACCOUNT_OPERATION": _person_account,
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": _rule,
    "STORAGE_LIMIT_EXCEEDED": _rule,
}
"""Codes that concern one record."""


def _shown(message: object) -> str:
    text = _text(message)[:8_000]
    for quoted in _QUOTED_VALUES:
        text = quoted.sub(MASK, text)
    return redact_text(text)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _mappings(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
