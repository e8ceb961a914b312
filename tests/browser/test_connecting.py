"""Connecting by a log-in at the CRM in a real browser: three that work, and the ways in which it fails, at both widths.

The CRMs' consent pages are those of the stand-ins, on addresses of their own, as in life.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from django.db.models.functions import Now

from adsapp_crm.models import CrmConnection, CrmOAuthState
from adsapp_crm.models.choices import Health
from tests.adsapp_crm.oauth_stand import authorization_server
from tests.browser.conftest import WIDTHS, enter, opened

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LABELS = {"hubspot": "HubSpot", "salesforce": "Salesforce", "pipedrive": "Pipedrive"}
ALLOW = {"hubspot": "Connect app", "salesforce": "Allow", "pipedrive": "Allow and install"}
DENY = {"hubspot": "Cancel", "salesforce": "Deny", "pipedrive": "Cancel"}


@pytest.fixture
def crms(stand, settings, live_server) -> Iterator[dict]:
    """The three authorization servers, and this installation known to them by the browser's address."""
    settings.CRM_PUBLIC_URL = live_server.url
    with ExitStack() as stack:
        found = {key: stack.enter_context(authorization_server(key)) for key in LABELS}
        for each in found.values():
            each.app.redirect_uris.append(f"{live_server.url}/api/crm/connect/callback")
        settings.CRM_PROVIDERS = {key: each.settings for key, each in found.items()}
        settings.CRM_PROVIDERS["pipedrive"]["api_base"] = found["pipedrive"].url
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        yield found


@pytest.fixture
def at(chromium, live_server, stand, crms) -> Iterator[SimpleNamespace]:
    with opened(chromium, 375) as window:
        enter(window, live_server.url, stand.tenant.user)
        yield SimpleNamespace(window=window, crms=crms, stand=stand)


def to_consent(at, crm):
    at.window.goto(f"{at.window.base}/connect/{crm}")
    at.window.get_by_role("button", name=f"Log in at {LABELS[crm]}").click()
    at.window.get_by_role("button", name=ALLOW[crm], exact=True).wait_for()


def said_nothing(at):
    """Besides statuses: of refused pages, and of the stand-ins, which have no icon."""
    assert [said for said in at.window.said if "Failed to load resource" not in said] == []
    at.window.said.clear()


def fits_both_widths(at):
    for width, height in WIDTHS.items():
        at.window.set_viewport_size({"width": width, "height": height})
        assert at.window.evaluate("document.documentElement.scrollWidth") <= width


def refused(at, code, *, connections=0):
    """A page with cause, fix and a way on; nothing was connected."""
    at.window.locator("code", has_text=code).wait_for()
    fits_both_widths(at)
    assert at.window.get_by_role("link", name="To the overview").is_visible()
    with at.stand.inside:
        assert CrmConnection.objects.count() == connections
    said_nothing(at)


def connect(at, crm, *, begin=True):
    if begin:
        to_consent(at, crm)
    at.window.get_by_role("button", name=ALLOW[crm], exact=True).click()
    at.window.get_by_role("button", name="Connect this account").wait_for()
    fits_both_widths(at)
    at.window.get_by_role("button", name="Connect this account").click()
    at.window.get_by_text(f"{LABELS[crm]} is connected").wait_for()


def test_each_crm_is_connected_in_three_clicks_after_a_page_that_names_the_account(at):
    """Log in, allow, connect; then a link leads on to the overview."""
    for crm in LABELS:
        connect(at, crm)
    at.window.get_by_role("link", name="Go on").click()
    at.window.get_by_role("heading", name="HubSpot").wait_for()
    with at.stand.inside:
        assert CrmConnection.objects.filter(status="active").count() == 3
    said_nothing(at)


def test_every_way_in_which_connecting_fails_ends_on_a_page_that_says_what_to_do(at):
    """Denied, too late, used before, not installed, another environment, scopes that lack, a secret that is wrong."""
    window, crms, stand = at.window, at.crms, at.stand
    for crm in LABELS:
        to_consent(at, crm)
        window.get_by_role("button", name=DENY[crm], exact=True).click()
        refused(at, "oauth.denied")

    to_consent(at, "hubspot")
    with stand.inside:
        CrmOAuthState.objects.update(expires_at=Now())
    window.get_by_role("button", name=ALLOW["hubspot"], exact=True).click()
    refused(at, "oauth.expired")

    came_back = []
    window.on("request", lambda request: came_back.append(request.url) if "callback?" in request.url else None)
    to_consent(at, "hubspot")
    window.get_by_role("button", name=ALLOW["hubspot"], exact=True).click()
    window.get_by_role("button", name="Connect this account").wait_for()
    window.goto(came_back[-1])
    refused(at, "oauth.state")

    crms["salesforce"].app.is_installed = False
    window.goto(f"{window.base}/connect/salesforce")
    window.get_by_role("button", name="Log in at Salesforce").click()
    refused(at, "oauth.not_installed")
    crms["salesforce"].app.is_installed = True

    crms["salesforce"].fake.oauth.instance_url = "https://acme--uat.sandbox.my.salesforce.com"
    to_consent(at, "salesforce")
    window.get_by_role("button", name=ALLOW["salesforce"], exact=True).click()
    refused(at, "oauth.environment")

    crms["pipedrive"].app.scopes = ("base", "users:read")
    to_consent(at, "pipedrive")
    window.get_by_role("button", name=ALLOW["pipedrive"], exact=True).click()
    refused(at, "auth.scope_missing")

    crms["hubspot"].app.client_secret = "changed-at-the-crm"
    to_consent(at, "hubspot")
    window.get_by_role("button", name=ALLOW["hubspot"], exact=True).click()
    refused(at, "oauth.client")
    window.get_by_role("link", name="Begin again").click()
    window.get_by_role("heading", name="Connect HubSpot").wait_for()


def test_a_token_that_is_none_and_an_account_that_is_another_connect_nothing(at):
    """A wrong API token is told beside the field; a reconnect to another account leaves the connection as it was."""
    window, crms, stand = at.window, at.crms, at.stand
    window.goto(f"{window.base}/connect/pipedrive")
    window.get_by_label("Token").fill("0123456789abcdef")
    window.get_by_role("button", name="Connect by token").click()
    window.get_by_text("(auth.").wait_for()
    with stand.inside:
        assert CrmConnection.objects.count() == 0

    connect(at, "hubspot")
    with stand.inside:
        CrmConnection.objects.update(health=Health.NEEDS_RECONNECT, status="error")
    crms["hubspot"].fake.state.portal_id = 99
    to_consent(at, "hubspot")
    window.get_by_role("button", name=ALLOW["hubspot"], exact=True).click()
    refused(at, "auth.wrong_org", connections=1)
    crms["hubspot"].fake.state.portal_id = 8800001
    window.get_by_role("link", name="Begin again").click()
    window.get_by_role("heading", name="Reconnect HubSpot").wait_for()
    window.get_by_role("button", name="Log in at HubSpot").click()
    connect(at, "hubspot", begin=False)
    with stand.inside:
        assert CrmConnection.objects.get().status == "active"
