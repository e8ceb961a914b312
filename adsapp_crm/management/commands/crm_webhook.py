"""Where a CRM sends its events: ``manage.py crm_webhook ORG pipedrive [--subscribe | --remove]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from adsapp_crm.catalogue import explain
from adsapp_crm.management.command import OK, WRONG, CrmCommand, organization_argument, organization_named
from adsapp_crm.services.connections import find_connection
from adsapp_crm.services.refusals import refuse
from adsapp_crm.services.subscriptions import keep_subscription, remove_subscription, setup_of
from adsapp_crm.tenancy import organization_context
from crm.registry import provider

ACTOR = "command:crm_webhook"


class Command(CrmCommand):
    help = "Show the webhook address of a connection and how the CRM is told, or tell it where it has an API for it."

    def add_arguments(self, parser: CommandParser) -> None:
        organization_argument(parser)
        parser.add_argument("provider", metavar="PROVIDER", help="hubspot, salesforce or pipedrive")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--subscribe", action="store_true", help="see that the CRM delivers here")
        what.add_argument("--remove", action="store_true", help="take no more deliveries")

    def work(self, options: Mapping[str, Any]) -> int:
        organization_id = organization_named(options["organization"])
        with organization_context(organization_id, actor=ACTOR):
            connection = find_connection(options["provider"])
        if options["remove"]:
            remove_subscription(organization_id, connection.pk)
            self.give({"ok": True, "removed": True})
            self.say("deliveries are taken no more")
            return OK
        if options["subscribe"]:
            if not provider(connection.crm_type).subscribes:
                raise refuse("webhook.no_api", "This CRM is told by hand.", field="--subscribe")
            keep_subscription(organization_id, connection.pk, now=True)
        setup = setup_of(organization_id, connection.pk, actor=ACTOR)
        self.give(
            {
                "ok": not setup.error_code,
                "address": setup.address,
                "steps": setup.steps,
                "status": setup.status,
                "errorCode": setup.error_code,
            }
        )
        self.say(f"address    {setup.address}")
        if setup.status:
            self.say(f"status     {setup.status}")
        for number, step in enumerate(setup.steps, 1):
            self.say(f"{number:>2}. {step}")
        if setup.error_code:
            entry = explain(setup.error_code)
            self.say(f"{entry.code}: {entry.title}. {entry.fix}")
        return WRONG if setup.error_code else OK
