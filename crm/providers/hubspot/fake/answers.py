"""HubSpot's error bodies. Page: https://developers.hubspot.com/docs/api-reference/error-handling"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


class AnswerError(Exception):
    """A refusal: the status and the body without ``correlationId``, which the application adds."""

    def __init__(self, status: int, body: Json, headers: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(f"{status} {body.get('category', '')}")
        self.status = status
        self.body: Json = {"status": "error", **body}
        self.headers = list(headers)


def whole_number(raw: object) -> int | None:
    """A number that is not negative and fits 64 bits, or its digits; None for anything else."""
    text = str(raw)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


@dataclass(frozen=True, slots=True)
class Problem:
    """One property value that was refused; ``code`` as in ``errors[].code``."""

    name: str
    code: str
    message: str


def invalid(message: str, *, errors: list[Json] | None = None, context: Json | None = None) -> AnswerError:
    body: Json = {"message": message, "category": "VALIDATION_ERROR"}
    if errors:
        body["errors"] = errors
    if context:
        body["context"] = context
    return AnswerError(400, body)


def invalid_input(message: str) -> AnswerError:
    """A body or parameter of the wrong shape (HubSpot docs: error handling, 400)."""
    return invalid(f"Invalid input JSON: {message}")


def invalid_properties(problems: Iterable[Problem]) -> AnswerError:
    """All refused values at once: as a JSON array inside the message and as ``errors``."""
    problems = list(problems)
    told = [
        {
            "isValid": False,
            "message": problem.message,
            "error": problem.code,
            "name": problem.name,
            "localizedErrorMessage": problem.message,
        }
        for problem in problems
    ]
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    errors = [
        {"message": problem.message, "code": problem.code, "context": {"propertyName": [problem.name]}}
        for problem in problems
    ]
    return invalid(f"Property values were not valid: {text}", errors=errors)


def unknown_type(token: str) -> AnswerError:
    return AnswerError(400, {"message": f"Unable to infer object type from: {token}"})


def not_found(message: str = "resource not found") -> AnswerError:
    return AnswerError(404, {"message": message, "category": "OBJECT_NOT_FOUND"})


def not_numeric() -> AnswerError:
    return AnswerError(404, {"message": "Object not found.  objectId are usually numeric."})


def conflict(label: str, existing_id: int | None) -> AnswerError:
    """HubSpot docs: contacts guide, "409 Conflict"; without an id inside an all-or-nothing batch."""
    message = (
        f"{label} already exists" if existing_id is None else f"{label} already exists. Existing ID: {existing_id}"
    )
    return AnswerError(409, {"message": message, "category": "CONFLICT"})


def not_unique(portal_id: int, type_id: str, name: str, value: str, existing_id: int) -> AnswerError:
    """A value of a ``hasUniqueValue`` property that another record holds (HubSpot docs: properties, unique values)."""
    message = (
        f"Cannot set PropertyValueCoordinates{{portalId={portal_id}, objectTypeId={type_id}, "
        f"propertyName={name}, value={value}}}. {existing_id} already has that value."
    )
    error = {"message": message, "code": "CONFLICTING_UNIQUE_VALUE", "context": {"propertyName": [name]}}
    return invalid(message, errors=[error])


def no_credentials() -> AnswerError:
    message = (
        "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more "
        "details at https://developers.hubspot.com/docs/methods/auth/oauth-overview"
    )
    return AnswerError(401, {"message": message, "category": "INVALID_AUTHENTICATION"})


def expired(seconds: int) -> AnswerError:
    message = f"The OAuth token used to make this call expired {seconds} second(s) ago."
    body: Json = {"message": message, "category": "EXPIRED_AUTHENTICATION"}
    body["errors"] = [
        {"message": message, "code": "EXPIRED_AUTHENTICATION", "context": {"expire time": [str(seconds)]}}
    ]
    return AnswerError(401, body)


def missing_scopes(scopes: Iterable[str]) -> AnswerError:
    message = (
        "This app hasn't been granted all required scopes to make this call. "
        "Read more about required scopes here: https://developers.hubspot.com/scopes."
    )
    error = {
        "message": "One or more of the following scopes are required.",
        "context": {"requiredGranularScopes": list(scopes)},
    }
    links = {"scopes": "https://developers.hubspot.com/scopes"}
    return AnswerError(403, {"message": message, "category": "MISSING_SCOPES", "errors": [error], "links": links})
