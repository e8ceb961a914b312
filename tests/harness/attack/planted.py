"""Forty secrets go through every path, the failing ones too; none stands in logs, database, broker, pages or errors."""

from __future__ import annotations

import io
import re
import traceback
from typing import Any
from urllib.parse import quote

from tests.harness.attack import stage

ROUNDS = 8


def attack(logs: io.StringIO) -> dict[str, Any]:
    """Eight log-ins with a client secret, state, code, access and refresh token each; then each grant ends badly."""
    from django.conf import settings

    from tests.adsapp_crm.oauth_stand import authorization_server

    mark = logs.tell()
    with authorization_server("salesforce") as server:
        server.app.rotates_refresh_tokens = True
        stage.use(server)
        settings.CRM_SYNC_WAIT_SECONDS = 0  # there is no worker
        # The installation's own app is another one: each organization brings its client secret.
        run = _Run(server)
        for number in range(ROUNDS):
            run.log_in(number)
    places = {
        "logs": logs.getvalue()[mark:],
        "database": _database(run.organizations),
        "broker": _broker(),
        "pages": "\n".join(run.pages),
        "errors": "\n".join(run.errors),
    }
    found = {
        place: sorted({kind for kind, secret in run.secrets if _stands_in(secret, text)})
        for place, text in places.items()
    }
    # What the searches are worth: each place has text, and what is no secret is found there.
    searched = all(len(text) > 200 for text in places.values()) and "salesforce" in places["database"]
    return {
        "ok": len(run.secrets) == 5 * ROUNDS and searched and not any(found.values()),
        "planted": len(run.secrets),
        "found": sum(map(len, found.values())),
        "places": {place: len(text) for place, text in places.items()},
        "foundIn": {place: kinds for place, kinds in found.items() if kinds},
    }


class _Run:
    def __init__(self, server: Any) -> None:
        self.server = server
        self.secrets: list[tuple[str, str]] = []
        self.pages: list[str] = []
        self.errors: list[str] = []
        self.organizations: list[Any] = []

    def log_in(self, number: int) -> None:
        from adsapp_crm.models import CrmConnection
        from adsapp_crm.tenancy import organization_context
        from tests.adsapp_crm.oauth_stand import begin, come_back, confirm

        organization, user = stage.organization(f"Planted{number}")
        self.organizations.append(organization)
        browser = stage.browser(user)
        secret = f"planted-client-secret-{number}-{'s' * 20}"
        self.server.app.client_secret = secret
        self._plant("client secret", secret)
        own = {"clientId": self.server.app.client_id, "clientSecret": secret}
        begun = begin(browser, "salesforce", **own)
        address = begun.json()["authUrl"]
        self._plant("state", re.findall(r"state=([\w-]+)", address)[0])
        query = self.server.decide(address)
        self._plant("code", query["code"])
        back = come_back(browser, query)
        self._see(back, browser.get(back["Location"], headers={"Accept": "text/html"}), browser.get(back["Location"]))
        self._see(come_back(browser, query), confirm(browser, back["Location"]))
        with organization_context(organization.pk):
            row = CrmConnection.objects.defer(None).get()
        self._plant("access token", row.open_credentials()["token"])
        self._plant("refresh token", row.open_credentials()["refresh_token"])
        self.errors += [repr(row), str(row.__dict__.get("health")), repr(row.credentials is not None)]
        self._end_badly(number, row, browser)

    def _end_badly(self, number: int, row: Any, browser: Any) -> None:
        """Each in its own way: refused, lost, 500, a body that quotes the token, a secret that was changed."""
        from adsapp_crm.services.connections import check_connection
        from crm.testing.faults import Fault

        server = self.server
        server.fake.grants.expire_all()
        match number % 4:
            case 0:
                server.fake.faults.add(Fault("server_error", path="*/token", times=2))
            case 1:
                server.fake.faults.add(Fault("drop_after", path="*/token", times=1))
            case 2:
                server.app.client_secret = "changed"
            case _:
                server.fake.grants.by_id.clear()
        for _ in range(2):
            self._fail(lambda: check_connection(row.organization_id, row.pk))
            self._fail(lambda: self._use(row))
        self._see(browser.post("/api/crm/sync", {"crmType": "salesforce"}, content_type="application/json"))
        self._see(browser.get("/api/crm/sync?crm_type=salesforce"), browser.get("/admin/"))
        if number % 2:
            server.fake.faults.add(Fault("server_error", path="*/revoke", times=3))
        self._see(browser.delete("/api/crm/connect?crm_type=salesforce"))

    def _use(self, row: Any) -> None:
        from adsapp_crm import wiring

        connector = wiring.connector_of(row)
        self.errors.append(repr(connector))
        connector.account()

    def _fail(self, act: Any) -> None:
        try:
            act()
        except Exception:  # noqa: BLE001  whatever it is, it must not hold a secret
            import structlog

            self.errors.append(traceback.format_exc())
            structlog.get_logger("attack").exception("what a worker would log")

    def _see(self, *answers: Any) -> None:
        self.pages += [answer.content.decode("utf-8", "replace") + repr(dict(answer.items())) for answer in answers]

    def _plant(self, kind: str, secret: str) -> None:
        self.secrets.append((kind, secret))


def _stands_in(secret: str, text: str) -> bool:
    """In the clear, quoted as in an address, or as the database shows bytes."""
    forms = (secret, quote(secret, safe=""), secret.encode().hex())
    return any(form in text for form in forms)


def _database(organizations: list[Any]) -> str:
    """Every row of every table as text, each organization's in its own context."""
    from django.apps import apps
    from django.db import connection

    from adsapp_crm.tenancy import organization_context

    tables = [model._meta.db_table for model in apps.get_models()]
    text: list[str] = []
    for organization in organizations:
        with organization_context(organization.pk), connection.cursor() as cursor:
            for table in tables:
                cursor.execute(f'SELECT t::text FROM "{table}" AS t')
                text += [row[0] for row in cursor.fetchall()]
    return "\n".join(text)


def _broker() -> str:
    """Every key of the broker with its value."""
    import redis
    from django.conf import settings

    client: Any = redis.Redis.from_url(settings.REDIS_URL)
    client.set("attack:read-me", "x" * 300)
    readers = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
    }
    return "\n".join(f"{key!r} {readers[client.type(key)](key)!r}" for key in client.scan_iter())
