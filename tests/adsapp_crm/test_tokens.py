"""One worker renews a grant; a refusal is believed only of the token in use; ends of connections end grants."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection as database
from django.db.models.functions import Now

from adsapp_crm import wiring
from adsapp_crm.models import CrmConnection, CrmLease, uuid7
from adsapp_crm.models.choices import Health
from adsapp_crm.services.connections import Access, connect_account, disconnect
from adsapp_crm.services.tokens import Renewals, Revocations, renew_idle_grants, revoke_left_behind
from adsapp_crm.storage.tokens import CLAIM_SECONDS, ConnectionTokens
from crm.errors import AuthorizationExpiredError, ConfigurationError, ProviderUnavailableError, WrongAccountError
from crm.http.oauth import TOTAL_SECONDS
from crm.testing.faults import Fault
from tests.adsapp_crm.oauth_stand import authorization_server, stored

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def salesforce(settings):
    """Rotates its refresh tokens, and ends the grant when a spent one is used."""
    with authorization_server("salesforce") as found:
        found.app.rotates_refresh_tokens = True
        settings.CRM_PROVIDERS = {"salesforce": found.settings}
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        yield found


@pytest.fixture
def connection(tenant, salesforce):
    return granted(tenant, salesforce)


def granted(tenant, server):
    """A connection with a grant, as the log-in leaves it."""
    grants = server.fake.grants
    grant = grants.open(server.fake.people.api_user_id, "api refresh_token openid")
    payload = {
        "token": grants.new_session(grant).token,
        "refresh_token": grant.refresh_token,
        "lifetime_seconds": 7200.0,
        "settings": {"instance_url": server.url},
    }
    access = Access(payload, lifetime_seconds=7200.0)
    made = connect_account(tenant.id, "salesforce", access, actor="user:test")
    with tenant.context():
        return CrmConnection.objects.defer(None).get(pk=made.connection_id)


def expire(tenant):
    with tenant.context():
        CrmConnection.objects.update(token_expires_at=Now() - timedelta(seconds=1))


def row(tenant):
    (found,) = stored(tenant)
    return found


def tokens_of(tenant, **more):
    return ConnectionTokens(row(tenant), sleep=lambda _: None, **more)


def refreshes(server):
    return server.requests("/token")


def test_a_claim_outlasts_the_call_it_is_for():
    """Nobody renews beside a worker that is only slow."""
    assert CLAIM_SECONDS > 2 * TOTAL_SECONDS


def test_a_token_that_lives_is_used_as_it_is(tenant, salesforce, connection):
    """No request, and after the first look no query."""
    tokens = tokens_of(tenant)
    assert tokens.token() == connection.open_credentials()["token"]
    queries = []
    with database.execute_wrapper(lambda execute, *args: queries.append(args[0]) or execute(*args)):
        tokens.token()
    assert queries == []
    assert refreshes(salesforce) == 0


def test_a_token_that_has_ended_is_renewed_and_stored_before_it_is_used(tenant, salesforce, connection):
    """New access token, new refresh token, version one higher, claim given back."""
    expire(tenant)
    token = tokens_of(tenant).token()
    after = row(tenant)
    payload = after.open_credentials()
    assert token == payload["token"]
    assert payload["refresh_token"] != connection.open_credentials()["refresh_token"]
    assert after.token_version == connection.token_version + 1
    assert (after.refresh_claim_token, after.refresh_claimed_until) == (None, None)
    assert refreshes(salesforce) == 1
    with tenant.context():
        assert CrmConnection.objects.filter(token_expires_at__gt=Now() + timedelta(seconds=7000)).count() == 1


def test_a_token_is_renewed_a_little_before_it_ends(tenant, salesforce, connection):
    """Two minutes, by the database's clock."""
    with tenant.context():
        CrmConnection.objects.update(token_expires_at=Now() + timedelta(seconds=100))
    tokens_of(tenant).token()
    assert refreshes(salesforce) == 1


def test_early_renewal_that_fails_keeps_what_works(tenant, salesforce, connection):
    """The token still opens the CRM, so nobody is stopped."""
    with tenant.context():
        CrmConnection.objects.update(token_expires_at=Now() + timedelta(seconds=100))
    salesforce.fake.faults.add(Fault("server_error", path="*/token", times=1))
    assert tokens_of(tenant).token() == connection.open_credentials()["token"]
    assert row(tenant).health == connection.health


def test_a_refused_token_is_renewed_once_by_the_connector(tenant, salesforce, connection):
    """The CRM ended the session early: the call is repeated with a new token."""
    salesforce.fake.grants.expire_all()
    account = wiring.connector_of(row(tenant)).account()
    assert account.remote_account_id == connection.remote_account_id
    assert refreshes(salesforce) == 1
    assert row(tenant).token_version == connection.token_version + 1


def test_a_refused_token_that_somebody_renewed_already_is_only_exchanged(tenant, salesforce, connection):
    """Two connectors with the old token, one request."""
    first, second = tokens_of(tenant), tokens_of(tenant)
    first.token()
    old = second.token()
    first.reauthorize()
    second.reauthorize()
    assert refreshes(salesforce) == 1
    assert first.token() == second.token() == row(tenant).open_credentials()["token"]
    assert second.token() != old


def test_many_threads_of_one_connector_renew_once(tenant, salesforce, connection):
    """Each was refused with the same token."""
    tokens = tokens_of(tenant)
    barrier = threading.Barrier(8)
    found = []

    def work():
        tokens.token()
        barrier.wait()
        tokens.reauthorize()
        found.append(tokens.token().reveal())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {row(tenant).open_credentials()["token"]}
    assert refreshes(salesforce) == 1


def claim(tenant, seconds):
    with tenant.context():
        CrmConnection.objects.update(
            refresh_claim_token=uuid7(), refresh_claimed_until=Now() + timedelta(seconds=seconds)
        )


def test_who_finds_a_claim_waits_for_the_other_s_token(tenant, salesforce, connection):
    """Injected: while it waits, the other one stores what it got."""
    expire(tenant)
    claim(tenant, 60)

    def other_finishes(_seconds):
        with tenant.context():
            found = CrmConnection.objects.defer(None).get()
            found.seal_credentials({**found.open_credentials(), "token": "from the other one"})
            found.token_version += 1
            found.token_expires_at = Now() + timedelta(hours=1)
            found.refresh_claimed_until = None
            found.save()

    tokens = ConnectionTokens(row(tenant), sleep=other_finishes)
    assert tokens.token() == "from the other one"
    assert refreshes(salesforce) == 0


def test_while_another_renews_early_the_old_token_goes_on(tenant, salesforce, connection):
    """Nobody waits for what is not needed yet."""
    with tenant.context():
        CrmConnection.objects.update(token_expires_at=Now() + timedelta(seconds=60))
    claim(tenant, 60)
    assert tokens_of(tenant).token() == connection.open_credentials()["token"]
    assert refreshes(salesforce) == 0


def test_a_claim_of_a_worker_that_died_is_taken_over(tenant, salesforce, connection):
    """After its ninety seconds."""
    expire(tenant)
    claim(tenant, -1)
    tokens_of(tenant).token()
    assert refreshes(salesforce) == 1


def test_a_claim_that_never_ends_is_passing_trouble(tenant, salesforce, connection):
    """The worker gives up waiting; the connection is not called lost."""
    expire(tenant)
    claim(tenant, 600)
    ticks = iter(range(0, 10_000, 30))
    tokens = ConnectionTokens(row(tenant), sleep=lambda _: None, monotonic=lambda: float(next(ticks)))
    with pytest.raises(ProviderUnavailableError):
        tokens.token()
    assert row(tenant).health == connection.health


def test_a_grant_that_is_gone_marks_the_connection_once(tenant, salesforce, connection):
    """Needs reconnect, with the code; the token version stands, cursors and credentials too."""
    salesforce.fake.grants.by_id.clear()
    expire(tenant)
    with pytest.raises(AuthorizationExpiredError):
        tokens_of(tenant).token()
    after = row(tenant)
    assert (after.status, after.health, after.last_error_code) == ("error", Health.NEEDS_RECONNECT, "auth.expired")
    assert after.token_version == connection.token_version
    assert after.refresh_claimed_until is None


def test_a_refusal_of_a_token_that_is_no_longer_in_use_counts_for_nothing(tenant, salesforce, connection):
    """Injected: while the CRM refuses the old refresh token, somebody stores a new one."""
    expire(tenant)
    salesforce.fake.grants.by_id.clear()

    class Refused(ConnectionTokens):
        def _mark_lost(self, version, error):
            with tenant.context():
                found = CrmConnection.objects.defer(None).get()
                found.seal_credentials({**found.open_credentials(), "token": "newer"})
                found.token_version += 1
                found.token_expires_at = Now() + timedelta(hours=1)
                found.save()
            return super()._mark_lost(version, error)

    assert Refused(row(tenant), sleep=lambda _: None).token() == "newer"
    assert row(tenant).health == connection.health


@pytest.mark.parametrize("kind", ["server_error", "drop_before", "html_ok"])
def test_passing_trouble_never_ends_a_connection(tenant, salesforce, connection, kind):
    """5xx, broken connections, pages of a proxy: told as such, the claim is given back, the next try works."""
    expire(tenant)
    salesforce.fake.faults.add(Fault(kind, path="*/token", times=1))
    with pytest.raises(ProviderUnavailableError):
        tokens_of(tenant).token()
    after = row(tenant)
    assert (after.status, after.health) == (connection.status, connection.health)
    assert after.refresh_claimed_until is None
    assert tokens_of(tenant).token()


def test_a_wrong_client_secret_never_ends_a_connection(tenant, salesforce, connection, settings):
    """It is the installation's fault, and mended there."""
    expire(tenant)
    settings.CRM_PROVIDERS = {"salesforce": {**salesforce.settings, "client_secret": "another"}}
    with pytest.raises(ConfigurationError) as refused:
        tokens_of(tenant).token()
    assert refused.value.code == "oauth.client"
    assert row(tenant).health == connection.health


def test_after_a_lost_answer_there_is_exactly_one_reconnect(tenant, salesforce, connection):
    """A rotating grant whose answer never arrived is gone: the next try finds out, and only then is it said."""
    expire(tenant)
    salesforce.fake.faults.add(Fault("drop_after", path="*/token", times=1))
    with pytest.raises(ProviderUnavailableError):
        tokens_of(tenant).token()
    assert row(tenant).health == connection.health
    with pytest.raises(AuthorizationExpiredError):
        tokens_of(tenant).token()
    assert row(tenant).health == Health.NEEDS_RECONNECT


def test_a_token_of_another_account_is_not_used(tenant, salesforce, connection):
    """A sandbox that was refreshed answers for another organization."""
    expire(tenant)
    with tenant.context():
        CrmConnection.objects.update(remote_account_id="00D000000000009EAA")
    with pytest.raises(WrongAccountError):
        tokens_of(tenant).token()
    assert row(tenant).last_error_code == "auth.wrong_org"


def test_nothing_is_renewed_inside_a_transaction(tenant, salesforce, connection):
    """No CRM is called there; the worker is told so at once."""
    expire(tenant)
    tokens = tokens_of(tenant)
    with tenant.context(), pytest.raises(RuntimeError, match="outside organization_context"):
        tokens.token()
    assert refreshes(salesforce) == 0


def test_an_api_token_is_never_renewed(tenant, salesforce, connection):
    """It has no grant: the CRM's word is final."""
    with tenant.context():
        found = CrmConnection.objects.defer(None).get()
        found.seal_credentials({"token": "api token"})
        found.save()
    tokens = tokens_of(tenant)
    assert (tokens.renewable, tokens.token().reveal()) == (False, "api token")


# Idleness.


def test_a_grant_is_renewed_long_before_idleness_ends_it(tenant, salesforce, connection):
    """Six days of thirty, paused or not; not before."""
    with tenant.context():
        CrmConnection.objects.update(token_expires_at=Now() - timedelta(days=5), status="paused")
    assert renew_idle_grants().renewed == 0
    with tenant.context():
        CrmConnection.objects.update(token_expires_at=Now() - timedelta(days=7))
    found = renew_idle_grants()
    assert (found.renewed, found.failed) == (1, 0)
    assert row(tenant).token_version == connection.token_version + 1
    assert renew_idle_grants().renewed == 0


def test_an_idle_grant_that_is_gone_is_counted(tenant, salesforce, connection):
    """And its connection waits for a new log-in; a paused one stays paused."""
    salesforce.fake.grants.by_id.clear()
    with tenant.context():
        CrmConnection.objects.update(token_expires_at=Now() - timedelta(days=7), status="paused")
    assert renew_idle_grants().failed == 1
    after = row(tenant)
    assert (after.status, after.health) == ("paused", Health.NEEDS_RECONNECT)


def test_credentials_that_no_key_opens_stop_nobody_elses_upkeep(tenant, other, salesforce, connection):
    """The older connection's cannot be read, before or after its end; the other one's grant is renewed."""
    granted(other, salesforce)
    for each in (tenant, other):
        with each.context():
            CrmConnection.objects.update(token_expires_at=Now() - timedelta(days=7))
    with tenant.context(), database.cursor() as cursor:
        cursor.execute("UPDATE crm_connections SET credentials = %s", [b"sealed with a lost key"])
    assert renew_idle_grants() == Renewals(renewed=1, failed=1)
    with tenant.context():
        CrmConnection.objects.update(status="disconnected")
    assert revoke_left_behind() == Revocations(revoked=0, waiting=1, given_up=0)


# The end.


def test_a_worker_in_flight_gets_no_token_after_the_end(tenant, salesforce, connection):
    """Its token is spent at the CRM, and there is none to renew it with."""
    connector = wiring.connector_of(row(tenant))
    connector.account()
    with tenant.context():
        CrmLease.objects.create(connection_id=connection.pk, stream="Contact", fence=3, expires_at=Now())
    disconnect(tenant.id, "salesforce", actor="user:test")
    sent = sum(salesforce.fake.requests.values())
    with pytest.raises(AuthorizationExpiredError):
        connector.account()
    assert sum(salesforce.fake.requests.values()) == sent + 1
    with tenant.context():
        assert CrmLease.objects.get().fence == 4


def test_a_renewal_that_ends_after_the_disconnect_stores_nothing(tenant, salesforce, connection):
    """Injected: the connection ends while the CRM answers; the new token is revoked and forgotten."""
    expire(tenant)

    class Ended(ConnectionTokens):
        def _store(self, version, token):
            with tenant.context():
                CrmConnection.objects.update(status="disconnected", credentials=None, token_version=version + 1)
            return super()._store(version, token)

    with pytest.raises(AuthorizationExpiredError):
        Ended(row(tenant), sleep=lambda _: None).token()
    assert row(tenant).credentials is None
    assert salesforce.fake.grants.by_id == {}


def test_what_the_crm_was_not_told_is_told_later(tenant, salesforce, connection):
    """Shown until then; the token stays sealed for it and goes with success."""
    salesforce.fake.faults.add(Fault("server_error", path="*/revoke", times=3))
    disconnect(tenant.id, "salesforce", actor="user:test")
    after = row(tenant)
    assert (after.status, after.last_error_code) == ("disconnected", "oauth.revoke_failed")
    assert set(after.open_credentials()) == {"revoke", "tries"}
    found = revoke_left_behind()
    assert (found.revoked, found.waiting, found.given_up) == (1, 0, 0)
    after = row(tenant)
    assert (after.credentials, after.last_error_code) == (None, "")
    assert salesforce.fake.grants.by_id == {}
