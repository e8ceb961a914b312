"""Import contacts from a CSV file: ``manage.py crm_import ORG contacts.csv``."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from adsapp_crm.management.command import OK, WRONG, CrmCommand, organization_argument, organization_named
from adsapp_crm.services.contact_import import ImportReport, import_contacts
from adsapp_crm.services.refusals import refuse
from adsapp_crm.tenancy import organization_context


class Command(CrmCommand):
    help = "Create a contact for each row; rows that cannot be taken are listed with the reason and stop no other."

    def add_arguments(self, parser: CommandParser) -> None:
        organization_argument(parser)
        parser.add_argument("file", metavar="FILE", help="CSV in UTF-8 whose first line names the fields; - is stdin")

    def work(self, options: Mapping[str, Any]) -> int:
        organization_id = organization_named(options["organization"])
        with ExitStack() as stack:
            lines: Iterable[str]
            if options["file"] == "-":
                lines = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline="")
            else:
                try:
                    lines = stack.enter_context(Path(options["file"]).open(encoding="utf-8-sig", newline=""))
                except OSError as error:
                    raise refuse(
                        "import.unreadable",
                        f"The file cannot be opened: {error.strerror}.",
                        field="FILE",
                        fix="Give the path of a CSV file that this user may read.",
                    ) from error
            stack.enter_context(organization_context(organization_id, actor="command:crm_import", origin="import"))
            report = import_contacts(lines)
        self._tell(report)
        return WRONG if report.refused else OK

    def _tell(self, report: ImportReport) -> None:
        for row in report.refused:
            for each in row.refusals:
                field = f"{each.field}: " if each.field else ""
                self.say(f"line {row.line}: {field}{each.message} [{each.code}] {each.fix}")
        self.say(f"{report.rows} rows: {report.created} created, {len(report.refused)} refused")
        self.give(
            {
                "ok": not report.refused,
                "rows": report.rows,
                "created": report.created,
                "refused": [
                    {
                        "line": row.line,
                        "errors": [
                            {"code": each.code, "field": each.field, "message": each.message, "fix": each.fix}
                            for each in row.refusals
                        ],
                    }
                    for row in report.refused
                ],
            }
        )
