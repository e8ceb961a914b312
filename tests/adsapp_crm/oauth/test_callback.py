"""What may come back from a log-in at the CRM: denials, forged and late states, other sessions, refused codes."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.test import Client

from adsapp_crm.models import CrmOAuthState, Membership
from adsapp_crm.models.choices import Role
from tests.adsapp_crm.oauth_stand import authorization_server, begin, come_back, failed, states, stored

pytestmark = pytest.mark.django_db(transaction=True)


def test_denying_ends_on_a_page_that_says_so(browser, tenant, server):
    """In each CRM's own words; nothing is connected."""
    query = server.decide(begin(browser, server.key).json()["authUrl"], approve=False)
    failed(come_back(browser, query), "oauth.denied")
    assert stored(tenant) == []


def test_an_app_that_is_not_installed_has_its_own_page(browser, tenant, salesforce):
    """Salesforce sends the person back with words that only an administrator can act on."""
    query = {"error": "invalid_client", "error_description": "app must be installed into org"}
    query["state"] = re.search(r"state=([\w-]+)", begin(browser, "salesforce").json()["authUrl"])[1]
    page = failed(come_back(browser, query), "oauth.not_installed")
    assert "administrator" in page
    assert stored(tenant) == []


def test_a_state_works_once(browser, tenant, hubspot):
    """The second time it is nobody's, and no second token request is made."""
    query = hubspot.decide(begin(browser, "hubspot").json()["authUrl"])
    assert come_back(browser, query).status_code == 303
    failed(come_back(browser, query), "oauth.state")
    assert hubspot.requests("/token") == 1


def test_a_state_ends_after_ten_minutes(browser, tenant, hubspot):
    """By the database's clock."""
    query = hubspot.decide(begin(browser, "hubspot").json()["authUrl"])
    with tenant.context():
        CrmOAuthState.objects.update(expires_at=Now() - timedelta(seconds=1))
    failed(come_back(browser, query), "oauth.expired")
    assert hubspot.requests("/token") == 0


def test_another_session_of_the_same_person_cannot_end_it(browser, tenant, hubspot):
    """A state is one browser's; it stays unused, so that its own browser may still finish."""
    query = hubspot.decide(begin(browser, "hubspot").json()["authUrl"])
    second = Client()
    second.force_login(tenant.user)
    failed(come_back(second, query), "oauth.state")
    assert hubspot.requests("/token") == 0
    assert come_back(browser, query).status_code == 303


def test_another_person_cannot_end_it(browser, tenant, other, hubspot):
    """Neither a stranger nor nobody: the victim of a smuggled log-in connects nothing."""
    query = hubspot.decide(begin(browser, "hubspot").json()["authUrl"])
    stranger = Client()
    stranger.force_login(other.user)
    failed(come_back(stranger, query), "oauth.state")
    failed(come_back(Client(), query), "oauth.session", 403)
    assert hubspot.requests("/token") == 0
    assert stored(tenant) == stored(other) == []


def test_a_person_who_may_no_longer_connect_cannot_end_it(browser, tenant, hubspot):
    """The role is asked for again when the log-in comes back."""
    query = hubspot.decide(begin(browser, "hubspot").json()["authUrl"])
    with tenant.context():
        Membership.objects.update(role=Role.OPERATOR)
    failed(come_back(browser, query), "oauth.state")
    assert hubspot.requests("/token") == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda query: {**query, "state": query["state"][:-1]},
        lambda query: {**query, "state": query["state"].swapcase()},
        lambda query: {**query, "state": query["state"] + "A"},
        lambda query: {**query, "state": [query["state"], query["state"]]},
        lambda query: {**query, "state": "\x00" * 43},
        lambda query: {name: value for name, value in query.items() if name != "state"},
        lambda query: {**query, "code": [query["code"], "other"]},
    ],
)
def test_a_callback_that_was_changed_reaches_no_token_endpoint(browser, tenant, hubspot, change):
    """Truncated, case-changed, doubled, missing."""
    query = hubspot.decide(begin(browser, "hubspot").json()["authUrl"])
    failed(come_back(browser, change(query)), "oauth.state")
    assert hubspot.requests("/token") == 0
    assert stored(tenant) == []


def test_a_code_goes_only_to_the_crm_that_the_state_names(browser, tenant, settings):
    """Mix-up: the code of one CRM with the state of another, on the other's callback, or with the other's issuer."""
    with authorization_server("hubspot") as one, authorization_server("salesforce") as two:
        settings.CRM_PROVIDERS = {"hubspot": one.settings, "salesforce": two.settings}
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        first = one.decide(begin(browser, "hubspot").json()["authUrl"])
        second = two.decide(begin(browser, "salesforce").json()["authUrl"])

        failed(come_back(browser, {**first, "code": second["code"]}), "oauth.code")
        assert (one.requests("/token"), two.requests("/token")) == (1, 0)
        third = one.decide(begin(browser, "hubspot").json()["authUrl"])
        page = browser.get("/api/crm/connect/callback/salesforce", third, headers={"Accept": "text/html"})
        failed(page, "oauth.state")
        failed(come_back(browser, {**third, "iss": two.url}), "oauth.issuer")
        assert (one.requests("/token"), two.requests("/token")) == (1, 0)
        fourth = one.decide(begin(browser, "hubspot").json()["authUrl"])
        assert come_back(browser, {**fourth, "iss": one.url}).status_code == 303


def test_a_callback_of_its_own_for_each_crm(browser, tenant, hubspot, settings):
    """By setting; the shared one is then nobody's."""
    settings.CRM_CALLBACK_PER_PROVIDER = True
    hubspot.app.redirect_uris.append("http://localhost/api/crm/connect/callback/hubspot")
    query = hubspot.decide(begin(browser, "hubspot").json()["authUrl"])
    failed(come_back(browser, query), "oauth.state")
    own = browser.get("/api/crm/connect/callback/hubspot", query, headers={"Accept": "text/html"})
    assert own.status_code == 303


@pytest.mark.parametrize(
    "address", ["//evil.example", "https:evil.example", "javascript:alert(1)", "/%2f%2fevil.example"]
)
def test_no_address_of_the_query_is_followed(browser, hubspot, address):
    """``next`` and its kin are not read; the CRM's own text is shown escaped and cut."""
    query = hubspot.decide(begin(browser, "hubspot").json()["authUrl"])
    answer = come_back(browser, {**query, "next": address, "return_to": address, "redirect_uri": address})
    assert answer.status_code == 303
    assert answer["Location"].startswith("/api/crm/connect/confirm/")
    state = re.search(r"state=([\w-]+)", begin(browser, "hubspot").json()["authUrl"])[1]
    text = f"<script>{address}</script>" + "x" * 500
    page = failed(
        come_back(browser, {"state": state, "error": "server_error", "error_description": text}), "oauth.failed"
    )
    assert "<script>" not in page
    assert "x" * 201 not in page


def test_what_a_wrong_client_secret_means_is_said(browser, tenant, hubspot, settings):
    """It is the app that is wrong, not the person."""
    settings.CRM_PROVIDERS = {"hubspot": {**hubspot.settings, "client_secret": "another"}}
    failed(come_back(browser, hubspot.decide(begin(browser, "hubspot").json()["authUrl"])), "oauth.client")


def test_an_old_code_is_said_to_be_old(browser, hubspot):
    """A minute at HubSpot."""
    query = hubspot.decide(begin(browser, "hubspot").json()["authUrl"])
    hubspot.fake.clock.advance(61)
    failed(come_back(browser, query), "oauth.code")


def test_a_grant_that_lacks_a_scope_is_not_connected(browser, tenant, hubspot):
    """The scope is named."""
    address = begin(browser, "hubspot").json()["authUrl"].replace("crm.objects.contacts.write", "")
    page = failed(come_back(browser, hubspot.decide(address)), "auth.scope_missing")
    assert "crm.objects.contacts.write" in page
    assert stored(tenant) == states(tenant) == []
    assert hubspot.fake.oauth.refresh_tokens == {}
