"""Pipedrive's envelopes and error bodies.

Pages: https://pipedrive.readme.io/docs/core-api-concepts-responses and
https://pipedrive.readme.io/docs/core-api-concepts-http-status-codes
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from crm.testing.wsgi import Request, Response, UnreadableBodyError, html_response, json_response

Json = dict[str, Any]
SCHEMA: Final = "ERR_SCHEMA_VALIDATION_FAILED"
_INFO: Final = "Please check developers.pipedrive.com"
_BLOCKED_PAGE: Final = (
    "<!DOCTYPE html><html lang=en-US><head><title>Attention Required! | Cloudflare</title></head><body>"
    "<h1>Sorry, you have been blocked</h1><p>You are unable to access pipedrive.com</p>"
    "<p>Performance &amp; security by Cloudflare</p></body></html>"
)


class AnswerError(Exception):
    """A refusal: the status and the whole body."""

    def __init__(self, status: int, body: Json, headers: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(f"{status} {body.get('error', '')}")
        self.status = status
        self.body = body
        self.headers = list(headers)

    @property
    def message(self) -> str:
        return str(self.body.get("error") or self.body)


def ok(value: object, status: int = 200, **more: object) -> Response:
    """``{"success": true, "data": ...}`` with what else the envelope holds."""
    return json_response({"success": True, "data": value, **more}, status)


def body_object(request: Request) -> Json:
    """The JSON body. Raises 400 when it is anything but an object."""
    try:
        body = request.json()
    except UnreadableBodyError as error:
        raise AnswerError(400, {"success": False, "error": "Invalid JSON", "code": "ERR_INVALID_INPUT"}) from error
    if not isinstance(body, dict):
        raise validation("body", "must be an object")
    return body


def validation(name: str, reason: str) -> AnswerError:
    """v2's 400, as recorded for an unknown owner."""
    return AnswerError(400, {"success": False, "error": f"Validation failed: {name}: {reason}", "code": SCHEMA})


def bad_request(message: str) -> AnswerError:
    """v1's 400."""
    return AnswerError(
        400, {"success": False, "error": message, "error_info": _INFO, "data": None, "additional_data": None}
    )


def not_found(label: str) -> AnswerError:
    """v2's 404."""
    return AnswerError(404, {"success": False, "error": f"{label} not found", "code": "ERR_NOT_FOUND"})


def not_found_v1(label: str) -> AnswerError:
    body = {"success": False, "error": f"{label} not found", "error_info": "Object was not found."}
    return AnswerError(404, {**body, "data": None, "additional_data": None})


def gone(record_id: int) -> Response:
    """v1's answer to a second deletion, as recorded: 410 and yet a success."""
    return json_response({"success": True, "data": {"id": record_id}}, 410)


def withdrawn() -> AnswerError:
    return AnswerError(410, {"success": False, "error": "Gone"})


def no_route(method: str, path: str) -> AnswerError:
    return AnswerError(404, {"success": False, "error": f"Unknown method {method} {path}", "error_info": _INFO})


def wrong_method() -> AnswerError:
    return AnswerError(405, {"success": False, "error": "Method not allowed", "errorCode": 405, "error_info": _INFO})


def unauthorized() -> AnswerError:
    body = {"success": False, "error": "unauthorized access", "errorCode": 401, "error_info": _INFO}
    return AnswerError(401, body, [("x-401-by-gw", "true")])


def invalid_token() -> AnswerError:
    """An OAuth access token that is unknown, expired or revoked."""
    body = {"success": False, "error": "Invalid token: access_token is invalid", "errorCode": 401}
    return AnswerError(401, {**body, "error_info": _INFO}, [("x-401-by-gw", "true")])


def scope_mismatch() -> AnswerError:
    return AnswerError(403, {"success": False, "error": "Scope and URL mismatch", "errorCode": 403})


def forbidden(message: str, code: str | None = None) -> AnswerError:
    body: Json = {"success": False, "error": message, "error_info": _INFO, "data": None, "additional_data": None}
    return AnswerError(403, {**body, "code": code} if code else body)


def too_many(headers: Iterable[tuple[str, str]] = ()) -> AnswerError:
    return AnswerError(429, {"success": False, "error": "request over limit", "errorCode": 429}, headers)


def blocked() -> Response:
    """The edge's page for a caller that went on after 429 (docs: Rate limiting)."""
    return html_response(_BLOCKED_PAGE, 403, [("Server", "cloudflare")])
