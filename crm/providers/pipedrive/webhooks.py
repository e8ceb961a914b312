"""Pipedrive's webhook deliveries: whether one is genuine, and which record it says to read again. Pure.

https://pipedrive.readme.io/docs/guide-for-webhooks-v2 (checked 2026-09). Nothing is signed: HTTP Basic credentials
that we gave at subscription are the only proof. One event a delivery, up to four tries, in no promised order: hints,
never values.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from crm.errors import WebhookRejectedError
from crm.http.redact import Secret
from crm.http.signatures import verify_basic
from crm.providers.base import ChangeHint, Delivery, HintKind
from crm.providers.pipedrive import mapping
from crm.providers.pipedrive.objects import PERSONS

USERNAME: Final = "adsapp"
"""What subscriptions give as ``http_auth_user``; the password is the connection's webhook secret."""
_KINDS: Final[Mapping[str, HintKind]] = {
    "create": HintKind.CREATED,
    "change": HintKind.CHANGED,
    "delete": HintKind.DELETED,
}
_OTHER_ENTITIES: Final = frozenset({
    "activity", "board", "deal", "deal_installment", "deal_product", "lead", "note", "organization", "phase",
    "pipeline", "product", "project", "stage", "task", "user",
})  # fmt: skip


def verify(*, method: str, url: str, headers: Mapping[str, str], body: bytes, secret: Secret, now: datetime) -> None:
    """Accept only our own credentials. Nothing says when it was sent: repeats are told by ``event_key``."""
    del method, url, body, now
    named = {name.lower(): value for name, value in headers.items()}
    if not secret:
        raise WebhookRejectedError("No secret is set to check the delivery with", code="webhook.no_secret")
    verify_basic(header=named.get("authorization", ""), username=USERNAME, password=secret)


def parse(body: bytes) -> Delivery:
    """The hint of one verified body; raises WebhookRejectedError when it is no event of version 2."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        raise WebhookRejectedError("The delivery is no JSON", code="webhook.malformed") from None
    meta = event.get("meta") if isinstance(event, dict) else None
    if not isinstance(meta, dict):
        raise WebhookRejectedError("The delivery is no event", code="webhook.malformed")
    entity, action = _text(meta.get("entity") or meta.get("object")), _text(meta.get("action"))
    name = f"{entity or '?'}.{action or '?'}"[:100]
    if entity in _OTHER_ENTITIES:
        return Delivery((), ignored=(name,))
    hint = _hint(meta, _KINDS[action]) if entity == "person" and action in _KINDS else None
    return Delivery((), unknown=(name,)) if hint is None else Delivery((hint,))


def _hint(meta: Mapping[str, Any], kind: HintKind) -> ChangeHint | None:
    """``None`` when the event does not say which record of which account it is about. A merge is told twice: the lost
    record's deletion names the survivor, the survivor's change names the lost one.
    """
    account, remote_id = _text(meta.get("company_id")), _text(meta.get("entity_id"))
    if not account or not remote_id:
        return None
    former: tuple[str, ...] = ()
    merged_to, merged_from = _text(meta.get("merged_to_id")), _text(meta.get("merged_from_id"))
    if merged_to and merged_to != remote_id:
        kind, former, remote_id = HintKind.MERGED, (remote_id,), merged_to
    elif merged_from and merged_from != remote_id:
        kind, former = HintKind.MERGED, (merged_from,)
    user, owner = _text(meta.get("user_id")), _text(meta.get("webhook_owner_id"))
    return ChangeHint(
        remote_account_id=account,
        record_type=PERSONS,
        remote_id=remote_id,
        kind=kind,
        event_key=_event_key(meta),
        at=mapping.moment(meta.get("timestamp")),
        former_ids=former,
        maybe_ours=meta.get("change_source") == "api" and bool(user) and user == owner,
    )


def _event_key(meta: Mapping[str, Any]) -> str:
    """Without ``id`` and ``attempt``: whether a repeated delivery keeps its id is not documented."""
    names = ("company_id", "webhook_id", "entity", "entity_id", "action", "timestamp", "correlation_id")
    parts = [str(meta.get(name, "")) for name in names]
    return hashlib.sha256(json.dumps(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _text(value: Any) -> str:
    """Texts in version 2, numbers in version 1."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
