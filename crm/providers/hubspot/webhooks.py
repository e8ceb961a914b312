"""HubSpot's webhook deliveries: whether one is genuine, and which records it says to read again. Pure.

https://developers.hubspot.com/docs/api-reference/webhooks-webhooks-v3/guide (checked 2026-11). Deliveries come at
least once, in no order, up to 100 events in one array, one event for each property: hints, never values.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from crm.errors import WebhookRejectedError
from crm.http.redact import Secret
from crm.http.signatures import verify_v3
from crm.providers.base import ChangeHint, Delivery, HintKind
from crm.providers.hubspot import mapping

STEPS: Final = (
    "Open your app in HubSpot's developer pages and go to its webhooks (a project app: app/webhooks/*-hsmeta.json).",
    "Set the target URL to {address} and the concurrency to 10. One address serves every account of the app.",
    "Subscribe to contact.creation, contact.deletion, contact.merge, contact.restore and contact.privacyDeletion.",
    "Subscribe to contact.propertyChange for each property that is mapped; HubSpot wants one for each.",
    "Activate the subscriptions: new ones start paused. Deliveries are signed with the app's client secret.",
)
MAX_EVENTS: Final = 1_000
"""HubSpot sends up to 100."""
_SIGNATURE: Final = "x-hubspot-signature-v3"
_TIMESTAMP: Final = "x-hubspot-request-timestamp"
_CONTACT_TYPE_ID: Final = "0-1"
_KINDS: Final[Mapping[str, HintKind]] = {
    "creation": HintKind.CREATED,
    "propertyChange": HintKind.CHANGED,
    "deletion": HintKind.DELETED,
    "restore": HintKind.RESTORED,
    "merge": HintKind.MERGED,
    "privacyDeletion": HintKind.ERASED,
}
_UNUSED: Final = frozenset({"associationChange"})
_OTHER_OBJECTS: Final = frozenset({"company", "deal", "ticket", "product", "line_item", "conversation"})


def verify(*, method: str, url: str, headers: Mapping[str, str], body: bytes, secret: Secret, now: datetime) -> None:
    """Accept only the v3 signature, no older than five minutes; v1, sent beside it, can be replayed.

    ``secret`` is the app's client secret. ``url`` is the public address as HubSpot calls it.
    """
    named = {name.lower(): value for name, value in headers.items()}
    verify_v3(
        secret=secret,
        method=method,
        uri=url,
        body=body,
        timestamp=named.get(_TIMESTAMP, ""),
        signature=named.get(_SIGNATURE, ""),
        now_seconds=now.timestamp(),
    )


def parse(body: bytes) -> Delivery:
    """The hints of one verified body; raises WebhookRejectedError when it is no array of events."""
    try:
        events = json.loads(body)
    except (ValueError, RecursionError):
        raise WebhookRejectedError("The delivery is no JSON", code="webhook.malformed") from None
    if not isinstance(events, list) or len(events) > MAX_EVENTS:
        raise WebhookRejectedError("The delivery is no array of events", code="webhook.malformed")
    hints: list[ChangeHint] = []
    ignored: list[str] = []
    unknown: list[str] = []
    for event in events:
        name = _event_name(event)
        subject, _, what = name.partition(".")
        is_contact = subject == "contact" or (subject == "object" and event.get("objectTypeId") == _CONTACT_TYPE_ID)
        if subject in _OTHER_OBJECTS or (subject == "object" and not is_contact) or (is_contact and what in _UNUSED):
            ignored.append(name)
        elif is_contact and what in _KINDS and (hint := _hint(event, _KINDS[what])) is not None:
            hints.append(hint)
        else:
            unknown.append(name[:100])
    return Delivery(tuple(hints), tuple(ignored), tuple(unknown))


def _event_name(event: Any) -> str:
    """Deliveries say ``subscriptionType``, the documentation's sample ``eventType``."""
    if not isinstance(event, dict):
        return "?"
    name = event.get("subscriptionType") or event.get("eventType")
    return name if isinstance(name, str) and name else "?"


def _hint(event: Mapping[str, Any], kind: HintKind) -> ChangeHint | None:
    """``None`` when the event does not say which record of which account it is about."""
    account = _id(event.get("portalId"))
    remote_id = _id(event.get("objectId"))
    former: tuple[str, ...] = ()
    if kind is HintKind.MERGED:
        survivor = _id(event.get("newObjectId")) or _id(event.get("primaryObjectId")) or remote_id
        merged = event.get("mergedObjectIds")
        ids = [_id(event.get("primaryObjectId")), *map(_id, merged if isinstance(merged, list) else [])]
        former = tuple(dict.fromkeys(each for each in ids if each and each != survivor))
        remote_id = survivor
    if not account or not remote_id:
        return None
    source, source_id = event.get("changeSource"), _id(event.get("sourceId"))
    return ChangeHint(
        remote_account_id=account,
        record_type=mapping.CONTACTS,
        remote_id=remote_id,
        kind=kind,
        event_key=_event_key(event, kind),
        at=mapping.moment(_id(event.get("occurredAt"))),
        former_ids=former,
        maybe_ours=source == "INTEGRATION" and bool(source_id) and source_id == _id(event.get("appId")),
    )


def _event_key(event: Mapping[str, Any], kind: HintKind) -> str:
    """A digest, since ``eventId`` is not unique and the value in the event is contact data."""
    names = ("portalId", "subscriptionId", "objectId", "newObjectId", "occurredAt", "propertyName", "propertyValue")
    parts = [kind.value, *(str(event.get(name, "")) for name in names)]
    return hashlib.sha256(json.dumps(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _id(value: Any) -> str:
    """Numbers in deliveries, texts elsewhere."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
