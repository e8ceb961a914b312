"""Make an organization with its first log-in: ``manage.py crm_org "Acme BV" --email ann@acme.example``."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser
from django.db import connection as database
from django.db import transaction

from adsapp_crm.management.command import OK, CrmCommand
from adsapp_crm.selectors import find_organization
from adsapp_crm.services.organizations import create_organization
from adsapp_crm.services.refusals import refuse


class Command(CrmCommand):
    help = "Make an organization and its owner, who may open the admin. Prints the id and the log-in."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the organization's name")
        parser.add_argument("--email", required=True, help="the owner's address; a known person becomes the owner")
        parser.add_argument("--region", default="", metavar="CC", help="country for phone numbers without one (NL)")
        parser.add_argument("--time-zone", default="UTC", metavar="ZONE", help="of the IANA list (Europe/Amsterdam)")
        parser.add_argument(
            "--password-stdin",
            action="store_true",
            help="read the password from standard input; without it one is made and shown once",
        )

    def work(self, options: Mapping[str, Any]) -> int:
        with transaction.atomic(), database.cursor() as cursor:
            # Names of commands mean one organization, so two of these commands wait for each other.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('crm_org'))")
            return self._make(options)

    def _make(self, options: Mapping[str, Any]) -> int:
        if find_organization(options["name"].strip()) is not None:
            raise refuse(
                "organization.invalid",
                "An organization of this name exists.",
                field="NAME",
                fix="Choose another name, or use the one there is.",
            )
        given = options["password_stdin"]
        password = sys.stdin.readline().rstrip("\r\n") if given else secrets.token_urlsafe(18)
        organization, user = create_organization(
            options["name"],
            email=options["email"],
            password=password,
            region=options["region"],
            time_zone=options["time_zone"],
            staff=True,
            actor="command:crm_org",
        )
        # A person who was known before keeps the password they have.
        made = not given and user.check_password(password)
        self.say(f"organization  {organization.pk}")
        self.say(f"log-in        {user.email}")
        if made:
            self.say(f"password      {password}")
        told = {"ok": True, "id": organization.pk, "name": organization.name, "email": user.email}
        self.give(told | ({"password": password} if made else {}))
        return OK
