"""Outbound messages: who is believed, and which records are named."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from crm.errors import WebhookRejectedError
from crm.http.redact import Secret
from crm.providers.base import HintKind
from crm.providers.salesforce import PROVIDER, webhooks

ORGANIZATION = "00DdM00000vfgTu"
NOW = datetime(2026, 5, 1, tzinfo=UTC)


def notification(number: int, record_type: str = "Contact", remote_id: str = "003aj000002oTld") -> str:
    return (
        f"<Notification><Id>04lxx000000000{number}</Id>"
        f'<sObject xsi:type="sf:{record_type}" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">'
        f"<sf:Id>{remote_id}</sf:Id><sf:Email>ada@example.com</sf:Email></sObject></Notification>"
    )


def message(*notifications: str, organization: str = ORGANIZATION, before: str = "") -> bytes:
    return (
        f'{before}<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
        '<notifications xmlns="http://soap.sforce.com/2005/09/outbound">'
        f"<OrganizationId>{organization}</OrganizationId><ActionId>04kxx0000000001</ActionId>"
        f'<SessionId xsi:nil="true"/>{"".join(notifications)}</notifications></soapenv:Body></soapenv:Envelope>'
    ).encode()


def test_a_message_becomes_hints_with_ids_only() -> None:
    """Ids in their long form, whatever form the message has; the notification's id is the event's."""
    found = PROVIDER.parse_webhook(message(notification(1), notification(2, "Lead", "00Qaj000002oTld")))
    assert [(hint.record_type, hint.remote_id, hint.kind) for hint in found.hints] == [
        ("Contact", "003aj000002oTldAAE", HintKind.CHANGED),
        ("Lead", "00Qaj000002oTldEAE", HintKind.CHANGED),
    ]
    assert {hint.remote_account_id for hint in found.hints} == {"00DdM00000vfgTuUAI"}
    assert len({hint.event_key for hint in found.hints}) == 2
    assert "ada@example.com" not in repr(found)


def test_a_redelivery_has_the_same_event_key() -> None:
    first, again = (PROVIDER.parse_webhook(message(notification(1))) for _ in range(2))
    assert first == again


def test_other_objects_are_ignored_and_what_makes_no_sense_is_unknown() -> None:
    """A contact under a lead's id is believed by nobody."""
    found = PROVIDER.parse_webhook(
        message(notification(1, "Opportunity", "006aj000002oTld"), notification(2, "Contact", "00Qaj000002oTld"))
    )
    assert (found.hints, found.ignored, found.unknown) == ((), ("Opportunity",), ("Contact",))


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"<a/>", message(), message(notification(1), organization="nobody"),
        message(*(notification(1) for _ in range(101))),
        message(notification(1), before='<!DOCTYPE a [<!ENTITY b "c">]>'),
        message(notification(1), before='<!DOCTYPE a SYSTEM "file:///etc/passwd">'),
        message(notification(1))[:-30], b"\xff\xfe<",
    ],
)  # fmt: skip
def test_what_is_no_outbound_message_is_refused(body: bytes) -> None:
    """Entities and document types too, before anything of them is read."""
    with pytest.raises(WebhookRejectedError) as caught:
        PROVIDER.parse_webhook(body)
    assert caught.value.code == "webhook.malformed"


def verify(url: str, secret: str = "s3cret-s3cret", method: str = "POST") -> None:
    PROVIDER.verify_webhook(method=method, url=url, headers={}, body=b"", secret=Secret(secret), now=NOW)


def test_the_secret_at_the_end_of_the_address_is_what_proves_a_delivery() -> None:
    verify("https://app.example/api/crm/webhooks/salesforce/s3cret-s3cret")
    verify("https://app.example/hooks/s3cret-s3cret/?x=1")


@pytest.mark.parametrize(
    ("url", "secret", "method", "code"),
    [
        ("https://app.example/hooks/s3cret", "s3cret-s3cret", "POST", "webhook.signature"),
        ("https://app.example/s3cret-s3cret/hooks", "s3cret-s3cret", "POST", "webhook.signature"),
        ("https://app.example/hooks?s3cret-s3cret", "s3cret-s3cret", "POST", "webhook.signature"),
        ("https://app.example/hooks/s3cret-s3cret", "s3cret-s3cret", "GET", "webhook.signature"),
        ("https://app.example/hooks/", "", "POST", "webhook.no_secret"),
    ],
)
def test_other_deliveries_are_refused(url: str, secret: str, method: str, code: str) -> None:
    with pytest.raises(WebhookRejectedError) as caught:
        verify(url, secret, method)
    assert caught.value.code == code


def test_the_acknowledgement_is_the_documented_one() -> None:
    assert "<Ack>true</Ack>" in webhooks.ACKNOWLEDGED
