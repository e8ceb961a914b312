"""What the commands share: data on standard output, progress on standard error, errors that say what to do.

Exit codes: 0 it worked; 1 the command ran and something is wrong (a refused row, a failed run, a late
connection); 2 the input was refused and nothing was changed;
130 it was interrupted.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, ProgrammingError
from psycopg import errors as postgres

from adsapp_crm.catalogue import explain
from adsapp_crm.fields import UnreadableError
from adsapp_crm.selectors import find_organization
from adsapp_crm.services.refusals import Refusal, RefusedError, refuse
from crm.errors import ConfigurationError, ConnectionBlockedError, CrmError, MappingError

OK: Final = 0
WRONG: Final = 1
REFUSED: Final = 2
INTERRUPTED: Final = 130


class CrmCommand(BaseCommand):
    """A command that answers in text, or with ``--json`` in one JSON object a line."""

    requires_migrations_checks = False

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.add_argument("--json", action="store_true", help="answer with JSON on standard output")
        return parser

    def handle(self, *_args: Any, **options: Any) -> str | None:
        self.as_json = bool(options["json"])
        try:
            code = self.work(options)
        except RefusedError as error:
            self._fail(error.refusals, REFUSED)
        except CrmError as error:
            refused = isinstance(error, ConfigurationError | ConnectionBlockedError)
            self._fail([_refusal_of(error)], REFUSED if refused else WRONG)
        except UnreadableError as error:
            self._fail([Refusal(error.code, str(error), "FERNET_KEYS")], REFUSED)
        except (OperationalError, ProgrammingError) as error:
            self._fail([_database_trouble(error)], WRONG)
        except KeyboardInterrupt:
            self.progress("interrupted; what was committed stays, and a run goes on when the command is repeated")
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            sys.stderr.close()  # whoever read us has seen enough; the interpreter need not complain
            sys.exit(WRONG)
        if code != OK:
            sys.exit(code)
        return None

    def work(self, options: Mapping[str, Any]) -> int:
        """Do it and return the exit code."""
        raise NotImplementedError

    def say(self, text: str) -> None:
        """A line of data; left out with ``--json``."""
        if not self.as_json:
            self.stdout.write(text)

    def give(self, value: Mapping[str, Any]) -> None:
        """The JSON answer; left out without ``--json``."""
        if self.as_json:
            self.stdout.write(json.dumps(value, default=str, ensure_ascii=False))

    def progress(self, text: str) -> None:
        self.stderr.write(text, style_func=str)

    def _fail(self, refusals: Any, code: int) -> NoReturn:
        told = [_told(each) for each in refusals]
        self.give({"ok": False, "errors": told})
        lines = []
        for each in told:
            field = f"{each['field']}: " if each["field"] else ""
            lines.append(f"{field}{each['message']} [{each['code']}]\n  {each['fix']}")
        raise CommandError("\n".join(lines), returncode=code)


def organization_argument(parser: CommandParser) -> None:
    parser.add_argument("organization", metavar="ORG", help="id or exact name of the organization")


def organization_named(text: str) -> uuid.UUID:
    """Raises RefusedError (``organization.unknown``)."""
    found = find_organization(text)
    if found is None:
        raise refuse(
            "organization.unknown",
            "There is no organization with this id, and not exactly one with this name.",
            field="ORG",
            fix="Give the id, or the exact name if only one organization has it.",
        )
    return found


def uuid_of(text: str, field: str, code: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise refuse(code, "This is not an id.", field=field, fix="Give a UUID.") from None


def _refusal_of(error: CrmError) -> Refusal:
    if isinstance(error, MappingError):
        return Refusal(error.code, error.message, error.field, error.fix)
    return Refusal(error.code, error.message)


def _database_trouble(error: OperationalError | ProgrammingError) -> Refusal:
    """What to do about a database that is away or behind; any other error of it is raised again."""
    cause = error.__cause__
    if isinstance(cause, postgres.UndefinedTable | postgres.UndefinedColumn | postgres.UndefinedFunction):
        said = "The database does not have the tables of this version."
        return Refusal("internal.database", said, "DATABASE_URL", "Run: manage.py migrate --database owner")
    if isinstance(error, OperationalError) and getattr(cause, "sqlstate", None) is None:
        said = "The database cannot be reached."
        return Refusal("internal.database", said, "DATABASE_URL", "Start PostgreSQL, or correct the address.")
    raise error


def _told(refusal: Refusal) -> dict[str, str]:
    return {
        "code": refusal.code,
        "field": refusal.field,
        "message": refusal.message,
        "fix": refusal.fix or str(explain(refusal.code).fix),
    }
