"""A record at which the worker itself fails: found by halving its page, set aside with its reason, and passed over.

Each start of a worker is counted on the run before anything is done, and a page that is stored takes the count
back. After ``MOST_CRASHES`` starts that stored nothing the run does ever smaller parts of the page, until one record
is left that nobody gets past. It is listed as failing until it changes or a person retries it; the others go on.
"""

from __future__ import annotations

from dataclasses import replace

from crm.engine.apply import ClaimedPage
from crm.engine.context import PAGE, Ports, observation
from crm.engine.observe import read_part
from crm.engine.rulebook import Rulebook
from crm.model import (
    SET_ASIDE,
    ActionKind,
    JsonObject,
    LineResult,
    LineStatus,
    Link,
    LinkState,
    LinkView,
    Observation,
    Phase,
    RemoteRecord,
    RunKind,
    RunState,
)

MOST_CRASHES = 3
MOST_SET_ASIDE = 20
"""In one run; more is no matter of single records."""
PAGED = (Phase.OBSERVE, Phase.MISSING, Phase.CHANGED, Phase.PAIR, Phase.UNPAIRED, Phase.APPLY)


def begin(phase: Phase, kind: RunKind, position: JsonObject) -> JsonObject | None:
    """The position with which a worker begins, its start counted; None where no smaller part is left to try."""
    starts = position.get("starts", 0)
    if starts < (1 if "span" in position else MOST_CRASHES):
        return {**position, "starts": starts + 1}
    if phase not in PAGED or (kind is RunKind.MANUAL and phase is not Phase.APPLY):
        return None
    if position.get("alone") or position.get("set_aside", 0) >= MOST_SET_ASIDE:
        return None
    span = position.get("span", PAGE)
    narrower = {"alone": True} if span == 1 else {"span": span // 2}
    return {**position, **narrower, "starts": 1}


def set_record_aside(run: RunState, ports: Ports) -> bool:
    """The next record of the walk; True when the record type has no further page."""
    book = ports.book(run)
    part = read_part(run, ports, book)
    with ports.store.unit() as unit:
        for record in part.records:
            views = unit.links_for_records(book.record_type, [record.remote_id])
            for view in views:
                unit.save_links([_stopped(view, book, record)])
                unit.mark_seen(run.run_id, {view.link.link_id: view.contact.version})
            if not views:
                unit.save_observations(run.run_id, [_unreadable(record, book)])
            run.counts.observed += 1
        _note(run, len(part.records), after=part.position)
        unit.save_run(run)
    return part.is_last


def set_link_aside(run: RunState, ports: Ports) -> bool:
    """The next link of those that are missing or due; True when there is none."""
    book, after = ports.book(run), run.position.get("after") or ""
    with ports.store.unit() as unit:
        if run.phase is Phase.MISSING:
            views = unit.missing_links(run.run_id, book.record_type, after, 1)
        else:
            views = unit.due_links(book.record_type, after, 1, marked=run.kind is RunKind.DELTA)
        if views:
            unit.save_links([_stopped(view, book) for view in views])
            _note(run, 1, after={**run.position, "after": views[-1].link.link_id})
            unit.save_run(run)
    return not views


def set_lone_record_aside(run: RunState, ports: Ports) -> bool:
    """The next record without a link; True when there is none."""
    book, after = ports.book(run), run.position.get("after") or ""
    with ports.store.unit() as unit:
        found = unit.unpaired_records(run.run_id, book.record_type, after, 1)
        for item in found:
            unit.save_observations(run.run_id, [_skipped(item)])
            _note(run, 1, after={**run.position, "after": item.record.remote_id})
            unit.save_run(run)
    return not found


def set_lone_contact_aside(run: RunState, ports: Ports) -> bool:
    """The next contact without a link; True when there is none."""
    book, after = ports.book(run), run.position.get("after") or ""
    if book.record_type != ports.create_type:
        return True
    with ports.store.unit() as unit:
        is_full = run.kind is RunKind.FULL
        found = unit.unpaired_contacts(book.record_type, after, 1, recheck_matches=is_full, marked=not is_full)
        for item in found:
            contact_id, version = item.contact.contact_id, item.contact.version
            link = item.link or Link(ports.store.new_id(), contact_id, book.record_type, "")
            unit.save_links([_failing(link, version, book)])
            _note(run, 1, after={**run.position, "after": contact_id})
            unit.save_run(run)
    return not found


def set_lines_aside(page: ClaimedPage, run: RunState, ports: Ports) -> None:
    """The claimed line fails, and its record with it."""
    with ports.store.unit() as unit:
        unit.check_claims([outcome.line for outcome in page.outcomes])
        links = []
        for outcome in page.outcomes:
            action, view, contact = outcome.action, outcome.view, outcome.contact
            book = ports.books[action.record_type]
            if view is not None:
                links.append(_stopped(view, book))
            elif contact is not None and action.kind is ActionKind.CREATE_IN_CRM:
                link = Link(action.link_id, contact.contact_id, action.record_type, "")
                links.append(_failing(link, contact.version, book))
        unit.save_links(links)
        unit.settle_lines([LineResult(outcome.line.line_id, LineStatus.FAILED, SET_ASIDE) for outcome in page.outcomes])
        _note(run, len(page.outcomes), after=run.position)
        unit.save_run(run)


def _note(run: RunState, records: int, *, after: JsonObject) -> None:
    kept = {name: value for name, value in after.items() if name not in ("alone", "span")}
    run.position = {**kept, "set_aside": after.get("set_aside", 0) + records}
    run.counts.failed += records


def _stopped(view: LinkView, book: Rulebook, record: RemoteRecord | None = None) -> Link:
    """As it is, but failing: nothing of it is planned until one of its sides changes."""
    seen = record.modified_at if record is not None else None
    link = _failing(view.link, view.contact.version, book, view.link.state)
    return replace(link, remote_modified_at=seen or link.remote_modified_at)


def _failing(link: Link, version: int, book: Rulebook, state: LinkState = LinkState.PENDING) -> Link:
    attempts = max(link.attempts, book.policy.max_attempts)
    return replace(
        link,
        state=state,
        synced_version=version,
        due=False,
        error_code=SET_ASIDE,
        attempts=attempts,
        next_attempt_seconds=None,
    )


def _skipped(item: Observation) -> Observation:
    return replace(item, record=replace(item.record, skip_reason=SET_ASIDE), reason_code=SET_ASIDE, question=None)


def _unreadable(record: RemoteRecord, book: Rulebook) -> Observation:
    """With its match keys, where those can be told: nobody is to get a second record for them."""
    try:
        return _skipped(observation(record, book))
    except Exception:  # noqa: BLE001  whatever it is about this record, it is why the record is set aside
        return _skipped(Observation(replace(record, values={})))
