"""Engines with one known mistake each: those of the bug museum, and branches of the planner worth breaking.

Each is a patch of the loaded modules; the product has no switch for any of them. A mutant is killed
when a seed accuses it of an invariant that it must break.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from crm.engine import apply, check, confirm, decide, fields, lone, match, observe, pair, plan, run, send, settle, undo
from crm.errors import OutcomeUnknownError, RecordInvalidError, RejectedError
from crm.model import (
    UNKNOWN,
    ActionKind,
    BasePair,
    IntentKind,
    IntentStatus,
    LinkState,
    Mode,
    Phase,
    RemoteState,
    RunKind,
    Side,
)
from crm.testing import adversary, memory_app, memory_locks, memory_unit

KILLERS = Path(__file__).with_name("killers.json")
"""Mutant -> [seed, invariant]: seeds that are known to kill."""
SEEDS = 2000


class Patch:
    """Attributes replaced for a while."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, str, Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> Any:
        """Replace and return what was there."""
        before = owner.__dict__[name]
        self._undo.append((owner, name, before))
        setattr(owner, name, value)
        return before

    def undo(self) -> None:
        for owner, name, before in reversed(self._undo):
            setattr(owner, name, before)
        self._undo.clear()


@dataclass(frozen=True)
class Mutant:
    name: str
    breaks: tuple[str, ...]
    """Invariants of which any one must be broken."""
    apply: Callable[[Patch], object]
    says: str
    equivalent: str = ""
    """Why nothing can tell it from the real engine, where that is so."""

    @contextmanager
    def alive(self) -> Iterator[None]:
        patch = Patch()
        try:
            self.apply(patch)
            yield
        finally:
            patch.undo()


MUTANTS: dict[str, Mutant] = {}


def mutant(*breaks: str, equivalent: str = "") -> Callable[[Callable[[Patch], object]], Callable[[Patch], object]]:
    def register(function: Callable[[Patch], object]) -> Callable[[Patch], object]:
        name = function.__name__.removeprefix("_")
        MUTANTS[name] = Mutant(name, breaks, function, (function.__doc__ or "").strip(), equivalent)
        return function

    return register


def known_killers() -> dict[str, tuple[int, str]]:
    return {name: (seed, invariant) for name, (seed, invariant) in json.loads(KILLERS.read_text()).items()}


# the watermark


@mutant("I9")
def _watermark_is_now(patch: Patch) -> None:
    """The watermark is the time at which the walk ended, not the one at which it began."""
    honest = run._mark

    def late(state):
        mark = honest(state)
        return (datetime.fromisoformat(mark) + timedelta(seconds=300)).isoformat() if mark else mark

    patch.set(run, "_mark", late)


@mutant("I9")
def _watermark_without_overlap(patch: Patch) -> None:
    """A delta begins behind the last change seen: ties and what becomes visible late are lost."""

    def exact(unit, ports, record_type):
        return (unit.cursor(record_type) + timedelta(milliseconds=1)).isoformat()

    patch.set(run, "_since", exact)


@mutant("I9", "I4", "I1")
def _watermark_passes_a_failed_page(patch: Patch) -> None:
    """A page that cannot be read is skipped, and the watermark moves on."""
    honest = run.observe_page

    def skip(state, ports):
        try:
            return honest(state, ports)
        except run_errors:
            return True

    run_errors = (adversary.TransientError,)
    patch.set(run, "observe_page", skip)


# echo, and record time


@mutant("I1", "I4")
def _echo_by_time_window(patch: Patch) -> None:
    """What changed within a minute after our own write is taken for its echo."""
    honest = observe.plan_link

    def deaf(view, record, book, evidence=None):
        ours, theirs = view.link.remote_modified_at, record.modified_at
        if ours and theirs and timedelta(0) < theirs - ours < timedelta(seconds=60):
            return plan.NOTHING
        return honest(view, record, book, evidence)

    patch.set(observe, "plan_link", deaf)


@mutant("I1", "I4")
def _echo_by_acting_user(patch: Patch) -> None:
    """A record that we were the last to write is never compared."""
    honest = observe.plan_link

    def deaf(view, record, book, evidence=None):
        return plan.NOTHING if record.by_us else honest(view, record, book, evidence)

    patch.set(observe, "plan_link", deaf)


@mutant("I1", "I25", "I2")
def _one_sync_at_a_time(patch: Patch) -> None:
    """A flag of the process says that a sync is in progress: other runs end at once."""
    honest, busy = run.advance, []

    def advance(run_id, ports):
        if busy and busy[0] != run_id:
            with ports.store.unit() as unit:
                state = unit.load_run(run_id)
                state.phase = Phase.DONE
                unit.save_run(state)
            return state
        busy[:] = [run_id]
        state = honest(run_id, ports)
        if state.phase is Phase.DONE:
            busy.clear()
        return state

    from tests.harness.simulate import workers

    patch.set(workers, "advance", advance)


def _by_record_time(patch: Patch, decides: Callable[[Any, bool], Any]) -> None:
    """``decides`` changes the facts of each field, knowing whether the record is newer than the last agreement."""
    decided, facts, newer = plan.plan_fields, fields._facts, [False]

    def plan_fields(view, record, book, evidence, **options):
        known = view.link.remote_modified_at
        newer[0] = known is not None and record.modified_at is not None and record.modified_at > known
        return decided(view, record, book, evidence, **options)

    def biased(*arguments):
        return decides(facts(*arguments), newer[0])

    patch.set(plan, "plan_fields", plan_fields)
    patch.set(fields, "_facts", biased)


@mutant("I4", "I7")
def _record_level_newest_wins(patch: Patch) -> None:
    """The newer record wins whole."""

    def decides(facts, newer):
        if not facts.based or facts.agree or not (facts.app_moved or facts.crm_moved):
            return facts
        return replace(facts, app_moved=not newer, crm_moved=newer)

    _by_record_time(patch, decides)


@mutant("I4", "I7")
def _stale_field_wins_by_record_time(patch: Patch) -> None:
    """A field that nobody touched in the CRM wins because something else in its record is newer."""

    def decides(facts, newer):
        if facts.based and facts.app_moved and not facts.crm_moved and newer and not facts.agree:
            return replace(facts, app_moved=False, crm_moved=True)
        return facts

    _by_record_time(patch, decides)


# creating


@mutant("I5")
def _create_then_save_the_link(patch: Patch) -> None:
    """Creates are not journalled: a worker that dies in between leaves no trace of the record."""
    honest, settle_one = memory_locks.Locks.open_intent, memory_locks.Locks.settle_intent

    def open_intent(self, intent):
        if intent.kind is not IntentKind.CREATE:
            honest(self, intent)

    def settle_intent(self, worker, intent_id, status, code):
        if intent_id in self.intents:
            settle_one(self, worker, intent_id, status, code)

    patch.set(memory_locks.Locks, "open_intent", open_intent)
    patch.set(memory_locks.Locks, "settle_intent", settle_intent)


@mutant("I5")
def _blind_retry(patch: Patch) -> None:
    """A write whose answer was lost counts as not sent."""
    honest = send.Sent.intent_status.fget

    def hasty(sent):
        status = honest(sent)
        return IntentStatus.RESOLVED if status is IntentStatus.UNKNOWN else status

    patch.set(send.Sent, "intent_status", property(hasty))


@mutant("I5", "I7", "I18", "I1", "I25", "I2")
def _first_hit_wins(patch: Patch) -> None:
    """Several contacts with one address: the first is taken for the person."""

    def first(remote_id, key, rule):
        free = key.free_contacts or key.contacts
        return match.Match(contact_id=free[0], rule=rule)

    patch.set(match, "_unique", first)


@mutant("I5")
def _search_after_create(patch: Patch) -> None:
    """A lost create is looked up in the search index."""

    def search(self, record_type, marker, fields):
        for row, version in self.crm.indexed():
            if (
                marker
                and row.marker == marker
                and version.state is RemoteState.LIVE
                and self.crm.nature.lag_seconds < 20
            ):
                return self._show(row, fields)
        return None

    patch.set(adversary.AdversaryConnector, "find_by_marker", search)


@mutant("I5")
def _create_before_the_first_scan(patch: Patch) -> None:
    """Contacts without a link get their record before the CRM has been read."""
    order = (Phase.UNPAIRED, Phase.OBSERVE, Phase.MISSING, Phase.CHANGED, Phase.PAIR)
    plans = run._PLANS
    patch.set(run, "_PLANS", {**plans, RunKind.FULL: order})


@mutant("I5", "I25")
def _open_create_is_not_waited_for(patch: Patch) -> None:
    """A record that an open create may have made becomes a contact, and nothing notices that it was taken."""
    patch.set(pair, "may_come_from", lambda _record, _creates: False)
    patch.set(lone, "MADE_AND_TAKEN", "no such code")


# deleting and merging


@mutant("I16", "I6", "I1", "I25")
def _deletion_from_a_partial_scan(patch: Patch) -> None:
    """What a delta does not show is deleted."""
    plans = run._PLANS
    order = (Phase.OBSERVE, Phase.MISSING, Phase.CHANGED, Phase.PAIR, Phase.UNPAIRED)
    patch.set(run, "_PLANS", {**plans, RunKind.DELTA: order})
    honest = adversary.AdversaryConnector.fetch

    def gone(self, record_type, remote_ids, fields):
        answer = honest(self, record_type, remote_ids, fields)
        if self.in_missing:
            return {key: replace(record, state=RemoteState.ARCHIVED) for key, record in answer.items()}
        return answer

    def missing(state, ports):
        ports.connector.in_missing = True
        try:
            return plan_missing(state, ports)
        finally:
            ports.connector.in_missing = False

    plan_missing = run.plan_missing
    adversary.AdversaryConnector.in_missing = False
    patch.set(adversary.AdversaryConnector, "fetch", gone)
    patch.set(run, "plan_missing", missing)


@mutant("I6", "I16")
def _not_found_is_deleted(patch: Patch) -> None:
    """An id that leads nowhere was deleted; nobody asks whether it was merged."""

    def unfollowed(subjects, book, ports):
        return [
            replace(subject, record=replace(subject.record, state=RemoteState.MISSING, merged_into=""))
            if subject.record.state is RemoteState.MERGED
            else subject
            for subject in subjects
        ]

    patch.set(observe, "_follow_merges", unfollowed)


@mutant("I6")
def _pull_resurrects(patch: Patch) -> None:
    """A contact whose record was deleted is free for another."""
    honest = confirm._link

    def freed(outcome, effects, versions, book, **options):
        link = honest(outcome, effects, versions, book, **options)
        if link is not None and link.state is LinkState.DELETED_IN_CRM:
            return replace(link, state=LinkState.PENDING, remote_id="", next_attempt_seconds=0.0)
        return link

    patch.set(confirm, "_link", freed)


@mutant("I1", "I2", "I6", "I4", "I3")
def _link_follows_into_a_grave(patch: Patch) -> None:
    """A link follows a merge whatever became of the survivor."""
    honest = observe._plan

    def blind(subject, heirs, book, evidence):
        if any(view.link.state is LinkState.LIVE for view in subject.former):
            return observe.plan_relink(subject.record, list(subject.former), subject.own, book, evidence)
        return honest(subject, heirs, book, evidence)

    patch.set(observe, "_plan", blind)


# values


@mutant("I7", "I1", "I4")
def _nothing_false_and_zero_are_one(patch: Patch) -> None:
    """False and zero are blank."""
    honest = plan.is_blank
    patch.set(plan, "is_blank", lambda value: honest(value) or not value)
    for module in (fields, plan):
        patch.set(module, "push_field", _without_falsehood(module.push_field))


def _without_falsehood(honest):
    def push(field_map, app, crm, decision, troubles):
        effect = honest(field_map, app, crm, decision, troubles)
        if effect is None or effect.after:
            return effect
        return replace(effect, after=None, crm_value=None)

    return push


@mutant("I23", "I7")
def _hidden_is_blank(patch: Patch) -> None:
    """A field that the credentials may not read is taken for empty."""
    honest = observe._plan

    def bare(subject, heirs, book, evidence):
        values = {name: subject.record.values.get(name) for name in book.remote_fields}
        record = replace(subject.record, values=values) if subject.record.values else subject.record
        return honest(replace(subject, record=record), heirs, book, evidence)

    patch.set(observe, "_plan", bare)


@mutant("I23", "I7")
def _unread_blank_is_trusted(patch: Patch) -> None:
    """A field that could not be read for a while and is empty now was cleared by a person."""
    honest = fields._facts
    patch.set(fields, "_facts", lambda *arguments: replace(honest(*arguments), blank_is_trusted=True))


@mutant("I2", "I7", "I1")
def _transform_without_inverse(patch: Patch) -> None:
    """Names go out in capitals and come back as they are."""
    honest = fields.FieldMap.to_crm

    def shouting(self, value):
        mapped = honest(self, value)
        return mapped.upper() if self.app_field in {"lastName", "company"} and isinstance(mapped, str) else mapped

    patch.set(fields.FieldMap, "to_crm", shouting)


@mutant("I8", "I2")
def _base_is_what_was_sent(patch: Patch) -> None:
    """The base takes the value sent, whatever the CRM made of it."""
    patch.set(confirm, "confirmed_effects", lambda effects, _returned: effects)


@mutant("I2", "I8", "I1", "I7")
def _one_base_for_both_sides(patch: Patch) -> None:
    """What the CRM returned is the base of both sides."""
    patch.set(confirm, "BasePair", lambda _app, crm, *more, **named: BasePair(crm, crm, *more, **named))


@mutant("I4", "I7")
def _whole_record_is_written(patch: Patch) -> None:
    """A change of one field writes all of them as the app holds them."""
    honest = plan.plan_fields

    def whole(view, record, book, evidence, **options):
        found = honest(view, record, book, evidence, **options)
        if not any(effect.side is Side.CRM for effect in found.effects):
            return found
        done = {effect.mapping_id for effect in found.effects}
        decision = decide.Decision(decide.Verdict.PUSH, fields.Rule.APP_CHANGED, 3)
        for field_map in book.maps:
            if field_map.mapping_id not in done and record.values.get(field_map.remote_field, UNKNOWN) is not UNKNOWN:
                value = view.contact.values.get(field_map.app_field)
                effect = fields.push_field(field_map, value, record.values[field_map.remote_field], decision, {})
                found.effects.extend([effect] if effect else [])
        return found

    patch.set(plan, "plan_fields", whole)


@mutant("I4")
def _reread_is_the_answer(patch: Patch) -> None:
    """Whatever a re-read shows is taken for the result of our write."""

    def trusting(returned, sent, record, maps):
        returned.update({name: record.values[name] for name in sent if name in record.values})

    patch.set(send, "trust_record", trusting)
    patch.set(settle, "trust_record", trusting)


@mutant("I7")
def _newest_wins_on_consent(patch: Patch) -> None:
    """Consent is a field like any other."""
    patch.set(
        decide, "_decide_consent",
        lambda facts, rules: decide.decide_field(
            facts, replace(rules, consent=False, strategy=decide.Strategy.CRM_WINS)
        ),
    )  # fmt: skip


# sending


@mutant("I22")
def _one_bad_row_blocks(patch: Patch) -> None:
    """A record that the CRM refuses ends the run."""
    honest = apply.send_page

    def strict(items, *arguments):
        honest(items, *arguments)
        if any(isinstance(item.error, RecordInvalidError) for item in items):
            raise RejectedError(code="rule.validation")

    patch.set(apply, "send_page", strict)


@mutant("I5", "I22")
def _batch_is_retried_whole(patch: Patch) -> None:
    """One item without an answer: the whole batch is sent again."""
    honest = send._call

    def again(kind, items, book, ports):
        results = honest(kind, items, book, ports)
        if any(isinstance(result.error, OutcomeUnknownError) for result in results.values()):
            return honest(kind, items, book, ports)
        return results

    patch.set(send, "_call", again)


@mutant("I27", "I8", "I4", "I5", "I1", "I20", "I12", "error")
def _late_worker_commits(patch: Patch) -> None:
    """A worker whose lease and claims have ended goes on as if nothing had happened."""
    patch.set(memory_locks.Locks, "renew_lease", lambda _self, _stream, _fence: None)
    patch.set(memory_locks.Locks, "check_claim", lambda _self, _worker, _owner, _keys: None)


@mutant("I4")
def _no_check_read(patch: Patch) -> None:
    """A record is written as it was planned, however long ago it was read."""
    patch.set(check.Checker, "_must_read", lambda _self, _outcome: False)


@mutant(
    "I4",
    "I12",
    "I5",
    "error",
    equivalent="Nobody gets the line of such a record while the write's claim lasts, and once that has ended the next"
    " run settles the write before it plans. The line is dropped and planned anew: this spares work alone.",
)
def _open_intents_hold_nothing(patch: Patch) -> None:
    """A record is planned while a write of it has no outcome."""
    honest = memory_unit.MemoryUnit._view
    patch.set(memory_unit.MemoryUnit, "_view", lambda self, link: replace(honest(self, link), held=False))


@mutant("I4")
def _version_is_not_checked(patch: Patch) -> None:
    """A contact is written whatever its version is by now."""
    honest = memory_app.MemoryApp.write

    def careless(self, write, origin):
        held = self.get(write.contact_id)
        if held is not None and write.expected_version is not None:
            write = replace(write, expected_version=held.version)
        return honest(self, write, origin)

    patch.set(memory_app.MemoryApp, "write", careless)


@mutant("I4", "I7", "I2")
def _ground_is_not_checked(patch: Patch) -> None:
    """A line is applied on another base and another version than it was planned on."""
    patch.set(check.Checker, "_ground_holds", lambda self, outcome: outcome.line.line_id not in self.crowded)


@mutant("I4", "I7")
def _overtaken_page_is_taken(patch: Patch) -> None:
    """A page that was read before another run confirmed its records is planned against the newer base."""
    honest = memory_unit.MemoryUnit.save_observations
    patch.set(
        memory_unit.MemoryUnit, "save_observations",
        lambda self, run_id, seen, read_at=None: honest(self, run_id, seen),
    )  # fmt: skip


# guarding, asking, showing


@mutant("I16")
def _no_brake(patch: Patch) -> None:
    """Nothing holds a plan."""
    patch.set(run, "find_brakes", lambda *_arguments, **_options: ())


@mutant("I18", "I1", "I2")
def _questions_are_never_closed(patch: Patch) -> None:
    """A question stays open when both sides agree again."""
    patch.set(confirm, "_closes", lambda _outcome: ())


@mutant("I2", "I3")
def _fights_go_on(patch: Patch) -> None:
    """Nobody counts how often a field flips."""
    patch.set(fields, "is_fought", lambda *_arguments: False)


@mutant("I1", "I18", "I2", "I4")
def _conflicts_are_guessed(patch: Patch) -> None:
    """When it cannot be known which edit is newer, the CRM's is taken, and nobody is told."""
    honest = decide._decide_contested

    def guess(facts, rules, newest, *, row):
        decision = honest(facts, rules, newest, row=row)
        if decision.verdict is decide.Verdict.ASK:
            return decide.Decision(decide.Verdict.PULL, decide.Rule.CRM_CHANGED, row)
        return decision

    patch.set(decide, "_decide_contested", guess)


@mutant("I14")
def _dry_run_writes(patch: Patch) -> None:
    """A dry run is carried out."""
    honest = run._guard

    def guard(state, ports):
        wet = replace(state, dry_run=False)
        honest(wet, replace(ports, mode=Mode.SYNC))
        state.phase, state.position = wet.phase, wet.position

    patch.set(run, "_STEPS", {**run._STEPS, Phase.GUARD: guard})


@mutant("I15")
def _undo_forgets_a_field(patch: Patch) -> None:
    """The undo gives back all but the last of a pair's fields."""
    honest = undo._undo_fields
    patch.set(undo, "_undo_fields", lambda *arguments: honest(*arguments)[:-1])


@mutant("I20", "I5", "I1")
def _creation_without_ledger(patch: Patch) -> None:
    """What was made stands in no ledger."""
    honest = memory_unit.MemoryUnit.add_ledger

    def silent(self, run_id, entries):
        honest(self, run_id, [each for each in entries if each.action.kind is not ActionKind.CREATE_IN_APP])

    patch.set(memory_unit.MemoryUnit, "add_ledger", silent)
