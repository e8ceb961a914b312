"""Test a connection from end to end: ``manage.py crm_doctor Acme/hubspot``."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from django.core.management.base import CommandParser

from adsapp_crm.management.command import OK, WRONG, CrmCommand, organization_named, uuid_of
from adsapp_crm.selectors import organization_of_connection
from adsapp_crm.services.connections import find_connection
from adsapp_crm.services.examination import Verdict
from adsapp_crm.services.examining import examine
from adsapp_crm.services.refusals import refuse
from adsapp_crm.tenancy import organization_context

_MARKS: Final = {
    Verdict.OK: "ok     ",
    Verdict.SKIPPED: "skipped",
    Verdict.WARNING: "WARNING",
    Verdict.FAILED: "FAILED ",
}


class Command(CrmCommand):
    help = (
        "Test a connection: token, scopes, schema, mapping, quota, webhook, clock, records; each with what to do about"
        " it. Changes nothing. Exit 1 when a check fails; a warning alone is exit 0."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "connection", metavar="CONNECTION", help="id of the connection, or ORG/PROVIDER such as Acme/hubspot"
        )

    def work(self, options: Mapping[str, Any]) -> int:
        organization_id, connection_id = _named(options["connection"])
        found = examine(organization_id, connection_id)
        self.give(found.as_json())
        self.say(f"{found.crm_type} {found.account}".rstrip())
        for each in found.findings:
            code = f" [{each.code}]" if each.code else ""
            self.say(f"  {_MARKS[each.verdict]}  {each.check:8} {each.said}{code}")
            if each.fix and each.verdict is not Verdict.SKIPPED:
                self.say(f"                    {each.fix}")
        return WRONG if found.worst is Verdict.FAILED else OK


def _named(text: str) -> tuple[uuid.UUID, uuid.UUID]:
    """(organization id, connection id); raises RefusedError (``organization.unknown``, ``connection.unknown``)."""
    name, slash, crm_type = text.rpartition("/")
    if slash:
        organization_id = organization_named(name)
        with organization_context(organization_id):
            return organization_id, find_connection(crm_type).pk
    connection_id = uuid_of(text, "CONNECTION", "connection.unknown")
    owner = organization_of_connection(connection_id)
    if owner is None:
        raise refuse(
            "connection.unknown",
            "There is no connection with this id.",
            field="CONNECTION",
            fix="Take an id of `crm_status --json`, or name it as ORG/PROVIDER.",
        )
    return owner, connection_id
