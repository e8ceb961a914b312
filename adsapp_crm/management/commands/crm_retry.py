"""Try failing records again: ``manage.py crm_retry Acme hubspot --code field.too_long --yes``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from adsapp_crm.catalogue import ENTRIES, explain
from adsapp_crm.management.command import OK, CrmCommand, organization_argument, organization_named
from adsapp_crm.services.connections import find_connection
from adsapp_crm.services.record_actions import contact_ids_of, retry_links
from adsapp_crm.services.records import chosen_records, count_records
from adsapp_crm.services.refusals import refuse
from adsapp_crm.services.retrying import AT_ONCE, start_retry
from adsapp_crm.tasks import send_after_commit, sync_now
from adsapp_crm.tenancy import organization_context

ACTOR = "command:crm_retry"


class Command(CrmCommand):
    help = "Count a connection's failing records by code; with --yes try them again, their attempts counted anew."

    def add_arguments(self, parser: CommandParser) -> None:
        organization_argument(parser)
        parser.add_argument("provider", metavar="PROVIDER", help="hubspot, salesforce or pipedrive")
        parser.add_argument("--code", default="", metavar="CODE", help="only records that fail by this code")
        parser.add_argument("--yes", action="store_true", help="do it; without it only the counts are shown")

    def work(self, options: Mapping[str, Any]) -> int:
        organization_id = organization_named(options["organization"])
        if options["code"] and options["code"] not in ENTRIES:
            raise refuse(
                "request.invalid",
                "There is no such code.",
                field="--code",
                fix="Take one of the codes that this command lists without --code.",
            )
        run_id = None
        with organization_context(organization_id, actor=ACTOR):
            connection = find_connection(options["provider"])
            failing = [each for each in count_records(connection)["reasons"] if each["state"] == "failing"]
            counts = {each["code"]: each["records"] for each in failing if options["code"] in ("", each["code"])}
            if options["yes"]:
                contacts: list[str] = []
                for code in counts:
                    links = chosen_records(connection.pk, (), code)
                    contacts += contact_ids_of(links, AT_ONCE - len(contacts))
                    retry_links(links)
                run_id = start_retry(connection.pk, list(dict.fromkeys(contacts)), actor=ACTOR)
                if run_id is not None:
                    send_after_commit(sync_now, str(run_id))
        self.give({"ok": True, "records": counts, "retried": bool(options["yes"] and counts), "runId": run_id})
        for code, number in counts.items():
            self.say(f"{number:,} {code}: {explain(code).title}. {explain(code).fix}")
        if not counts:
            self.say("no failing record")
        elif options["yes"]:
            self.say("tried again now" if run_id else "tried again by the next run")
        else:
            self.say("nothing was done: repeat with --yes to try them again")
        return OK
