"""Salesforce: see README.md in this folder for the facts this rests on."""

from __future__ import annotations

from typing import Final

from crm.providers.base import Provider, Setting, WebhookAnswer
from crm.providers.salesforce import auth, endpoints, login, mapping, policies, sync, webhooks

PROVIDER: Final = Provider(
    key="salesforce",
    label="Salesforce",
    scopes=auth.SCOPES,
    optional_scopes=auth.OPTIONAL_SCOPES,
    capabilities=sync.CAPABILITIES,
    default_mappings=mapping.DEFAULT_MAPPINGS,
    environment={
        "client_id": "SALESFORCE_CLIENT_ID",
        "client_secret": "SALESFORCE_CLIENT_SECRET",
    },
    settings=(
        Setting("instance_url", "", ""),
        Setting("user_id", "", ""),
        Setting("login_base", "CRM_SALESFORCE_LOGIN_BASE", ""),
        Setting(
            "environment",
            "SALESFORCE_ENVIRONMENT",
            endpoints.PRODUCTION,
            choices=(endpoints.PRODUCTION, endpoints.SANDBOX),
        ),
        *policies.SETTINGS,
    ),
    budgets=endpoints.BUDGETS,
    host_suffixes=endpoints.HOST_SUFFIXES,
    documentation_url="https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/",
    connect=sync.connect,
    verify_webhook=webhooks.verify,
    parse_webhook=webhooks.parse,
    webhook_answer=WebhookAnswer(webhooks.ACKNOWLEDGED, "text/xml"),
    webhook_steps=webhooks.STEPS,
    oauth=login.OAUTH,
    takes_token=False,
)
