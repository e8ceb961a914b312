"""What is answered where no view could: a host that is not ours, a form without its token, a database that is away.

A page says cause and fix, below ``/api/`` a problem document does. Neither touches the database or the session: they
may be what is broken.
"""

from __future__ import annotations

import sys
from typing import Final

from django.conf import settings
from django.db import DataError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string

from adsapp_crm.catalogue import explain

API_PREFIX: Final = "/api/"
DATABASE_RETRY_SECONDS: Final = 2


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001
    """400: a host, a cookie or a form that cannot be what a browser of ours sent."""
    return error_answer(request, "request.unreadable", 400)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """404: no view has this address."""
    return error_answer(request, "request.not_found", 404)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001  Django's own words
    return error_answer(request, "request.csrf", 403)


def server_error(request: HttpRequest) -> HttpResponse:
    """500; 400 for what the database could not read; 503 where it is away, restarts, or had two requests wait for
    each other.
    """
    error = sys.exc_info()[1]
    if isinstance(error, DataError):  # text that no column holds, a NUL above all: input that no check named
        return error_answer(request, "request.unreadable", 400)
    if isinstance(error, OperationalError | InterfaceError):
        answer = error_answer(request, "internal.database", 503)
        answer["Retry-After"] = str(DATABASE_RETRY_SECONDS)
        return answer
    return error_answer(request, "internal.error", 500)


def locked_out(
    request: HttpRequest, _response: HttpResponse | None = None, _credentials: object = None
) -> HttpResponse:
    """429: too many failures for this name at this address, or for any at it, however right the password may be."""
    # Set by config.log_in_locks, which knows why.
    code = "user.address_locked" if getattr(request, "crm_address_held", False) else "user.locked"
    answer = error_answer(request, code, 429)
    answer["Retry-After"] = str(int(settings.AXES_COOLOFF_TIME.total_seconds()))
    return answer


def error_answer(request: HttpRequest, code: str, status: int) -> HttpResponse:
    entry = explain(code)
    answer: HttpResponse
    if request.path_info.startswith(API_PREFIX) and "text/html" not in request.headers.get("Accept", ""):
        told = {
            "type": f"/docs/errors#{entry.anchor}",
            "title": str(entry.title),
            "status": status,
            "detail": str(entry.cause),
            "code": code,
            "fix": str(entry.fix),
        }
        answer = JsonResponse(told, status=status, content_type="application/problem+json")
    else:
        answer = HttpResponse(render_to_string("adsapp_crm/connect/failed.html", {"entry": entry}), status=status)
    answer["Cache-Control"] = "no-store"
    return answer
