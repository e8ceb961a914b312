"""First pass: read the CRM page by page, store what was seen, plan what is linked.

A page costs two transactions with the remote calls before and between them: one reads the links of
the page's records, one stores observations, plan lines and the position. Killed anywhere, the next
worker reads the same page again and stores the same things.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from crm.engine.context import PAGE, Ports, gather_evidence, observation, remembered_record
from crm.engine.plan import NOTHING, Planned, Rulebook, plan_heir, plan_link, plan_relink, plan_undelete
from crm.model import (
    Action,
    AppContact,
    ContactState,
    Evidence,
    LinkState,
    LinkView,
    Observation,
    RemoteRecord,
    RemoteState,
    RunKind,
    RunState,
)
from crm.ports import Page, Unit


@dataclass(frozen=True, slots=True)
class _Subject:
    """A record and the links it concerns: its own, and those of ids that were merged into it."""

    record: RemoteRecord
    own: LinkView | None
    former: tuple[LinkView, ...] = ()

    @property
    def keeper(self) -> LinkView | None:
        """The link whose fields a plan compares."""
        live = [view for view in self.former if view.link.state is LinkState.LIVE]
        if self.own is not None and (self.own.link.state is LinkState.LIVE or not live):
            return self.own
        return live[0] if live else None


@dataclass(frozen=True, slots=True)
class _Heirs:
    """Contacts that our merged contacts went into, and which of those have a link of their own."""

    contacts: dict[str, AppContact]
    taken: frozenset[str]
    waiting: dict[str, str]
    """Contact id -> id of the row that waits for a record."""


def observe_page(run: RunState, ports: Ports) -> bool:
    """One page of the current record type; True when the type has no further page."""
    book = ports.book(run)
    page = _read_page(run, ports, book)
    _note_clock(run, page)
    with ports.store.unit() as unit:
        subjects = _subjects(unit, book, page.records)
        heirs = _load_heirs(unit, book, subjects)
    actions = _plan_all(subjects, heirs, book, ports)
    run.position = {**run.position, "after": page.next}
    seen: dict[str, int] = {}
    observed: list[Observation] = []
    for subject, action in zip(subjects, actions, strict=True):
        run.counts.observed += 1
        own = subject.own
        for view in subject.former:
            seen[view.link.link_id] = view.link.synced_version
        if action is not None:
            seen.pop(action.link_id, None)
            observed.append(observation(subject.record, book, action.link_id))
        elif own is not None:
            seen[own.link.link_id] = own.link.synced_version if own.held else own.contact.version
            run.counts.unchanged += own.link.state is LinkState.LIVE
        else:
            observed.append(observation(subject.record, book))
    _store(run, ports, [action for action in actions if action is not None], seen, observed)
    return page.next is None


def plan_missing(run: RunState, ports: Ports) -> bool:
    """Links whose record a complete scan did not show: looked into before it means "deleted"."""
    book = ports.book(run)
    with ports.store.unit() as unit:
        views = unit.missing_links(run.run_id, book.record_type, run.position.get("after") or "", PAGE)
    if not views:
        return True
    records = dict(ports.connector.fetch(book.record_type, [view.link.remote_id for view in views], book.remote_fields))
    _plan_views(run, ports, book, views, records, views[-1].link.link_id)
    return False


def plan_changed(run: RunState, ports: Ports) -> bool:
    """Links with work of ours: the contact changed, a question was answered, something is due again."""
    book = ports.book(run)
    with ports.store.unit() as unit:
        views = unit.due_links(book.record_type, run.position.get("after") or "", PAGE)
        planned = unit.planned_contacts(run.plan_id, [view.contact.contact_id for view in views])
    if not views:
        return True
    fresh = [view for view in views if view.contact.contact_id not in planned]
    records = {view.link.remote_id: remembered_record(view, book) for view in fresh}
    _plan_views(run, ports, book, fresh, records, views[-1].link.link_id)
    return False


def plan_chosen_links(run: RunState, ports: Ports) -> None:
    """The linked contacts of a manual run, against their records as they are now."""
    book = ports.book(run)
    with ports.store.unit() as unit:
        views = [
            view
            for view in unit.links_for_contacts(book.record_type, run.contact_ids)
            if view.link.state is LinkState.LIVE
        ]
    if not views:
        return
    ids = [view.link.remote_id for view in views]
    records = dict(ports.connector.fetch(book.record_type, ids, book.remote_fields))
    _plan_views(run, ports, book, views, records, views[-1].link.link_id)


def plan_again(
    views: Sequence[LinkView], records: dict[str, RemoteRecord], book: Rulebook, ports: Ports
) -> list[Action | None]:
    """Plan links against records just read: the check before a write."""
    subjects = _follow_merges([_Subject(records[view.link.remote_id], view) for view in views], book, ports)
    with ports.store.unit() as unit:
        heirs = _load_heirs(unit, book, subjects)
    return _plan_all(subjects, heirs, book, ports)


def _plan_views(
    run: RunState,
    ports: Ports,
    book: Rulebook,
    views: Sequence[LinkView],
    records: dict[str, RemoteRecord],
    last_link_id: str,
) -> None:
    """Plan links that a query named, and move the position behind the last of them."""
    subjects = [_Subject(records[view.link.remote_id], view) for view in views]
    subjects = _follow_merges(subjects, book, ports)
    with ports.store.unit() as unit:
        heirs = _load_heirs(unit, book, subjects)
    actions = _plan_all(subjects, heirs, book, ports)
    run.position = {**run.position, "after": last_link_id}
    seen = {
        view.link.link_id: view.contact.version
        for subject, action in zip(subjects, actions, strict=True)
        for view in (subject.own,)
        if view is not None and action is None and not view.held
    }
    _store(run, ports, [action for action in actions if action is not None], seen, [])


def _follow_merges(subjects: list[_Subject], book: Rulebook, ports: Ports) -> list[_Subject]:
    """A merged-away id leads to its survivor, which the links of the id then concern."""
    merged = {
        subject.record.merged_into: subject
        for subject in subjects
        if subject.record.state is RemoteState.MERGED and subject.record.merged_into
    }
    if not merged:
        return subjects
    survivors = ports.connector.fetch(book.record_type, list(merged), book.remote_fields)
    with ports.store.unit() as unit:
        own = {view.link.remote_id: view for view in unit.links_for_records(book.record_type, list(merged))}
    followed: list[_Subject] = []
    for subject in subjects:
        survivor = survivors.get(subject.record.merged_into)
        if subject.record.state is not RemoteState.MERGED or survivor is None or subject.own is None:
            followed.append(subject)
        elif survivor.state is not RemoteState.LIVE:  # merged, and the survivor is gone as well
            gone = replace(subject.record, state=survivor.state, merged_into="")
            followed.append(_Subject(gone, subject.own))
        else:
            followed.append(_Subject(survivor, own.get(survivor.remote_id), (subject.own,)))
    return followed


def _subjects(unit: Unit, book: Rulebook, records: Sequence[RemoteRecord]) -> list[_Subject]:
    ids = [record.remote_id for record in records]
    former = [former_id for record in records for former_id in record.former_ids]
    views = unit.links_for_records(book.record_type, ids + former) if ids else []
    by_remote = {view.link.remote_id: view for view in views}
    return [
        _Subject(
            _newest_known(record, by_remote.get(record.remote_id), book),
            by_remote.get(record.remote_id),
            _oldest_first(by_remote[item] for item in record.former_ids if item in by_remote),
        )
        for record in records
    ]


def _oldest_first(views: Iterable[LinkView]) -> tuple[LinkView, ...]:
    """Link ids are ordered by time."""
    return tuple(sorted(views, key=lambda view: view.link.link_id))


def _newest_known(record: RemoteRecord, own: LinkView | None, book: Rulebook) -> RemoteRecord:
    """An index that lags shows a record as it was before our own last write, old stamp included:
    that is no edit, and what we know already is newer.
    """
    confirmed = own.link.remote_modified_at if own is not None else None
    if own is None or confirmed is None or record.modified_at is None or record.modified_at >= confirmed:
        return record
    return remembered_record(own, book) if record.state is RemoteState.LIVE else record


def _load_heirs(unit: Unit, book: Rulebook, subjects: Iterable[_Subject]) -> _Heirs:
    wanted = [
        view.contact.merged_into
        for subject in subjects
        for view in (subject.own, *subject.former)
        if view is not None and view.contact.state is ContactState.MERGED
    ]
    if not wanted:
        return _Heirs({}, frozenset(), {})
    links = unit.links_for_contacts(book.record_type, wanted)
    taken = frozenset(view.contact.contact_id for view in links if view.link.state is not LinkState.PENDING)
    waiting = {view.contact.contact_id: view.link.link_id for view in links if view.link.state is LinkState.PENDING}
    return _Heirs(unit.contacts(wanted), taken, waiting)


def _plan_all(subjects: Sequence[_Subject], heirs: _Heirs, book: Rulebook, ports: Ports) -> list[Action | None]:
    """Plan each; those that must know when something changed are planned again with evidence."""
    planned = [_plan(subject, heirs, book, None) for subject in subjects]
    contested = [
        (subject.keeper.contact.contact_id, subject.record, subject.keeper, plan.contested)
        for subject, plan in zip(subjects, planned, strict=True)
        if plan.contested and subject.keeper is not None
    ]
    evidence = gather_evidence(ports, book, contested)
    return [
        _plan(subject, heirs, book, evidence[subject.record.remote_id]).action if plan.contested else plan.action
        for subject, plan in zip(subjects, planned, strict=True)
    ]


def _plan(subject: _Subject, heirs: _Heirs, book: Rulebook, evidence: Evidence | None) -> Planned:
    own = subject.own
    if any(view.link.state is LinkState.LIVE for view in subject.former):
        return plan_relink(subject.record, list(subject.former), own, book, evidence)
    if own is None:
        return NOTHING  # paired later, when every record has been seen
    heir = heirs.contacts.get(own.contact.merged_into) if own.contact.state is ContactState.MERGED else None
    if heir is not None and heir.state is ContactState.LIVE:
        free, waiting = heir.contact_id not in heirs.taken, heirs.waiting.get(heir.contact_id, "")
        return plan_heir(own, heir, free, subject.record, book, evidence, waiting=waiting)
    if own.link.state is LinkState.DELETED_IN_CRM and subject.record.state is RemoteState.LIVE:
        return plan_undelete(own, subject.record, book, evidence)
    return plan_link(own, subject.record, book, evidence)


def _read_page(run: RunState, ports: Ports, book: Rulebook) -> Page:
    after = run.position.get("after")
    if run.kind is RunKind.FULL:
        return ports.connector.scan(book.record_type, book.remote_fields, after)
    if run.kind is RunKind.DELTA:
        since = datetime.fromisoformat(run.position["since"])
        return ports.connector.changes(book.record_type, book.remote_fields, since, after)
    start = int(after or 0)
    ids = run.remote_ids[start : start + PAGE]
    records = ports.connector.fetch(book.record_type, ids, book.remote_fields) if ids else {}
    more = start + PAGE < len(run.remote_ids)
    return Page(tuple(records[remote_id] for remote_id in ids), str(start + PAGE) if more else None)


def _note_clock(run: RunState, page: Page) -> None:
    """The CRM's clock at the start of the walk: the watermark never passes it."""
    if page.server_time is not None and "walk_started" not in run.position:
        run.position["walk_started"] = page.server_time.isoformat()
    stamps = [record.modified_at for record in page.records if record.modified_at is not None]
    highest = run.position.get("highest")
    if stamps and (highest is None or max(stamps) > datetime.fromisoformat(highest)):
        run.position["highest"] = max(stamps).isoformat()


def _store(
    run: RunState, ports: Ports, actions: list[Action], seen: dict[str, int], observed: list[Observation]
) -> None:
    with ports.store.unit() as unit:
        if observed:
            unit.save_observations(run.run_id, observed)
        if seen:
            unit.mark_seen(run.run_id, seen)
        if actions:
            unit.add_lines(run.run_id, run.plan_id, actions)
        run.counts.planned += len(actions)
        unit.save_run(run)
