"""The person's word on a log-in that came back, and grants of log-ins that came to nothing."""

from __future__ import annotations

import re
from datetime import timedelta
from unittest import mock

import pytest
from django.db import connection as database
from django.db.models.functions import Now
from django.test import Client

from adsapp_crm.models import CrmOAuthState
from adsapp_crm.services import jobs, left_grants
from adsapp_crm.services.connections import connect_account
from adsapp_crm.services.tokens import Revocations
from crm.errors import ProviderUnavailableError
from tests.adsapp_crm.oauth_stand import begin, come_back, confirm, failed, states, stored, waiting

pytestmark = pytest.mark.django_db(transaction=True)


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


def test_a_grant_that_no_key_opens_stops_no_other_clean_up(browser, tenant, hubspot):
    """It waits for its key; what else the clean-up does goes on."""
    waiting(browser, hubspot)
    over(tenant)
    with tenant.context(), database.cursor() as cursor:
        cursor.execute("UPDATE crm_oauth_states SET verifier = %s", [b"sealed with a lost key"])
    assert left_grants.end_left_grants() == Revocations(revoked=0, waiting=1, given_up=0)


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
