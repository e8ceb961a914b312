"""Webhooks: subscriptions, payloads of both versions, credentials, retries, the ban."""

from __future__ import annotations

import base64
import json
import queue
from typing import Any

import pytest

from crm.testing.wsgi import LoopbackServer, Request, Response, WsgiApp
from tests.providers.pipedrive.fake_company import ALAN, BOT, GRACE, NOW, Company

URL = "https://app.example/hooks/pipedrive"


class Target:
    """What stands behind the address: keeps what it gets and answers with ``status``."""

    def __init__(self) -> None:
        self.status = 200
        self.got: list[Any] = []
        self.headers: list[dict[str, str]] = []

    def __call__(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        self.got.append(json.loads(body))
        self.headers.append(headers)
        return self.status


@pytest.fixture
def target():
    return Target()


@pytest.fixture
def company(target):
    found = Company()
    found.fake.webhooks._send = target
    found.person("POST", "webhooks", {"paused": True})
    yield found
    found.fake.close()


def subscribe(company: Company, **more: object):
    body = {"name": "Sync", "subscription_url": URL, "event_action": "*", "event_object": "person", "version": "2.0"}
    return company.call("POST", "/v1/webhooks", {**body, **more})


def deliver(company: Company) -> int:
    return int(company.person("POST", "webhooks/deliver").json()["accepted"])


def test_a_subscription_is_answered_whole_listed_and_removed(company) -> None:
    answer = subscribe(company, http_auth_user="pd", http_auth_password="secret")
    assert (answer.status_code, answer.json()) == (
        201,
        {
            "status": "ok",
            "success": True,
            "data": {
                "id": 4_710_827,
                "company_id": 15_043_420,
                "owner_id": BOT,
                "user_id": BOT,
                "event_action": "*",
                "event_object": "person",
                "subscription_url": URL,
                "version": "2.0",
                "is_active": 1,
                "add_time": NOW,
                "remove_time": None,
                "type": "general",
                "http_auth_user": "pd",
                "http_auth_password": "secret",
                "remove_reason": None,
                "last_delivery_time": None,
                "last_http_status": None,
                "admin_id": BOT,
                "name": "Sync",
            },
        },
    )
    assert [hook["id"] for hook in company.data("GET", "/v1/webhooks")] == [4_710_827]
    assert company.call("DELETE", "/v1/webhooks/4710827").json() == {"status": "ok", "success": True}
    gone = company.call("DELETE", "/v1/webhooks/4710827")
    assert (gone.status_code, gone.json()) == (
        404,
        {"status": "error", "success": False, "errors": {"id": ["not found"]}},
    )


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"name": ""}, "name"),
        ({"subscription_url": "ftp://app.example"}, "subscription_url"),
        ({"subscription_url": "https://acme.pipedrive.com/x"}, "subscription_url"),
        ({"event_action": "added"}, "event_action"),
        ({"event_object": "contact"}, "event_object"),
        ({"version": "3.0"}, "version"),
    ],
)
def test_a_refused_subscription_names_the_field(company, change, name) -> None:
    """Version 1 action names are refused for version 2."""
    answer = subscribe(company, **change)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [name])
    assert company.data("GET", "/v1/webhooks") == []


def test_a_user_has_forty(company) -> None:
    assert [subscribe(company).status_code for _ in range(41)] == [201] * 40 + [422]


def test_only_administrators_subscribe(company) -> None:
    token = company.person("POST", "tokens", {"userId": ALAN}).json()["token"]
    body = {"name": "S", "subscription_url": URL, "event_action": "*", "event_object": "person"}
    assert company.call("POST", "/v1/webhooks", body, token=token).status_code == 403


def test_a_change_tells_the_changed_fields_and_typed_custom_values(company, target) -> None:
    """Ids of ``meta`` are texts, ``visible_to`` too; ``previous`` has only what changed."""
    code, (spanish, _) = company.field("enum", "es", "en")
    person = company.add()
    subscribe(company, http_auth_user="pd", http_auth_password="secret")
    company.data("PATCH", f"/persons/{person}", {"phones": [{"value": "1"}], "custom_fields": {code: spanish}})
    assert deliver(company) == 1
    meta = target.got[0]["meta"]
    assert len(meta.pop("id")) == len(meta.pop("correlation_id")) == 36
    assert meta == {
        "action": "change",
        "entity": "person",
        "entity_id": str(person),
        "company_id": "15043420",
        "is_bulk_edit": False,
        "timestamp": "2026-09-21T14:13:20.000Z",
        "type": "general",
        "user_id": str(BOT),
        "version": "2.0",
        "webhook_id": "4710827",
        "webhook_owner_id": str(BOT),
        "change_source": "api",
        "attempt": 1,
        "host": "acme.pipedrive.com",
        "permitted_user_ids": [str(BOT), str(GRACE), str(ALAN)],
    }
    data = target.got[0]["data"]
    assert (data["id"], data["visible_to"], data["label"]) == (person, "3", None)
    assert data["custom_fields"] == {code: {"type": "enum", "id": spanish}}
    assert target.got[0]["previous"] == {"phones": [], "update_time": None, "custom_fields": {code: None}}
    assert target.headers[0]["Authorization"] == "Basic " + base64.b64encode(b"pd:secret").decode()


def test_create_and_delete_tell_one_side_and_a_person_at_a_desk_is_the_app(company, target) -> None:
    subscribe(company)
    made = company.person("POST", "records", {"properties": {"name": "Eve"}}).json()["id"]
    company.person("DELETE", f"records/{made}")
    assert deliver(company) == 2
    shown = [
        (got["meta"]["action"], got["meta"]["change_source"], got["data"] is None, got["previous"] is None)
        for got in target.got
    ]
    assert shown == [("create", "app", False, True), ("delete", "app", True, False)]
    assert target.got[0]["meta"]["user_id"] == str(GRACE)
    assert "Authorization" not in target.headers[0]


def test_a_merge_tells_where_a_person_went(company, target) -> None:
    kept, gone = company.add(), company.add(phones=[{"value": "1"}])
    subscribe(company)
    company.data("PUT", f"/v1/persons/{gone}/merge", {"merge_with_id": kept})
    assert deliver(company) == 2
    first, second = (got["meta"] for got in target.got)
    assert (first["action"], first["entity_id"], first["merged_to_id"]) == ("delete", str(gone), str(kept))
    assert (second["action"], second["entity_id"], second["merged_from_id"]) == ("change", str(kept), str(gone))


def test_version_1_has_the_old_names_and_numbers(company, target) -> None:
    subscribe(company, version="1.0", event_action="updated")
    person = company.add()
    company.data("PATCH", f"/persons/{person}", {"name": "Ada B"})
    assert deliver(company) == 1
    got = target.got[0]
    assert (got["v"], got["event"], got["retry"]) == (1, "updated.person", 0)
    assert (got["current"]["name"], got["previous"]["name"]) == ("Ada B", "Ada Lovelace")
    assert (got["meta"]["id"], got["meta"]["user_id"], got["meta"]["timestamp"]) == (person, BOT, 1_790_000_000)


def test_a_write_that_changes_nothing_and_another_type_tell_nothing(company, target) -> None:
    person = company.add()
    subscribe(company, event_action="change")
    company.data("PATCH", f"/persons/{person}", {"name": "Ada Lovelace"})
    company.data("POST", "/organizations", {"name": "Acme"})
    assert (deliver(company), target.got) == (0, [])


def test_events_of_records_the_user_may_not_see_never_arrive(company, target) -> None:
    subscribe(company, user_id=ALAN)
    company.add(visible_to=1)
    assert (deliver(company), target.got) == (0, [])


def test_a_failed_delivery_is_tried_four_times_with_the_same_id(company, target) -> None:
    """After 3, 30 and 150 seconds, then given up."""
    target.status = 500
    subscribe(company)
    company.add()
    for wait_seconds in (0, 3, 30, 150, 600):
        company.clock.advance(wait_seconds)
        assert deliver(company) == 0
    assert [got["meta"]["attempt"] for got in target.got] == [1, 2, 3, 4]
    assert len({got["meta"]["id"] for got in target.got}) == 1
    found = company.person("GET", "webhooks").json()
    assert (found["failed"], found["waiting"], found["subscriptions"][0]["last_http_status"]) == (1, 0, 500)


def test_ten_failed_first_attempts_ban_the_target_and_lose_events(company, target) -> None:
    """Half an hour in which events vanish; then it starts again."""
    target.status = 500
    subscribe(company)
    for _ in range(10):
        company.add()
    deliver(company)
    company.add()
    assert company.person("GET", "webhooks").json()["lost_to_ban"] == 1
    company.clock.advance(1800)
    target.status = 200
    deliver(company)
    company.add()
    assert deliver(company) == 1


def test_three_days_without_success_remove_the_subscription(company, target) -> None:
    target.status = 500
    subscribe(company)
    company.add()
    deliver(company)
    company.clock.advance(3 * 86_400)
    deliver(company)
    assert company.data("GET", "/v1/webhooks") == []


def test_events_can_come_twice_late_mixed_or_not_at_all(company, target) -> None:
    """By switch and seed."""
    company.person("POST", "webhooks", {"paused": True, "duplicate": 1.0, "delaySeconds": 5})
    subscribe(company)
    company.add()
    assert deliver(company) == 0
    company.clock.advance(5)
    assert deliver(company) == 2
    assert target.got[0]["meta"]["id"] == target.got[1]["meta"]["id"]
    company.person("POST", "webhooks", {"paused": True, "drop": 1.0})
    company.add()
    assert (deliver(company), company.person("GET", "webhooks").json()["dropped"]) == (0, 1)


def test_events_travel_over_a_socket_by_themselves() -> None:
    """The sender's own thread posts them, with the credentials of the subscription."""
    arrived: queue.Queue[Request] = queue.Queue()

    class Receiver(WsgiApp):
        def respond(self, request: Request) -> Response:
            arrived.put(request)
            return Response(200)

    company = Company()
    with LoopbackServer(Receiver()) as server:
        subscribe(company, subscription_url=f"{server.url}/hook", http_auth_user="pd", http_auth_password="secret")
        company.add()
        request = arrived.get(timeout=20)
        company.fake.close()
    assert (request.path, request.headers["authorization"]) == ("/hook", "Basic cGQ6c2VjcmV0")
    assert request.json()["meta"]["action"] == "create"
    assert company.fake.webhooks.counts.delivered == 1
