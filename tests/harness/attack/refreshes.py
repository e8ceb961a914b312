"""Sixteen processes over many expiries of a rotating token that punishes reuse: one refresh each, nobody logged out."""

from __future__ import annotations

import multiprocessing
import sys
import time
import uuid
from datetime import timedelta
from typing import Any

from tests.harness.attack import stage

PROCESSES = 16
TOLD_EVERY = 100


def attack(expiries: int, latency_seconds: float) -> dict[str, Any]:
    """``latency_seconds`` is how long the CRM takes for a refresh: the wider, the more are in the way of each other."""
    from tests.adsapp_crm.oauth_stand import authorization_server
    from tests.harness.attack import refresher

    with authorization_server("salesforce") as server:
        server.app.rotates_refresh_tokens = True
        server.app.refresh_seconds = latency_seconds
        stage.use(server)
        organization, _user = stage.organization("Refreshes")
        connection_id = _granted(organization.pk, server)
        # One clean process loads the application once; the workers are forked from it.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.harness.attack.refresher"])
        begin, end = context.Barrier(PROCESSES + 1), context.Barrier(PROCESSES + 1)
        used: Any = context.Queue()
        arguments = (str(organization.pk), str(connection_id), server.settings, expiries, begin, end, used)
        workers = [context.Process(target=refresher.work, args=arguments, daemon=True) for _ in range(PROCESSES)]
        for worker in workers:
            worker.start()
        started = time.monotonic()
        before = server.requests("/token")
        refreshed: list[int] = []
        calls: dict[str, int] = {}
        for number in range(expiries):
            if number == 1:
                started = time.monotonic()  # the first one waits for the workers to be there
            _expire(organization.pk, connection_id, server, ended_at_the_crm=number % 2 == 1)
            count = server.requests("/token")
            begin.wait(refresher.PATIENCE_SECONDS)
            end.wait(refresher.PATIENCE_SECONDS)
            refreshed.append(server.requests("/token") - count)
            for _ in range(PROCESSES):
                said = used.get(timeout=refresher.PATIENCE_SECONDS)
                calls[said] = calls.get(said, 0) + 1
            if (number + 1) % TOLD_EVERY == 0:
                seconds = time.monotonic() - started
                print(
                    f"     {number + 1:,} of {expiries:,} expiries after {seconds:.0f} s", file=sys.stderr, flush=True
                )
        for worker in workers:
            worker.join(refresher.PATIENCE_SECONDS)
        health = _health(organization.pk, connection_id)
    total = server.requests("/token") - before
    return {
        "ok": total == expiries and set(refreshed) == {1} and calls == {"ok": expiries * PROCESSES} and health != LOST,
        "processes": PROCESSES,
        "expiries": expiries,
        "refreshes": total,
        "mostForOneExpiry": max(refreshed),
        "calls": calls,
        "falseReconnects": int(health == LOST),
        "secondsForOne": round((time.monotonic() - started) / max(1, expiries - 1), 2),
    }


LOST = "needs_reconnect"


def _granted(organization_id: uuid.UUID, server: Any) -> uuid.UUID:
    from adsapp_crm.services.connections import Access, connect_account

    grants = server.fake.grants
    grant = grants.open(server.fake.people.api_user_id, "api refresh_token openid")
    payload = {
        "token": grants.new_session(grant).token,
        "refresh_token": grant.refresh_token,
        "lifetime_seconds": 7200.0,
        "settings": {"instance_url": server.url},
    }
    made = connect_account(
        organization_id, "salesforce", Access(payload, lifetime_seconds=7200.0), actor="command:attack"
    )
    return made.connection_id


def _expire(organization_id: uuid.UUID, connection_id: uuid.UUID, server: Any, *, ended_at_the_crm: bool) -> None:
    """Every other time the database knows; the other times only the CRM, and each worker is told by a 401."""
    from django.db.models.functions import Now

    from adsapp_crm.models import CrmConnection
    from adsapp_crm.tenancy import organization_context

    server.fake.grants.expire_all()
    if ended_at_the_crm:
        return
    with organization_context(organization_id):
        CrmConnection.objects.filter(pk=connection_id).update(token_expires_at=Now() - timedelta(seconds=1))


def _health(organization_id: uuid.UUID, connection_id: uuid.UUID) -> str:
    from adsapp_crm.models import CrmConnection
    from adsapp_crm.tenancy import organization_context

    with organization_context(organization_id):
        return str(CrmConnection.objects.get(pk=connection_id).health)
