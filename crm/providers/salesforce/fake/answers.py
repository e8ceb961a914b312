"""Salesforce's error bodies: an array of entries with ``errorCode`` for a call, ``statusCode`` for a row.

Page: REST API Developer Guide, "Status Codes and Error Responses"
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

Json = dict[str, Any]
NO_COLUMN_HINT: Final = (
    "If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. "
    "Please reference your WSDL or the describe call for the appropriate names."
)


class AnswerError(Exception):
    """A refusal of a whole call: the status and the entries, or another body (``text`` for none at all)."""

    def __init__(
        self,
        status: int,
        entries: list[Json] | Json | None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        super().__init__(f"{status} {entries}")
        self.status = status
        self.entries = entries
        self.headers = list(headers)


class RowError(Exception):
    """One record was refused: ``problems`` are (code, message, fields); ``status`` is that of a single-record call.

    ``more`` stands beside ``errorCode`` in a single-record answer and is left out of a collection's row.
    """

    def __init__(
        self, code: str, message: str, fields: Iterable[str] | None = (), *, status: int = 400, more: Json | None = None
    ) -> None:
        super().__init__(f"{code} {message}")
        self.problems: list[tuple[str, str, list[str] | None]] = [
            (code, message, None if fields is None else list(fields))
        ]
        self.status = status
        self.more = more or {}

    def single(self) -> AnswerError:
        entries: list[Json] = []
        for code, message, fields in self.problems:
            entry: Json = {"message": message, "errorCode": code}
            if fields is not None:
                entry["fields"] = fields
            entries.append({**entry, **self.more})
        return AnswerError(self.status, entries)

    def row(self) -> Json:
        """A failed row of a collection: no ``id``, and ``statusCode`` where a single call has ``errorCode``."""
        errors = [
            {"statusCode": code, "message": message, "fields": fields or []} for code, message, fields in self.problems
        ]
        return {"success": False, "errors": errors}

    def text(self) -> str:
        """As Bulk API 2.0 puts it into ``sf__Error``."""
        code, message, fields = self.problems[0]
        return f"{code}:{message}:{','.join(fields or []) or '--'}"


def several(problems: list[RowError]) -> RowError:
    """All that is wrong with one record as one refusal."""
    first = problems[0]
    first.problems = [entry for problem in problems for entry in problem.problems]
    return first


def plain(status: int, code: str, message: str, headers: Iterable[tuple[str, str]] = ()) -> AnswerError:
    """An error of the call itself: without ``fields``."""
    return AnswerError(status, [{"message": message, "errorCode": code}], headers)


def session_invalid() -> AnswerError:
    return plain(401, "INVALID_SESSION_ID", "Session expired or invalid")


def not_found(message: str = "The requested resource does not exist") -> AnswerError:
    return plain(404, "NOT_FOUND", message)


def method_not_allowed(method: str, allowed: Iterable[str]) -> AnswerError:
    names = ",".join(allowed)
    return plain(405, "METHOD_NOT_ALLOWED", f"HTTP Method '{method}' not allowed. Allowed are {names}")


def unknown_type(name: str) -> AnswerError:
    return plain(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.")


def json_error(message: str) -> AnswerError:
    return plain(400, "JSON_PARSER_ERROR", message)


def no_such_column(name: str, type_name: str) -> RowError:
    """On a write (a query has its own words)."""
    return RowError("INVALID_FIELD", f"No such column '{name}' on sobject of type {type_name}", None)


def missing_record() -> RowError:
    return RowError("NOT_FOUND", "The requested resource does not exist", None, status=404)


def deleted_record() -> RowError:
    return RowError("ENTITY_IS_DELETED", "entity is deleted", (), status=404)


def locked(record_id: str) -> RowError:
    message = f"unable to obtain exclusive access to this record or 1 records: {record_id}"
    return RowError("UNABLE_TO_LOCK_ROW", message)


def bad_admin_input(message: str) -> AnswerError:
    """The back door's own refusal; nothing of Salesforce."""
    return plain(400, "FAKE_BAD_INPUT", message)
