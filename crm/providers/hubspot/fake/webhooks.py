"""Webhooks: at least once, unordered, signed; sent by a thread of their own.

Pages: https://developers.hubspot.com/docs/api-reference/webhooks-webhooks-v3/guide (payloads, retries) and
https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation (signatures)
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import requests

from crm.providers.hubspot.fake import answers
from crm.providers.hubspot.fake.answers import Json
from crm.providers.hubspot.fake.state import Event
from crm.testing.clock import FakeClock
from crm.testing.sender import DueSender

MAX_EVENTS: Final = 100
MAX_RETRIES: Final = 10
ANSWER_TIMEOUT_SECONDS: Final = 5.0
_DECODED: Final = {
    "3A": ":",
    "2F": "/",
    "3F": "?",
    "40": "@",
    "21": "!",
    "24": "$",
    "27": "'",
    "28": "(",
    "29": ")",
    "2A": "*",
    "2C": ",",
    "3B": ";",
}

Send = Callable[[str, bytes, dict[str, str]], int]


@dataclass(slots=True)
class WebhookSettings:
    """Where events go. ``subscriptions`` are ``{"id", "eventType", "propertyName"?, "active"}``.

    ``duplicate`` and ``drop`` are probabilities per event; ``shuffle`` mixes the events of a delivery round;
    ``retry_seconds`` is the wait before the first retry, doubled each time (HubSpot spreads ten over a day).
    """

    target_url: str = ""
    secret: str = ""
    subscriptions: list[Json] = field(default_factory=list)
    shuffle: bool = False
    duplicate: float = 0.0
    drop: float = 0.0
    batch_size: int = MAX_EVENTS
    delay_seconds: float = 0.0
    retry_seconds: float = 1.0
    paused: bool = False


@dataclass(slots=True)
class Waiting:
    due_ms: int
    event: Json


class WebhookSender(DueSender[Waiting, WebhookSettings]):
    """Queues the events somebody subscribed to and delivers them."""

    def __init__(self, clock: FakeClock, *, seed: int, portal_id: int, app_id: int, send: Send | None = None) -> None:
        super().__init__(clock, "webhooks", seed, WebhookSettings())
        self._portal_id = portal_id
        self._app_id = app_id
        self._send = send or post
        self._event_id = 3000
        self.delivered = self.dropped = self.failed = 0

    def take(self, event: Event) -> None:
        """Queue an event for each subscription it matches; a dropped one is lost without a trace."""
        if not self.settings.target_url:
            return
        with self._wake:
            for subscription in self.settings.subscriptions:
                if not subscription.get("active", True) or not _matches(subscription, event):
                    continue
                self._event_id += 1
                if self._random.random() < self.settings.drop:
                    self.dropped += 1
                    continue
                body = self._payload(subscription, event)
                due_ms = self._clock.now_ms() + round(self.settings.delay_seconds * 1000)
                copies = 2 if self._random.random() < self.settings.duplicate else 1
                self._queue.extend(Waiting(due_ms, dict(body)) for _ in range(copies))
            self._wake.notify_all()

    def _deliver(self, settings: WebhookSettings, due: list[Waiting]) -> int:
        accepted = 0
        for start in range(0, len(due), settings.batch_size):
            events = [item.event for item in due[start : start + settings.batch_size]]
            if self._posted(settings, events):
                accepted += len(events)
            else:
                self._retry_later(settings, events)
        self.delivered += accepted
        return accepted

    def _posted(self, settings: WebhookSettings, events: list[Json]) -> bool:
        body = json.dumps(events, ensure_ascii=False, separators=(",", ":")).encode()
        headers = signed_headers(settings.secret, settings.target_url, body, self._clock.now_ms())
        try:
            return 200 <= self._send(settings.target_url, body, headers) < 300
        except requests.RequestException:
            return False

    def _retry_later(self, settings: WebhookSettings, events: list[Json]) -> None:
        with self._wake:
            for event in events:
                event["attemptNumber"] += 1
                if event["attemptNumber"] > MAX_RETRIES:
                    self.failed += 1
                    continue
                wait_ms = round(settings.retry_seconds * 1000 * 2 ** (event["attemptNumber"] - 1))
                self._queue.append(Waiting(self._clock.now_ms() + wait_ms, event))

    def _payload(self, subscription: Json, event: Event) -> Json:
        kind = str(subscription["eventType"])
        body: Json = {
            "eventId": self._event_id,
            "subscriptionId": subscription["id"],
            "portalId": self._portal_id,
            "appId": self._app_id,
            "occurredAt": event.at_ms,
            "subscriptionType": kind,
            "attemptNumber": 0,
            **event.detail,
            "changeSource": event.actor.source,
            "sourceId": event.actor.source_id,
        }
        if kind.startswith("object."):
            body["objectTypeId"] = event.kind.type_id
        return body


def parse_settings(raw: object) -> WebhookSettings:
    """Settings from JSON; subscriptions may be plain types such as ``contact.creation``. Raises 400."""
    if not isinstance(raw, dict):
        raise answers.invalid_input("webhook settings must be an object")
    names = {"targetUrl": "target_url", "batchSize": "batch_size", "delaySeconds": "delay_seconds"}
    names["retrySeconds"] = "retry_seconds"
    given: Json = {names.get(str(name), str(name)): value for name, value in raw.items()}
    unknown = sorted(set(given) - set(WebhookSettings.__dataclass_fields__))
    if unknown:
        raise answers.invalid_input(f"unknown webhook setting {unknown[0]!r}")
    subscriptions = []
    for number, item in enumerate(given.get("subscriptions") or [], 501):
        entry = {"eventType": item} if isinstance(item, str) else dict(item)
        entry.setdefault("eventType", entry.get("subscriptionType"))
        if not isinstance(entry["eventType"], str) or "." not in entry["eventType"]:
            raise answers.invalid_input("a subscription needs an eventType such as contact.creation")
        subscriptions.append({"id": number, "active": True, **entry})
    given["subscriptions"] = subscriptions
    return WebhookSettings(**given)


def _matches(subscription: Json, event: Event) -> bool:
    prefix, _, what = str(subscription["eventType"]).partition(".")
    if what != event.what:
        return False
    if prefix == "object":
        if subscription.get("objectTypeId", event.kind.type_id) != event.kind.type_id:
            return False
    elif prefix != event.kind.singular or event.kind.is_activity:
        # Activities have no webhook types of their own.
        return False
    wanted = subscription.get("propertyName")
    return not wanted or wanted == event.detail.get("propertyName")


def signed_uri(uri: str) -> str:
    """The URI as version 3 signs it: only the listed escapes are decoded."""
    pattern = "|".join(_DECODED)
    return re.sub(f"%({pattern})", lambda match: _DECODED[match.group(1).upper()], uri, flags=re.IGNORECASE)


def signed_headers(secret: str, uri: str, body: bytes, now_ms: int) -> dict[str, str]:
    """CRM webhooks carry version 1 and version 3; the secret is the app's client secret."""
    message = b"POST" + signed_uri(uri).encode() + body + str(now_ms).encode()
    digest = hmac.new(secret.encode(), message, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "X-HubSpot-Signature": hashlib.sha256(secret.encode() + body).hexdigest(),
        "X-HubSpot-Signature-Version": "v1",
        "X-HubSpot-Signature-v3": base64.b64encode(digest).decode(),
        "X-HubSpot-Request-Timestamp": str(now_ms),
    }


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    answer = requests.post(url, data=body, headers=headers, timeout=ANSWER_TIMEOUT_SECONDS, allow_redirects=False)
    return answer.status_code
