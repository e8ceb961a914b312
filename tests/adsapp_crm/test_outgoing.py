"""Outgoing webhooks: where they may go, and the doors to them."""

from __future__ import annotations

import json
import uuid

import pytest
from django.db import connection as database
from django.test import Client

from adsapp_crm.models import (
    CredentialsMismatchError,
    CrmMessage,
    CrmNotice,
    CrmOutgoingWebhook,
    Membership,
)
from adsapp_crm.services import outgoing, sending
from adsapp_crm.services.outgoing import add_webhook, change_webhook, remove_webhook
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.services.sending import send_test, tell
from adsapp_crm.tenancy import organization_context
from tests.adsapp_crm.notice_stand import EVERYTHING, URL, Receiver, connection, end_run, hook, public_names

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("public_names")]
__all__ = ["connection", "public_names"]


# Where it may go ------------------------------------------------------------------------------------------------

REAL_HOSTS = outgoing.hosts
INNER = [
    "http://hooks.example.com/",
    "https://hooks.example.com:8443/",
    "https://localhost/",
    "https://127.0.0.1/",
    "https://[::1]/",
    "https://10.1.2.3/",
    "https://169.254.169.254/latest/meta-data",
    "https://[::ffff:10.0.0.1]/",
    "https://0x7f000001/",
    "https://2130706433/",
    "https://inner.example.com/",
    "https://user:pass@hooks.example.com/",
    "https://intranet/",
    "ftp://hooks.example.com/",
    "https://hooks.example.com/\r\nX: 1",
    "https://",
    "",
    f"https://hooks.example.com/{'a' * 2000}",
]


@pytest.mark.parametrize("url", INNER)
def test_an_address_that_is_not_public_is_refused_and_nothing_kept(tenant, url):
    """One inner address among those of a name is enough."""
    with pytest.raises(RefusedError) as refused:
        add_webhook(tenant.id, url, EVERYTHING, actor="user:test")

    assert (refused.value.code, refused.value.refusals[0].field) == ("outgoing.not_public", "url")
    with tenant.context():
        assert CrmOutgoingWebhook.objects.count() == 0


def test_a_name_that_turns_inward_later_is_not_posted_to(tenant, connection):
    """The addresses are judged at each connection, by the very look-up that is connected to."""
    row = hook(tenant, ["run.finished"]).row
    with tenant.context():
        CrmOutgoingWebhook.objects.filter(pk=row.pk).update(url="https://inner.example.com/")
    end_run(tenant, connection)

    assert tell(tenant.id) == 1

    with tenant.context():
        assert CrmMessage.objects.get(webhook=row).code == "outgoing.not_public"


def test_a_host_that_the_operator_lists_may_be_inner(tenant, monkeypatch, settings):
    """Listed for this: what stands in front of a CRM is for connectors, and customers would choose the path there."""
    monkeypatch.setattr(outgoing, "hosts", REAL_HOSTS)
    settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
    with pytest.raises(RefusedError) as refused:
        add_webhook(tenant.id, "http://127.0.0.1:9/", EVERYTHING, actor="user:test")
    assert refused.value.code == "outgoing.not_public"

    settings.CRM_OUTGOING_HOSTS = ["127.0.0.1"]
    assert add_webhook(tenant.id, "http://127.0.0.1:9/", EVERYTHING, actor="user:test").secret.startswith("whsec_")


@pytest.mark.parametrize(("kinds", "field"), [([], "kinds"), (["test"], "kinds"), (["run.finished", "x"], "kinds")])
def test_it_is_told_something_that_there_is(tenant, kinds, field):
    with pytest.raises(RefusedError) as refused:
        add_webhook(tenant.id, URL, kinds, actor="user:test")

    assert (refused.value.code, refused.value.refusals[0].field) == ("outgoing.kinds", field)


def test_an_organization_has_ten_at_most(tenant):
    for _ in range(outgoing.MOST_WEBHOOKS):
        hook(tenant)
    with pytest.raises(RefusedError) as refused:
        hook(tenant)
    assert refused.value.code == "outgoing.too_many"


def test_the_secret_is_sealed_to_its_row_and_organization(tenant, connection):
    """A row whose secret was copied from another one signs nothing."""
    one, two = hook(tenant), hook(tenant)
    with tenant.context():
        CrmOutgoingWebhook.objects.filter(pk=two.row.pk).update(
            secret=CrmOutgoingWebhook.objects.get(pk=one.row.pk).secret
        )
        with pytest.raises(CredentialsMismatchError):
            CrmOutgoingWebhook.objects.get(pk=two.row.pk).opened()
        assert CrmOutgoingWebhook.objects.get(pk=one.row.pk).opened() == one.secret
    with database.cursor() as cursor, tenant.context():
        cursor.execute("SELECT secret FROM crm_outgoing_webhooks")
        assert all(one.secret.encode() not in bytes(row[0]) for row in cursor.fetchall())


# The doors ------------------------------------------------------------------------------------------------------


def test_a_test_is_sent_now_and_once(tenant):
    """Its message says what came of it, also to an address that is off."""
    row = hook(tenant).row
    with tenant.context():
        change_webhook(row.pk, active=False)

    good = send_test(tenant.id, row.pk, actor="user:test", session=Receiver(200).session)
    bad = send_test(tenant.id, row.pk, actor="user:test", session=Receiver(500).session)

    assert (good.status, good.code, good.payload["type"]) == ("delivered", "", "test")
    assert (bad.status, bad.code, bad.http_status) == ("given_up", "outgoing.refused", 500)
    with tenant.context():
        assert CrmNotice.objects.count() == 0
        remove_webhook(row.pk)
        assert CrmMessage.objects.count() == 0


def test_the_api_adds_lists_changes_tests_and_removes(tenant, monkeypatch):
    """The secret is in the answer that made it, and in no other."""
    client = Client()
    client.force_login(tenant.user)
    made = client.post(
        "/api/crm/outgoing-webhooks", {"url": URL, "kinds": ["brake.pulled"]}, content_type="application/json"
    )
    assert made.status_code == 201
    secret, path = made.json()["secret"], f"/api/crm/outgoing-webhooks/{made.json()['id']}"
    changed = client.patch(path, {"active": False, "kinds": ["drift.found"]}, content_type="application/json")
    assert (changed.json()["active"], changed.json()["kinds"]) == (False, ["drift.found"])
    monkeypatch.setattr(sending, "post", lambda *_args, **_named: 204)
    tested = client.post(f"{path}/test", content_type="application/json")
    assert (tested.status_code, tested.json()["status"]) == (200, "delivered")
    listed = client.get("/api/crm/outgoing-webhooks")
    messages = client.get("/api/crm/messages?kind=test&status=delivered").json()["items"]
    assert [each["webhookId"] for each in messages] == [made.json()["id"]]
    assert secret not in listed.content.decode() + json.dumps(messages)
    refused = client.post(
        "/api/crm/outgoing-webhooks", {"url": "https://10.0.0.1/", "kinds": ["x"]}, content_type="application/json"
    )
    assert refused.status_code == 400
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


def test_a_member_chooses_to_be_mailed_or_not(tenant):
    client = Client()
    client.force_login(tenant.user)

    said = client.patch("/api/crm/me", {"emailNotices": False}, content_type="application/json").json()

    assert said["emailNotices"] is False
    assert client.get("/api/crm/me").json()["emailNotices"] is False


def test_the_page_adds_shows_the_secret_once_and_tests(tenant, connection, monkeypatch):
    client = Client()
    client.force_login(tenant.user)
    page = "/dashboard/settings/crm/notices"
    refused = client.post(page, {"act": "add", "url": "https://10.0.0.1/", "kinds": ["run.finished"]})
    assert "The address is not public." in refused.content.decode()

    made = client.post(page, {"act": "add", "url": URL, "kinds": ["run.finished"]})

    assert made["Cache-Control"] == "no-store"
    with organization_context(tenant.id):
        row = CrmOutgoingWebhook.objects.get()
        secret = row.opened()
    assert secret in made.content.decode()
    assert secret not in client.get(page).content.decode()
    monkeypatch.setattr(sending, "post", lambda *_args, **_named: 500)
    tested = client.post(page, {"act": "test", "webhook": row.pk}, follow=True).content.decode()
    assert "refused the message" in tested
    assert "(500)" in tested
    client.post(page, {"act": "mail", "on": "0"})
    client.post(page, {"act": "switch", "webhook": row.pk, "on": "0"})
    with organization_context(tenant.id):
        assert (Membership.objects.get().email_notices, CrmOutgoingWebhook.objects.get().active) == (False, False)
    client.post(page, {"act": "remove", "webhook": row.pk})
    assert client.post(page, {"act": "remove", "webhook": uuid.uuid4()}, follow=True).status_code == 200
    with organization_context(tenant.id):
        assert CrmOutgoingWebhook.objects.count() == 0


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_outgoing_webhooks_are_an_administrators(tenant, connection, role):
    """Others see what was told, and no address."""
    hook(tenant)
    end_run(tenant, connection)
    tell(tenant.id, session=Receiver().session)
    with tenant.context():
        Membership.objects.update(role=role)
    client = Client()
    client.force_login(tenant.user)

    page = client.get("/dashboard/settings/crm/notices").content.decode()

    assert "A run finished" in page
    assert "hooks.example.com" not in page
    added = client.post("/dashboard/settings/crm/notices", {"act": "add", "url": URL, "kinds": ["run.finished"]})
    assert added.status_code in {403, 409}
    assert client.get("/api/crm/outgoing-webhooks").status_code == 403
