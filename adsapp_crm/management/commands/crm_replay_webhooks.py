"""Read again what webhook events named: ``manage.py crm_replay_webhooks ORG hubspot --since 2h``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.core.management.base import CommandParser
from django.db import connection as database
from django.utils.dateparse import parse_datetime

from adsapp_crm.management.command import OK, CrmCommand, organization_argument, organization_named
from adsapp_crm.services.connections import find_connection
from adsapp_crm.services.inbox import replay
from adsapp_crm.services.refusals import refuse
from adsapp_crm.tasks import refetch, send_after_commit
from adsapp_crm.tenancy import organization_context

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


class Command(CrmCommand):
    help = "Put settled webhook events back into the inbox; the workers read their records again."

    def add_arguments(self, parser: CommandParser) -> None:
        organization_argument(parser)
        parser.add_argument("provider", metavar="PROVIDER", help="hubspot, salesforce or pipedrive")
        parser.add_argument("--since", required=True, metavar="WHEN", help="30m, 2h, 3d, or a time in ISO 8601")
        parser.add_argument("--failed", action="store_true", help="only those that failed")
        parser.add_argument("--yes", action="store_true", help="do it; without it only the counts are shown")

    def work(self, options: Mapping[str, Any]) -> int:
        organization_id = organization_named(options["organization"])
        since = _since(options["since"])
        with organization_context(organization_id, actor="command:crm_replay_webhooks"):
            connection = find_connection(options["provider"])
            counts = replay(connection.pk, since, only_failed=options["failed"], dry_run=not options["yes"])
            if options["yes"] and counts:
                send_after_commit(refetch, str(connection.pk))
        self.give({"ok": True, "since": since, "replayed": bool(options["yes"]), "events": counts})
        for status, count in sorted(counts.items()):
            self.say(f"{count:,} {status}")
        if not counts:
            self.say("no settled event since then")
        elif options["yes"]:
            self.say("back in the inbox; the workers read the records again")
        else:
            self.say("nothing was done: repeat with --yes to read the records again")
        return OK


def _since(text: str) -> datetime:
    """By the database's clock; raises RefusedError (``request.invalid``)."""
    with database.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    if found := re.fullmatch(r"([0-9]{1,5})([mhd])", text):
        return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise refuse(
            "request.invalid", "This is no time.", field="--since", fix="Give 30m, 2h, 3d, or a time in ISO 8601."
        )
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
