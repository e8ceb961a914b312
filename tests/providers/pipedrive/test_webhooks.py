"""Deliveries: genuine ones only, and no more taken from them than which record to read again."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from crm.errors import WebhookRejectedError
from crm.http.redact import Secret
from crm.providers.base import HintKind
from crm.providers.pipedrive import PROVIDER
from crm.providers.pipedrive.webhooks import parse

NOW = datetime(2026, 3, 2, 9, 10, 12, tzinfo=UTC)
META = {
    "action": "change",
    "entity": "person",
    "entity_id": "27",
    "company_id": "15043420",
    "id": "7c812ffd-8f50-45ea-a597-b8fcba2da9c0",
    "correlation_id": "43cb94f3-bbbd-406c-ae19-ddeec349d896",
    "is_bulk_edit": False,
    "timestamp": "2026-03-02T09:10:11.616Z",
    "type": "general",
    "user_id": "25760681",
    "version": "2.0",
    "webhook_id": "4710827",
    "webhook_owner_id": "25760681",
    "change_source": "app",
    "attempt": 1,
    "host": "acme.pipedrive.com",
    "permitted_user_ids": ["25760681", "123"],
}
"""The example of the guide for webhooks v2."""


def delivery(**changes: Any) -> bytes:
    return json.dumps({"meta": {**META, **changes}, "data": {"id": 27, "name": "Ana"}, "previous": {}}).encode()


def verify(header: str, secret: str = "hook-secret") -> None:
    headers = {"Authorization": header} if header else {}
    PROVIDER.verify_webhook(
        method="POST", url="https://x.test/h", headers=headers, body=b"{}", secret=Secret(secret), now=NOW
    )


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def test_a_delivery_with_our_credentials_is_accepted() -> None:
    verify(basic("adsapp", "hook-secret"))


@pytest.mark.parametrize(
    ("header", "secret", "code"),
    [
        ("", "hook-secret", "webhook.signature"),
        (basic("adsapp", "another"), "hook-secret", "webhook.signature"),
        (basic("someone", "hook-secret"), "hook-secret", "webhook.signature"),
        ("Bearer hook-secret", "hook-secret", "webhook.signature"),
        ("Basic ???", "hook-secret", "webhook.signature"),
        (basic("adsapp", ""), "", "webhook.no_secret"),
    ],
)
def test_any_other_delivery_is_refused(header: str, secret: str, code: str) -> None:
    with pytest.raises(WebhookRejectedError) as refused:
        verify(header, secret)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("action", "kind"),
    [("create", HintKind.CREATED), ("change", HintKind.CHANGED), ("delete", HintKind.DELETED)],
)
def test_an_event_is_a_hint_to_read_the_person_again(action: str, kind: HintKind) -> None:
    """No value of the body is taken."""
    (hint,) = parse(delivery(action=action)).hints
    assert (hint.remote_account_id, hint.record_type, hint.remote_id) == ("15043420", "persons", "27")
    assert (hint.kind, hint.former_ids, hint.maybe_ours) == (kind, (), False)
    assert hint.at == datetime(2026, 3, 2, 9, 10, 11, 616_000, tzinfo=UTC)
    assert "Ana" not in repr(hint)


def test_a_merge_is_told_from_both_sides() -> None:
    """The lost record's deletion names the survivor, the survivor's change names the lost one."""
    for body in (delivery(action="delete", merged_to_id="31"), delivery(entity_id="31", merged_from_id="27")):
        (hint,) = parse(body).hints
        assert (hint.kind, hint.remote_id, hint.former_ids) == (HintKind.MERGED, "31", ("27",))


def test_our_own_write_is_only_a_guess() -> None:
    """Made through the API, by the user whose subscription it is."""
    assert parse(delivery(change_source="api")).hints[0].maybe_ours
    assert not parse(delivery(change_source="api", user_id="9")).hints[0].maybe_ours


def test_a_repeated_delivery_has_the_same_key_and_another_event_has_another() -> None:
    """Attempt and delivery id may change between tries."""
    first = parse(delivery()).hints[0].event_key
    assert parse(delivery(attempt=3, id="another")).hints[0].event_key == first
    for changes in ({"timestamp": "2026-03-02T09:10:12.000Z"}, {"entity_id": "28"}, {"action": "delete"}):
        assert parse(delivery(**changes)).hints[0].event_key != first


def test_other_records_are_ignored_and_what_is_not_known_is_named() -> None:
    assert parse(delivery(entity="deal")).ignored == ("deal.change",)
    assert parse(delivery(entity="spaceship")).unknown == ("spaceship.change",)
    assert parse(delivery(action="explode")).unknown == ("person.explode",)
    assert parse(delivery(company_id=None)).unknown == ("person.change",)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b'{"meta":1}', b"[" * 100_000])
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookRejectedError) as refused:
        parse(body)
    assert refused.value.code == "webhook.malformed"
