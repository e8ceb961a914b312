"""Write down what each error code means: ``manage.py crm_error_codes [--file docs/errors.md]``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from adsapp_crm.catalogue import ENTRIES
from adsapp_crm.catalogue.document import markdown
from adsapp_crm.management.command import OK, CrmCommand


class Command(CrmCommand):
    help = "Print every error code with its cause, what to do and an example, as Markdown; or write it to a file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--file", type=Path, metavar="PATH", help="write there instead of to standard output")

    def work(self, options: Mapping[str, Any]) -> int:
        if options["file"] is None:
            self.say(markdown().rstrip("\n"))
        else:
            options["file"].write_text(markdown(), encoding="utf-8")
            self.say(f"{len(ENTRIES)} codes written to {options['file']}")
        self.give({"ok": True, "codes": len(ENTRIES)})
        return OK
