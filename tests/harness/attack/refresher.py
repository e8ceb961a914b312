"""One worker of the refresh race, a process of its own. Importing this module sets Django up."""

from __future__ import annotations

import os
from typing import Any

import django
from django.apps import apps

if not apps.ready:
    os.environ["LOG_LEVEL"] = "ERROR"
    django.setup()

from django.conf import settings

from adsapp_crm import wiring
from adsapp_crm.models import CrmConnection
from adsapp_crm.tenancy import organization_context
from crm.errors import CrmError

PATIENCE_SECONDS = 120


def work(
    organization_id: str,
    connection_id: str,
    provider_settings: dict[str, str],
    rounds: int,
    begin: Any,
    end: Any,
    used: Any,
) -> None:
    """A worker process: each round it makes a connector from the row and asks the CRM who it is."""
    settings.CRM_PROVIDERS = {"salesforce": provider_settings}
    settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
    with organization_context(organization_id):
        row = CrmConnection.objects.defer(None).get(pk=connection_id)
    connector = wiring.connector_of(row)
    for number in range(rounds):
        if number % 3 == 0:  # a new unit of work reads the row again, a long one keeps its connector
            with organization_context(organization_id):
                row = CrmConnection.objects.defer(None).get(pk=connection_id)
            connector = wiring.connector_of(row)
        begin.wait(PATIENCE_SECONDS)
        try:
            connector.account()
            said = "ok"
        except CrmError as error:
            said = error.code
        end.wait(PATIENCE_SECONDS)
        used.put(said)
