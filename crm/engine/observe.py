"""First pass: read the CRM page by page, store what was seen, plan what is linked.

A page costs two transactions with the remote calls before and between them: one reads the links of
the page's records, one stores observations, plan lines and the position. Killed anywhere, the next
worker reads the same page again and stores the same things.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from crm.engine.context import PAGE, Ports, gather_evidence, observation, page_limit, remembered_record
from crm.engine.digest import digest_base
from crm.engine.plan import NOTHING, Planned, plan_heir, plan_link, plan_relink, plan_undelete
from crm.engine.rulebook import Rulebook
from crm.engine.settle import settle_shown
from crm.mapping.field_map import is_blank
from crm.model import (
    Action,
    AppContact,
    BasePair,
    ContactState,
    Evidence,
    JsonObject,
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
    book: Rulebook | None = None
    """Where the record is of another type than the page: a lead that became a contact."""
    origin: LinkView | None = None
    """The link as it is stored, where ``former`` shows it under another type's mappings."""

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


_NO_HEIRS = _Heirs({}, frozenset(), {})


class _OvertakenError(Exception):
    """Links of the page were saved after it was read; nothing of it is stored."""


def observe_page(run: RunState, ports: Ports) -> bool:
    """One page of the current record type; True when the type has no further page.

    A page of which another run has confirmed a record since it was read is read again: what it shows
    there is older than the base, and would look like somebody's edit. So is one that shows what became of a create.
    """
    book = ports.book(run)
    before = replace(run, counts=replace(run.counts))
    part = read_part(run, ports, book)
    if part.is_last and not part.records:
        run.position = part.position
        return True
    with ports.store.unit() as unit:
        subjects = _subjects(unit, book, part.records)
        heirs = _load_heirs(unit, book, subjects)
    subjects = _follow_merges(subjects, book, ports)
    if _settle_shown(run, subjects, ports):
        return False
    actions = _plan_all(subjects, heirs, book, ports)
    run.position = part.position
    seen: dict[str, int] = {}
    observed: list[Observation] = []
    for subject, action in zip(subjects, actions, strict=True):
        run.counts.observed += 1
        own = subject.own
        for view in subject.former:
            seen[view.link.link_id] = view.link.synced_version
        if action is not None:
            seen.pop(action.link_id, None)
            observed.append(observation(subject.record, subject.book or book, action.link_id))
        elif own is not None:
            seen[own.link.link_id] = own.link.synced_version if own.held else own.contact.version
            run.counts.unchanged += own.link.state is LinkState.LIVE
            if _shows_news(own, subject.record, book):
                seen.pop(own.link.link_id)
                observed.append(observation(subject.record, book, own.link.link_id))
            elif own.link.state is not LinkState.LIVE:  # it outlived its link: nobody gets a second one with its keys
                observed.append(observation(subject.record, book, own.link.link_id))
        else:
            observed.append(observation(subject.record, book))
    try:
        _store(run, ports, [action for action in actions if action is not None], seen, observed, part.read_at)
    except _OvertakenError:
        run.position, run.counts = before.position, before.counts
        return False
    return part.is_last


def _shows_news(own: LinkView, record: RemoteRecord, book: Rulebook) -> bool:
    """An edit of a record of which a line waits, so that nothing is planned: kept until the line is settled, since no
    later delta shows it again.
    """
    if not own.held or own.link.state is not LinkState.LIVE or record.state is not RemoteState.LIVE:
        return False
    known = remembered_record(own, book).values
    return any(known.get(name) != value for name, value in record.values.items() if name in book.remote_fields)


def _settle_shown(run: RunState, subjects: Sequence[_Subject], ports: Ports) -> bool:
    """Whether the records have settled a create without an outcome."""
    shown = [
        (subject.record, [view for view in (subject.own, *subject.former) if view is not None]) for subject in subjects
    ]
    return settle_shown(run, shown, ports)


def plan_missing(run: RunState, ports: Ports) -> bool:
    """Links whose record a complete scan did not show: looked into before it means "deleted"."""
    book = ports.book(run)
    with ports.store.unit() as unit:
        views = unit.missing_links(run.run_id, book.record_type, run.position.get("after") or "", page_limit(run))
    if not views:
        return True
    records = dict(ports.connector.fetch(book.record_type, [view.link.remote_id for view in views], book.remote_fields))
    _plan_views(run, ports, book, views, records, views[-1].link.link_id)
    return False


def plan_changed(run: RunState, ports: Ports) -> bool:
    """Links with work of ours: the contact changed, a question was answered, something is due again."""
    book, after, marked = ports.book(run), run.position.get("after") or "", run.kind is RunKind.DELTA
    all_marked = not marked or bool(after)
    while not all_marked:
        with ports.store.unit() as unit:
            all_marked = unit.mark_changed()
    with ports.store.unit() as unit:
        views = unit.due_links(book.record_type, after, page_limit(run), marked=marked)
        named = unit.named_contacts(run.plan_id, book.record_type, [view.contact.contact_id for view in views])
    if not views:
        return True
    fresh = [view for view in views if named.get(view.contact.contact_id) != ""]  # no line of the plan is about it
    records = {view.link.remote_id: remembered_record(view, book) for view in fresh}
    unseen = [view.link.remote_id for view in fresh if _needs_reading(view, records[view.link.remote_id], book)]
    if unseen:
        records.update(ports.connector.fetch(book.record_type, unseen, book.remote_fields))
    _plan_views(run, ports, book, fresh, records, views[-1].link.link_id)
    return False


def _needs_reading(view: LinkView, remembered: RemoteRecord, book: Rulebook) -> bool:
    """We hold a value for a field of which nothing is known there: it was blank on both sides, or is newly mapped."""
    return any(
        field_map.remote_field not in remembered.values and not is_blank(view.contact.values.get(field_map.app_field))
        for field_map in book.maps
    )


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


def gone_by_merges(
    views: Sequence[LinkView], records: Mapping[str, RemoteRecord], book: Rulebook, ports: Ports
) -> dict[str, RemoteRecord]:
    """Records that were merged into one which is gone by now: they count as gone themselves."""
    merged = [
        _Subject(record, view)
        for view in views
        if (record := records.get(view.link.remote_id)) is not None and record.state is RemoteState.MERGED
    ]
    followed = _follow_merges(merged, book, ports)
    return {
        before.record.remote_id: after.record
        for before, after in zip(merged, followed, strict=True)
        if after.record.remote_id == before.record.remote_id and after.record.state is not RemoteState.MERGED
    }


def plan_again(
    views: Sequence[LinkView], records: dict[str, RemoteRecord], book: Rulebook, ports: Ports
) -> list[Action | None]:
    """Plan links against records just read: the check before a write."""
    subjects = _follow_merges([_Subject(records[view.link.remote_id], view) for view in views], book, ports)
    heirs = _heirs_of(subjects, book, ports)
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
    heirs = _heirs_of(subjects, book, ports)
    actions = _plan_all(subjects, heirs, book, ports)
    _settle_shown(run, subjects, ports)
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
    merged = [
        subject
        for subject in subjects
        if subject.record.state is RemoteState.MERGED and subject.record.merged_into and subject.own is not None
    ]
    if not merged:
        return subjects
    wanted: dict[str, list[str]] = {}
    for subject in merged:
        record_type, remote_id = _where(subject.record.merged_into, book)
        wanted.setdefault(record_type, []).append(remote_id)
    survivors: dict[tuple[str, str], RemoteRecord] = {}
    owners: dict[tuple[str, str], LinkView] = {}
    for record_type, ids in wanted.items():
        there = ports.books.get(record_type)
        if there is None:
            continue
        with ports.store.unit() as unit:  # before the records are read: a line's ground may be too old, not its record
            owners.update(
                {(record_type, view.link.remote_id): view for view in unit.links_for_records(record_type, ids)}
            )
        for remote_id, record in ports.connector.fetch(record_type, ids, there.remote_fields).items():
            survivors[record_type, remote_id] = record
    followed: list[_Subject] = []
    for subject in subjects:
        place = _where(subject.record.merged_into, book)
        survivor = survivors.get(place)
        if subject not in merged or survivor is None or subject.own is None:
            followed.append(subject)
        elif survivor.state is not RemoteState.LIVE:  # merged, and the survivor is gone as well
            gone = replace(subject.record, state=survivor.state, merged_into="")
            followed.append(_Subject(gone, subject.own))
        elif place[0] == book.record_type:
            followed.append(_Subject(survivor, owners.get(place), (subject.own,)))
        else:
            there = ports.books[place[0]]
            former = (_rebased(subject.own, book, there),)
            followed.append(_Subject(survivor, owners.get(place), former, there, origin=subject.own))
    return followed


def _where(merged_into: str, book: Rulebook) -> tuple[str, str]:
    """(record type, id) of a survivor: ``Contact:003...`` names another type than the record's own."""
    record_type, colon, remote_id = merged_into.partition(":")
    return (record_type, remote_id) if colon else (book.record_type, merged_into)


def _rebased(view: LinkView, book: Rulebook, there: Rulebook) -> LinkView:
    """The link under the mappings of another record type: what the app held in each of its fields stays agreed."""
    held = {
        field_map.app_field: view.link.base[field_map.mapping_id]
        for field_map in book.maps
        if field_map.mapping_id in view.link.base
    }
    base = {
        field_map.mapping_id: BasePair(
            held[field_map.app_field].app, None, field_map.definition, version=field_map.version
        )
        for field_map in there.maps
        if field_map.app_field in held
    }
    return replace(view, link=replace(view.link, base=base))


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


def _merged_into(subjects: Iterable[_Subject]) -> list[str]:
    return [
        view.contact.merged_into
        for subject in subjects
        for view in (subject.own, *subject.former)
        if view is not None and view.contact.state is ContactState.MERGED
    ]


def _heirs_of(subjects: Sequence[_Subject], book: Rulebook, ports: Ports) -> _Heirs:
    if not _merged_into(subjects):
        return _NO_HEIRS
    with ports.store.unit() as unit:
        return _load_heirs(unit, book, subjects)


def _load_heirs(unit: Unit, book: Rulebook, subjects: Iterable[_Subject]) -> _Heirs:
    wanted = _merged_into(subjects)
    if not wanted:
        return _NO_HEIRS
    links = unit.links_for_contacts(book.record_type, wanted)
    taken = frozenset(view.contact.contact_id for view in links if view.link.state is not LinkState.PENDING)
    waiting = {view.contact.contact_id: view.link.link_id for view in links if view.link.state is LinkState.PENDING}
    return _Heirs(unit.contacts(wanted), taken, waiting)


def _plan_all(subjects: Sequence[_Subject], heirs: _Heirs, book: Rulebook, ports: Ports) -> list[Action | None]:
    """Plan each; those that must know when something changed are planned again with evidence."""
    planned = [_plan(subject, heirs, subject.book or book, None) for subject in subjects]
    evidence: dict[str, Evidence] = {}
    for each in {id(subject.book): subject.book or book for subject in subjects}.values():
        contested = [
            (subject.keeper.contact.contact_id, subject.record, subject.keeper, plan.contested)
            for subject, plan in zip(subjects, planned, strict=True)
            if plan.contested and subject.keeper is not None and (subject.book or book) is each
        ]
        evidence.update(gather_evidence(ports, each, contested))
    return [
        _plan(subject, heirs, subject.book or book, evidence[subject.record.remote_id]).action
        if plan.contested
        else plan.action
        for subject, plan in zip(subjects, planned, strict=True)
    ]


def _plan(subject: _Subject, heirs: _Heirs, book: Rulebook, evidence: Evidence | None) -> Planned:
    own = subject.own
    if subject.record.state is RemoteState.LIVE and any(view.link.state is LinkState.LIVE for view in subject.former):
        return _on_stored_base(subject, plan_relink(subject.record, list(subject.former), own, book, evidence))
    if own is None:
        return NOTHING  # paired later, when every record has been seen
    heir = heirs.contacts.get(own.contact.merged_into) if own.contact.state is ContactState.MERGED else None
    if heir is not None and heir.state is ContactState.LIVE:
        free, waiting = heir.contact_id not in heirs.taken, heirs.waiting.get(heir.contact_id, "")
        return plan_heir(own, heir, free, subject.record, book, evidence, waiting=waiting)
    if own.link.state is LinkState.DELETED_IN_CRM and subject.record.state is RemoteState.LIVE:
        return plan_undelete(own, subject.record, book, evidence)
    return plan_link(own, subject.record, book, evidence)


def _on_stored_base(subject: _Subject, planned: Planned) -> Planned:
    """A line's ground is the base as it is stored, not as it was read for the plan."""
    action, origin = planned.action, subject.origin
    if action is None or origin is None or action.link_id != origin.link.link_id:
        return planned
    return replace(
        planned, action=replace(action, before=replace(action.before, base_digest=digest_base(origin.link.base)))
    )


@dataclass(frozen=True, slots=True)
class Part:
    """Records of the walk's next page: all of it, as long as nothing is wrong with any of them."""

    records: tuple[RemoteRecord, ...]
    position: JsonObject
    """The run's position behind them."""
    is_last: bool
    read_at: datetime | None = None
    """By the database's clock, not after the page was asked for."""


def read_part(run: RunState, ports: Ports, book: Rulebook) -> Part:
    """Read the page at the run's position, and note the CRM's clock on the run."""
    page = _read_page(run, ports, book)
    _note_clock(run, page)
    done, asked = run.position.get("done", []), run.position.get("asked")
    read_at = datetime.fromisoformat(asked) if page.read_ahead and asked else run.loaded_at
    left = [record for record in page.records if record.remote_id not in done]
    records = tuple(left[: page_limit(run, len(left))])  # the CRM's page may be larger than one of ours
    rest = {name: value for name, value in run.position.items() if name not in ("done", "asked")}
    if len(records) < len(left):
        seen = [*done, *(record.remote_id for record in records)]
        return Part(records, {**rest, "done": seen}, is_last=False, read_at=read_at)
    if page.next is not None and run.kind is RunKind.FULL and run.loaded_at is not None:
        ports.connector.expect(book.record_type, book.remote_fields, page.next)
        rest["asked"] = run.loaded_at.isoformat()
    return Part(records, {**rest, "after": page.next}, page.next is None, read_at)


def _read_page(run: RunState, ports: Ports, book: Rulebook) -> Page:
    after = run.position.get("after")
    if run.kind is RunKind.FULL:
        if after is None and run.first_sync:
            after = ports.connector.capabilities.first_scan
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
    run: RunState,
    ports: Ports,
    actions: list[Action],
    seen: dict[str, int],
    observed: list[Observation],
    read_at: datetime | None = None,
) -> None:
    with ports.store.unit() as unit:
        if observed and unit.save_observations(run.run_id, observed, read_at):
            raise _OvertakenError
        if seen:
            unit.mark_seen(run.run_id, seen)
        if actions:
            unit.add_lines(run.run_id, run.plan_id, actions)
        run.counts.planned += len(actions)
        unit.save_run(run)
