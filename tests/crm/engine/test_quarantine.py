"""A record at which the worker fails is found, listed and passed over; the others are synced as ever."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm.engine import apply, lone, observe, pair, quarantine
from crm.engine.quarantine import MOST_CRASHES, MOST_SET_ASIDE, begin
from crm.engine.run import advance, take_over
from crm.model import SET_ASIDE, LinkState, Phase, RunKind
from crm.testing.adversary_nature import HUBSPOT_LIKE, PIPEDRIVE_LIKE
from tests.crm.engine.pair import Pair

PEOPLE = 8


class PoisonError(Exception):
    """What nobody foresaw."""


def people(nature=HUBSPOT_LIKE):
    """Eight pairs in step, and the one beside them."""
    there = Pair(replace(nature, page_size=50))
    for number in range(PEOPLE):
        there.crm.user_creates({"lastname": f"N{number}", "email": f"n{number}@x.example"})
    there.wait(600)
    there.run(RunKind.FULL)
    there.wait(600)
    assert len(there.store.links()) == PEOPLE + 1
    return there


def run_through(there, kind=RunKind.FULL):
    """As workers do it: a start is counted before the work; returns the run and how often a worker died."""
    run_id, crashes = there.store.start_run(kind), 0
    for _ in range(300):
        run = there.store.run(run_id)
        if crashes:
            position = begin(run.phase, run.kind, run.position)
            assert position is not None, "given up"
            there.store.state.runs[run_id] = replace(run, position=position)
        else:
            there.store.state.runs[run_id] = replace(run, position={**run.position, "starts": 1})
        try:
            take_over(run_id, there.ports)
            while advance(run_id, there.ports).phase is not Phase.DONE:
                pass
        except PoisonError:
            crashes += 1
            there.wait(7200)  # claims end
        else:
            return there.store.run(run_id), crashes
    pytest.fail("the run does not end")


def poison(monkeypatch, module, name, is_poison):
    """``module.name`` fails for the arguments that are poison."""
    honest = getattr(module, name)

    def poisoned(*arguments, **named):
        if any(is_poison(each) for each in arguments):
            raise PoisonError
        return honest(*arguments, **named)

    monkeypatch.setattr(module, name, poisoned)


def is_record(remote_id):
    return lambda each: getattr(each, "remote_id", "") == remote_id


def test_a_poisonous_linked_record_is_set_aside_and_the_others_go_on(monkeypatch):
    there = people()
    victim = there.store.links()[4]
    for link in there.store.links():
        there.crm.user_edits(link.remote_id, {"company": "Looms"})
    there.wait(600)
    with monkeypatch.context() as patch:
        poison(patch, observe, "plan_link", is_record(victim.remote_id))
        run, crashes = run_through(there)
    assert (run.counts.failed, run.counts.updated_in_app) == (1, PEOPLE)
    assert MOST_CRASHES <= crashes <= 20
    links = {link.link_id: link for link in there.store.links()}
    assert {link.error_code for link in links.values() if link.link_id != victim.link_id} == {""}
    assert links[victim.link_id].error_code == SET_ASIDE
    assert there.run(RunKind.FULL).counts.planned == 0  # left alone, although nothing is wrong any more
    there.wait(600)
    there.crm.user_edits(victim.remote_id, {"company": "Mills"})
    there.wait(600)
    assert there.run(RunKind.FULL).counts.updated_in_app == 1


def test_a_poisonous_new_record_becomes_no_contact_until_it_changes(monkeypatch):
    there = people()
    remote_ids = [there.crm.user_creates({"lastname": f"M{n}", "email": f"m{n}@x.example"}) for n in range(4)]
    there.wait(600)
    with monkeypatch.context() as patch:
        poison(patch, pair, "plan_create_in_app", is_record(remote_ids[2]))
        run, _ = run_through(there)
    assert (run.counts.failed, run.counts.created_in_app) == (1, 3)
    assert there.run(RunKind.FULL).counts.planned == 0
    there.crm.user_edits(remote_ids[2], {"company": "Mills"})
    there.wait(600)
    assert there.run(RunKind.FULL).counts.created_in_app == 1


@pytest.mark.parametrize("broken", [True, False], ids=["keys cannot be told", "keys can"])
def test_a_record_that_nobody_can_look_at_is_set_aside(monkeypatch, broken):
    there = people()
    remote_ids = [there.crm.user_creates({"lastname": f"M{n}", "email": f"m{n}@x.example"}) for n in range(4)]
    there.wait(600)
    with monkeypatch.context() as patch:
        poison(patch, observe, "observation", is_record(remote_ids[1]))
        if broken:
            poison(patch, quarantine, "observation", is_record(remote_ids[1]))
        run, _ = run_through(there)
    assert (run.counts.failed, run.counts.created_in_app) == (1, 3)


def test_a_poisonous_contact_gets_no_record_and_the_others_do(monkeypatch):
    there = people()
    ids = sorted(there.store.app.create_contact({"lastName": f"M{n}", "email": f"m{n}@x.example"}) for n in range(4))
    with monkeypatch.context() as patch:
        poison(patch, lone, "plan_create_in_crm", lambda each: getattr(each, "contact_id", "") == ids[1])
        run, _ = run_through(there)
    assert (run.counts.failed, run.counts.created_in_crm) == (1, 3)
    waiting = {link.contact_id: link for link in there.store.links()}[ids[1]]
    assert (waiting.state, waiting.error_code) == (LinkState.PENDING, SET_ASIDE)
    assert there.run(RunKind.FULL).counts.planned == 0


@pytest.mark.parametrize("phase", ["changed", "missing"])
def test_a_poisonous_link_of_those_that_are_due_is_set_aside(monkeypatch, phase):
    there = people(PIPEDRIVE_LIKE)
    links = there.store.links()
    victim = links[3]
    for link in links:
        if phase == "missing":
            there.crm.user_deletes(link.remote_id)
        else:
            there.store.app.edit_contact(link.contact_id, {"company": "Looms"})
    there.wait(600)
    with monkeypatch.context() as patch:
        poison(patch, observe, "plan_link", is_record(victim.remote_id))
        run, _ = run_through(there, RunKind.FULL if phase == "missing" else RunKind.DELTA)
    assert run.counts.failed == 1
    assert {link.link_id: link for link in there.store.links()}[victim.link_id].error_code == SET_ASIDE


@pytest.mark.parametrize("new", [True, False], ids=["create", "update"])
def test_a_line_at_which_the_worker_dies_fails_and_the_others_are_applied(monkeypatch, new):
    there = people()
    if new:
        ids = [there.store.app.create_contact({"lastName": f"M{n}", "email": f"m{n}@x.example"}) for n in range(4)]
    else:
        ids = [link.contact_id for link in there.store.links()]
        for contact_id in ids:
            there.store.app.edit_contact(contact_id, {"company": "Looms"})
    victim = ids[2]
    honest = apply.Sent

    def poisoned(**named):
        if named["action"].contact_id == victim:
            raise PoisonError
        return honest(**named)

    with monkeypatch.context() as patch:
        patch.setattr(apply, "Sent", poisoned)
        run, _ = run_through(there)
    done = run.counts.created_in_crm if new else run.counts.updated_in_crm
    assert (run.counts.failed, done) == (1, len(ids) - 1)
    assert {link.contact_id: link for link in there.store.links()}[victim].error_code == SET_ASIDE


@pytest.mark.parametrize(
    ("phase", "kind", "position"),
    [
        (Phase.GUARD, RunKind.FULL, {"starts": 3}),
        (Phase.CHANGED, RunKind.MANUAL, {"starts": 3}),
        (Phase.OBSERVE, RunKind.FULL, {"starts": 1, "span": 1, "alone": True}),
        (Phase.OBSERVE, RunKind.FULL, {"starts": 3, "set_aside": MOST_SET_ASIDE}),
    ],
    ids=["no page", "chosen contacts", "setting aside fails", "too many"],
)
def test_a_run_is_given_up_where_no_record_can_be_told(phase, kind, position):
    assert begin(phase, kind, position) is None


def test_starts_are_counted_before_the_page_is_halved():
    """Three for the whole page, then one for each half, down to one record."""
    position, spans = {"type": 0}, []
    while not position.get("alone"):
        position = begin(Phase.PAIR, RunKind.FULL, position)
        spans.append(position.get("span", 200))
    assert spans == [200, 200, 200, 100, 50, 25, 12, 6, 3, 1, 1]
    assert begin(Phase.APPLY, RunKind.MANUAL, {"starts": 3})["span"] == 100
