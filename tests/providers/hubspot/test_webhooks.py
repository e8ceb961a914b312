"""Deliveries: genuine ones only, and no more taken from them than which record to read again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crm.errors import WebhookRejectedError
from crm.http.redact import Secret
from crm.providers.base import HintKind
from crm.providers.hubspot import PROVIDER
from crm.providers.hubspot.webhooks import parse

PAYLOADS = Path(__file__).parent / "payloads"
URL = "https://sync.example.com/hooks/hubspot"
SECRET = Secret("11111111-2222-3333-4444-555555555555")
TIMESTAMP = "1790000000500"
NOW = datetime.fromtimestamp(1_790_000_001, UTC)
BODY = (PAYLOADS / "webhook__property_change.json").read_bytes()
SIGNATURE = "dP9rlmewbfoYTu3Xsjp1yZp3PIUL1ZodWF2AUrmIPbY="
V1 = "84c07f8f74c38f9157f9893136b7037f44260a4c825259154350c31749bd79a0"


def verify(signature=SIGNATURE, *, body=BODY, url=URL, timestamp=TIMESTAMP, secret=SECRET, now=NOW, **more):
    headers = {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": timestamp, **more}
    PROVIDER.verify_webhook(method="POST", url=url, headers=headers, body=body, secret=secret, now=now)


def test_a_delivery_signed_with_the_client_secret_is_accepted() -> None:
    """Worked examples, one with bytes beyond ASCII and one with an encoded query."""
    verify()
    verify(
        "bLWqMjoFPQlzcpySNWDZNlmCTlDHiWfLehFWf6irN4g=",
        body=(PAYLOADS / "webhook__property_change_non_ascii.json").read_bytes(),
    )
    verify("mm8Ytehje236dXr1eHOCP+SbOlNO+PZ0aC+rHFBFVbM=", url=f"{URL}?tenant=acme%3Aeu&path=%2Fa%20b")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"body": BODY + b" "}, "webhook.signature"),
        ({"url": URL + "/"}, "webhook.signature"),
        ({"secret": Secret("another")}, "webhook.signature"),
        ({"secret": Secret("")}, "webhook.no_secret"),
        ({"timestamp": ""}, "webhook.signature"),
        ({"timestamp": "soon"}, "webhook.signature"),
        ({"now": NOW + timedelta(minutes=6)}, "webhook.stale"),
        ({"now": NOW - timedelta(minutes=6)}, "webhook.stale"),
        ({"signature": ""}, "webhook.signature"),
        ({"signature": V1, "X-HubSpot-Signature": V1, "X-HubSpot-Signature-Version": "v1"}, "webhook.signature"),
        (
            {
                "signature": "O/tFMG2LUihSy1+dbd6FOxuJeTgHwLnh8/LrD52CX3A=",
                "url": f"{URL}?tenant=acme%3Aeu&path=%2Fa%20b",
            },
            "webhook.signature",
        ),
    ],
)
def test_any_other_is_refused(changes: dict, code: str) -> None:
    """Changed, late, early, signed by another, signed the old way, or over the address as it was encoded."""
    signature = changes.pop("signature", SIGNATURE)
    with pytest.raises(WebhookRejectedError) as refused:
        verify(signature, **changes)
    assert refused.value.code == code


def test_each_event_becomes_a_hint_or_is_told_apart() -> None:
    """Events of several accounts in one body; what is known and not needed is not what is unknown."""
    delivery = parse((PAYLOADS / "webhook__one_of_each__handwritten.json").read_bytes())
    found = [(hint.remote_account_id, hint.kind, hint.remote_id, hint.maybe_ours) for hint in delivery.hints]
    assert found == [
        ("8800001", HintKind.CHANGED, "90210", False),
        ("8800001", HintKind.CREATED, "90211", True),
        ("8800001", HintKind.DELETED, "90212", False),
        ("8800001", HintKind.MERGED, "90215", False),
        ("8800002", HintKind.ERASED, "90216", False),
        ("8800001", HintKind.RESTORED, "90217", False),
    ]
    assert {hint.record_type for hint in delivery.hints} == {"contacts"}
    assert delivery.hints[3].former_ids == ("90213", "90214")
    assert delivery.hints[0].at == datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
    assert delivery.ignored == ("contact.associationChange", "object.creation", "deal.creation")
    assert delivery.unknown == ("contact.teleported", "contact.deletion")


def test_a_repeated_delivery_has_the_same_keys() -> None:
    """The attempt and HubSpot's event id, which is not unique, do not count; the value does, unseen."""
    (event,) = json.loads(BODY)
    again = {**event, "attemptNumber": 3, "eventId": 1}
    other = {**event, "propertyValue": "+4930999999"}
    keys = [parse(json.dumps([each]).encode()).hints[0].event_key for each in (event, again, other)]
    assert keys[0] == keys[1] != keys[2]
    assert "4930" not in "".join(keys)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"nothing", b"[" * 100_000, b"\xff\xfe", json.dumps([{}] * 1001).encode()]
)
def test_a_body_that_is_no_array_of_events_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookRejectedError) as refused:
        parse(body)
    assert refused.value.code == "webhook.malformed"


@pytest.mark.parametrize("event", [None, 7, [], {}, {"subscriptionType": 5}, {"subscriptionType": "contact.merge"}])
def test_an_odd_event_does_not_hide_the_others(event: object) -> None:
    (good,) = json.loads(BODY)
    delivery = parse(json.dumps([event, good]).encode())
    assert [hint.remote_id for hint in delivery.hints] == ["90210"]
    assert len(delivery.unknown) == 1
