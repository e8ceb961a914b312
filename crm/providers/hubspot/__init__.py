"""HubSpot: see README.md in this folder for the facts this rests on."""

from __future__ import annotations

from typing import Final

from crm.providers.base import Provider, Setting, WebhookRoute
from crm.providers.hubspot import auth, endpoints, mapping, sync, webhooks

PROVIDER: Final = Provider(
    key="hubspot",
    label="HubSpot",
    scopes=auth.SCOPES,
    optional_scopes=auth.OPTIONAL_SCOPES,
    capabilities=sync.CAPABILITIES,
    default_mappings=mapping.DEFAULT_MAPPINGS,
    environment={
        "client_id": "HUBSPOT_CLIENT_ID",
        "client_secret": "HUBSPOT_CLIENT_SECRET",
        "webhook_secret": "HUBSPOT_WEBHOOK_SECRET",
    },
    settings=(
        Setting("api_base", "CRM_HUBSPOT_API_BASE", endpoints.API_BASE),
        Setting("auth_base", "CRM_HUBSPOT_AUTH_BASE", endpoints.AUTH_BASE),
        Setting(
            "api_version",
            "CRM_HUBSPOT_API_VERSION",
            endpoints.NUMBERED,
            choices=endpoints.VERSIONS,
            label="API version",
            help="v3 is answered until September 2027; the dated ones hold the same under other paths.",
            of_connection=True,
        ),
    ),
    budgets=endpoints.BUDGETS,
    host_suffixes=endpoints.HOST_SUFFIXES,
    documentation_url="https://developers.hubspot.com/docs",
    connect=sync.connect,
    verify_webhook=webhooks.verify,
    parse_webhook=webhooks.parse,
    webhook_route=WebhookRoute.APP,
    webhook_steps=webhooks.STEPS,
    oauth=auth.OAUTH,
)
