"""A run, one unit of work at a time.

First pass: settle what earlier workers left open, observe page by page, plan. Then the guard looks
at the whole plan. Second pass: apply it by page. Each ``advance`` is one page, committed with the
run's position; killed anywhere, the next call goes on at that page. Phases that would find nothing
are passed in the transaction that comes to them: a run with nothing to do costs little but its
reading. The caller holds the stream's lease, repeats ``advance`` until the phase is DONE, and decides
what to do with what it raises (park, pause the connection, tell somebody): the position is safe
either way.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from crm.engine.apply import apply_page, claim_page, next_stage
from crm.engine.context import PAGE, Ports
from crm.engine.guards import find_brakes
from crm.engine.lone import plan_chosen_contacts, plan_contacts
from crm.engine.observe import observe_page, plan_changed, plan_chosen_links, plan_missing
from crm.engine.pair import plan_records
from crm.engine.quarantine import (
    set_lines_aside,
    set_link_aside,
    set_lone_contact_aside,
    set_lone_record_aside,
    set_record_aside,
)
from crm.engine.settle import end_unproven, settle_intents, settle_open_intents, take_intents
from crm.model import JsonObject, LineResult, LineStatus, Mode, Phase, RunKind, RunState, RunStatus
from crm.ports import Unit

SCANS = (RunKind.FULL, RunKind.DELTA)
PASSABLE = (Phase.MISSING, Phase.CHANGED, Phase.PAIR, Phase.UNPAIRED)
_PLANS: dict[RunKind, tuple[Phase, ...]] = {
    RunKind.FULL: (Phase.OBSERVE, Phase.MISSING, Phase.CHANGED, Phase.PAIR, Phase.UNPAIRED),
    RunKind.DELTA: (Phase.OBSERVE, Phase.CHANGED, Phase.PAIR, Phase.UNPAIRED),
    RunKind.MANUAL: (Phase.CHANGED, Phase.UNPAIRED),
    RunKind.WEBHOOK: (Phase.OBSERVE, Phase.PAIR),
}


def advance(run_id: str, ports: Ports) -> RunState:
    """Do one unit of work of the run and return its state; idle when it is DONE.

    Repeating it after a crash is safe. Raises what the connector raises; LeaseLostError when
    another worker has taken over, in which case nothing was stored.
    """
    with ports.store.unit(run_id) as unit:
        run = unit.load_run(run_id)
        applying = run.phase is Phase.APPLY and not run.cancel_requested
        page = claim_page(unit, run, ports) if applying else None
        settling = run.phase is Phase.SETTLE and not run.cancel_requested
        intents = take_intents(unit) if settling else []
        if settling and not intents:
            _begin(unit, run, ports)
            return run
    if run.phase is Phase.DONE:
        return run
    if run.cancel_requested:
        return _end(run, ports, RunStatus.CANCELLED)
    if intents:
        settle_intents(intents, run, ports)
    elif page is not None and run.position.get("alone"):
        set_lines_aside(page, run, ports)
    elif page is not None:
        apply_page(page, run, ports)
    else:
        _STEPS[run.phase](run, ports)
    return run


def take_over(run_id: str, ports: Ports) -> None:
    """Look up what a worker that died while it applied this run has left open; call it before the first ``advance``.

    A line whose intent is open cannot be sent again, and once it is settled needs not be. Safe to repeat.
    """
    with ports.store.unit() as unit:
        run = unit.load_run(run_id)
    if run.phase is Phase.APPLY:
        while not settle_open_intents(run, ports):
            pass


def _begin(unit: Unit, run: RunState, ports: Ports) -> None:
    """No write of earlier workers is open any more."""
    if run.approved:
        _enter(unit, run, ports, Phase.GUARD)
        return
    if run.kind is RunKind.DELTA and _needs_scan(unit, run, ports):
        run.kind = RunKind.FULL
    _enter(unit, run, ports, _PLANS[run.kind][0])


def _needs_scan(unit: Unit, run: RunState, ports: Ports) -> bool:
    """Without a complete scan under these mappings there is nothing to be a delta of."""
    if any(ports.books[name].awaits_scan for name in run.record_types if name in ports.books):
        return True
    return any(unit.cursor(name) is None for name in run.record_types)


def _observe(run: RunState, ports: Ports) -> None:
    if (set_record_aside if run.position.get("alone") else observe_page)(run, ports):
        book = ports.book(run)
        marks = {**run.position.get("marks", {}), book.record_type: _mark(run)}
        run.position = {**run.position, "marks": marks}
        _go_on(run, ports)


def _missing(run: RunState, ports: Ports) -> None:
    if (set_link_aside if run.position.get("alone") else plan_missing)(run, ports):
        _go_on(run, ports)


def _changed(run: RunState, ports: Ports) -> None:
    if run.kind is RunKind.MANUAL:
        plan_chosen_links(run, ports)
        _go_on(run, ports)
    elif (set_link_aside if run.position.get("alone") else plan_changed)(run, ports):
        _go_on(run, ports)


def _pair(run: RunState, ports: Ports) -> None:
    if (set_lone_record_aside if run.position.get("alone") else plan_records)(run, ports):
        end_unproven(run, ports.book(run), ports)
        _go_on(run, ports)


def _unpaired(run: RunState, ports: Ports) -> None:
    if run.kind is RunKind.MANUAL:
        plan_chosen_contacts(run, ports)
        _go_on(run, ports)
    elif (set_lone_contact_aside if run.position.get("alone") else plan_contacts)(run, ports):
        _go_on(run, ports)


def _guard(run: RunState, ports: Ports) -> None:
    """Look at the whole plan before its first write. An approved plan has passed a person."""
    with ports.store.unit() as unit:
        if run.approved:
            _enter(unit, run, ports, Phase.APPLY, stage=0)
            return
        totals = unit.plan_totals(run.run_id, run.plan_id)
        first_sync = run.first_sync and run.limit is None
        codes = find_brakes(
            totals,
            ports.books[run.record_types[0]].policy,
            complete_scan=run.kind is RunKind.FULL,
            first_sync=first_sync,
        )
        shown_only = run.dry_run or ports.mode is Mode.OBSERVE
        if codes and not run.dry_run:
            run.counts.held = unit.hold_lines(run.plan_id, codes)
            run.error_code = codes[0] if run.counts.held else ""
        if shown_only:
            _enter(unit, run, ports, Phase.FINISH)
        else:
            _enter(unit, run, ports, Phase.APPLY, stage=0)


def _next_stage(run: RunState, ports: Ports) -> None:
    """Nothing is left to claim at this stage."""
    with ports.store.unit() as unit:
        if next_stage(run):
            unit.save_run(run)
        else:
            _enter(unit, run, ports, Phase.FINISH)


def _finish(run: RunState, ports: Ports) -> None:
    """Move the watermarks: everything that was read is stored, so nothing before them is owed."""
    with ports.store.unit() as unit:
        _move_watermarks(unit, run)
        unit.save_run(run)
    held = run.counts.held and not run.dry_run
    _end(run, ports, RunStatus.HELD if held else RunStatus.COMPLETED)


def _move_watermarks(unit: Unit, run: RunState) -> None:
    marks = run.position.get("marks", {})
    for record_type in run.record_types:
        if record_type not in marks or run.kind not in SCANS:
            continue
        if marks[record_type]:
            unit.save_cursor(record_type, datetime.fromisoformat(marks[record_type]))


_STEPS: dict[Phase, Callable[[RunState, Ports], None]] = {
    Phase.OBSERVE: _observe,
    Phase.MISSING: _missing,
    Phase.CHANGED: _changed,
    Phase.PAIR: _pair,
    Phase.UNPAIRED: _unpaired,
    Phase.GUARD: _guard,
    Phase.APPLY: _next_stage,
    Phase.FINISH: _finish,
}


def _mark(run: RunState) -> str:
    """Watermark of the walk that just ended: the CRM's clock at its start, or its highest stamp.

    The walk has read to the newest; the connector's declared overlap is taken off when the
    cursor is used (``_since``), so that a change which became visible late is read again. The
    CRM's Date is preferred to the highest stamp seen: both come from the CRM, and a watermark
    that stays at the last change would read the last import again at every idle delta.
    """
    started, highest = run.position.get("walk_started"), run.position.get("highest")
    return str(started or highest or "")


def _since(unit: Unit, ports: Ports, record_type: str) -> str:
    cursor = unit.cursor(record_type)
    if cursor is None:
        raise ValueError(f"{record_type} has no complete scan")
    return (cursor - timedelta(seconds=ports.connector.capabilities.overlap_seconds)).isoformat()


def _go_on(run: RunState, ports: Ports) -> None:
    """The next record type of this phase, else the next phase; past those that would find nothing.

    A scan that has planned nothing by then has nothing to guard or to apply, and ends here.
    """
    with ports.store.unit() as unit:
        scanned = run.record_types[run.position.get("type", 0)] if _scans(run) else ""
        phase, index = _following(run)
        work: dict[int, set[Phase]] = {}
        unproven = run.kind is RunKind.FULL and run.position.get("unknown")
        while run.kind in SCANS and phase in PASSABLE and not unproven:
            if index not in work:
                work[index] = _work(unit, run, phase, run.record_types[index])
            if phase in work[index]:
                break
            _place(run, phase, type=index)
            phase, index = _following(run)
        if scanned:
            unit.finish_scan(run.run_id, scanned)
        if phase is Phase.GUARD and run.kind in SCANS and not run.counts.planned:
            _place(run, Phase.DONE)
            _move_watermarks(unit, run)
            run.status = RunStatus.COMPLETED
            unit.save_run(run)
        else:
            _enter(unit, run, ports, phase, type=index)


def _scans(run: RunState) -> bool:
    return run.phase is Phase.OBSERVE and run.kind is RunKind.FULL


def _work(unit: Unit, run: RunState, phase: Phase, record_type: str) -> set[Phase]:
    """Of that phase and those that come behind it."""
    plan = _PLANS[run.kind]
    phases = [each for each in plan[plan.index(phase) :] if each in PASSABLE]
    is_full = run.kind is RunKind.FULL
    return unit.phases_with_work(run.run_id, record_type, phases, recheck_matches=is_full, marked=not is_full)


def _following(run: RunState) -> tuple[Phase, int]:
    """The phase and the number of the record type that come behind the run's own."""
    index = run.position.get("type", 0) + 1
    if index < len(run.record_types):
        return run.phase, index
    phases = _PLANS[run.kind]
    position = phases.index(run.phase) + 1
    return (phases[position] if position < len(phases) else Phase.GUARD), 0


def _place(run: RunState, phase: Phase, **position: int) -> None:
    kept: JsonObject = {name: run.position[name] for name in ("marks", "unknown", "set_aside") if name in run.position}
    run.phase = phase
    run.position = {**kept, "type": 0, **position}


def _enter(unit: Unit, run: RunState, ports: Ports, phase: Phase, **position: int) -> None:
    _place(run, phase, **position)
    if phase is Phase.OBSERVE and run.kind is RunKind.DELTA:
        run.position["since"] = _since(unit, ports, run.record_types[run.position["type"]])
    unit.save_run(run)


def _end(run: RunState, ports: Ports, status: RunStatus) -> RunState:
    """Lines that were neither applied nor held are dropped, and their records are due again."""
    run.phase, run.status = Phase.DONE, status
    shown_only = run.dry_run or ports.mode is Mode.OBSERVE
    with ports.store.unit() as unit:
        while not shown_only and run.limit is None and run.plan_id:
            left = unit.lines(run.plan_id, LineStatus.PLANNED, "", PAGE)
            if not left:
                break
            unit.settle_lines([LineResult(line.line_id, LineStatus.DROPPED) for line in left])
        unit.save_run(run)
    return run
