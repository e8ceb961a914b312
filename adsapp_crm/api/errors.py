"""Every error of the API in one shape: ``application/problem+json`` (RFC 9457) with a stable code.

Title, cause and fix come from the catalogue, so that a code reads the same here, in pages and in the
documentation. What goes wrong with single fields stands in ``errors``, each with its JSON pointer.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, UnreadablePostError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from adsapp_crm.api.field_fixes import fix_of
from adsapp_crm.catalogue import explain
from adsapp_crm.error_pages import DATABASE_RETRY_SECONDS
from adsapp_crm.fields import DecryptionError
from adsapp_crm.models import CredentialsMismatchError
from adsapp_crm.services.refusals import Refusal, RefusedError
from adsapp_crm.services.seats import RETRY_SECONDS
from adsapp_crm.tenancy import NoOrganizationError
from crm.errors import (
    ConfigurationError,
    ConnectionBlockedError,
    CrmError,
    LeaseLostError,
    MappingError,
    RateLimitedError,
    SyncRefusedError,
    TransientError,
)

CONTENT_TYPE: Final = "application/problem+json"

_STATUS: Final[Mapping[str, int]] = {
    "connection.unknown": 404,
    "run.unknown": 404,
    "plan.unknown": 404,
    "contact.unknown": 404,
    "conflict.unknown": 404,
    "organization.unknown": 404,
    "key.unknown": 404,
    "staff.unknown": 404,
    "staff.by_grant": 403,
    "member.unknown": 404,
    "mapping.version_unknown": 404,
    "webhook.event_unknown": 404,
    "change.unknown": 404,
    "record.unknown": 404,
    "audit.unknown": 404,
    "outgoing.unknown": 404,
    "outgoing.too_many": 409,
    "audit.clean": 409,
    "connection.exists": 409,
    "connection.paused": 409,
    "conflict.settled": 409,
    "contact.changed": 412,
    "contact.erased": 409,
    "match.taken": 409,
    "member.last_owner": 409,
    "member.role": 403,
    "key.scope": 403,
    "key.refused": 401,
    "request.precondition": 412,
    "request.too_large": 413,
    "idempotency.in_flight": 409,
    "idempotency.lost": 409,
    "idempotency.mismatch": 422,
    "plan.closed": 409,
    "run.unfinished": 409,
    "run.busy": 409,
    "job.refused": 401,
    "job.unset": 503,
    "config.oauth_unavailable": 501,
    "internal.queue": 503,
    "request.busy": 503,
}
"""Of refusals whose status is not 400."""

_CRM_STATUS: Final[tuple[tuple[type[CrmError], int], ...]] = (
    (ConfigurationError, 400),
    (ConnectionBlockedError, 409),
    (RateLimitedError, 503),
    (TransientError, 503),
    (SyncRefusedError, 409),
    (LeaseLostError, 409),
)
"""By the first class that fits; a CRM that answers what nobody understands is a 502."""

_DRF_CODES: Final[tuple[tuple[type[exceptions.APIException], str], ...]] = (
    (exceptions.NotAuthenticated, "request.unauthenticated"),
    (exceptions.AuthenticationFailed, "request.unauthenticated"),
    (exceptions.PermissionDenied, "request.forbidden"),
    (exceptions.NotFound, "request.not_found"),
    (exceptions.MethodNotAllowed, "request.method"),
    (exceptions.UnsupportedMediaType, "request.media_type"),
    (exceptions.NotAcceptable, "request.media_type"),
    (exceptions.Throttled, "request.throttled"),
)

_CSRF: Final = "CSRF Failed"
"""How DRF's refusal of a session without its token begins."""

log = logging.getLogger(__name__)


def problem(
    code: str,
    status: int,
    *,
    detail: str = "",
    fix: str = "",
    errors: list[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem document about ``code``; ``detail`` and ``fix`` replace the catalogue's general ones."""
    entry = explain(code)
    body: dict[str, Any] = {
        "type": f"/docs/errors#{entry.anchor}",
        "title": str(entry.title),
        "status": status,
        "detail": detail or str(entry.cause),
        "code": code,
        "fix": fix or str(entry.fix),
    }
    if errors:
        body["errors"] = errors
    return Response(body, status=status, headers=dict(headers or {}), content_type=CONTENT_TYPE)


def answer_problem(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's exception handler; None leaves what nobody foresaw to Django, which logs it and answers 500."""
    response = _answer(error)
    if response is not None:
        set_rollback()
        return response
    view = context.get("view")
    log.error("unforeseen error in %s", type(view).__name__, exc_info=error)
    return problem("internal.error", 500)


def _answer(error: Exception) -> Response | None:
    if isinstance(error, RefusedError):
        return refusal_problem(error)
    if isinstance(error, CrmError):
        return _crm_problem(error)
    if isinstance(error, exceptions.APIException):
        return _drf_problem(error)
    if isinstance(error, OperationalError | InterfaceError):
        # Away, restarting, or two requests that waited for each other: what was begun is rolled back.
        log.warning("database trouble: %s", type(error.__cause__ or error).__name__)
        return problem("internal.database", 503, headers={"Retry-After": str(DATABASE_RETRY_SECONDS)})
    known = next((each for each in _OTHERS if isinstance(error, each[0])), None)
    return problem(known[1], known[2]) if known else None


_OTHERS: Final[tuple[tuple[type[Exception], str, int], ...]] = (
    (DecryptionError, DecryptionError.code, 503),
    (CredentialsMismatchError, CredentialsMismatchError.code, 409),
    (NoOrganizationError, NoOrganizationError.code, 400),
    # Text that no column holds (NUL in JSON), a number beyond its column's: input that no check named.
    (DataError, "request.invalid", 400),
    (RequestDataTooBig, "request.too_large", 413),
    # More parameters than anybody sends, and a body that broke off.
    (SuspiciousOperation, "request.invalid", 400),
    (UnreadablePostError, "request.invalid", 400),
    (Http404, "request.not_found", 404),
    (PermissionDenied, "request.forbidden", 403),
)


def refusal_problem(error: RefusedError) -> Response:
    """The status of the first refusal; every refusal that names a field stands in ``errors``."""
    first = error.refusals[0]
    status = _STATUS.get(first.code, 400)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if first.code == "request.busy":
        headers["Retry-After"] = str(RETRY_SECONDS)
    errors = [_refused_field(each) for each in error.refusals if each.field]
    return problem(first.code, status, detail=first.message, fix=first.fix, errors=errors, headers=headers)


def _refused_field(refusal: Refusal) -> dict[str, str]:
    entry = explain(refusal.code)
    pointer = refusal.field if refusal.field.startswith("/") else refusal.pointer
    return {
        "pointer": pointer,
        "code": refusal.code,
        "detail": refusal.message,
        "fix": refusal.fix or str(entry.fix),
    }


def _crm_problem(error: CrmError) -> Response:
    status = next((status for kind, status in _CRM_STATUS if isinstance(error, kind)), 502)
    headers = {}
    if isinstance(error, RateLimitedError):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds)))
    errors = []
    if isinstance(error, MappingError) and error.field:
        pointer = error.pointer or f"/{error.field}"
        errors = [{"pointer": pointer, "code": error.code, "detail": error.message, "fix": error.fix}]
    return problem(error.code, status, detail=error.message, errors=errors, headers=headers)


def _drf_problem(error: exceptions.APIException) -> Response:
    headers = {}
    wait = getattr(error, "wait", None)
    if isinstance(error, exceptions.Throttled) and wait is not None:
        headers["Retry-After"] = str(math.ceil(wait))
    if isinstance(error, exceptions.ValidationError):
        taker = getattr(error, "taker", None)
        return problem("request.invalid", 400, errors=list(_fields(error.get_full_details(), (), taker)))
    if isinstance(error, exceptions.ParseError):
        return problem("request.invalid", 400, detail="The body is not JSON.")
    code = next((code for kind, code in _DRF_CODES if isinstance(error, kind)), "internal.error")
    if code == "request.unauthenticated":
        # DRF would say 403, since a session log-in has no challenge of its own.
        return problem(code, 401, headers={"WWW-Authenticate": "Session"})
    if code == "request.forbidden" and str(error.detail).startswith(_CSRF):
        code = "request.csrf"
    return problem(code, error.status_code, headers=headers)


def _fields(details: Any, path: tuple[str | int, ...], taker: Any) -> Iterator[dict[str, str]]:
    """DRF's nested details, flat, each with its JSON pointer and what to do about it."""
    if isinstance(details, Mapping) and set(details) == {"message", "code"}:
        yield {
            "pointer": "".join(f"/{_escaped(str(step))}" for step in path),
            "code": "request.invalid",
            "detail": str(details["message"]),
            "fix": fix_of(str(details["code"]), path, taker),
        }
    elif isinstance(details, Mapping):
        for key, value in details.items():
            yield from _fields(value, path if key == "non_field_errors" else (*path, key), taker)
    else:
        for index, value in enumerate(details):
            listed = isinstance(value, Mapping) and set(value) != {"message", "code"}
            yield from _fields(value, (*path, index) if listed else path, taker)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
