"""Pipedrive's payloads: their shapes, and what its errors mean. Pure.

Statuses: https://pipedrive.readme.io/docs/core-api-concepts-http-status-codes, bodies:
https://pipedrive.readme.io/docs/core-api-concepts-responses (checked 2026-09). Five shapes of error bodies are known,
so nothing here indexes blindly; what is not in the table is refused, never believed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NotRequired, Protocol, TypedDict

from crm.errors import (
    AuthorizationExpiredError,
    ConfigurationError,
    ConnectionBlockedError,
    CrmError,
    CursorExpiredError,
    FieldRefusal,
    PermissionMissingError,
    ProviderUnavailableError,
    RateLimitedError,
    RecordGoneError,
    RecordInvalidError,
    RejectedError,
    UnexpectedAnswerError,
    UnsupportedFeatureError,
)
from crm.http.redact import redact_text
from crm.providers.pipedrive import endpoints

WireRecord = dict[str, Any]
"""A record in v2's shape: ``id`` a whole number, custom values by hash in ``custom_fields``. Any key may be missing."""


class WireEntry(TypedDict):
    """One e-mail address or phone number of a person."""

    value: str
    label: NotRequired[str]
    primary: NotRequired[bool]


class WireOption(TypedDict):
    id: int | str
    label: str


class WireField(TypedDict):
    """A field's definition in v2's shape."""

    field_code: str
    field_name: str
    field_type: str
    options: NotRequired[list[WireOption] | None]
    is_custom_field: NotRequired[bool]


class AnswerLike(Protocol):
    """What ``classify`` reads of an answer (``crm.http.client.Answer``)."""

    @property
    def status(self) -> int: ...

    @property
    def body(self) -> Any: ...

    @property
    def is_json(self) -> bool: ...

    @property
    def succeeded(self) -> bool: ...

    def header(self, name: str) -> str: ...

    def retry_after_seconds(self) -> float | None: ...


_FIELD_ERROR: Final = re.compile(r"(?:Validation failed:\s*|^|;\s*)([A-Za-z0-9_.\[\]]+):\s*([^;]*)")
_NOT_FOUND: Final = re.compile(r"not found|(?:do|does)(?: not|n't) exist", re.IGNORECASE)
_REASONS: Final = (
    (re.compile(r"not allowed|unknown|unrecognized", re.IGNORECASE), "field.missing"),
    (re.compile(r"(?:option|label) .*(?:exist|valid|found)|not found|must be one of", re.IGNORECASE), "field.picklist"),
    (re.compile(r"length must|too long|characters", re.IGNORECASE), "field.too_long"),
    (re.compile(r"required|must not be empty|not allowed to be empty", re.IGNORECASE), "field.required"),
    (re.compile(r"must be|invalid|expected", re.IGNORECASE), "field.bad_type"),
)  # fmt: skip
"""Reasons are prose: the first that fits names the code, else ``rule.validation``."""


def classify(answer: AnswerLike) -> CrmError | None:
    """The error that an answer means, ``None`` for success: a 2xx whose body says so itself."""
    body = answer.body if isinstance(answer.body, dict) else {}
    if answer.succeeded:
        if body.get("success") is True:
            return None
        return UnexpectedAnswerError("Pipedrive answered without saying that it succeeded", **told(body))
    case = _CASES.get(answer.status)
    if case is not None:
        return case(answer, body)
    if answer.status >= 500:
        return ProviderUnavailableError(**told(body))
    if answer.status >= 400:
        return RejectedError(**told(body))
    return UnexpectedAnswerError(f"Pipedrive answered with status {answer.status}")


class Told(TypedDict):
    """What every error keeps of a body."""

    provider_message: str


def told(body: Mapping[str, Any]) -> Told:
    """The vendor's text without contact data."""
    parts = [body.get("error"), body.get("error_info"), body.get("message")]
    return {"provider_message": redact_text(" ".join(part for part in parts if isinstance(part, str))[:8_000])}


def _invalid(_: AnswerLike, body: Mapping[str, Any]) -> CrmError:
    text = body.get("error") if isinstance(body.get("error"), str) else ""
    found = {name.partition("[")[0]: reason.strip() for name, reason in _FIELD_ERROR.findall(str(text))}
    if "cursor" in found or (not found and "cursor" in str(text).lower()):
        return CursorExpiredError(**told(body))
    fields = {name: FieldRefusal(_reason_code(reason), redact_text(reason)) for name, reason in found.items()}
    return RecordInvalidError(fields=fields, **told(body))


def _reason_code(reason: str) -> str:
    return next((code for pattern, code in _REASONS if pattern.search(reason)), "rule.validation")


def _unauthorized(_: AnswerLike, body: Mapping[str, Any]) -> CrmError:
    return AuthorizationExpiredError(**told(body))


def _unpaid(_: AnswerLike, body: Mapping[str, Any]) -> CrmError:
    return ConnectionBlockedError(
        "Pipedrive says that the company's account is not open", code="auth.user_inactive", **told(body)
    )


def _forbidden(answer: AnswerLike, body: Mapping[str, Any]) -> CrmError:
    """The edge that blocks a caller that went on after 429 (a page, no JSON), a plan's cap, or a missing right."""
    if not answer.is_json:
        return RateLimitedError(
            "Pipedrive's edge has blocked the connection for a while",
            retry_after_seconds=answer.retry_after_seconds() or endpoints.BLOCKED_SECONDS,
        )
    if str(body.get("code", "")).startswith("feature_capping"):
        return RejectedError("The company's plan takes no more of these", code="perm.object", **told(body))
    return PermissionMissingError(**told(body))


def _gone(_: AnswerLike, body: Mapping[str, Any]) -> CrmError:
    """Only Pipedrive's own word means gone: a wrong address or a proxy answers 404, too."""
    said = " ".join(str(body.get(name, "")) for name in ("error", "error_info", "code", "errors"))
    if body.get("code") == "ERR_NOT_FOUND" or _NOT_FOUND.search(said):
        return RecordGoneError(**told(body))
    return UnexpectedAnswerError("Pipedrive answered 404 without saying that the record is unknown", **told(body))


def _withdrawn(_: AnswerLike, body: Mapping[str, Any]) -> CrmError:
    """v1 answers a second deletion with 410 and ``success``; any other 410 is an endpoint that is no more."""
    if body.get("success") is True:
        return RecordGoneError(**told(body))
    return ConfigurationError(
        "Pipedrive no longer has this endpoint. Set the API version to v2.", code="config.unsupported", **told(body)
    )


def _not_enabled(_: AnswerLike, body: Mapping[str, Any]) -> CrmError:
    return UnsupportedFeatureError("The company has this feature not enabled", **told(body))


def _rate_limited(answer: AnswerLike, body: Mapping[str, Any]) -> CrmError:
    """One status for the burst and for the day: the headers tell which."""
    told_wait = answer.retry_after_seconds()
    day_left = answer.header(endpoints.DAY_REMAINING_HEADER).strip()
    burst_left = answer.header(endpoints.BURST_REMAINING_HEADER).strip()
    if day_left == "0" or (not day_left and burst_left not in {"", "0"}):
        return RateLimitedError(retry_after_seconds=told_wait or endpoints.DAY_WAIT_SECONDS, daily=True, **told(body))
    reset = answer.header(endpoints.BURST_RESET_HEADER).strip()
    wait_seconds = float(reset) if reset.isascii() and reset.isdigit() and len(reset) < 6 else endpoints.BURST_SECONDS
    return RateLimitedError(retry_after_seconds=told_wait or wait_seconds, **told(body))


_CASES: Final[Mapping[int, Callable[[AnswerLike, Mapping[str, Any]], CrmError]]] = {
    400: _invalid,
    401: _unauthorized,
    402: _unpaid,
    403: _forbidden,
    404: _gone,
    410: _withdrawn,
    415: _not_enabled,
    429: _rate_limited,
}
