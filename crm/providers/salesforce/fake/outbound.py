"""Outbound messages: SOAP posts that a flow sends after a create or an update, until they are acknowledged.

No signature, an empty session id, content as it is at send time; out of order and twice is allowed.
Page: SOAP API Developer Guide, "Outbound Messaging"
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from xml.sax.saxutils import escape

import requests
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from crm.providers.salesforce.fake import answers, ids
from crm.providers.salesforce.fake.answers import Json
from crm.providers.salesforce.fake.state import Record, State
from crm.providers.salesforce.fake.values import rendered
from crm.testing.sender import DueSender

SOAP: Final = "http://schemas.xmlsoap.org/soap/envelope/"
OUTBOUND: Final = "http://soap.sforce.com/2005/09/outbound"
SOBJECT: Final = "urn:sobject.enterprise.soap.sforce.com"
XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
MAX_NOTIFICATIONS: Final = 100
MAX_WAIT_SECONDS: Final = 7_200.0
LIFE_MS: Final = 86_400_000
ANSWER_TIMEOUT_SECONDS: Final = 10.0
_TRIGGERS: Final = {"create": "create", "update": "update", "automation": "update", "undelete": "update"}

Post = Callable[[str, bytes, dict[str, str]], tuple[int, bytes]]


@dataclass(slots=True)
class OutboundSettings:
    """What the admin defined. ``fields`` by object (``Id`` is always there).

    ``skip_user_ids``: the flow's entry condition leaves their writes out. ``drop`` and ``duplicate`` are
    probabilities; ``organization_id`` overrides the org's own, as a forged message would.
    """

    target_url: str = ""
    fields: dict[str, list[str]] = field(default_factory=lambda: {"Contact": [], "Lead": []})
    events: list[str] = field(default_factory=lambda: ["create", "update"])
    skip_user_ids: list[str] = field(default_factory=list)
    batch_size: int = MAX_NOTIFICATIONS
    delay_seconds: float = 0.0
    retry_seconds: float = 10.0
    drop: float = 0.0
    duplicate: float = 0.0
    shuffle: bool = False
    paused: bool = False
    organization_id: str = ""


@dataclass(slots=True)
class Notification:
    """``notification_id`` stays the same whenever it is sent again."""

    notification_id: str
    kind: str
    record_id: str
    queued_ms: int
    due_ms: int
    attempts: int = 0


class OutboundSender(DueSender[Notification, OutboundSettings]):
    def __init__(self, state: State, *, org_id: str, seed: int, post: Post | None = None) -> None:
        super().__init__(state.clock, "outbound", seed, OutboundSettings())
        self._state = state
        self._org_id = org_id
        self._post = post or _post
        self._number = 0
        self.delivered = self.dropped = self.expired = self.refused = 0

    def take(self, record: Record, op: str) -> None:
        """Queue what a write of that kind sets off."""
        settings, event = self.settings, _TRIGGERS.get(op)
        if not settings.target_url or event not in settings.events or record.kind not in settings.fields:
            return
        if record.values.get("LastModifiedById") in settings.skip_user_ids:
            return
        with self._wake:
            if self._random.random() < settings.drop:
                self.dropped += 1
                return
            self._number += 1
            now_ms = self._state.clock.now_ms()
            due_ms = now_ms + round(settings.delay_seconds * 1000)
            notification_id = ids.make("04l", self._number)
            found = Notification(notification_id, record.kind, record.record_id, now_ms, due_ms)
            self._queue.append(found)
            if self._random.random() < settings.duplicate:
                self._queue.append(Notification(notification_id, record.kind, record.record_id, now_ms, due_ms))
            self._wake.notify_all()

    def _deliver(self, settings: OutboundSettings, due: list[Notification]) -> int:
        accepted = 0
        for batch in _batches(due, max(1, min(MAX_NOTIFICATIONS, settings.batch_size))):
            if self._posted(settings, batch):
                accepted += len(batch)
            else:
                self._retry_later(settings, batch)
        self.delivered += accepted
        return accepted

    def _posted(self, settings: OutboundSettings, batch: list[Notification]) -> bool:
        body = self.envelope(settings, batch)
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}
        try:
            status, answer = self._post(settings.target_url, body, headers)
        except requests.RequestException:
            return False
        if status == 200 and acknowledged(answer):
            return True
        self.refused += 1
        return False

    def _retry_later(self, settings: OutboundSettings, batch: list[Notification]) -> None:
        """Twice as long each time, two hours at most; given up after a day."""
        now_ms = self._state.clock.now_ms()
        with self._wake:
            for each in batch:
                each.attempts += 1
                if now_ms - each.queued_ms >= LIFE_MS:
                    self.expired += 1
                    continue
                wait_seconds = min(MAX_WAIT_SECONDS, settings.retry_seconds * 2 ** (each.attempts - 1))
                each.due_ms = now_ms + round(wait_seconds * 1000)
                self._queue.append(each)

    def envelope(self, settings: OutboundSettings, batch: list[Notification]) -> bytes:
        """One message; each record as it is now."""
        org_id = settings.organization_id or self._org_id
        instance = "https://acme.my.salesforce.com/services/Soap"
        with self._state.lock:
            notifications = "".join(self._notification(settings, each) for each in batch)
        return (
            f'<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="{SOAP}" '
            f'xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="{XSI}"><soapenv:Body>'
            f'<notifications xmlns="{OUTBOUND}"><OrganizationId>{escape(org_id)}</OrganizationId>'
            f'<ActionId>{ids.make("04k", 1)}</ActionId><SessionId xsi:nil="true"/>'
            f"<EnterpriseUrl>{instance}/c/59.0/{escape(org_id[:15])}</EnterpriseUrl>"
            f"<PartnerUrl>{instance}/u/59.0/{escape(org_id[:15])}</PartnerUrl>"
            f"{notifications}</notifications></soapenv:Body></soapenv:Envelope>"
        ).encode()

    def _notification(self, settings: OutboundSettings, each: Notification) -> str:
        record, kind = self._state.find(each.record_id), self._state.schema.types[each.kind]
        shown = f"<sf:Id>{each.record_id}</sf:Id>"
        for name in settings.fields.get(each.kind, []):
            found = self._state.schema.any_field(kind, name)
            value = rendered(found, record.values) if found is not None and record is not None else None
            if found is None or value is None or found.name == "Id":
                continue
            text = str(value).lower() if isinstance(value, bool) else str(value).replace("+0000", "Z")
            shown += f"<sf:{found.name}>{escape(text)}</sf:{found.name}>"
        return (
            f'<Notification><Id>{each.notification_id}</Id><sObject xsi:type="sf:{each.kind}" xmlns:sf="{SOBJECT}">'
            f"{shown}</sObject></Notification>"
        )


def acknowledged(answer: bytes) -> bool:
    """True only for a SOAP answer with ``<Ack>true</Ack>``."""
    try:
        root = fromstring(answer)
    except (ParseError, DefusedXmlException, ValueError):
        return False
    found = root.find(f"{{{SOAP}}}Body/{{{OUTBOUND}}}notificationsResponse/{{{OUTBOUND}}}Ack")
    return found is not None and (found.text or "").strip().lower() in ("true", "1")


def parse_settings(raw: object, state: State) -> OutboundSettings:
    """Settings from JSON. ``fields`` is a map of objects to field lists. Raises 400."""
    if not isinstance(raw, dict):
        raise answers.bad_admin_input("outbound settings: an object")
    names = {
        "targetUrl": "target_url",
        "skipUserIds": "skip_user_ids",
        "batchSize": "batch_size",
        "delaySeconds": "delay_seconds",
        "retrySeconds": "retry_seconds",
        "organizationId": "organization_id",
    }
    given: Json = {names.get(str(name), str(name)): value for name, value in raw.items()}
    unknown = sorted(set(given) - set(OutboundSettings.__dataclass_fields__))
    if unknown:
        raise answers.bad_admin_input(f"unknown outbound setting {unknown[0]!r}")
    for kind_name, fields in (given.get("fields") or {}).items():
        kind = state.schema.types.get(kind_name)
        if kind is None:
            raise answers.bad_admin_input(f"fields: no object {kind_name!r}")
        for name in fields:
            if state.schema.any_field(kind, name) is None:
                raise answers.bad_admin_input(f"fields: {kind_name} has no field {name!r}")
    return OutboundSettings(**given)


def _batches(due: list[Notification], size: int) -> list[list[Notification]]:
    """A message holds records of one object, and none twice the same notification."""
    found: list[list[Notification]] = []
    for each in due:
        last = found[-1] if found else []
        fits = last and len(last) < size and last[0].kind == each.kind
        if fits and all(other.notification_id != each.notification_id for other in last):
            last.append(each)
        else:
            found.append([each])
    return found


def _post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    answer = requests.post(url, data=body, headers=headers, timeout=ANSWER_TIMEOUT_SECONDS, allow_redirects=False)
    return answer.status_code, answer.content
