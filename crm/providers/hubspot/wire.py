"""HubSpot's payloads: their shapes, and what its errors mean. Pure.

Errors: https://developers.hubspot.com/docs/api-reference/error-handling (checked 2026-11). Every field of an error
body is optional, so nothing here indexes blindly; what is not in the table is refused, never believed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NotRequired, Protocol, TypedDict

from crm.errors import (
    AuthorizationExpiredError,
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
    UnexpectedAnswerError,
)
from crm.http.redact import MASK, redact_text
from crm.providers.hubspot import endpoints


class WireRecord(TypedDict):
    """A record as every object endpoint gives it. ``properties`` hold texts, ``None`` where empty."""

    id: str
    properties: dict[str, str | None]
    createdAt: NotRequired[str]
    updatedAt: NotRequired[str]
    archived: NotRequired[bool]
    archivedAt: NotRequired[str]
    new: NotRequired[bool]
    objectWriteTraceId: NotRequired[str]
    propertiesWithHistory: NotRequired[dict[str, list[WireVersion]]]


class WireVersion(TypedDict):
    """One entry of a property's history."""

    value: str | None
    timestamp: str
    sourceType: NotRequired[str]
    sourceId: NotRequired[str]


class WireOption(TypedDict):
    label: str
    value: str


class WireProperty(TypedDict):
    """A property's definition."""

    name: str
    label: str
    type: str
    fieldType: str
    options: NotRequired[list[WireOption]]
    calculated: NotRequired[bool]
    externalOptions: NotRequired[bool]
    archived: NotRequired[bool]
    hasUniqueValue: NotRequired[bool]
    hubspotDefined: NotRequired[bool]
    modificationMetadata: NotRequired[dict[str, bool]]


class WireOwner(TypedDict):
    id: str
    email: NotRequired[str | None]
    firstName: NotRequired[str]
    lastName: NotRequired[str]


class AnswerLike(Protocol):
    """What ``classify`` reads of an answer (``crm.http.client.Answer``)."""

    @property
    def status(self) -> int: ...

    @property
    def body(self) -> Any: ...

    @property
    def succeeded(self) -> bool: ...

    def retry_after_seconds(self) -> float | None: ...


_FIELD_CODES: Final[Mapping[str, str]] = {
    "PROPERTY_DOESNT_EXIST": "field.missing",
    "READ_ONLY_VALUE": "field.readonly",
    "INVALID_OPTION": "field.picklist",
    "INVALID_EMAIL": "field.bad_type",
    "INVALID_INTEGER": "field.bad_type",
    "INVALID_LONG": "field.bad_type",
    "INVALID_DOUBLE": "field.bad_type",
    "INVALID_NUMBER": "field.bad_type",
    "INVALID_BOOLEAN": "field.bad_type",
    "INVALID_DATE": "field.bad_type",
    "INVALID_PHONE_NUMBER": "field.bad_type",
    "INVALID_OWNER_ID": "field.picklist",
    "VALUE_TOO_LONG": "field.too_long",
    "REQUIRED_FIELD": "field.required",
    "REQUIRED_PROPERTY": "field.required",
    "CONFLICTING_UNIQUE_VALUE": "match.duplicate_in_crm",
}
"""Codes of single values; any other is ``rule.validation``."""
_EXISTING_ID: Final = re.compile(r"Existing ID:\s*(\d+)")
_HOLDER_ID: Final = re.compile(r"(\d+) already has that value")
_NOT_FOUND: Final = re.compile(r"not found|(?:do|does)(?: not|n't) exist", re.IGNORECASE)
_QUOTED_VALUES: Final = (
    re.compile(r"(?<=Email address )[^\"]{1,400}?(?= is invalid)"),
    re.compile(r"(?:(?<=\")|^)[^\"]{1,400}?(?= was not (?:one of|a valid))"),
)
"""Refusals quote the value they refuse: a broken address is contact data, though it looks like none."""
_EMBEDDED: Final = re.compile(r"\[\s*\{.*\}\s*\]", re.DOTALL)


def classify(answer: AnswerLike) -> CrmError | None:
    """The error that an answer means, ``None`` for any 2xx: a partial success (207) names its failures inside."""
    body = answer.body if isinstance(answer.body, dict) else {}
    if answer.succeeded:
        return None
    case = _CASES.get(answer.status)
    if case is not None:
        return case(body, answer.retry_after_seconds())
    if answer.status >= 500:
        return _failed(body, None)
    if answer.status >= 400:
        return RejectedError(**told(body))
    return UnexpectedAnswerError(f"HubSpot answered with status {answer.status}")


def classify_item(error: Mapping[str, Any]) -> CrmError:
    """The error of one entry in ``errors`` of a partial success."""
    match error.get("category"):
        case "CONFLICT":
            return _conflict(error, None)
        case "VALIDATION_ERROR":
            return _invalid(error, None)
        case "OBJECT_NOT_FOUND":
            return _gone(error, None)
        case "RATE_LIMITS":
            return _rate_limited(error, None)
        case _:
            return RejectedError(**told(error))


class Told(TypedDict):
    """What every error keeps of a body."""

    provider_message: str
    request_id: str


def told(body: Mapping[str, Any]) -> Told:
    """The vendor's text without contact data, and the id of the request."""
    request_id = body.get("correlationId")
    return {
        "provider_message": _shown(body.get("message")),
        "request_id": request_id[:100] if isinstance(request_id, str) else "",
    }


def subjects(error: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The trace ids and the record ids that an entry of ``errors`` is about."""
    context = error.get("context")
    context = context if isinstance(context, dict) else {}
    ids = [*_texts(context.get("ids")), *_texts(context.get("id"))]
    return _texts(context.get("objectWriteTraceId")), ids


def _invalid(body: Mapping[str, Any], _: float | None) -> CrmError:
    message = _text(body.get("message"))
    if "Cannot deserialize value of type" in message:
        return CursorExpiredError(**told(body))
    refusals = dict(_embedded_refusals(message))
    for entry in _mappings(body.get("errors")):
        context = entry.get("context")
        names = _texts(context.get("propertyName")) if isinstance(context, dict) else []
        for name in names:
            refusals.setdefault(name, _refusal(entry.get("code"), entry.get("message")))
    taken = [refusal for refusal in refusals.values() if refusal.code == "match.duplicate_in_crm"]
    holder = _HOLDER_ID.search(message)
    if taken and len(taken) == len(refusals):
        return DuplicateRecordError(remote_id=holder.group(1) if holder else "", **told(body))
    return RecordInvalidError(fields=refusals, **told(body))


def _embedded_refusals(message: str) -> list[tuple[str, FieldRefusal]]:
    """``Property values were not valid: [{...}]``: the list inside the text."""
    found = _EMBEDDED.search(message)
    if not found:
        return []
    try:
        entries = json.loads(found.group(0))
    except (ValueError, RecursionError):
        return []
    return [
        (entry["name"], _refusal(entry.get("error"), entry.get("message")))
        for entry in _mappings(entries)
        if isinstance(entry.get("name"), str)
    ]


def _refusal(code: object, message: object) -> FieldRefusal:
    return FieldRefusal(_FIELD_CODES.get(_text(code), "rule.validation"), _shown(message))


def _unauthorized(body: Mapping[str, Any], _: float | None) -> CrmError:
    return AuthorizationExpiredError(**told(body))


def _forbidden(body: Mapping[str, Any], _: float | None) -> CrmError:
    missing: list[str] = []
    for entry in _mappings(body.get("errors")):
        context = entry.get("context")
        if isinstance(context, dict):
            missing += _texts(context.get("requiredGranularScopes")) + _texts(context.get("requiredScopes"))
    return PermissionMissingError(missing=list(dict.fromkeys(missing)), **told(body))


def _gone(body: Mapping[str, Any], _: float | None) -> CrmError:
    """Only HubSpot's own word means gone: a wrong address or a proxy answers 404, too."""
    if body.get("category") == "OBJECT_NOT_FOUND" or _NOT_FOUND.search(_text(body.get("message"))):
        return RecordGoneError(**told(body))
    return UnexpectedAnswerError("HubSpot answered 404 without saying that the record is unknown", **told(body))


def _conflict(body: Mapping[str, Any], _: float | None) -> CrmError:
    context = body.get("context")
    existing = _texts(context.get("existingId")) if isinstance(context, dict) else []
    in_text = _EXISTING_ID.search(_text(body.get("message")))
    return DuplicateRecordError(
        remote_id=existing[0] if existing else in_text.group(1) if in_text else "", **told(body)
    )


def _locked(body: Mapping[str, Any], _: float | None) -> CrmError:
    return RecordLockedError(**told(body))


def _rate_limited(body: Mapping[str, Any], retry_after_seconds: float | None) -> CrmError:
    """``Retry-After`` is promised on 477 only; without it the policy's own window is the wait."""
    policy = _text(body.get("policyName"))
    if policy == "DAILY":
        return RateLimitedError(retry_after_seconds=retry_after_seconds or 3600.0, daily=True, **told(body))
    wait_seconds = endpoints.SECOND_WAIT if policy == "SECONDLY" else endpoints.TEN_SECONDS_WAIT
    return RateLimitedError(retry_after_seconds=retry_after_seconds or wait_seconds, **told(body))


def _moving(body: Mapping[str, Any], retry_after_seconds: float | None) -> CrmError:
    """477: the account moves between data centres, for up to a day."""
    return RateLimitedError(
        "HubSpot moves the account to another data centre",
        retry_after_seconds=retry_after_seconds or 3600.0,
        code="net.unavailable",
        **told(body),
    )


def _failed(body: Mapping[str, Any], _: float | None) -> CrmError:
    return ProviderUnavailableError(**told(body))


_CASES: Final[Mapping[int, Callable[[Mapping[str, Any], float | None], CrmError]]] = {
    400: _invalid,
    401: _unauthorized,
    403: _forbidden,
    404: _gone,
    409: _conflict,
    423: _locked,
    429: _rate_limited,
    477: _moving,
    530: _unauthorized,
}


def _shown(message: object) -> str:
    text = _text(message)[:8_000]
    for quoted in _QUOTED_VALUES:
        text = quoted.sub(MASK, text)
    return redact_text(text)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [str(item) for item in values if isinstance(item, str | int) and not isinstance(item, bool)]


def _mappings(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
