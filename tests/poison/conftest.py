"""An organization with a HubSpot beside it, for the edges that need tables."""

from __future__ import annotations

import pytest

from tests.adsapp_crm.conftest import make_organization, tenant
from tests.adsapp_crm.hubspot_account import hubspot_account

__all__ = ["hubspot", "make_organization", "tenant"]


@pytest.fixture
def hubspot(settings):
    with hubspot_account() as account:
        settings.CRM_PROVIDERS = {"hubspot": {"api_base": account.url}}
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        yield account
