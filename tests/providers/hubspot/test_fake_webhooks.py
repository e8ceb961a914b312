"""Webhooks: what is sent, how it is signed, and how it gets lost, doubled, mixed up and sent again."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from typing import Any

import pytest
import requests

from crm.providers.hubspot.fake import DEFAULT_TOKEN, HubSpotFake
from crm.providers.hubspot.fake.webhooks import WebhookSettings, signed_headers, signed_uri
from crm.testing.wsgi import LoopbackServer, Request, Response, WsgiApp
from tests.providers.hubspot.fake_account import NOW_MS, Account

TARGET = "https://sync.example.com/hooks/hubspot"
SECRET = "11111111-2222-3333-4444-555555555555"
ALL = [f"contact.{what}" for what in ("creation", "deletion", "merge", "restore", "privacyDeletion", "propertyChange")]


class Inbox:
    """Takes the place of the network; ``statuses`` are answered in turn, then 200."""

    def __init__(self, *statuses: int) -> None:
        self.bodies: list[list[dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.statuses = list(statuses)

    def __call__(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        assert url == TARGET
        self.bodies.append(json.loads(body))
        self.headers.append(headers)
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0:
            raise requests.ConnectionError("refused")
        return status

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for body in self.bodies for event in body]


def listening(*statuses: int, subscriptions: list[Any] | None = None, **settings: Any) -> tuple[Account, Inbox]:
    account, inbox = Account(), Inbox(*statuses)
    account.fake.webhooks._send = inbox
    answer = account.person(
        "POST",
        "webhooks",
        {
            "targetUrl": TARGET,
            "secret": SECRET,
            "subscriptions": ALL if subscriptions is None else subscriptions,
            "paused": True,
            **settings,
        },
    )
    assert answer.status_code == 200, answer.text
    return account, inbox


def deliver(account: Account) -> int:
    accepted: int = account.person("POST", "webhooks/deliver").json()["accepted"]
    return accepted


def test_a_write_by_an_app_is_told_with_its_id() -> None:
    """One event per property, ids as numbers, INTEGRATION and the app's id."""
    account, inbox = listening(subscriptions=["contact.creation", {"eventType": "contact.propertyChange"}])
    ada = account.contact(email="ada@example.com")
    assert deliver(account) == 2
    common = {
        "portalId": 8_800_001,
        "appId": 770_011,
        "occurredAt": NOW_MS,
        "attemptNumber": 0,
        "objectId": int(ada),
        "changeSource": "INTEGRATION",
        "sourceId": "770011",
    }
    assert inbox.events == [
        {
            **common,
            "eventId": 3001,
            "subscriptionId": 501,
            "subscriptionType": "contact.creation",
            "changeFlag": "CREATED",
        },
        {
            **common,
            "eventId": 3002,
            "subscriptionId": 502,
            "subscriptionType": "contact.propertyChange",
            "propertyName": "email",
            "propertyValue": "ada@example.com",
        },
    ]


def test_an_edit_by_hand_is_told_with_the_person() -> None:
    """CRM_UI and userId:n; other properties than the subscribed one stay silent."""
    account, inbox = listening(subscriptions=[{"eventType": "contact.propertyChange", "propertyName": "phone"}])
    ada = account.contact(email="ada@example.com")
    account.person("PATCH", f"records/{ada}", {"properties": {"phone": "1", "city": "Bonn"}, "userId": 42})
    deliver(account)
    assert [(e["propertyName"], e["changeSource"], e["sourceId"]) for e in inbox.events] == [
        ("phone", "CRM_UI", "userId:42")
    ]


def test_a_change_that_changes_nothing_is_not_told() -> None:
    """No event for the same value."""
    account, inbox = listening(subscriptions=["contact.propertyChange"])
    ada = account.contact(email="ada@example.com")
    deliver(account)
    account.call("PATCH", f"/crm/v3/objects/contacts/{ada}", {"properties": {"email": "ADA@example.com"}})
    assert deliver(account) == 0
    assert len(inbox.events) == 1


def test_a_merge_is_told_once_with_a_deletion_for_each_old_id() -> None:
    """And a creation for the new one, but no property changes."""
    account, inbox = listening()
    one, two = account.contact(email="a@x.example"), account.contact(email="b@x.example", city="Bonn")
    deliver(account)
    inbox.bodies.clear()
    answer = account.person("POST", "merge", {"primaryObjectId": one, "objectIdToMerge": two})
    survivor = int(answer.json()["id"])
    deliver(account)
    merged = inbox.events[0]
    assert merged["subscriptionType"] == "contact.merge"
    assert (merged["primaryObjectId"], merged["mergedObjectIds"], merged["newObjectId"]) == (
        int(one),
        [int(two)],
        survivor,
    )
    assert [(e["subscriptionType"], e["objectId"]) for e in inbox.events[1:]] == [
        ("contact.deletion", int(one)),
        ("contact.deletion", int(two)),
        ("contact.creation", survivor),
    ]


def test_deletion_restoration_and_erasure_are_told() -> None:
    """Erasure comes with a deletion."""
    account, inbox = listening()
    ada = account.contact(firstname="Ada")
    account.call("DELETE", f"/crm/v3/objects/contacts/{ada}")
    account.person("POST", "restore", {"id": ada})
    account.call("POST", "/crm/v3/objects/contacts/gdpr-delete", {"objectId": ada})
    deliver(account)
    assert [e["subscriptionType"].partition(".")[2] for e in inbox.events] == [
        "creation",
        "propertyChange",
        "deletion",
        "restore",
        "privacyDeletion",
        "deletion",
    ]


def test_generic_subscriptions_name_the_object_and_activities_have_no_other() -> None:
    """object.creation with objectTypeId; note.creation does not exist."""
    account, inbox = listening(
        subscriptions=[{"eventType": "object.creation", "objectTypeId": "0-46"}, "note.creation", "object.restore"]
    )
    account.contact(firstname="Ada")
    account.call("POST", "/crm/v3/objects/notes", {"properties": {"hs_timestamp": "2026-09-21T14:00:00Z"}})
    deliver(account)
    assert [(e["subscriptionType"], e["objectTypeId"]) for e in inbox.events] == [("object.creation", "0-46")]


def test_both_sides_of_an_association_are_told() -> None:
    """Without objectId, with from and to."""
    account, inbox = listening(subscriptions=["contact.associationChange", "company.associationChange"])
    ada = account.contact(firstname="Ada")
    company = account.call("POST", "/crm/v3/objects/companies", {"properties": {"name": "E"}}).json()["id"]
    account.call("PUT", f"/crm/v4/objects/contacts/{ada}/associations/default/companies/{company}")
    deliver(account)
    told = [(e["associationType"], e["fromObjectId"], e["toObjectId"], e["associationRemoved"]) for e in inbox.events]
    assert told == [
        ("CONTACT_TO_COMPANY", int(ada), int(company), False),
        ("COMPANY_TO_CONTACT", int(company), int(ada), False),
    ]
    assert "objectId" not in inbox.events[0]


def test_deliveries_carry_both_signatures() -> None:
    """v1 over secret and body, v3 over method, URI, body and time stamp."""
    account, inbox = listening()
    account.contact(firstname="Ada")
    deliver(account)
    body = json.dumps(inbox.bodies[0], ensure_ascii=False, separators=(",", ":")).encode()
    headers = inbox.headers[0]
    assert headers["X-HubSpot-Signature-Version"] == "v1"
    assert headers["X-HubSpot-Signature"] == hashlib.sha256(SECRET.encode() + body).hexdigest()
    assert headers["X-HubSpot-Request-Timestamp"] == str(NOW_MS)
    digest = hmac.new(SECRET.encode(), b"POST" + TARGET.encode() + body + str(NOW_MS).encode(), hashlib.sha256)
    assert headers["X-HubSpot-Signature-v3"] == base64.b64encode(digest.digest()).decode()


def test_version_3_is_signed_as_in_hubspots_example() -> None:
    """A vector with escapes: those of the list are decoded, the blank is not."""
    body = (
        b'[{"eventId":3001,"subscriptionId":501,"portalId":8800001,"appId":770011,"occurredAt":1790000000000,'
        b'"subscriptionType":"contact.propertyChange","attemptNumber":0,"objectId":90210,"propertyName":"phone",'
        b'"propertyValue":"+4930123456","changeSource":"CRM_UI","sourceId":"userId:42"}]'
    )
    plain = signed_headers(SECRET, TARGET, body, 1_790_000_000_500)
    assert plain["X-HubSpot-Signature-v3"] == "dP9rlmewbfoYTu3Xsjp1yZp3PIUL1ZodWF2AUrmIPbY="
    assert plain["X-HubSpot-Signature"] == "84c07f8f74c38f9157f9893136b7037f44260a4c825259154350c31749bd79a0"
    escaped = f"{TARGET}?tenant=acme%3Aeu&path=%2Fa%20b"
    assert signed_uri(escaped) == f"{TARGET}?tenant=acme:eu&path=/a%20b"
    signed = signed_headers(SECRET, escaped, body, 1_790_000_000_500)
    assert signed["X-HubSpot-Signature-v3"] == "mm8Ytehje236dXr1eHOCP+SbOlNO+PZ0aC+rHFBFVbM="


def test_at_most_a_hundred_events_go_into_one_body() -> None:
    """More make more bodies."""
    account, inbox = listening(subscriptions=["contact.creation"])
    account.person("POST", "bulk", {"records": [{"firstname": "P"}] * 250})
    assert deliver(account) == 250
    assert [len(body) for body in inbox.bodies] == [100, 100, 50]
    assert inbox.events[0]["changeSource"] == "IMPORT"


@pytest.mark.parametrize("status", [500, 404, 302, 0])
def test_what_is_not_accepted_comes_again_later(status: int) -> None:
    """Any answer but 2xx, or none; attemptNumber counts, the wait doubles."""
    account, inbox = listening(status, status, subscriptions=["contact.creation"], retrySeconds=10)
    account.contact(firstname="Ada")
    assert deliver(account) == 0
    assert deliver(account) == 0
    account.clock.advance(10)
    assert deliver(account) == 0
    account.clock.advance(19)
    assert deliver(account) == 0
    account.clock.advance(1)
    assert deliver(account) == 1
    assert [event["attemptNumber"] for event in inbox.events] == [0, 1, 2]
    assert [event["eventId"] for event in inbox.events] == [3001] * 3


def test_after_ten_retries_an_event_is_given_up() -> None:
    """Eleven attempts in all, then never again."""
    account, inbox = listening(*[500] * 20, subscriptions=["contact.creation"], retrySeconds=0)
    account.contact(firstname="Ada")
    for _ in range(15):
        deliver(account)
    assert len(inbox.bodies) == 11
    told = account.person("GET", "webhooks").json()
    assert (told["failed"], told["waiting"]) == (1, 0)


def test_events_are_lost_doubled_and_mixed_up_by_the_seed() -> None:
    """The same for the same seed; a lost one is lost without a trace."""

    def order() -> list[int]:
        account, inbox = listening(subscriptions=["contact.creation"], drop=0.3, duplicate=0.3, shuffle=True)
        account.person("POST", "bulk", {"records": [{"firstname": "P"}] * 50})
        deliver(account)
        assert account.person("GET", "webhooks").json()["dropped"] == 50 - len({e["eventId"] for e in inbox.events})
        return [event["eventId"] for event in inbox.events]

    first = order()
    assert first == order()
    assert first != sorted(first)
    assert len(set(first)) < len(first)
    assert len(set(first)) < 50


@pytest.mark.parametrize("wrong", [{"targetURL": "x"}, {"subscriptions": ["creation"]}, {"subscriptions": [{}]}, []])
def test_settings_that_make_no_sense_are_refused(wrong: object) -> None:
    """400, and the old ones stay."""
    account, _ = listening()
    assert account.person("POST", "webhooks", wrong).status_code == 400
    assert account.person("GET", "webhooks").json()["targetUrl"] == TARGET


class Receiver(WsgiApp):
    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.request: Request | None = None

    def respond(self, request: Request) -> Response:
        self.request = request
        self.arrived.set()
        return Response(204)


def test_the_thread_delivers_over_http() -> None:
    """A real POST with a signature over the address as it was called."""
    receiver, fake = Receiver(), HubSpotFake()
    with LoopbackServer(fake) as server, LoopbackServer(receiver, threads=1) as hook:
        target = f"{hook.url}/hooks/hubspot?tenant=a%3Ab"
        fake.webhooks.configure(
            WebhookSettings(target, SECRET, [{"id": 1, "eventType": "contact.creation", "active": True}])
        )
        fake.webhooks.start()
        answer = requests.post(
            f"{server.url}/crm/v3/objects/contacts",
            json={"properties": {"firstname": "Ada"}},
            headers={"Authorization": f"Bearer {DEFAULT_TOKEN}"},
            timeout=5,
        )
        assert receiver.arrived.wait(10)
        fake.close()
    assert receiver.request is not None
    assert json.loads(receiver.request.body)[0]["objectId"] == int(answer.json()["id"])
    stamp = receiver.request.headers["x-hubspot-request-timestamp"]
    message = b"POST" + f"{hook.url}/hooks/hubspot?tenant=a:b".encode() + receiver.request.body + stamp.encode()
    digest = hmac.new(SECRET.encode(), message, hashlib.sha256).digest()
    assert receiver.request.headers["x-hubspot-signature-v3"] == base64.b64encode(digest).decode()
