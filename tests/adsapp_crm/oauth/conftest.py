"""Each CRM's fake as the authorization server of this installation."""

from __future__ import annotations

import pytest

from tests.adsapp_crm.oauth_stand import authorization_server


def standing(key, settings):
    with authorization_server(key) as found:
        settings.CRM_PROVIDERS = {key: found.settings}
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        yield found


@pytest.fixture(params=["hubspot", "salesforce", "pipedrive"])
def server(request, settings):
    """Each of them in turn."""
    yield from standing(request.param, settings)


@pytest.fixture
def hubspot(settings):
    yield from standing("hubspot", settings)


@pytest.fixture
def salesforce(settings):
    yield from standing("salesforce", settings)
