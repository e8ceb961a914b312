"""A slow CRM holds few of a web process's threads: who finds no seat is told to come again, and nothing was done."""

from __future__ import annotations

import threading

import pytest

from adsapp_crm.models import CrmConnection
from adsapp_crm.services import seats
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.services.seats import CALLERS, Seats, asking_outside
from tests.adsapp_crm.oauth_stand import authorization_server, begin, come_back, confirm

BASE = "/dashboard/settings/crm"
BUSY = (503, "request.busy", str(seats.RETRY_SECONDS))


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(seats, "PATIENCE_SECONDS", 0.0)


def test_who_gets_up_makes_room_for_who_stands_in_line():
    """One has the seat, one stands in line, the third is sent away at once."""
    few, seated, leave = Seats(lambda: 1), threading.Event(), threading.Event()
    got: list[bool] = []

    def sit() -> None:
        with few.one() as is_mine:
            got.append(is_mine)
            seated.set()
            leave.wait(60)

    def stand() -> None:
        with few.one(60) as is_mine:
            got.append(is_mine)

    first, second = threading.Thread(target=sit), threading.Thread(target=stand)
    first.start()
    assert seated.wait(60)
    second.start()
    while not few._in_line:  # there is no other sign of who waits
        leave.wait(0.001)
    with few.one(60) as third:
        assert third is False
    leave.set()
    first.join(60)
    second.join(60)

    assert got == [True, True]
    with few.one() as again:
        assert again is True


def test_a_seat_is_free_again_after_an_error(impatient):
    """Whoever fails does not keep it, and who was refused took none."""
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), asking_outside():
            _ = 1 / 0
    with CALLERS.one(), pytest.raises(RefusedError), asking_outside():
        pass
    with asking_outside():
        pass


@pytest.mark.django_db(transaction=True)
def test_each_way_to_ask_a_crm_needs_a_seat_and_does_nothing_without_one(client, tenant, settings, impatient):
    """By API, on the pages and in the log-in at the CRM, whose code and state are not used up by a refusal."""
    client.force_login(tenant.user)
    with authorization_server("hubspot") as server:
        settings.CRM_PROVIDERS, settings.CRM_EXTRA_HOSTS = {"hubspot": server.settings}, ["127.0.0.1"]
        query = server.decide(begin(client, "hubspot").json()["authUrl"])
        with CALLERS.one():
            assert told(client.get("/api/crm/connect/callback", query)) == BUSY
            assert come_back(client, query).status_code == 503
            by_token = {"crmType": "hubspot", "config": {"apiToken": "pat-1"}}
            assert told(client.post("/api/crm/connect", by_token, "application/json")) == BUSY
        back = come_back(client, query)
        assert back.status_code == 303
        with CALLERS.one():
            assert confirm(client, back["Location"]).status_code == 503
        assert confirm(client, back["Location"]).status_code == 200
        with tenant.context():
            row = CrmConnection.objects.get()
        asked = server.requests("")
        with CALLERS.one():
            for path in (f"connections/{row.pk}/examine", f"connections/{row.pk}/fields/refresh"):
                assert told(client.post(f"/api/crm/{path}", {}, "application/json")) == BUSY
            assert told(client.delete("/api/crm/connect?crm_type=hubspot")) == BUSY
            page = client.post(f"{BASE}/connections/hubspot/test")
            assert (page.status_code, "request.busy" in page.content.decode()) == (503, True)
            client.post(f"{BASE}/connections/hubspot/disconnect")
        assert server.requests("") == asked
        assert client.post(f"/api/crm/connections/{row.pk}/examine", {}, "application/json").status_code == 200
    with tenant.context():
        assert CrmConnection.objects.get().status == "active"


def told(answer):
    return answer.status_code, answer.json()["code"], answer.headers.get("Retry-After")
