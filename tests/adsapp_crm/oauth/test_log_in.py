"""Connecting by a log-in at the CRM, through the real pages; again to the same account; and the end of it."""

from __future__ import annotations

import re

import pytest
import requests
from django.db import connection as database
from django.test import Client

from adsapp_crm.models import CrmAppRegistration, CrmConnection, CrmFieldMapping, CrmOAuthState
from adsapp_crm.models.choices import Health
from adsapp_crm.services.connections import disconnect
from tests.adsapp_crm.oauth_stand import begin, come_back, confirm, connect, failed, states, stored, waiting

pytestmark = pytest.mark.django_db(transaction=True)


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


# The person's word.


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
