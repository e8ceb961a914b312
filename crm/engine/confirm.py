"""One transaction that makes a page of outcomes true: contacts, links with their base, intents,
ledger, conflicts, lines and counts, or nothing at all.

A contact is written only at the version that was planned; a miss leaves the link due and the base
of the pulled fields as it was. The base of a pushed field takes the value that the CRM returned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from crm.engine.context import Ports
from crm.engine.digest import digest_value
from crm.engine.fights import count_flip
from crm.engine.rulebook import Rulebook
from crm.engine.send import Sent, confirmed_effects, unconfirmed_fields
from crm.engine.taken import wait_for_person
from crm.errors import CrmError, FieldRefusal, RecordGoneError, RecordLockedError, StaleWriteError, TransientError
from crm.mapping.field_map import FieldMap
from crm.model import (
    Action,
    ActionKind,
    AppContact,
    BasePair,
    ConflictChange,
    ContactWrite,
    Effect,
    FieldTrouble,
    IntentStatus,
    Interval,
    LedgerEntry,
    LineResult,
    LineStatus,
    Link,
    LinkState,
    LinkView,
    PlanLine,
    Rule,
    RunState,
    Side,
    Value,
)
from crm.ports import Unit

RETRY_SECONDS = 3600.0
_PASSING = ("net.", "quota.")
"""Codes of refusals that pass by themselves: the field is pushed again instead of dead-lettered."""


_MAKES_PAIR = (ActionKind.SYNC, ActionKind.LINK, ActionKind.RELINK)


@dataclass(slots=True)
class Outcome:
    """A line and what came of it, before it is stored."""

    line: PlanLine
    action: Action
    """As it is to be stored: the fresh one where the line was planned again."""
    view: LinkView | None = None
    contact: AppContact | None = None
    """As loaded; a contact that the line itself creates is absent."""
    sent: Sent | None = None
    status: LineStatus = LineStatus.APPLIED
    code: str = ""
    superseded: tuple[LinkView, ...] = ()
    """Links that a merge in the CRM leaves behind."""
    taken: bool = False
    """The record was made, and paired with another contact before this could be stored."""

    @property
    def contact_version(self) -> int:
        return self.contact.version if self.contact is not None else 0

    @property
    def goes_on(self) -> bool:
        """Applied; or refused by the CRM, where the rest holds all the same: pulls, agreements, questions."""
        refused = self.status is LineStatus.FAILED and self.action.kind in _MAKES_PAIR
        return refused or self.status is LineStatus.APPLIED

    @property
    def refused_fields(self) -> set[str]:
        """Mapping ids of pushed fields that the CRM does not hold for certain: nothing else of them is confirmed."""
        sent = self.sent
        return unconfirmed_fields(self.action.pushes, sent.returned if sent is not None and sent.written else {})

    @property
    def pulls(self) -> tuple[Effect, ...]:
        refused = self.refused_fields
        return tuple(effect for effect in self.action.pulls if effect.mapping_id not in refused)


@dataclass(slots=True)
class _Batch:
    """The rows of one confirm transaction."""

    links: list[Link] = field(default_factory=list)
    ledger: list[LedgerEntry] = field(default_factory=list)
    conflicts: list[ConflictChange] = field(default_factory=list)
    intents: list[tuple[str, IntentStatus, str]] = field(default_factory=list)
    lines: list[LineResult] = field(default_factory=list)


class _RefusedError(Exception):
    """Unique rules refused links whose contacts this transaction has made: begin again without them."""

    def __init__(self, codes: dict[str, str]) -> None:
        super().__init__()
        self.codes = codes


def confirm_page(outcomes: Sequence[Outcome], run: RunState, book: Rulebook, ports: Ports) -> None:
    """Store a page of outcomes. Raises LeaseLostError when another worker has taken over."""
    refused: dict[str, str] = {}
    while True:
        counts = replace(run.counts)
        try:
            with ports.store.unit() as unit:
                _store(unit, outcomes, refused, run, book)
        except _RefusedError as error:
            run.counts = counts
            refused.update(error.codes)
            continue
        except BaseException:
            run.counts = counts
            raise
        return


def _store(unit: Unit, outcomes: Sequence[Outcome], refused: dict[str, str], run: RunState, book: Rulebook) -> None:
    unit.check_claims([outcome.line for outcome in outcomes])
    for outcome in outcomes:
        if outcome.sent is not None and outcome.sent.error is not None:
            _classify(outcome, outcome.sent.error)
        if outcome.action.link_id in refused:
            outcome.taken = outcome.action.kind is ActionKind.CREATE_IN_CRM and outcome.sent is not None
            if outcome.sent is None:
                outcome.status, outcome.code = LineStatus.STALE, refused[outcome.action.link_id]
    writes = [write for outcome in outcomes for write in _contact_writes(outcome)]
    versions = unit.write_contacts(writes) if writes else {}
    missed = {write.contact_id for write in writes} - versions.keys()
    batch = _Batch()
    for outcome in outcomes:
        _add(batch, outcome, versions, missed, run, book)
    taken = {link_id: code for link_id, code in unit.save_links(batch.links).items() if code} if batch.links else {}
    if taken.keys() - refused.keys():
        raise _RefusedError(taken)
    if batch.ledger:
        unit.add_ledger(run.run_id, batch.ledger)
    if batch.intents:
        unit.settle_intents(batch.intents)
    if batch.conflicts:
        run.counts.conflicts += unit.save_conflicts(run.run_id, batch.conflicts)
    unit.settle_lines(batch.lines)
    unit.save_run(run)


def _contact_writes(outcome: Outcome) -> list[ContactWrite]:
    action = outcome.action
    if not outcome.goes_on or not action.contact_id:
        return []
    if action.kind is ActionKind.CREATE_IN_APP:
        values = {effect.app_field: effect.after for effect in action.pulls}
        return [ContactWrite(action.contact_id, None, values, changed_at=_stamps(action))]
    version = outcome.contact_version
    if action.kind is ActionKind.DELETE_IN_APP:
        return [ContactWrite(action.contact_id, version, {}, delete=True)]
    pulls = outcome.pulls
    if pulls or action.tag:
        values = {effect.app_field: effect.after for effect in pulls}
        return [ContactWrite(action.contact_id, version, values, add_tag=action.tag, changed_at=_stamps(action))]
    return []


def _stamps(action: Action) -> dict[str, Interval]:
    """When the CRM changed what is pulled: the evidence that other connections will see."""
    interval = Interval(None, action.before.remote_modified_at)
    return {effect.app_field: interval for effect in action.pulls}


def _add(
    batch: _Batch,
    outcome: Outcome,
    versions: dict[str, int],
    missed: set[str],
    run: RunState,
    book: Rulebook,
) -> None:
    action, sent = outcome.action, outcome.sent
    if sent is not None and sent.intent_id:
        code = sent.error.code if sent.error is not None else ""
        batch.intents.append((sent.intent_id, sent.intent_status, code))
    missed_contact = action.contact_id in missed
    if missed_contact and outcome.status is LineStatus.APPLIED:
        outcome.status, outcome.code = LineStatus.STALE, "state.changed"
    written = sent is not None and sent.written
    effects = _effects(outcome, missed=missed_contact)
    if outcome.goes_on:  # they make room for the link that goes on
        for view in outcome.superseded:
            remote_id = "" if view.link.remote_id == action.remote_id else view.link.remote_id
            ended = replace(view.link, state=LinkState.SUPERSEDED, superseded_by=action.link_id, remote_id=remote_id)
            batch.links.append(ended)
    if outcome.taken:
        _ask_about_taken(batch, outcome)
    link = None if outcome.taken else _link(outcome, effects, versions, book, missed=missed_contact)
    if link is not None:
        batch.links.append(link)
    if outcome.goes_on or (written and effects):
        closes = _closes(outcome)
        if effects or closes or action.kind not in (ActionKind.SYNC, ActionKind.REVIEW):
            remote_id = sent.record.remote_id if sent is not None and sent.record is not None else action.remote_id
            batch.ledger.append(
                LedgerEntry(
                    action=replace(action, effects=effects, remote_id=remote_id),
                    link_id=action.link_id,
                    contact_id=action.contact_id,
                    remote_id=remote_id,
                    intent_id=sent.intent_id if sent is not None else "",
                    contact_version=versions.get(action.contact_id, outcome.contact_version),
                )
            )
        if action.conflicts or closes:
            batch.conflicts.append(
                ConflictChange(
                    link_id=action.link_id if link is not None or outcome.view is not None else "",
                    contact_id=action.contact_id,
                    record_type=action.record_type,
                    remote_id=action.remote_id,
                    drafts=action.conflicts,
                    closes=closes,
                )
            )
    batch.lines.append(LineResult(outcome.line.line_id, outcome.status, outcome.code))
    _count(run, outcome, effects)
    run.counts.failed += outcome.status is LineStatus.APPLIED and _lists_trouble(link, outcome)


def _ask_about_taken(batch: _Batch, outcome: Outcome) -> None:
    action, sent = outcome.action, outcome.sent
    remote_id = sent.record.remote_id if sent is not None and sent.record is not None else ""
    old = outcome.view.link if outcome.view is not None else None
    link, question = wait_for_person(action, old, outcome.contact_version, remote_id)
    batch.links.append(link)
    batch.conflicts.append(question)


def _lists_trouble(link: Link | None, outcome: Outcome) -> bool:
    """The record went through but for fields that are listed with their code from now on."""
    before = outcome.view.link.troubles if outcome.view is not None else {}
    return link is not None and bool(link.troubles) and dict(link.troubles) != dict(before)


def _classify(outcome: Outcome, error: CrmError) -> None:
    """What a failed write means for its line."""
    outcome.code = error.code
    if isinstance(error, TransientError):
        outcome.status = LineStatus.PLANNED  # untouched: sent when the CRM takes it again
    elif isinstance(error, StaleWriteError | RecordGoneError):
        outcome.status = LineStatus.STALE
    elif outcome.sent is not None and outcome.sent.intent_status is IntentStatus.UNKNOWN:
        outcome.status = LineStatus.UNKNOWN
    elif outcome.sent is not None and outcome.sent.intent_status is IntentStatus.RESOLVED:
        outcome.status = LineStatus.PLANNED
    elif isinstance(error, RecordLockedError):
        outcome.status = LineStatus.STALE
    else:
        outcome.status = LineStatus.FAILED


def _effects(outcome: Outcome, *, missed: bool) -> tuple[Effect, ...]:
    """The effects that really happened, with the values that came back. ``missed``: the contact had moved on."""
    effects, sent, refused = outcome.action.effects, outcome.sent, outcome.refused_fields
    if sent is not None and sent.written:
        effects = confirmed_effects(effects, sent.returned)
    if refused:
        effects = tuple(effect for effect in effects if effect.mapping_id not in refused)
    if missed or not outcome.goes_on:
        effects = tuple(effect for effect in effects if effect.side is Side.CRM)
    return effects


def _closes(outcome: Outcome) -> tuple[str, ...]:
    """The questions that are settled: not one whose answer the CRM refused."""
    view = outcome.view
    if view is None:
        return outcome.action.closes
    refused = outcome.refused_fields & view.resolutions.keys()
    asked = {item.conflict_id: item.mapping_id for item in view.conflicts}
    return tuple(conflict_id for conflict_id in outcome.action.closes if asked.get(conflict_id) not in refused)


def _link(
    outcome: Outcome, effects: tuple[Effect, ...], versions: dict[str, int], book: Rulebook, *, missed: bool
) -> Link | None:
    """The link row as it is afterwards; None where the line leaves it alone."""
    action, view, sent = outcome.action, outcome.view, outcome.sent
    old = view.link if view is not None else None
    if outcome.status in (LineStatus.PLANNED, LineStatus.UNKNOWN):
        return None
    if outcome.status is LineStatus.STALE and not effects:
        return replace(old, due=True) if old is not None else None
    link = old or Link(action.link_id, action.contact_id, action.record_type, action.remote_id)
    if not link.contact_id or not action.link_id:
        return None  # a question about a record that has no contact
    by_id = book.by_id
    link = _confirm_fields(link, effects, by_id)
    if outcome.status is LineStatus.FAILED:
        version = versions.get(action.contact_id, outcome.contact_version)
        return replace(_failed_link(outcome, link, version, book), due=missed)
    troubles = dict(link.troubles if action.explicit else action.troubles)
    if sent is not None:
        troubles.update(_refusals(action, sent.refused, by_id))
    stale = outcome.status is LineStatus.STALE
    record = sent.record if sent is not None else None
    state = LinkState.LIVE if action.kind in _MAKES_LIVE else action.link_state
    return replace(
        link,
        contact_id=action.contact_id or link.contact_id,
        record_type=action.record_type,
        remote_id=(record.remote_id if record is not None and record.remote_id else action.remote_id) or link.remote_id,
        state=state,
        synced_version=link.synced_version if stale else versions.get(action.contact_id, outcome.contact_version),
        remote_modified_at=(record.modified_at if record is not None else None)
        or action.before.remote_modified_at
        or link.remote_modified_at,
        observed=_still_asked(outcome, by_id),
        due=stale or _unconfirmed(action, effects, troubles),
        troubles=troubles,
        error_code=_shown_code(action, troubles),
        attempts=0,
        next_attempt_seconds=None,
    )


def _still_asked(outcome: Outcome, by_id: Mapping[str, FieldMap]) -> dict[str, Value] | None:
    """What the CRM holds in fields whose question is open: it differs from the base, and the answer is about it."""
    closed = set(_closes(outcome))
    shown = {
        question.mapping_id: question.crm_value
        for question in (outcome.view.conflicts if outcome.view is not None else ())
        if question.conflict_id not in closed
    }
    shown.update({draft.mapping_id: draft.crm_value for draft in outcome.action.conflicts})
    asked = {by_id[mapping_id].remote_field: value for mapping_id, value in shown.items() if mapping_id in by_id}
    return asked or None


_MAKES_LIVE = (*_MAKES_PAIR, ActionKind.CREATE_IN_CRM, ActionKind.CREATE_IN_APP)


def _confirm_fields(link: Link, effects: tuple[Effect, ...], by_id: Mapping[str, FieldMap]) -> Link:
    """Base and flips after these effects."""
    base, flips = dict(link.base), dict(link.flips)
    for effect in effects:
        field_map = by_id.get(effect.mapping_id)
        if field_map is None:
            continue
        flip = count_flip(flips.get(effect.mapping_id), effect, base.get(effect.mapping_id), field_map)
        if flip is not None:
            flips[effect.mapping_id] = flip
        unread = effect.rule is Rule.UNREADABLE
        base[effect.mapping_id] = BasePair(
            effect.app_value, effect.crm_value, field_map.definition, unread, field_map.version
        )
    return replace(link, base=base, flips=flips)


def _failed_link(outcome: Outcome, link: Link, version: int, book: Rulebook) -> Link:
    """The CRM refuses the record: shown with its reason, tried again some times, then left to a person.

    A link that follows a merge does so all the same, and a pair is one; what both sides hold is decided again there.
    """
    sent, action = outcome.sent, outcome.action
    if action.kind in (ActionKind.RELINK, ActionKind.LINK):
        link = replace(
            link, contact_id=action.contact_id, remote_id=action.remote_id, state=LinkState.LIVE, observed=None
        )
    troubles = dict(action.troubles)
    if sent is not None:
        troubles.update(_refusals(action, sent.refused, book.by_id))
    # Values that the CRM refuses by name wait for another value: sending them again would change nothing.
    named = action.kind in _MAKES_PAIR and bool(action.pushes)
    named = named and all(effect.mapping_id in troubles for effect in action.pushes)
    attempts = 0 if named else link.attempts + 1
    return replace(
        link,
        state=LinkState.PENDING if action.kind is ActionKind.CREATE_IN_CRM else link.state,
        synced_version=version,
        remote_modified_at=action.before.remote_modified_at or link.remote_modified_at,
        troubles=troubles,
        error_code=outcome.code,
        attempts=attempts,
        next_attempt_seconds=RETRY_SECONDS if 0 < attempts < book.policy.max_attempts else None,
    )


def _refusals(
    action: Action, refused: dict[str, FieldRefusal], by_id: Mapping[str, FieldMap]
) -> dict[str, FieldTrouble]:
    troubles: dict[str, FieldTrouble] = {}
    for effect in action.pushes:
        refusal = refused.get(effect.remote_field)
        if refusal is not None and not refusal.code.startswith(_PASSING):
            field_map = by_id.get(effect.mapping_id)
            definition = field_map.definition if field_map is not None else ""
            troubles[effect.mapping_id] = FieldTrouble(
                refusal.code, Side.CRM, digest_value(effect.app_value), definition, refusal.provider_message
            )
    return troubles


def _unconfirmed(action: Action, effects: tuple[Effect, ...], troubles: Mapping[str, FieldTrouble]) -> bool:
    """A pushed value that nobody could read back, or that was not taken this time: looked at again."""
    done = {effect.mapping_id for effect in effects} | troubles.keys()
    return any(effect.mapping_id not in done for effect in action.effects)


def _shown_code(action: Action, troubles: dict[str, FieldTrouble]) -> str:
    if action.kind is ActionKind.REVIEW:
        return action.code
    return troubles[min(troubles)].code if troubles else ""


def _count(run: RunState, outcome: Outcome, effects: tuple[Effect, ...]) -> None:
    """By record; a record written on both sides counts on both."""
    counts, action = run.counts, outcome.action
    match outcome.status:
        case LineStatus.FAILED:
            counts.failed += 1
        case LineStatus.STALE:
            counts.stale += 1
        case LineStatus.UNKNOWN:
            counts.unknown += 1
        case LineStatus.APPLIED:
            counts.applied += 1
    if outcome.status is not LineStatus.APPLIED and not effects:
        return
    match action.kind:
        case ActionKind.CREATE_IN_APP:
            counts.created_in_app += 1
            return
        case ActionKind.CREATE_IN_CRM:
            counts.created_in_crm += 1
            return
        case ActionKind.DELETE_IN_APP:
            counts.deleted_in_app += 1
            return
        case ActionKind.DELETE_IN_CRM:
            counts.deleted_in_crm += 1
            return
        case ActionKind.UNLINK:
            counts.unlinked += 1
            return
        case ActionKind.LINK:
            counts.linked += 1
    counts.updated_in_app += any(effect.side is Side.APP for effect in effects)
    counts.updated_in_crm += any(effect.side is Side.CRM for effect in effects)
