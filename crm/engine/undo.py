"""Take back what a run did, as a plan like any other.

For each field effect the wanted value is what was there before and the condition is that the
run's value still stands. Afterwards the pair then held by both sides is the base, an agreed
difference: nothing moves again until a person edits one of them. What a CRM cannot give back (a
deletion, a merge), what somebody has touched since, and an opt-out are listed, not forced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from crm.engine.context import PAGE, Ports
from crm.engine.digest import digest_base, digest_record
from crm.engine.rulebook import Rulebook
from crm.errors import MappingError
from crm.mapping.field_map import FieldMap
from crm.model import (
    Action,
    ActionKind,
    ContactState,
    Effect,
    LedgerEntry,
    LinkState,
    LinkView,
    Precondition,
    RemoteRecord,
    RemoteState,
    Rule,
    RunState,
    Side,
)

GONE = "undo.gone"
TOUCHED = "undo.touched"
MERGED = "undo.merged"
OPT_OUT = "undo.opt_out"


@dataclass(frozen=True, slots=True)
class NotUndoable:
    """Something of the run that stays as it is, and the code that says why."""

    contact_id: str
    remote_id: str
    app_field: str
    code: str


@dataclass(frozen=True, slots=True)
class UndoPlan:
    actions: tuple[Action, ...]
    not_undoable: tuple[NotUndoable, ...]


def plan_undo(
    entries: Sequence[LedgerEntry],
    views: Mapping[str, LinkView],
    records: Mapping[tuple[str, str], RemoteRecord],
    books: Mapping[str, Rulebook],
) -> UndoPlan:
    """``entries`` of one run, newest first; ``views`` by link id and ``records`` by (type, id) as they are now."""
    by_link: dict[str, list[LedgerEntry]] = {}
    for entry in entries:
        by_link.setdefault(entry.link_id, []).append(entry)
    actions: list[Action] = []
    kept: list[NotUndoable] = []
    for link_id, history in by_link.items():
        view = views.get(link_id)
        newest = history[0]
        record = records.get((newest.action.record_type, newest.remote_id))
        book = books.get(newest.action.record_type)
        if view is None or book is None:
            kept.append(_whole(newest, GONE))
            continue
        action = _undo_link(history, view, record, book, kept)
        if action is not None:
            actions.append(action)
    return UndoPlan(tuple(actions), tuple(kept))


def read_undo(undone_run_id: str, ports: Ports) -> UndoPlan:
    """What takes another run back, against both sides as they are now; nothing is stored."""
    with ports.store.unit() as unit:
        entries: list[LedgerEntry] = []
        after = ""
        while page := unit.ledger_of(undone_run_id, after, PAGE):
            entries.extend(entry for _, entry in page)
            after = page[-1][0]
        views = {view.link.link_id: view for view in unit.links(sorted({entry.link_id for entry in entries}))}
    records: dict[tuple[str, str], RemoteRecord] = {}
    for record_type, book in ports.books.items():
        ids = sorted({entry.remote_id for entry in entries if entry.action.record_type == record_type} - {""})
        for start in range(0, len(ids), PAGE):
            page_ids = ids[start : start + PAGE]
            found = ports.connector.fetch(record_type, page_ids, book.remote_fields)
            records.update({(record_type, remote_id): record for remote_id, record in found.items()})
    return plan_undo(entries, views, records, ports.books)


def store_undo(plan: UndoPlan, run: RunState, ports: Ports) -> None:
    """Fill the plan of ``run`` and store the run with it: a worker that dies has done both or nothing."""
    with ports.store.unit() as unit:
        for start in range(0, len(plan.actions), PAGE):
            unit.add_lines(run.run_id, run.plan_id, plan.actions[start : start + PAGE])
        run.counts.planned += len(plan.actions)
        unit.save_run(run)


def _undo_link(
    history: Sequence[LedgerEntry],
    view: LinkView,
    record: RemoteRecord | None,
    book: Rulebook,
    kept: list[NotUndoable],
) -> Action | None:
    """One action for all that the run did to one pair, or None."""
    first = history[-1]
    kinds = {entry.action.kind for entry in history}
    if ActionKind.RELINK in kinds:
        kept.append(_whole(history[0], MERGED))
        return None
    if ActionKind.UNLINK in kinds or ActionKind.DELETE_IN_CRM in kinds or ActionKind.DELETE_IN_APP in kinds:
        kept.append(_whole(history[0], GONE))
        return None
    if record is None or record.state is not RemoteState.LIVE or view.contact.state is not ContactState.LIVE:
        kept.append(_whole(history[0], GONE))
        return None
    if first.action.kind is ActionKind.CREATE_IN_CRM:
        return _undo_creation(ActionKind.DELETE_IN_CRM, history, view, record, book, kept)
    if first.action.kind is ActionKind.CREATE_IN_APP:
        return _undo_creation(ActionKind.DELETE_IN_APP, history, view, record, book, kept)
    effects = _undo_fields(history, view, record, book, kept)
    linked_now = first.action.kind is ActionKind.LINK
    if not effects and not linked_now:
        return None
    return Action(
        kind=ActionKind.UNLINK if linked_now else ActionKind.SYNC,
        record_type=book.record_type,
        contact_id=view.contact.contact_id,
        remote_id=record.remote_id,
        link_id=view.link.link_id,
        rule=Rule.UNDO,
        effects=tuple(effects),
        link_state=LinkState.UNLINKED if linked_now else LinkState.LIVE,
        before=_precondition(view, record, book),
        explicit=True,
    )


def _undo_creation(
    kind: ActionKind,
    history: Sequence[LedgerEntry],
    view: LinkView,
    record: RemoteRecord,
    book: Rulebook,
    kept: list[NotUndoable],
) -> Action | None:
    """What the run made is taken away only while nobody has touched it since."""
    maps = book.by_id
    touched = view.contact.version != history[0].contact_version or not all(
        _crm_holds(effect, record, maps) for entry in history[:1] for effect in entry.action.effects
    )
    if touched:
        kept.append(_whole(history[0], TOUCHED))
        return None
    return Action(
        kind=kind,
        record_type=book.record_type,
        contact_id=view.contact.contact_id,
        remote_id=record.remote_id,
        link_id=view.link.link_id,
        rule=Rule.UNDO,
        link_state=LinkState.UNLINKED,
        before=_precondition(view, record, book),
        explicit=True,
    )


def _undo_fields(
    history: Sequence[LedgerEntry],
    view: LinkView,
    record: RemoteRecord,
    book: Rulebook,
    kept: list[NotUndoable],
) -> list[Effect]:
    """Per field: back to the value before the run's first effect, if its last one still stands."""
    maps = book.by_id
    last: dict[tuple[str, Side], Effect] = {}
    earliest: dict[tuple[str, Side], Effect] = {}
    for entry in history:
        for effect in entry.action.effects:
            if effect.side is not None:
                last.setdefault((effect.mapping_id, effect.side), effect)
                earliest[effect.mapping_id, effect.side] = effect
    effects: list[Effect] = []
    for key, effect in last.items():
        field_map = maps.get(effect.mapping_id)
        before = earliest[key].before
        if field_map is None:
            kept.append(_field(view, effect, GONE))
            continue
        if field_map.consent and _opted_out(field_map, effect) and not _truthy(before):
            kept.append(_field(view, effect, OPT_OUT))
            continue
        app_now = view.contact.values.get(effect.app_field)
        crm_now = record.values.get(effect.remote_field)
        if effect.side is Side.APP:
            stands = field_map.canonical_app(app_now) == field_map.canonical_app(effect.after)
            undone = replace(effect, before=app_now, after=before, app_value=before, crm_value=crm_now)
        else:
            stands = field_map.canonical_crm(crm_now) == field_map.canonical_crm(effect.crm_value)
            undone = replace(effect, before=crm_now, after=before, app_value=app_now, crm_value=before)
        if stands:
            effects.append(replace(undone, rule=Rule.UNDO, lost=None, overrules=False))
        else:
            kept.append(_field(view, effect, TOUCHED))
    return effects


def _crm_holds(effect: Effect, record: RemoteRecord, maps: Mapping[str, FieldMap]) -> bool:
    field_map = maps.get(effect.mapping_id)
    if field_map is None or effect.remote_field not in record.values:
        return True
    now = field_map.canonical_crm(record.values[effect.remote_field])
    return now == field_map.canonical_crm(effect.crm_value)


def _opted_out(field_map: FieldMap, effect: Effect) -> bool:
    if effect.side is Side.APP:
        return _truthy(effect.after)
    try:
        return _truthy(field_map.from_crm(effect.crm_value))
    except MappingError:
        return True


def _truthy(value: object) -> bool:
    return bool(value)


def _precondition(view: LinkView, record: RemoteRecord, book: Rulebook) -> Precondition:
    return Precondition(
        app_version=view.contact.version,
        remote_digest=digest_record(record, book.remote_fields),
        base_digest=digest_base(view.link.base),
        rules_digest=book.digest,
        remote_modified_at=record.modified_at,
    )


def _whole(entry: LedgerEntry, code: str) -> NotUndoable:
    return NotUndoable(entry.contact_id, entry.remote_id, "", code)


def _field(view: LinkView, effect: Effect, code: str) -> NotUndoable:
    return NotUndoable(view.contact.contact_id, view.link.remote_id, effect.app_field, code)
