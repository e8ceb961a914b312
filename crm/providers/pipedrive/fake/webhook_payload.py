"""What a webhook says: version 2 (``meta``, ``data``, ``previous``) and 1 (``event``, ``current``, ``previous``).

Pages: https://pipedrive.readme.io/docs/guide-for-webhooks-v2 and https://pipedrive.readme.io/docs/guide-for-webhooks
"""

from __future__ import annotations

from typing import Any, Final

from crm.providers.pipedrive.fake import custom_values
from crm.providers.pipedrive.fake.answers import Json
from crm.providers.pipedrive.fake.shapes import v2_record
from crm.providers.pipedrive.fake.shapes_v1 import v1_record
from crm.providers.pipedrive.fake.state import Event, Record, State
from crm.testing.clock import iso_ms

V1_ACTIONS: Final = {"create": "added", "change": "updated", "delete": "deleted"}


def v2_payload(state: State, event: Event, hook: Json, event_id: str, correlation_id: str) -> Json:
    """All ids in ``meta`` are texts; ``previous`` holds the changed fields only."""
    subject, actor = event.subject, event.actor
    meta: Json = {
        "action": event.action,
        "entity": subject.entity.key,
        "entity_id": str(subject.record_id),
        "company_id": str(state.company_id),
        "id": event_id,
        "correlation_id": correlation_id,
        "is_bulk_edit": actor.is_bulk,
        "timestamp": iso_ms(event.at_ms),
        "type": hook["type"],
        "user_id": str(actor.user_id),
        "version": "2.0",
        "webhook_id": str(hook["id"]),
        "webhook_owner_id": str(hook["owner_id"]),
        "change_source": "api" if actor.source == "api" else "app",
        "attempt": 1,
        "host": f"{state.company_domain}.pipedrive.com",
        "permitted_user_ids": [str(user_id) for user_id in _permitted(state, subject)],
        **event.more,
    }
    after = None if event.record is None else _data(state, event.record)
    before = None if event.before is None else _data(state, event.before)
    if event.action == "change" and after is not None and before is not None:
        before = _difference(before, after)
    return {"meta": meta, "data": after, "previous": before}


def v1_payload(state: State, event: Event, hook: Json) -> Json:
    subject, actor = event.subject, event.actor
    merged = "merged_from_id" in event.more
    action = "merged" if merged else V1_ACTIONS[event.action]
    return {
        "v": 1,
        "matches_filters": {"current": [], "previous": []},
        "meta": {
            "v": 1,
            "action": action,
            "object": subject.entity.key,
            "id": subject.record_id,
            "company_id": state.company_id,
            "user_id": actor.user_id,
            "host": f"{state.company_domain}.pipedrive.com",
            "timestamp": event.at_ms // 1000,
            "timestamp_micro": event.at_ms * 1000,
            "permitted_user_ids": _permitted(state, subject),
            "trans_pending": False,
            "is_bulk_update": actor.is_bulk,
            "pipedrive_service_name": False,
            "change_source": "api" if actor.source == "api" else "app",
            "webhook_id": str(hook["id"]),
        },
        "current": None if event.record is None else v1_record(state, event.record, actor.user_id),
        "previous": None if event.before is None else v1_record(state, event.before, actor.user_id),
        "event": f"{action}.{subject.entity.key}",
        "retry": 0,
    }


def _permitted(state: State, record: Record) -> list[int]:
    return [user_id for user_id in state.users if state.is_visible(record, user_id)]


def _data(state: State, record: Record) -> Json:
    """v2's object, but ``visible_to`` is a text, ``label`` is added and custom values carry their type."""
    shown = v2_record(state, record)
    if "visible_to" in shown:
        shown["visible_to"] = str(shown["visible_to"])
    if "label_ids" in shown:
        shown["label"] = shown["label_ids"][0] if shown["label_ids"] else None
    if record.entity.has_custom_fields:
        known = state.fields.of(record.entity).custom()
        shown["custom_fields"] = {
            code: custom_values.typed(definition, record.custom.get(code)) for code, definition in known.items()
        }
    return shown


def _difference(before: Json, after: Json) -> Json:
    found: dict[str, Any] = {
        name: value for name, value in before.items() if name != "custom_fields" and value != after.get(name)
    }
    if "custom_fields" in before:
        custom = {
            code: value for code, value in before["custom_fields"].items() if value != after["custom_fields"].get(code)
        }
        if custom:
            found["custom_fields"] = custom
    return found
