"""Connecting by a log-in at the CRM: through the real pages, what may come back, and what the person says to it."""

from __future__ import annotations

import re
from datetime import timedelta
from unittest import mock

import pytest
import requests
from django.db import connection as database
from django.db.models.functions import Now
from django.test import Client

from adsapp_crm.models import CrmAppRegistration, CrmConnection, CrmFieldMapping, CrmOAuthState, Membership
from adsapp_crm.models.choices import Health, Role
from adsapp_crm.services import jobs, left_grants
from adsapp_crm.services.connections import connect_account, disconnect
from crm.errors import ProviderUnavailableError
from tests.adsapp_crm.oauth_stand import authorization_server, begin, come_back, confirm, connect, stored

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["hubspot", "salesforce", "pipedrive"])
def server(request, settings):
    with authorization_server(request.param) as found:
        settings.CRM_PROVIDERS = {found.key: found.settings}
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        yield found


@pytest.fixture
def hubspot(settings):
    with authorization_server("hubspot") as found:
        settings.CRM_PROVIDERS = {"hubspot": found.settings}
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        yield found


@pytest.fixture
def salesforce(settings):
    with authorization_server("salesforce") as found:
        settings.CRM_PROVIDERS = {"salesforce": found.settings}
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        yield found


@pytest.fixture
def browser(client, tenant):
    client.force_login(tenant.user)
    return client


def states(tenant):
    with tenant.context():
        return list(CrmOAuthState.objects.all())


def failed(answer, code, status=400):
    """A failure page with cause and fix, which tells no other site where it came from."""
    page = answer.content.decode()
    assert answer.status_code == status, page
    assert f"<code>{code}</code>" in page
    assert answer["Referrer-Policy"] == "no-referrer"
    assert answer["Cache-Control"] == "no-store"
    return page


def test_three_clicks_connect_each_crm(browser, tenant, server):
    """Begin, grant, confirm: the account is pinned, the tokens are sealed, mappings are made, one connection stands."""
    begun = begin(browser, server.key)
    assert begun.status_code == 200, begun.content
    back = come_back(browser, server.decide(begun.json()["authUrl"]))
    assert back.status_code == 303
    assert "?" not in back["Location"]
    assert stored(tenant) == []

    page = browser.get(back["Location"], headers={"Accept": "text/html"}).content.decode()
    assert "Connect this account" in page
    done = confirm(browser, back["Location"])

    assert done.status_code == 200, done.content
    (connection,) = stored(tenant)
    assert connection.remote_account_id in page
    assert str(connection.pk) == begun.json()["connectionId"]
    assert (connection.status, connection.health) == ("active", Health.SETTING_UP)
    assert connection.connected_by == f"user:{tenant.user.pk}"
    assert connection.token_expires_at is not None
    payload = connection.open_credentials()
    assert payload["token"]
    assert payload["refresh_token"]
    assert states(tenant) == []
    with tenant.context():
        assert CrmFieldMapping.objects.count() > 3


def test_the_guide_s_answer_has_its_two_keys(browser, hubspot):
    """``authUrl`` leads to the CRM with PKCE and a state of 256 bits."""
    body = begin(browser, "hubspot").json()
    assert set(body) == {"authUrl", "connectionId"}
    query = dict(part.split("=") for part in body["authUrl"].partition("?")[2].split("&"))
    assert len(query["state"]) == 43
    assert (query["code_challenge_method"], len(query["code_challenge"])) == ("S256", 43)


def test_nothing_secret_is_stored_in_the_clear(browser, tenant, hubspot, owner_sql):
    """The state only by its hash, the verifier encrypted, the tokens of a log-in that waits encrypted too."""
    address = begin(browser, "hubspot").json()["authUrl"]
    state = re.search(r"state=([\w-]+)", address)[1]
    with tenant.context():
        verifier = CrmOAuthState.objects.get().verifier["verifier"]
    back = come_back(browser, hubspot.decide(address))
    assert back.status_code == 303
    with tenant.context():
        token = CrmOAuthState.objects.get().verifier["payload"]["token"]
        with database.cursor() as cursor:
            cursor.execute("SELECT t::text FROM crm_oauth_states t")
            ((row,),) = cursor.fetchall()
    for secret in (state, verifier, token, browser.session.session_key):
        assert secret not in row


def test_without_client_id_the_field_and_the_variable_are_named(browser, tenant, settings):
    """A refusal that says what to set; nothing is begun."""
    settings.CRM_PROVIDERS = {}
    answer = begin(browser, "hubspot")
    assert answer.status_code == 400
    assert answer.json()["code"] == "oauth.not_configured"
    assert "HUBSPOT_CLIENT_ID" in answer.json()["detail"]
    assert states(tenant) == []


def test_an_organization_s_own_app_is_used_and_kept_encrypted(browser, tenant, hubspot, settings):
    """``config.clientId`` and ``clientSecret`` as the guide has them; they serve the refresh later, too."""
    own = {"clientId": hubspot.app.client_id, "clientSecret": hubspot.app.client_secret}
    settings.CRM_PROVIDERS = {"hubspot": {**hubspot.settings, "client_id": "installation", "client_secret": "wrong"}}
    assert connect(browser, hubspot, **own).status_code == 200
    (connection,) = stored(tenant)
    with tenant.context():
        (registration,) = CrmAppRegistration.objects.all()
        with database.cursor() as cursor:
            cursor.execute("SELECT t::text FROM crm_app_registrations t")
            ((row,),) = cursor.fetchall()
    assert connection.app_registration_id == registration.pk
    assert hubspot.app.client_secret not in row


def test_half_of_a_client_is_refused(browser, tenant, hubspot):
    """With a pointer to the half that is missing."""
    answer = begin(browser, "hubspot", clientId="only-this")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "/config/clientSecret"
    assert states(tenant) == []


# What comes back.


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


# The person's word.


def waiting(browser, server):
    return come_back(browser, server.decide(begin(browser, server.key).json()["authUrl"]))["Location"]


def test_declining_forgets_the_log_in_and_ends_the_grant(browser, tenant, hubspot):
    """The refresh token no longer works at the CRM."""
    address = waiting(browser, hubspot)
    assert len(hubspot.fake.oauth.refresh_tokens) == 1
    assert "was not connected" in confirm(browser, address, "decline").content.decode()
    assert hubspot.fake.oauth.refresh_tokens == {}
    assert stored(tenant) == states(tenant) == []
    failed(confirm(browser, address), "oauth.state")


def test_only_the_same_browser_may_confirm(browser, tenant, other, hubspot):
    """Another person, another session, another organization in the address."""
    address = waiting(browser, hubspot)
    stranger, second = Client(), Client()
    stranger.force_login(other.user)
    second.force_login(tenant.user)
    failed(confirm(stranger, address), "oauth.session", 403)
    failed(confirm(second, address), "oauth.state")
    failed(confirm(browser, address.replace(str(tenant.id), str(other.id))), "oauth.session", 403)
    assert stored(tenant) == []
    assert confirm(browser, address).status_code == 200


def test_confirming_needs_the_form_s_token(tenant, hubspot):
    """Another site's form connects nothing."""
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(tenant.user)
    strict.get("/admin/login/")
    token = strict.cookies["csrftoken"].value if "csrftoken" in strict.cookies else ""
    begun = strict.post(
        "/api/crm/connect", {"crmType": "hubspot"}, content_type="application/json", headers={"X-CSRFToken": token}
    )
    if begun.status_code == 403:
        pytest.fail(begun.content.decode())
    address = come_back(strict, hubspot.decide(begun.json()["authUrl"]))["Location"]
    refused = confirm(strict, address)
    assert refused.status_code == 403
    assert stored(tenant) == []
    page = strict.get(address, headers={"Accept": "text/html"}).content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1]
    done = confirm(strict, address, csrfmiddlewaretoken=token)
    assert done.status_code == 200
    assert len(stored(tenant)) == 1


def test_a_log_in_that_waits_too_long_is_over(browser, tenant, hubspot):
    """Ten minutes after it came back."""
    address = waiting(browser, hubspot)
    with tenant.context():
        CrmOAuthState.objects.update(expires_at=Now() - timedelta(seconds=1))
    failed(confirm(browser, address), "oauth.expired")
    assert stored(tenant) == []


def over(tenant):
    with tenant.context():
        CrmOAuthState.objects.update(expires_at=Now() - timedelta(days=2))


def test_a_grant_that_nobody_confirms_is_ended_by_the_clean_up(browser, tenant, hubspot):
    """Though another log-in was begun since, whose row outlives it; a second clean-up has nothing to do."""
    waiting(browser, hubspot)
    over(tenant)
    assert begin(browser, "hubspot").status_code == 200
    assert len(hubspot.fake.oauth.refresh_tokens) == 1
    assert (jobs.cleanup().counts["grants_revoked"], jobs.cleanup().counts["grants_revoked"]) == (1, 0)
    assert hubspot.fake.oauth.refresh_tokens == {}
    assert [row.used_at for row in states(tenant)] == [None]


def test_a_grant_whose_end_the_crm_could_not_be_told_is_told_later(browser, tenant, hubspot, caplog):
    """The row waits with the sealed token; the log names neither it nor the account."""
    address = waiting(browser, hubspot)
    (token,) = hubspot.fake.oauth.refresh_tokens
    down = ProviderUnavailableError("away", provider="hubspot")
    with mock.patch("crm.http.oauth.TokenEndpoint.revoke", side_effect=down):
        assert confirm(browser, address, "decline").status_code == 200
        assert left_grants.end_left_grants().waiting == 1
    failed(confirm(browser, address), "oauth.state")
    assert left_grants.end_left_grants().revoked == 1
    assert (hubspot.fake.oauth.refresh_tokens, states(tenant)) == ({}, [])
    assert "left grant not revoked" in caplog.text
    assert token not in caplog.text


@pytest.mark.parametrize("connected", [False, True])
def test_a_confirmation_that_was_killed_leaves_no_grant_that_nobody_uses(browser, tenant, hubspot, connected):
    """Before the connection was stored it is ended; after it the connection goes on."""
    address = waiting(browser, hubspot)

    def killed(*arguments, **named):
        if connected:
            connect_account(*arguments, **named)
        raise SystemExit

    with (
        mock.patch("adsapp_crm.services.oauth_confirmation.connect_account", side_effect=killed),
        pytest.raises(SystemExit),
    ):
        confirm(browser, address)
    assert left_grants.end_left_grants().revoked == 0  # it may be at work still
    over(tenant)
    assert left_grants.end_left_grants().revoked == 1
    assert (len(hubspot.fake.oauth.refresh_tokens), len(stored(tenant))) == ((1, 1) if connected else (0, 0))
    assert states(tenant) == []


def test_programs_get_the_same_as_json(browser, tenant, hubspot):
    """Account and scopes by GET, the connection's keys by POST."""
    address = waiting(browser, hubspot)
    shown = browser.get(address).json()
    assert shown["account"]["id"] == "8800001"
    assert "crm.objects.contacts.write" in shown["scopes"]
    wrong = browser.post(address, {"decision": "maybe"}, content_type="application/json")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "request.invalid")
    done = browser.post(address, {"decision": "connect"}, content_type="application/json").json()
    assert done["account"]["id"] == "8800001"
    assert done["connectionId"] == str(stored(tenant)[0].pk)


# Again.


def lost(tenant):
    with tenant.context():
        CrmConnection.objects.update(health=Health.NEEDS_RECONNECT, status="error", cursors={"contacts": "2026-11-24"})


def test_reconnecting_keeps_the_row_with_its_cursors(browser, tenant, hubspot):
    """The same connection, a newer token, the same mappings."""
    assert connect(browser, hubspot).status_code == 200
    (before,) = stored(tenant)
    lost(tenant)
    assert connect(browser, hubspot).status_code == 200
    (after,) = stored(tenant)
    assert (after.pk, after.cursors) == (before.pk, {"contacts": "2026-11-24"})
    assert after.token_version == before.token_version + 1
    assert after.status == "active"
    assert after.open_credentials()["token"] != before.open_credentials()["token"]


def test_another_account_is_refused_on_reconnect(browser, tenant, hubspot):
    """Before the person is asked, and the connection is left as it was."""
    assert connect(browser, hubspot).status_code == 200
    lost(tenant)
    (before,) = stored(tenant)
    hubspot.fake.state.portal_id = 99
    query = hubspot.decide(begin(browser, "hubspot").json()["authUrl"])
    failed(come_back(browser, query), "auth.wrong_org", 409)
    assert hubspot.requests("/revoke") == 1
    (after,) = stored(tenant)
    assert (after.token_version, after.remote_account_id) == (before.token_version, "8800001")


def test_a_connection_that_works_is_not_replaced(browser, tenant, hubspot):
    """Neither when a log-in begins nor when one that had begun before ends."""
    early = waiting(browser, hubspot)
    assert connect(browser, hubspot).status_code == 200
    again = begin(browser, "hubspot")
    assert (again.status_code, again.json()["code"]) == (409, "connection.exists")
    failed(confirm(browser, early), "connection.exists", 409)
    assert (len(stored(tenant)), states(tenant), hubspot.requests("/revoke")) == (1, [], 0)


# The end.


def test_disconnecting_revokes_at_the_crm_and_deletes_the_tokens(browser, tenant, server):
    """The grant is gone there, the credentials here."""
    assert connect(browser, server).status_code == 200
    (connection,) = stored(tenant)
    refresh_token = connection.open_credentials()["refresh_token"]
    assert browser.delete(f"/api/crm/connect?crm_type={server.key}").status_code == 200
    (after,) = stored(tenant)
    assert (after.status, after.credentials) == ("disconnected", None)
    assert server.requests("/revoke") == 1
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    form |= {"client_id": server.app.client_id, "client_secret": server.app.client_secret}
    path = {"hubspot": "/oauth/2026-03/token", "salesforce": "/services/oauth2/token", "pipedrive": "/oauth/token"}
    assert requests.post(server.url + path[server.key], data=form, timeout=10).status_code == 400


def test_a_grant_that_another_organization_shares_is_not_revoked(browser, tenant, other, hubspot):
    """Ending it would end the other one's connection to the same account."""
    assert connect(browser, hubspot).status_code == 200
    second = Client()
    second.force_login(other.user)
    assert connect(second, hubspot).status_code == 200
    disconnect(tenant.id, "hubspot", actor="user:test")
    assert hubspot.requests("/revoke") == 0
    disconnect(other.id, "hubspot", actor="user:test")
    assert hubspot.requests("/revoke") == 1
