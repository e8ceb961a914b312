"""Creating, changing and archiving one record: the rules all objects share and those of contacts.

Pages: https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide, .../crm-companies-v3/guide,
.../crm-deals-v3/guide, .../crm-notes-v3/guide, .../crm-tasks-v3/guide, .../crm-communications-v3/guide
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from crm.providers.hubspot.fake import answers
from crm.providers.hubspot.fake.answers import Json, Problem
from crm.providers.hubspot.fake.object_types import COMPANIES, CONTACTS, DEALS, ObjectType
from crm.providers.hubspot.fake.properties import check_values
from crm.providers.hubspot.fake.standard_properties import LIFECYCLE
from crm.providers.hubspot.fake.state import ADDITIONAL_EMAILS, EMAIL, Actor, Record, State
from crm.testing.clock import iso_ms

_ONE_OF: Final = {CONTACTS: ("email", "firstname", "lastname"), COMPANIES: ("name", "domain")}
_ALL_OF: Final = {DEALS: ("dealname", "dealstage")}


@dataclass(frozen=True, slots=True)
class WriteRules:
    """What a path or an account adds: see "CRM API write validation enforcement" in HubSpot's changelog."""

    required: tuple[str, ...] = ()
    refuse_epoch_seconds: bool = False


@dataclass(slots=True)
class Prepared:
    """A write that has passed every check of its values but is not carried out."""

    kind: ObjectType
    values: dict[str, str]
    record: Record | None = None


def prepare(
    state: State, kind: ObjectType, raw: Mapping[str, Any], record: Record | None, rules: WriteRules = WriteRules()
) -> tuple[Prepared, list[Problem]]:
    """Check values without storing; problems are collected, since HubSpot tells them all at once."""
    values, problems = check_values(
        state.registry,
        kind,
        raw,
        present=record.properties if record else {},
        owner_exists=lambda owner_id: any(owner["id"] == owner_id for owner in state.owners),
        refuse_epoch_seconds=rules.refuse_epoch_seconds,
    )
    if kind is CONTACTS:
        _keep_lifecycle_forward(values, record)
        _swap_primary(values, record)
        if values.get(EMAIL) in state.blocked_emails:
            # HubSpot docs: contacts, GDPR delete: a blocklisted address cannot be used again. Code not documented.
            told = f"{values[EMAIL]} was permanently deleted and cannot be used."
            problems.append(Problem(EMAIL, "INVALID_EMAIL", told))
    if record is None:
        given = {name for name, value in values.items() if value} | {problem.name for problem in problems}
        problems.extend(_missing(kind, given, rules.required))
    return Prepared(kind, values, record), problems


def _keep_lifecycle_forward(values: dict[str, str], record: Record | None) -> None:
    """The stage moves forward only; a step back is dropped without a word until it was cleared (contacts guide)."""
    stage, present = values.get("lifecyclestage"), record.properties.get("lifecyclestage") if record else None
    if stage in LIFECYCLE and present in LIFECYCLE and LIFECYCLE.index(stage) < LIFECYCLE.index(present):
        del values["lifecyclestage"]


def _swap_primary(values: dict[str, str], record: Record | None) -> None:
    """A secondary address made the primary one: the two change places."""
    others = record.properties.get(ADDITIONAL_EMAILS, "").split(";") if record else []
    if record is not None and values.get(EMAIL) in others:
        kept = [record.properties.get(EMAIL, ""), *(other for other in others if other != values[EMAIL])]
        values[ADDITIONAL_EMAILS] = ";".join(filter(None, kept))


def _missing(kind: ObjectType, given: set[str], required: tuple[str, ...]) -> list[Problem]:
    one_of = _ONE_OF.get(kind, ())
    if one_of and not given.intersection(one_of):
        told = f"At least one of the following properties is required: {', '.join(one_of)}"
        return [Problem(one_of[0], "REQUIRED_FIELD", told)]
    needed = (*_ALL_OF.get(kind, ()), *(("hs_timestamp",) if kind.is_activity else ()), *required)
    return [
        Problem(name, "REQUIRED_FIELD", f'Property "{name}" is required')
        for name in dict.fromkeys(needed)
        if name not in given
    ]


def refuse_taken(state: State, prepared: Prepared, *, taken: Mapping[tuple[str, str], int] | None = None) -> None:
    """Raise when another record holds one of the unique values: 409 for e-mail, 400 for own unique properties.

    ``taken`` holds the values of earlier inputs of the same batch.
    """
    kind, own_id = prepared.kind, prepared.record.record_id if prepared.record else None
    for name in state.table(kind).unique:
        value = prepared.values.get(name, "").lower()
        if not value:
            continue
        holder = state.holder(kind, name, value)
        if holder is None and taken is not None:
            holder = taken.get((name, value))
        if holder is None or holder == own_id:
            continue
        if name == EMAIL:
            # HubSpot docs: contacts guide, 409; also on changing to the address of another contact.
            raise answers.conflict(kind.label, holder)
        raise answers.not_unique(state.portal_id, kind.type_id, name, value, holder)


def create(state: State, prepared: Prepared, actor: Actor, *, at_ms: int | None = None) -> Record:
    """Carry out a checked creation, now or at ``at_ms``."""
    kind = prepared.kind
    at_ms, record_id = at_ms or state.clock.now_ms(), state.new_id()
    stamp = iso_ms(at_ms)
    own = {name: value for name, value in prepared.values.items() if value}
    record = Record(record_id, kind, created_ms=at_ms, updated_ms=at_ms)
    record.properties = {
        **own,
        kind.created: stamp,
        kind.modified: stamp,
        "hs_object_id": str(record_id),
        "hs_object_source": actor.source,
        "hs_object_source_id": actor.source_id,
        "hs_object_source_label": actor.label or actor.source,
    }
    if kind is CONTACTS:
        record.properties.setdefault("lifecyclestage", "lead")
        record.properties["hs_all_contact_vids"] = str(record_id)
        record.properties["hs_pipeline"] = "contacts-lifecycle-pipeline"
        record.properties["num_notes"] = "0"
    if kind is DEALS:
        record.properties.setdefault("pipeline", "default")
    record.properties.update({name: value for name, value in companions(state, record).items() if value})
    state.insert(record, actor)
    state.note("create", record, actor, at_ms, {name: ("", value) for name, value in own.items()})
    state.tell(kind, "creation", at_ms, actor, objectId=record_id, changeFlag="CREATED")
    tell_changes(state, record, {name: ("", value) for name, value in own.items()}, actor, at_ms)
    _plan_rewrites(state, record, own, actor)
    return record


def update(state: State, prepared: Prepared, actor: Actor, *, op: str = "update", at_ms: int | None = None) -> set[str]:
    """Carry out a checked change; gives the names that changed. Nothing changed means no new time stamp."""
    record = prepared.record
    if record is None:
        raise ValueError("update needs a record")
    at_ms = at_ms or state.clock.now_ms()
    changed = state.put_values(record, prepared.values, actor, at_ms)
    if changed:
        follow_up(state, record, at_ms)
    state.note(op, record, actor, at_ms, changed)
    tell_changes(state, record, changed, actor, at_ms)
    _plan_rewrites(state, record, {name: pair[1] for name, pair in changed.items()}, actor)
    return set(changed)


def follow_up(state: State, record: Record, at_ms: int) -> None:
    """What HubSpot recomputes after a change, and the new modification time."""
    computed = companions(state, record)
    if "hubspot_owner_id" in record.history and record.history["hubspot_owner_id"][-1].at_ms == at_ms:
        computed["hubspot_owner_assigneddate"] = iso_ms(at_ms)
    state.put_values(record, computed, Actor("CALCULATED", "CalculatedPropertyComputer"), at_ms)
    state.stamp(record, at_ms)


def archive(state: State, record: Record, actor: Actor) -> None:
    at_ms = state.clock.now_ms()
    state.archive(record, at_ms)
    state.note("archive", record, actor, at_ms, {})
    state.tell(record.kind, "deletion", at_ms, actor, objectId=record.record_id, changeFlag="DELETED")


def restore(state: State, record: Record, actor: Actor) -> None:
    """From the recycle bin, same id (HubSpot docs: webhooks, ``contact.restore``). Only the UI can."""
    for name in state.table(record.kind).unique:
        for value in record.emails() if name == EMAIL else [record.properties.get(name, "")]:
            holder = state.holder(record.kind, name, value) if value else None
            if holder is not None:
                raise answers.conflict(record.kind.label, holder)
    at_ms = state.clock.now_ms()
    state.restore(record)
    state.stamp(record, at_ms)
    state.note("restore", record, actor, at_ms, {})
    state.tell(record.kind, "restore", at_ms, actor, objectId=record.record_id, changeFlag="RESTORED")


def companions(state: State, record: Record) -> dict[str, str]:
    """The values HubSpot computes from others; ``""`` where there is nothing to compute from."""
    own = record.properties
    if record.kind.is_activity:
        body = next((own[name] for name in own if name.endswith("_body")), "")
        preview = re.sub(r"<[^>]*>", "", body)[:512]
        return {"hs_body_preview": preview, "hs_body_preview_html": body[:512]}
    if record.kind is not CONTACTS:
        return {}
    email = own.get(EMAIL, "")
    full_name = " ".join(own[name] for name in ("firstname", "lastname") if own.get(name))
    values = {
        "hs_email_domain": email.rpartition("@")[2],
        "hs_full_name_or_email": full_name or email,
        "hs_is_contact": "true",
        "hs_is_unworked": "true",
        "hs_email_optout": _opt_out_value(state, own),
    }
    for source, target in (("phone", "phone_number"), ("mobilephone", "mobile_number")):
        digits = re.sub(r"\D", "", own.get(source, ""))
        values[f"hs_calculated_{target}"] = digits and f"+{digits}"
        values[f"hs_searchable_calculated_{target}"] = digits[-10:]
    return values


def _opt_out_value(state: State, own: Mapping[str, str]) -> str:
    """Follows the subscriptions of the primary address; ``false`` only where there was a value before."""
    if state.opt_outs.get(own.get(EMAIL, ""), {}).get("all"):
        return "true"
    return "false" if own.get("hs_email_optout") else ""


def tell_changes(
    state: State, record: Record, changed: Mapping[str, tuple[str, str]], actor: Actor, at_ms: int
) -> None:
    """One webhook event for each property (HubSpot docs: webhooks, ``propertyChange``)."""
    for name, (_, value) in changed.items():
        detail = {"objectId": record.record_id, "propertyName": name, "propertyValue": value}
        state.tell(record.kind, "propertyChange", at_ms, actor, **detail)


def _plan_rewrites(state: State, record: Record, values: Mapping[str, str], actor: Actor) -> None:
    if actor.source != "AUTOMATION_PLATFORM" and values:
        state.rewrites_due.append((record, tuple(values)))


def object_json(
    record: Record, names: list[str] | tuple[str, ...], with_history: list[str] | None = None, *, portal_id: int = 0
) -> Json:
    """The envelope of a record; names that are known but empty are null. Names are already filtered."""
    own = record.properties
    shown: Json = {
        "id": str(record.record_id),
        "properties": {name: own.get(name) for name in names},
        "createdAt": iso_ms(record.created_ms),
        "updatedAt": iso_ms(record.updated_ms),
        "archived": record.archived_ms is not None,
    }
    if record.archived_ms is not None:
        shown["archivedAt"] = iso_ms(record.archived_ms)
    if portal_id:
        shown["url"] = f"https://app.hubspot.com/contacts/{portal_id}/record/{record.kind.type_id}/{record.record_id}"
    if with_history:
        shown["propertiesWithHistory"] = {
            name: [_version_json(version) for version in reversed(record.history.get(name, ()))]
            for name in with_history
        }
    return shown


def _version_json(version: tuple[str, int, Actor]) -> Json:
    value, at_ms, actor = version
    shown: Json = {
        "value": value,
        "timestamp": iso_ms(at_ms),
        "sourceType": actor.source,
        "sourceId": actor.source_id,
    }
    if actor.label:
        shown["sourceLabel"] = actor.label
    if actor.user_id is not None:
        shown["updatedByUserId"] = actor.user_id
    return shown


def written_json(record: Record, prepared: Prepared, portal_id: int) -> Json:
    """The answer to a write: what was set and what HubSpot computed, not the whole record."""
    computed = ("hs_object_id", record.kind.created, record.kind.modified, "hs_merged_object_ids", ADDITIONAL_EMAILS)
    if prepared.record is None:
        names = list(record.properties)
    else:
        names = [
            *prepared.values,
            *(name for name in (*computed, *companions_shown(record)) if name in record.properties),
        ]
    shown = object_json(record, list(dict.fromkeys(names)), portal_id=portal_id)
    for name, value in prepared.values.items():
        if value == "" and name in shown["properties"]:
            shown["properties"][name] = ""
    return shown


def companions_shown(record: Record) -> tuple[str, ...]:
    return ("hs_full_name_or_email", "hs_is_contact", "lifecyclestage") if record.kind is CONTACTS else ()
