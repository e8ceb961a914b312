"""Pipedrive: see README.md in this folder for the facts this rests on."""

from __future__ import annotations

from typing import Final

from crm.providers.base import Provider, Setting
from crm.providers.pipedrive import auth, endpoints, fields, login, sync, webhooks

PROVIDER: Final = Provider(
    key="pipedrive",
    label="Pipedrive",
    scopes=auth.SCOPES,
    optional_scopes=auth.OPTIONAL_SCOPES,
    capabilities=sync.CAPABILITIES,
    default_mappings=fields.DEFAULT_MAPPINGS,
    environment={
        "api_token": "PIPEDRIVE_API_TOKEN",
        "client_id": "PIPEDRIVE_CLIENT_ID",
        "client_secret": "PIPEDRIVE_CLIENT_SECRET",
    },
    settings=(
        Setting("api_base", "CRM_PIPEDRIVE_API_BASE", ""),
        Setting("auth_base", "CRM_PIPEDRIVE_AUTH_BASE", endpoints.AUTH_BASE),
        Setting(
            "api_version",
            "CRM_PIPEDRIVE_API_VERSION",
            endpoints.V2,
            choices=endpoints.VERSIONS,
            label="API version",
            help="v1 forces version 1 throughout: it is out of support, costs twice and reads ids one by one.",
            of_connection=True,
        ),
        Setting(
            "create_organizations",
            "CRM_PIPEDRIVE_CREATE_ORGANIZATIONS",
            sync.YES,
            choices=(sync.YES, sync.NO),
            label="Make organizations that are missing",
            help="yes makes one for a company that no organization is named after; no refuses that field.",
            of_connection=True,
        ),
    ),
    budgets=endpoints.BUDGETS,
    host_suffixes=endpoints.HOST_SUFFIXES,
    documentation_url="https://developers.pipedrive.com/docs/api/v1",
    connect=sync.connect,
    verify_webhook=webhooks.verify,
    parse_webhook=webhooks.parse,
    subscribes=True,
    oauth=login.OAUTH,
)
