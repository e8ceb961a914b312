"""Let one of our staff in for some hours: ``manage.py crm_staff_access ORG --email ... --reason ...``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from adsapp_crm.management.command import OK, CrmCommand, organization_argument, organization_named
from adsapp_crm.models.choices import Role
from adsapp_crm.services.staff import DEFAULT_HOURS, ROLES, end_access, let_in, open_grants
from adsapp_crm.tenancy import organization_context

ACTOR = "command:crm_staff_access"


class Command(CrmCommand):
    help = (
        "Let one of our staff into an organization for a time and a reason, which its people see; --end takes it back;"
        " without --email the grants that are open are listed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        organization_argument(parser)
        parser.add_argument("--email", help="the address of a person who may open the admin")
        parser.add_argument("--reason", default="", help="what for, such as the number of a ticket")
        parser.add_argument("--hours", type=int, default=DEFAULT_HOURS, help=f"how long ({DEFAULT_HOURS})")
        parser.add_argument("--role", default=Role.VIEWER, choices=[role.value for role in ROLES])
        parser.add_argument("--end", action="store_true", help="end every open grant, or those of --email")

    def work(self, options: Mapping[str, Any]) -> int:
        with organization_context(organization_named(options["organization"]), actor=ACTOR):
            if options["email"] and not options["end"]:
                let_in(options["email"], options["role"], hours=options["hours"], reason=options["reason"], by=ACTOR)
            open_ones = open_grants()
            if options["end"]:
                address = (options["email"] or "").strip().lower()
                open_ones = [each for each in open_ones if address in ("", each.user.email.lower())]
                for each in open_ones:
                    end_access(each.pk)
        word = "ended" if options["end"] else "open"
        for each in open_ones:
            self.say(
                f"{word}  {each.user.email}  {each.role}  until {each.expires_at:%Y-%m-%d %H:%M} UTC  {each.reason}"
            )
        if not open_ones:
            self.say("no open grant")
        told = [
            {"id": each.pk, "email": each.user.email, "role": each.role, "expiresAt": each.expires_at.isoformat()}
            for each in open_ones
        ]
        self.give({"ok": True, word: told})
        return OK
