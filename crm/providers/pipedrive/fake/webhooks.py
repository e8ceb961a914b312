"""Delivering webhooks: one event a call, Basic credentials, four attempts, a ban for a target that keeps failing.

Page: https://pipedrive.readme.io/docs/guide-for-webhooks-v2
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import requests

from crm.providers.pipedrive.fake.answers import Json, bad_request
from crm.providers.pipedrive.fake.stamps import v2_stamp
from crm.providers.pipedrive.fake.state import Event, State
from crm.providers.pipedrive.fake.webhook_payload import v1_payload, v2_payload
from crm.testing.sender import DueSender

ANSWER_TIMEOUT_SECONDS: Final = 10.0
RETRY_SECONDS: Final = (3, 30, 150)
FAILURES_BEFORE_BAN: Final = 10
BAN_SECONDS: Final = 30 * 60
DELETE_AFTER_SECONDS: Final = 3 * 86_400

Send = Callable[[str, bytes, dict[str, str]], int]


@dataclass(slots=True)
class DeliverySettings:
    """``duplicate`` and ``drop`` are probabilities per event; ``shuffle`` mixes a round; ``retry_scale`` shortens
    the waits of 3, 30 and 150 seconds.
    """

    shuffle: bool = False
    duplicate: float = 0.0
    drop: float = 0.0
    delay_seconds: float = 0.0
    retry_scale: float = 1.0
    paused: bool = False


@dataclass(slots=True)
class Delivery:
    due_ms: int
    hook_id: int
    body: Json
    attempt: int = 1


@dataclass(slots=True)
class Health:
    """How a subscription does: failed first attempts, until when it is banned, since when nothing got through."""

    failures: int = 0
    banned_until_ms: int = 0
    failing_since_ms: int | None = None


@dataclass(slots=True)
class Counts:
    delivered: int = 0
    dropped: int = 0
    failed: int = 0
    lost_to_ban: int = 0


class WebhookSender(DueSender[Delivery, DeliverySettings]):
    """Queues the events somebody subscribed to and delivers them.

    ``hooks`` are the subscriptions by id, kept by ``WebhooksApi``.
    """

    def __init__(self, state: State, *, seed: int, send: Send | None = None) -> None:
        super().__init__(state.clock, "webhooks", seed, DeliverySettings())
        self._state = state
        self._send = send or post
        self._health: dict[int, Health] = {}
        self.hooks: dict[int, Json] = {}
        self.counts = Counts()

    def take(self, event: Event) -> None:
        """Queue an event for each subscription it matches; one during a ban is lost, a dropped one too."""
        if not self.hooks:
            return
        with self._wake:
            for hook in self.hooks.values():
                if not _matches(hook, event) or not self._state.is_visible(event.subject, hook["user_id"]):
                    continue
                if self._random.random() < self.settings.drop:
                    self.counts.dropped += 1
                    continue
                if self._clock.now_ms() < self._health_of(hook["id"]).banned_until_ms:
                    self.counts.lost_to_ban += 1
                    continue
                body = self._payload(hook, event)
                due_ms = self._clock.now_ms() + round(self.settings.delay_seconds * 1000)
                copies = 2 if self._random.random() < self.settings.duplicate else 1
                self._queue.extend(Delivery(due_ms, hook["id"], body) for _ in range(copies))
            self._wake.notify_all()

    def _deliver(self, _settings: DeliverySettings, due: list[Delivery]) -> int:
        accepted = sum(self._posted(item) for item in due)
        self.counts.delivered += accepted
        return accepted

    def _posted(self, item: Delivery) -> bool:
        hook = self.hooks.get(item.hook_id)
        if hook is None:
            return False
        body = json.dumps(_attempted(item), ensure_ascii=False, separators=(",", ":")).encode()
        try:
            status = self._send(hook["subscription_url"], body, headers_of(hook))
        except requests.RequestException:
            status = 0
        hook["last_delivery_time"], hook["last_http_status"] = v2_stamp(self._clock.now_ms() // 1000), status or None
        if 200 <= status < 300:
            self._health_of(item.hook_id).failing_since_ms = None
            return True
        with self._wake:
            self._failed(item)
        return False

    def _failed(self, item: Delivery) -> None:
        """Only a failed first attempt counts towards the ban; after three days without success the hook is deleted."""
        health, now_ms = self._health_of(item.hook_id), self._clock.now_ms()
        if item.attempt == 1:
            health.failures += 1
            if health.failures >= FAILURES_BEFORE_BAN:
                health.failures = 0
                health.banned_until_ms = now_ms + BAN_SECONDS * 1000
        if health.failing_since_ms is None:
            health.failing_since_ms = now_ms
        elif now_ms - health.failing_since_ms >= DELETE_AFTER_SECONDS * 1000:
            self.hooks.pop(item.hook_id, None)
            self._state.dirty_tables.add("hooks")
            return
        if item.attempt > len(RETRY_SECONDS):
            self.counts.failed += 1
            return
        wait_ms = round(RETRY_SECONDS[item.attempt - 1] * 1000 * self.settings.retry_scale)
        self._queue.append(Delivery(now_ms + wait_ms, item.hook_id, item.body, item.attempt + 1))

    def _health_of(self, hook_id: int) -> Health:
        return self._health.setdefault(hook_id, Health())

    def _payload(self, hook: Json, event: Event) -> Json:
        if hook["version"] == "1.0":
            return v1_payload(self._state, event, hook)
        return v2_payload(self._state, event, hook, self._uuid(), self._uuid())

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))


def parse_settings(raw: object) -> DeliverySettings:
    """From JSON, names in camelCase. Raises 400 for one that does not exist."""
    if not isinstance(raw, dict):
        raise bad_request("webhook settings must be an object")
    names = {"delaySeconds": "delay_seconds", "retryScale": "retry_scale"}
    given: Json = {names.get(str(name), str(name)): value for name, value in raw.items()}
    if unknown := sorted(set(given) - set(DeliverySettings.__dataclass_fields__)):
        raise bad_request(f"unknown webhook setting {unknown[0]!r}")
    return DeliverySettings(**given)


def headers_of(hook: Json) -> dict[str, str]:
    """No signature exists: Basic credentials, if the subscription has them, are all there is."""
    headers = {"Content-Type": "application/json", "User-Agent": "Pipedrive Webhooks"}
    if hook["http_auth_user"] or hook["http_auth_password"]:
        pair = f"{hook['http_auth_user'] or ''}:{hook['http_auth_password'] or ''}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return headers


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    answer = requests.post(url, data=body, headers=headers, timeout=ANSWER_TIMEOUT_SECONDS, allow_redirects=False)
    return answer.status_code


def _attempted(item: Delivery) -> Json:
    if "retry" in item.body:
        return {**item.body, "retry": item.attempt - 1}
    return {**item.body, "meta": {**item.body["meta"], "attempt": item.attempt}}


def _matches(hook: Json, event: Event) -> bool:
    if hook["event_object"] not in ("*", event.subject.entity.key):
        return False
    action = event.action
    if hook["version"] == "1.0":
        names = {"create": "added", "change": "updated", "delete": "deleted"}
        action = "merged" if "merged_from_id" in event.more else names[event.action]
    return hook["event_action"] in ("*", action)
