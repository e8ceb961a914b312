"""What one unit of a run works with, and the few things every phase does with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crm.engine.rulebook import Rulebook
from crm.errors import MappingError
from crm.model import (
    UNKNOWN,
    Action,
    Evidence,
    FieldTrouble,
    Interval,
    LinkView,
    Mode,
    Observation,
    RemoteRecord,
    RunState,
    Value,
)
from crm.normalize import email_key, phone_key
from crm.ports import Connector, SyncStore, Unit

PAGE = 200
"""Records a unit of work handles at most: seconds long, committed with its position."""
MATCH_PAGE = 1000
"""Records that look for a partner at once. No CRM is asked meanwhile, so what a unit costs is what counts."""


@dataclass(frozen=True, slots=True)
class Ports:
    """One connection, assembled."""

    store: SyncStore
    connector: Connector
    books: Mapping[str, Rulebook]
    """By record type."""
    organization_id: str
    create_type: str
    """Record type that new contacts become."""
    mode: Mode = Mode.SYNC
    fresh_seconds: float = 30.0
    """A record read longer ago than this is read again before it is written."""

    def book(self, run: RunState) -> Rulebook:
        """The rules of the record type that the run's current phase is at."""
        return self.books[run.record_types[run.position.get("type", 0)]]


def page_limit(run: RunState, page: int = PAGE) -> int:
    """Records of the next unit of work: a page, or the part of it that is still hoped to work (``quarantine``)."""
    return int(run.position.get("span", page))


@dataclass(frozen=True, slots=True)
class Keys:
    """Match keys of a record or a contact; empty where there is none."""

    email: str = ""
    phone: str = ""


def record_keys(record: RemoteRecord, book: Rulebook) -> Keys:
    """A record's match keys by the mapping: what it would be in the app."""
    return Keys(
        email=email_key(_as_app_text(record, book, "email")) or "",
        phone=phone_key(_as_app_text(record, book, "phone"), book.region) or "",
    )


def contact_keys(values: Mapping[str, Value], book: Rulebook) -> Keys:
    email, phone = values.get("email"), values.get("phone")
    return Keys(
        email=email_key(email if isinstance(email, str) else "") or "",
        phone=phone_key(phone if isinstance(phone, str) else "", book.region) or "",
    )


def observation(record: RemoteRecord, book: Rulebook, link_id: str = "", reason_code: str = "") -> Observation:
    keys = record_keys(record, book)
    return Observation(record, link_id, keys.email, keys.phone, reason_code or record.skip_reason)


def remembered_record(view: LinkView, book: Rulebook) -> RemoteRecord:
    """The record as we last knew it: what was observed, else the CRM's half of the base."""
    link = view.link
    values: dict[str, Value] = {}
    for field_map in book.maps:
        pair = link.base.get(field_map.mapping_id)
        if pair is not None and not pair.unread:
            values[field_map.remote_field] = pair.crm
    if link.observed is not None:
        values.update(link.observed)
    return RemoteRecord(link.record_type, link.remote_id, values, modified_at=link.remote_modified_at)


def gather_evidence(
    ports: Ports, book: Rulebook, contested: Sequence[tuple[str, RemoteRecord, LinkView | None, tuple[str, ...]]]
) -> dict[str, Evidence]:
    """Remote id -> when the contested fields changed, on both sides.

    ``contested``: (contact id, record, link or None, mapping ids). One bulk read of our change log
    and one of the CRM's field history, whatever the number of records.
    """
    if not contested:
        return {}
    with ports.store.unit() as unit:
        changes = unit.app_changes([contact_id for contact_id, *_ in contested])
    return weigh_evidence(ports, book, contested, changes)


def weigh_evidence(
    ports: Ports,
    book: Rulebook,
    contested: Sequence[tuple[str, RemoteRecord, LinkView | None, tuple[str, ...]]],
    changes: Mapping[str, Mapping[str, Interval]],
) -> dict[str, Evidence]:
    """``gather_evidence`` with our change log read already: ``changes`` by contact id."""
    if not contested:
        return {}
    by_id = book.by_id
    history: Mapping[str, Mapping[str, Interval]] = {}
    if ports.connector.capabilities.field_history:
        wanted = {by_id[mapping_id].remote_field for *_, mapping_ids in contested for mapping_id in mapping_ids}
        answer = ports.connector.field_history(
            book.record_type, [record.remote_id for _, record, *_ in contested], sorted(wanted)
        )
        history = {
            remote_id: {
                name: Interval(entries[0].at, entries[0].at, entries[0].imported)
                for name, entries in fields.items()
                if entries
            }
            for remote_id, fields in answer.items()
        }
    result: dict[str, Evidence] = {}
    for contact_id, record, view, mapping_ids in contested:
        since = view.link.remote_modified_at if view is not None else None
        known = history.get(record.remote_id, {})
        crm = {
            name: known.get(name) or Interval(since, record.modified_at)
            for name in (by_id[mapping_id].remote_field for mapping_id in mapping_ids)
        }
        result[record.remote_id] = Evidence(app=changes.get(contact_id, {}), crm=crm)
    return result


def store_lines(unit: Unit, run: RunState, actions: Sequence[Action]) -> None:
    """A planned page, with the run's position behind it."""
    if actions:
        unit.add_lines(run.run_id, run.plan_id, actions)
    run.counts.planned += len(actions)
    unit.save_run(run)


def troubles_code(troubles: Mapping[str, FieldTrouble]) -> str:
    """The code that a link shows for its refused fields: the first by mapping id."""
    return troubles[min(troubles)].code if troubles else ""


def _as_app_text(record: RemoteRecord, book: Rulebook, app_field: str) -> str:
    for field_map in book.maps:
        if field_map.app_field != app_field:
            continue
        value = record.values.get(field_map.remote_field, UNKNOWN)
        if isinstance(value, str):
            try:
                mapped = field_map.from_crm(value)
            except MappingError:
                mapped = value
            return mapped if isinstance(mapped, str) else ""
    return ""
