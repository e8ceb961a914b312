"""One state brought back by fifty threads at once: one of them goes on, and one code is exchanged."""

from __future__ import annotations

import threading
from typing import Any

from tests.harness.attack import stage

THREADS = 50


def attack(rounds: int) -> dict[str, Any]:
    from django.conf import settings

    from tests.adsapp_crm.oauth_stand import authorization_server, begin

    with authorization_server("hubspot") as server:
        stage.use(server)
        settings.CRM_WEB_CALLERS = THREADS  # the state is raced, not the seats of a web process
        _organization, user = stage.organization("Races")
        owner = stage.browser(user)
        winners: list[int] = []
        exchanges: list[int] = []
        for _ in range(rounds):
            query = server.decide(begin(owner, "hubspot").json()["authUrl"])
            before = server.requests("/token")
            winners.append(_race(owner, query))
            exchanges.append(server.requests("/token") - before)
    return {
        "ok": winners == [1] * rounds and exchanges == [1] * rounds,
        "rounds": rounds,
        "threads": THREADS,
        "winners": sorted(set(winners)),
        "exchanges": sorted(set(exchanges)),
    }


def _race(owner: Any, query: dict[str, str]) -> int:
    from django.db import connections
    from django.test import Client

    barrier = threading.Barrier(THREADS)
    statuses: list[int] = []

    def run() -> None:
        client = Client(raise_request_exception=False)
        client.cookies = owner.cookies.copy()
        barrier.wait()
        try:
            answer = client.get("/api/crm/connect/callback", query, headers={"Accept": "text/html"})
            statuses.append(answer.status_code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(statuses) != THREADS or any(status >= 500 for status in statuses):
        return -1
    return statuses.count(303)
