"""Writes whose answer was lost, or whose worker died: look first, then decide.

A create is looked up by its marker with a direct read, never the search index; where the CRM
answers no such question, by what any run reads: it stays open, and its contact gets nothing else,
until a record shows its marker or a complete scan has not shown it. An update is looked up by
reading the record. What is found is evidence: a field that holds what was sent is confirmed, a
field that does not keeps its old base and is decided again. Only when the direct read says that
nothing happened is the record free to be planned again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from crm.engine.context import Ports
from crm.engine.match import resolve_lost
from crm.engine.rulebook import Rulebook
from crm.engine.send import confirmed_effects, trust_record
from crm.engine.taken import wait_for_person
from crm.mapping.field_map import FieldMap
from crm.model import (
    UNKNOWN,
    ActionKind,
    BasePair,
    Effect,
    Intent,
    IntentKind,
    IntentStatus,
    LedgerEntry,
    Link,
    LinkState,
    LinkView,
    RemoteRecord,
    RemoteState,
    RunKind,
    RunState,
    Seen,
    Side,
    Unknown,
)
from crm.ports import Unit

PAGE = 100


def settle_open_intents(run: RunState, ports: Ports) -> bool:
    """One page; True when no open intent is left that this worker may settle."""
    with ports.store.unit() as unit:
        intents = take_intents(unit)
    settle_intents(intents, run, ports)
    return len(intents) < PAGE


def take_intents(unit: Unit) -> list[Intent]:
    """A page of open intents for ``settle_intents``; they are this worker's once the unit has ended."""
    return unit.take_open_intents(PAGE)


def settle_intents(intents: Sequence[Intent], run: RunState, ports: Ports) -> None:
    """Look up what became of them, and store it with the run."""
    for record_type in dict.fromkeys(intent.action.record_type for intent in intents):
        book = ports.books.get(record_type)
        if book is not None:
            group = [intent for intent in intents if intent.action.record_type == record_type]
            _settle(group, run, book, ports)


def settle_shown(run: RunState, shown: Sequence[tuple[RemoteRecord, Sequence[LinkView]]], ports: Ports) -> bool:
    """Creates that no direct read can tell of, and whose record this run has read: with its links. True when one
    was settled; the record may have a link since.

    A record with a create's own marker was made by it. Has it become another contact's (a person merged records),
    a person is asked; so they are about one without a marker that took in another's and holds what was sent.
    """
    unknown: dict[str, str] = run.position.get("unknown", {})
    live = [(record, views) for record, views in shown if record.state is RemoteState.LIVE] if unknown else []
    if not live:
        return False
    with ports.store.unit() as unit:
        intents = [each for name in ports.books for each in unit.open_creates(name) if each.intent_id in unknown]
    found: dict[str, RemoteRecord] = {}
    taken: dict[str, RemoteRecord] = {}
    for intent in intents:
        for record, views in live:
            if record.record_type != intent.action.record_type:
                continue
            others = any(view.contact.contact_id != intent.action.contact_id for view in views)
            if record.marker and record.marker == intent.marker:
                (taken if others else found).setdefault(intent.intent_id, record)
            elif (
                others
                and _came_by_merge(record, views)
                and resolve_lost(record, {intent.intent_id: intent.values}).contact_id
            ):
                taken.setdefault(intent.intent_id, record)
    if not found and not taken:
        return False
    settle_found([each for each in intents if each.intent_id in found | taken], found, run, ports, taken)
    return True


def _came_by_merge(record: RemoteRecord, views: Sequence[LinkView]) -> bool:
    """Nobody's so far, and about to become a contact's whose own record was merged into it."""
    return all(view.link.remote_id != record.remote_id for view in views)


def settle_found(
    intents: Sequence[Intent],
    found: Mapping[str, RemoteRecord],
    run: RunState,
    ports: Ports,
    taken: Mapping[str, RemoteRecord] | None = None,
) -> None:
    """Creates whose records a run has come upon, by intent id; those in ``taken`` are another contact's by now."""
    lost = {} if taken is None else taken
    leave_unknown(run, found.keys() | lost.keys())
    for record_type in dict.fromkeys(intent.action.record_type for intent in intents):
        group = [intent for intent in intents if intent.action.record_type == record_type]
        with ports.store.unit() as unit:
            still_open = unit.lock_open_intents([intent.intent_id for intent in group])
            mine = [intent for intent in group if intent.intent_id in still_open]
            gone = [(intent, lost[intent.intent_id].remote_id) for intent in mine if intent.intent_id in lost]
            _wait(unit, gone, run)
            unit.settle_intents([(intent.intent_id, IntentStatus.RESOLVED, "") for intent, _ in gone])
            held = [intent for intent in mine if intent.intent_id not in lost]
            _store(unit, held, found, run, ports.books[record_type])


def end_unproven(run: RunState, book: Rulebook, ports: Ports) -> None:
    """Creates that no direct read can tell of, when a complete scan that began after them has been paired: it has
    not shown their records, and their contacts are free again.
    """
    unknown: dict[str, str] = run.position.get("unknown", {})
    if run.kind is not RunKind.FULL or not unknown:
        return
    with ports.store.unit() as unit:
        ended = [each.intent_id for each in unit.open_creates(book.record_type) if each.intent_id in unknown]
        unit.settle_intents([(intent_id, IntentStatus.RESOLVED, "") for intent_id in ended])
        leave_unknown(run, ended)
        unit.save_run(run)


def leave_unknown(run: RunState, intent_ids: Collection[str]) -> None:
    """Creates that this run has settled, or does not settle any more."""
    left = {key: contact_id for key, contact_id in run.position.get("unknown", {}).items() if key not in intent_ids}
    run.position = {**run.position, "unknown": left}


def _wait(unit: Unit, taken: Sequence[tuple[Intent, str]], run: RunState) -> None:
    """Contacts whose record has become another contact's; those that have found a partner meanwhile are left alone."""
    if not taken:
        return
    views = {view.link.link_id: view.link for view in unit.links([intent.action.link_id for intent, _ in taken])}
    waiting = [
        wait_for_person(intent.action, views.get(intent.action.link_id), intent.app_version, remote_id)
        for intent, remote_id in taken
    ]
    refused = {link_id for link_id, code in unit.save_links([link for link, _ in waiting]).items() if code}
    questions = [question for link, question in waiting if link.link_id not in refused]
    if questions:
        run.counts.conflicts += unit.save_conflicts(run.run_id, questions)


def _settle(intents: Sequence[Intent], run: RunState, book: Rulebook, ports: Ports) -> None:
    found: dict[str, RemoteRecord | None] = {}
    known = [intent for intent in intents if intent.kind is not IntentKind.CREATE]
    if known:
        ids = list(dict.fromkeys(intent.action.remote_id for intent in known))
        records = ports.connector.fetch(book.record_type, ids, book.remote_fields)
        found.update({intent.intent_id: records[intent.action.remote_id] for intent in known})
    creates = [intent for intent in intents if intent.kind is IntentKind.CREATE]
    if creates and ports.connector.capabilities.marker_lookup:
        markers = list(dict.fromkeys(intent.marker for intent in creates))
        marked = ports.connector.find_by_markers(book.record_type, markers, book.remote_fields)
        found.update({intent.intent_id: marked.get(intent.marker) for intent in creates})
    with ports.store.unit() as unit:
        _store(unit, intents, found, run, book)


def _store(
    unit: Unit, intents: Sequence[Intent], found: Mapping[str, RemoteRecord | None], run: RunState, book: Rulebook
) -> None:
    """What became of them; of those that are not in ``found`` nobody can tell yet."""
    views = {view.link.link_id: view for view in unit.links([intent.action.link_id for intent in intents])}
    contacts = unit.contacts([intent.action.contact_id for intent in intents if intent.action.contact_id])
    settled: list[tuple[str, IntentStatus, str]] = []
    links: list[Link] = []
    ledger: list[LedgerEntry] = []
    for intent in intents:
        if intent.intent_id not in found:
            settled.append((intent.intent_id, IntentStatus.UNKNOWN, "net.outcome_unknown"))
            unknown = {**run.position.get("unknown", {}), intent.intent_id: intent.action.contact_id}
            run.position = {**run.position, "unknown": unknown}
            continue
        record = found[intent.intent_id]
        happened = _outcome(intent, record, views.get(intent.action.link_id), book)
        if happened is None:
            settled.append((intent.intent_id, IntentStatus.RESOLVED, ""))
            if view := views.get(intent.action.link_id):
                links.append(replace(_doubted(view.link, intent, record), due=True))
            continue
        link, entry = happened
        version = contacts[link.contact_id].version if link.contact_id in contacts else intent.app_version
        settled.append((intent.intent_id, IntentStatus.CONFIRMED, ""))
        links.append(replace(_doubted(link, intent, record), due=link.state is LinkState.LIVE))
        ledger.append(replace(entry, contact_version=version))
        _count(run, intent)
    refused = {link_id for link_id, code in unit.save_links(links).items() if code} if links else set()
    creates = [intent for intent in intents if intent.kind is IntentKind.CREATE]
    lost = [intent for intent in creates if intent.action.link_id in refused]
    _wait(unit, [(intent, record.remote_id) for intent in lost if (record := found[intent.intent_id])], run)
    entries = [entry for entry in ledger if entry.link_id not in refused]
    if entries:
        unit.add_ledger(run.run_id, entries)
    unit.settle_intents(settled)
    unit.save_run(run)


def _doubted(link: Link, intent: Intent, record: RemoteRecord | None) -> Link:
    """What was sent and cannot be seen is agreed by nobody: once it shows again, the old base would make our own
    value an edit in the CRM, and a newer one in the app would give way to it. So it is with a record that is gone.
    """
    if intent.kind is not IntentKind.UPDATE or record is None:
        return link
    shown = record.values if record.state is RemoteState.LIVE else {}
    unseen = {
        effect.mapping_id
        for effect in intent.action.pushes
        if isinstance(shown.get(effect.remote_field, UNKNOWN), Unknown)
    }
    return replace(link, base={mapping_id: pair for mapping_id, pair in link.base.items() if mapping_id not in unseen})


def _outcome(
    intent: Intent, record: RemoteRecord | None, view: LinkView | None, book: Rulebook
) -> tuple[Link, LedgerEntry] | None:
    """The link and ledger line if the write took effect (in part, at least); None if it did not."""
    action = intent.action
    if record is None:
        return None
    if intent.kind is IntentKind.DELETE:
        if record.state is RemoteState.LIVE or view is None:
            return None
        link = replace(view.link, state=action.link_state, due=False)
        return link, LedgerEntry(action, link.link_id, link.contact_id, link.remote_id, intent.intent_id)
    if record.state is not RemoteState.LIVE:
        return None
    maps = {field_map.remote_field: field_map for field_map in book.maps}
    sent = tuple(effect for effect in action.effects if effect.side is Side.CRM)
    returned: dict[str, Seen] = {}
    trust_record(returned, intent.values, record if _shows(sent, record, maps) else replace(record, by_us=None), maps)
    effects = confirmed_effects([effect for effect in sent if not _stands_unmoved(effect, returned, maps)], returned)
    if intent.kind is IntentKind.UPDATE and not effects:
        return None
    link = view.link if view is not None else Link(action.link_id, action.contact_id, action.record_type, "")
    by_id = book.by_id
    base = dict(link.base)
    for effect in effects:
        if effect.mapping_id in by_id:
            field_map = by_id[effect.mapping_id]
            base[effect.mapping_id] = BasePair(
                effect.app_value, effect.crm_value, field_map.definition, version=field_map.version
            )
    live = action.kind in (ActionKind.CREATE_IN_CRM, ActionKind.LINK, ActionKind.SYNC, ActionKind.RELINK)
    link = replace(
        link,
        remote_id=record.remote_id,
        state=LinkState.LIVE if live else link.state,
        base=base,
        remote_modified_at=record.modified_at or link.remote_modified_at,  # an index may still show an older row
        observed=dict(record.values),
        error_code="",
        attempts=0,
    )
    applied = replace(action, effects=effects, remote_id=record.remote_id)
    return link, LedgerEntry(applied, link.link_id, link.contact_id, record.remote_id, intent.intent_id)


def _stands_unmoved(effect: Effect, returned: Mapping[str, Seen], maps: Mapping[str, FieldMap]) -> bool:
    """What was there before is still there: the CRM left this field out, which is no form of what was sent."""
    field_map, now = maps.get(effect.remote_field), returned.get(effect.remote_field, UNKNOWN)
    if field_map is None or isinstance(now, Unknown):
        return False
    before, after = field_map.canonical_crm(effect.before), field_map.canonical_crm(effect.after)
    return field_map.canonical_crm(now) == before != after


def _shows(sent: Sequence[Effect], record: RemoteRecord, maps: Mapping[str, FieldMap]) -> bool:
    """Whether the record shows that this very write took effect. "We were the last to write it" does not
    say which write that was: a value that was not there before and is there now does.
    """
    return any(
        field_map.canonical_crm(record.values[effect.remote_field]) == field_map.canonical_crm(effect.after)
        and field_map.canonical_crm(effect.before) != field_map.canonical_crm(effect.after)
        for effect in sent
        if (field_map := maps.get(effect.remote_field)) is not None and effect.remote_field in record.values
    )


def _count(run: RunState, intent: Intent) -> None:
    match intent.kind:
        case IntentKind.CREATE:
            run.counts.created_in_crm += 1
        case IntentKind.UPDATE:
            run.counts.updated_in_crm += 1
        case IntentKind.DELETE:
            run.counts.deleted_in_crm += 1
