"""Second pass: carry out the planned lines, one page of one stage at a time.

Before a remote write each record is looked at again when the line is an approved one or its
observation has aged; a line whose ground moved is not applied but planned again. Then intents are
committed, the calls made, and everything confirmed in one transaction (``send``, ``confirm``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from crm.engine.check import Checker
from crm.engine.confirm import Outcome, confirm_page
from crm.engine.context import PAGE, Ports, contact_keys, page_limit
from crm.engine.match import resolve_contact
from crm.engine.pair import plan_existing
from crm.engine.rulebook import Rulebook
from crm.engine.send import Sent, send_page
from crm.errors import ConnectionBlockedError, DuplicateRecordError, TransientError
from crm.model import ActionKind, LineStatus, Link, LinkState, LinkView, PlanLine, Rule, RunKind, RunState
from crm.ports import Capabilities, Unit

STAGES = (0, 1, 2, 3, 4)
WRITING = (2, 3)
"""Updates and creations in the CRM: the stages at which a CRM may take more than a page at once."""
_PAIRS = (ActionKind.LINK, ActionKind.CREATE_IN_CRM, ActionKind.CREATE_IN_APP)
_JOINS = (*_PAIRS, ActionKind.RELINK)


@dataclass(frozen=True, slots=True)
class ClaimedPage:
    """Lines that this worker has claimed, with what they are about."""

    outcomes: Sequence[Outcome]
    crowded: set[str]
    """Ids of lines whose contact or record is no longer alone."""
    now: datetime


def claim_page(unit: Unit, run: RunState, ports: Ports) -> ClaimedPage | None:
    """One page of the run's current stage; None when the stage (or the run's limit) is used up."""
    stage = run.position["stage"]
    limit = page_limit(run, _page(ports.connector.capabilities, stage))
    if run.limit is not None:
        limit = min(limit, run.limit - run.position.get("taken", 0))
    if limit <= 0:
        return None
    lines = unit.claim_lines(run.plan_id, stage, limit)
    if not lines:
        return None
    outcomes, views = _load(unit, lines)
    return ClaimedPage(outcomes, _no_longer_alone(unit, outcomes, views, ports), unit.now())


def _page(abilities: Capabilities, stage: int) -> int:
    """Records of one unit of this stage: as many as the CRM takes at once, and no fewer than the database likes."""
    bulk = abilities.bulk_writes if stage in WRITING else 0
    return max(PAGE, abilities.batches_in_flight * abilities.write_batch, bulk)


def apply_page(page: ClaimedPage, run: RunState, ports: Ports) -> None:
    """Check, send and confirm a claimed page; the run is stored with it.

    Raises the TransientError or ConnectionBlockedError that stopped a call, after what did
    happen has been confirmed: the lines not sent stay planned.
    """
    run.position = {**run.position, "taken": run.position.get("taken", 0) + len(page.outcomes)}
    by_index = run.kind is RunKind.DELTA and ports.connector.capabilities.overlap_seconds > 0
    is_old = run.first_sync and ports.connector.capabilities.first_scan is not None
    fresh_since = page.now if is_old else page.now - timedelta(seconds=ports.fresh_seconds)
    stopped: TransientError | ConnectionBlockedError | None = None
    for record_type, group in _by_type(page.outcomes).items():
        book = ports.books[record_type]
        Checker(ports, book, page.crowded, fresh_since, by_index=by_index).check(group)
        stopped = _send(group, run, book, ports) or stopped
        existing = _existing(group)
        if existing:
            run.position = {**run.position, "stage": 0}
        confirm_page(group, run, book, ports)
        if existing:
            plan_existing(existing, run, book, ports)
    if stopped is not None:
        raise stopped


def _load(unit: Unit, lines: Sequence[PlanLine]) -> tuple[list[Outcome], list[LinkView]]:
    """Lines with what they are about, as it is now, and the link rows, in any state, of the contacts and
    records that they would join.
    """
    actions = [line.action for line in lines]
    joining = [action for action in actions if action.kind in _JOINS]
    link_ids = [action.link_id for action in actions if action.link_id and action.kind not in _PAIRS]
    link_ids += [link_id for action in actions for link_id in action.superseded]
    found = unit.links_of(
        list(dict.fromkeys(action.record_type for action in joining)),
        [action.contact_id for action in joining if action.contact_id and action.kind is not ActionKind.CREATE_IN_APP],
        [action.remote_id for action in joining if action.remote_id],
        link_ids,
    )
    views = {view.link.link_id: view for view in found}
    others = [
        action.contact_id
        for action in actions
        if action.contact_id
        and (action.link_id not in views or views[action.link_id].contact.contact_id != action.contact_id)
    ]
    contacts = unit.contacts(others) if others else {}
    outcomes: list[Outcome] = []
    for line in lines:
        action = line.action
        view = views.get(action.link_id)
        contact = contacts.get(action.contact_id) or (view.contact if view is not None else None)
        superseded = tuple(views[item] for item in action.superseded if item in views)
        outcomes.append(Outcome(line, action, view=view, contact=contact, superseded=superseded))
    return outcomes, found


def _no_longer_alone(unit: Unit, outcomes: Sequence[Outcome], views: Sequence[LinkView], ports: Ports) -> set[str]:
    """Ids of lines whose contact or record has found a partner meanwhile, or that would make a second
    record for keys that somebody has by now.
    """
    pairing = [outcome for outcome in outcomes if outcome.action.kind in _PAIRS]
    moving = [outcome for outcome in outcomes if _moves_to_heir(outcome)]
    if not pairing and not moving:
        return set()
    by_contact, by_record = _grouped([view.link for view in views if view.link.state is not LinkState.PENDING])
    late = {
        outcome.line.line_id
        for outcome in (*pairing, *moving)
        for action in (outcome.action,)
        if (
            by_contact.get((action.record_type, action.contact_id), set())
            | by_record.get((action.record_type, action.remote_id), set())
        )
        - {action.link_id}
    }
    return late | _crowded(unit, [outcome for outcome in pairing if outcome.line.line_id not in late], ports)


_ByKey = dict[tuple[str, str], set[str]]


def _grouped(links: Sequence[Link]) -> tuple[_ByKey, _ByKey]:
    """Link ids by (type, contact), and by (type, record) where they have one."""
    by_contact: _ByKey = {}
    by_record: _ByKey = {}
    for link in links:
        by_contact.setdefault((link.record_type, link.contact_id), set()).add(link.link_id)
        if link.remote_id:
            by_record.setdefault((link.record_type, link.remote_id), set()).add(link.link_id)
    return by_contact, by_record


def _moves_to_heir(outcome: Outcome) -> bool:
    """Our contact was merged, and its link goes to the one that lives on."""
    action, view = outcome.action, outcome.view
    return action.kind is ActionKind.RELINK and view is not None and view.contact.contact_id != action.contact_id


def _crowded(unit: Unit, outcomes: Sequence[Outcome], ports: Ports) -> set[str]:
    """Ids of lines that would make a record for keys which somebody else has by now."""
    creates = [
        outcome
        for outcome in outcomes
        if outcome.action.kind is ActionKind.CREATE_IN_CRM
        and outcome.contact is not None
        and outcome.action.rule is not Rule.CHOSEN  # a person has said that it is none of those
    ]
    if not creates:
        return set()
    book = ports.books[creates[0].action.record_type]  # one type: the one that new contacts become
    keys = {outcome.line.line_id: contact_keys(outcome.contact.values, book) for outcome in creates if outcome.contact}
    emails, phones = unit.key_hits(
        book.record_type,
        {key.email for key in keys.values() if key.email},
        {key.phone for key in keys.values() if key.phone},
    )
    crowded: set[str] = set()
    for outcome in creates:
        key, contact_id = keys[outcome.line.line_id], outcome.action.contact_id
        match = resolve_contact(contact_id, emails.get(key.email), phones.get(key.phone), has_email=bool(key.email))
        if match.review_code:
            crowded.add(outcome.line.line_id)
    return crowded


def _send(
    group: Sequence[Outcome], run: RunState, book: Rulebook, ports: Ports
) -> TransientError | ConnectionBlockedError | None:
    """Send what still is to be sent; returns what stopped the calls, if something did."""
    sending: list[Sent] = []
    for outcome in group:
        action = outcome.action
        if outcome.status is not LineStatus.APPLIED:
            continue
        if action.pushes or action.kind in (ActionKind.CREATE_IN_CRM, ActionKind.DELETE_IN_CRM):
            outcome.sent = Sent(
                line_id=outcome.line.line_id,
                action=action,
                app_version=outcome.contact_version,
                unchanged_since=action.before.remote_modified_at,
            )
            sending.append(outcome.sent)
    if not sending:
        return None
    send_page(sending, run.run_id, book, ports)
    for sent in sending:
        if isinstance(sent.error, TransientError | ConnectionBlockedError):
            return sent.error
    return None


def _existing(group: Sequence[Outcome]) -> dict[str, str]:
    """Contact id -> id of the record that the CRM says it already has. The line itself ends as stale."""
    existing: dict[str, str] = {}
    for outcome in group:
        error = outcome.sent.error if outcome.sent is not None else None
        creating = outcome.action.kind is ActionKind.CREATE_IN_CRM
        if creating and isinstance(error, DuplicateRecordError) and error.remote_id:
            existing[outcome.action.contact_id] = error.remote_id
    return existing


def _by_type(outcomes: Sequence[Outcome]) -> Mapping[str, list[Outcome]]:
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.action.record_type, []).append(outcome)
    return groups


def next_stage(run: RunState) -> bool:
    """Move to the following stage; False when there is none."""
    stage = run.position["stage"] + 1
    if stage > STAGES[-1]:
        return False
    kept = {name: value for name, value in run.position.items() if name not in ("span", "alone")}
    run.position = {**kept, "stage": stage}
    return True
