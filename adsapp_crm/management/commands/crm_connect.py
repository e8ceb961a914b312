"""Connect a CRM by a token from standard input: ``manage.py crm_connect ORG hubspot < token.txt``."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from adsapp_crm.management.command import OK, CrmCommand, organization_argument, organization_named
from adsapp_crm.services.connections import check_provider, connect_with_token


class Command(CrmCommand):
    help = (
        "Connect a CRM account by its private-app or API token, one line on standard input: the account is asked for"
        " and pinned, the token stored encrypted, the fields described, default mappings made."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        organization_argument(parser)
        parser.add_argument("provider", metavar="PROVIDER", help="the CRM's key, such as hubspot")
        parser.add_argument("--environment", default="", choices=("production", "sandbox", ""), help="of the account")

    def work(self, options: Mapping[str, Any]) -> int:
        organization_id = organization_named(options["organization"])
        crm_type = check_provider(options["provider"])
        token = getpass.getpass("Token: ", stream=sys.stderr) if sys.stdin.isatty() else sys.stdin.read()
        made = connect_with_token(
            organization_id, crm_type, token, actor="command:crm_connect", environment=options["environment"]
        )
        again = " again" if made.reconnected else ""
        self.say(f"connected{again}  {crm_type} account {made.account.name or ''} ({made.account.remote_account_id})")
        self.say(f"connection  {made.connection_id}")
        self.say(f"fields      {made.fields} described, {made.mappings} mapped by default")
        if not made.marker:
            self.say("marker      the account does not let us make our field; creations are matched by e-mail")
        self.say(f"next        manage.py crm_sync {organization_id} {crm_type} --full")
        self.give(
            {
                "ok": True,
                "connectionId": made.connection_id,
                "crmType": crm_type,
                "accountId": made.account.remote_account_id,
                "accountName": made.account.name,
                "fields": made.fields,
                "mappings": made.mappings,
                "marker": made.marker,
                "reconnected": made.reconnected,
            }
        )
        return OK
