"""An app that was uninstalled in Pipedrive: told at the callback, believed to who knows its secret."""

from __future__ import annotations

import base64
import json

import pytest
from django.test import Client

from adsapp_crm.models import CrmConnectionEvent, CrmFieldMapping, CrmNotice, CrmWebhookRefusal
from adsapp_crm.services.refusal_counter import REFUSALS
from tests.adsapp_crm.oauth_stand import authorization_server, connect, stored

pytestmark = pytest.mark.django_db(transaction=True)

CALLBACK = "/api/crm/connect/callback"


@pytest.fixture
def server(settings):
    with authorization_server("pipedrive") as found:
        settings.CRM_PROVIDERS = {"pipedrive": found.settings}
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        yield found


@pytest.fixture
def connection(client, tenant, server):
    client.force_login(tenant.user)
    assert connect(client, server).status_code == 200
    return stored(tenant)[0]


def said(server, connection, **more):
    app = {"client_id": server.app.client_id, "user_id": server.app.user_id}
    return {**app, "company_id": int(connection.remote_account_id), "timestamp": "2026-11-24T10:00:00Z", **more}


def tell(server, body, *, secret=None, path=CALLBACK, client_id=None, **headers):
    pair = f"{client_id or server.app.client_id}:{secret or server.app.client_secret}"
    headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}", **headers}
    data = body if isinstance(body, str) else json.dumps(body)
    return Client(enforce_csrf_checks=True).delete(path, data, content_type="application/json", headers=headers)


@pytest.mark.parametrize("path", [CALLBACK, f"{CALLBACK}/pipedrive"])
def test_an_uninstalled_app_s_connection_needs_a_new_log_in(client, tenant, server, connection, path):
    """The tokens are gone, mappings stay, its history says why; told twice it happens once; a log-in heals it.

    People are told of it once, with the cause, as of any state that needs somebody.
    """
    assert tell(server, said(server, connection), path=path).status_code == 204
    assert tell(server, said(server, connection), path=path).status_code == 204
    (after,) = stored(tenant)
    assert (after.status, after.health, after.credentials) == ("error", "needs_reconnect", None)
    assert (after.last_error_code, after.token_version) == ("auth.revoked", connection.token_version + 1)
    with tenant.context():
        assert CrmConnectionEvent.objects.filter(kind="blocked", code="auth.revoked").count() == 1
        [notice] = CrmNotice.objects.filter(kind="connection.state", sent_at__isnull=True)
        mappings = CrmFieldMapping.objects.count()
    assert (notice.code, notice.details["code"]) == ("needs_reconnect", "auth.revoked")
    assert connect(client, server).status_code == 200
    (again,) = stored(tenant)
    with tenant.context():
        assert (again.pk, again.status, CrmFieldMapping.objects.count()) == (connection.pk, "active", mappings)


@pytest.mark.parametrize("more", [{"user_id": 999}, {"company_id": 999}])
def test_another_user_s_or_company_s_uninstallation_ends_nothing(tenant, server, connection, more):
    """204 all the same: it is true, and about nobody here."""
    assert tell(server, said(server, connection, **more)).status_code == 204
    assert stored(tenant)[0].token_version == connection.token_version


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"secret": "wrong"}, 401),
        ({"client_id": "wrong"}, 401),
        ({"Authorization": ""}, 401),
        ({"Authorization": "Basic %%%"}, 401),
        ({"Authorization": "Basic /w=="}, 401),
        ({"Authorization": "Bearer x"}, 401),
        ({"body": {"client_id": "another"}}, 403),
        ({"body": {"company_id": None}}, 400),
        ({"body": {"company_id": True}}, 400),
        ({"body": {"company_id": "1\0"}}, 400),
        ({"body": {"user_id": "9" * 101}}, 400),
        ({"body": "[]"}, 400),
        ({"body": "{"}, 400),
        ({"body": json.dumps({"client_id": "x" * 20_000})}, 413),
        ({"path": f"{CALLBACK}/hubspot"}, 404),
        ({"path": f"{CALLBACK}/nope"}, 404),
    ],
)
def test_whoever_cannot_prove_it_ends_nothing(tenant, server, connection, changed, status):
    """Refused, and counted by reason."""
    REFUSALS.write()
    before = sum(CrmWebhookRefusal.objects.values_list("deliveries", flat=True))
    changed = dict(changed)
    body = changed.pop("body", {})
    body = body if isinstance(body, str) else said(server, connection, **body)
    answer = tell(server, body, **changed)
    assert answer.status_code == status, answer.content
    assert stored(tenant)[0].token_version == connection.token_version
    REFUSALS.write()
    counted = sum(CrmWebhookRefusal.objects.values_list("deliveries", flat=True)) - before
    assert counted == (status != 404 and body != "{")


def test_a_connection_by_token_has_no_app(tenant, server, connection):
    """Its token is its user's own."""
    with tenant.context():
        connection.seal_credentials({"token": "of its own"})
        connection.save()
    assert tell(server, said(server, connection)).status_code == 204
    assert stored(tenant)[0].open_credentials() == {"token": "of its own"}
