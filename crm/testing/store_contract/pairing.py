"""Contacts without a record, and who may be whom."""

# ruff: noqa: S101 - a test suite: asserts are what it is made of, its names say what holds

from __future__ import annotations

from dataclasses import replace

from crm.model import (
    Action,
    ActionKind,
    ConflictChange,
    ConflictDraft,
    ConflictKind,
    LinkState,
    RunKind,
)
from crm.testing.store_contract.rows import TYPE, create_intent, link_to, plan_of, seen_record
from crm.testing.store_contract.world import StoreWorld, WithWorld


class PairingContract(WithWorld):
    def test_unpaired_contacts_are_exactly_those_that_need_a_record(self, world: StoreWorld) -> None:
        """Live and without link, or waiting with their time come; not excluded, gone, busy or shown for approval."""
        free, changed, retried, asked, waiting, gone, excluded, busy, held, paired, elsewhere = (
            world.make_contact({"firstName": name}) for name in "ABCDEFGHIJK"
        )
        pending = {
            each: replace(link_to(world, each, ""), state=LinkState.PENDING, synced_version=1)
            for each in (changed, retried, asked, waiting)
        }
        with world.store.unit() as unit:
            unit.save_links(
                [
                    pending[changed],
                    replace(pending[retried], next_attempt_seconds=60.0, error_code="rule.validation"),
                    replace(pending[asked], error_code="match.ambiguous"),
                    replace(pending[waiting], next_attempt_seconds=7200.0, error_code="rule.validation"),
                    replace(link_to(world, paired, "R1"), state=LinkState.UNLINKED),
                    replace(link_to(world, elsewhere, "R2"), record_type="lead"),
                ]
            )
            unit.record_intents([create_intent(world, Action(ActionKind.CREATE_IN_CRM, TYPE, busy))])
        plan_id = plan_of(world, Action(ActionKind.CREATE_IN_CRM, TYPE, held))
        with world.store.unit() as unit:
            unit.hold_lines(plan_id, ["brake.first_sync"])
        world.edit_contact(changed, {"firstName": "New"})
        world.delete_contact(gone)
        world.exclude_contact(excluded)
        world.pass_time(61)
        rows = {each: pending[each].link_id for each in (changed, retried, asked)}
        with world.store.unit() as unit:
            found = unit.unpaired_contacts(TYPE, "", 99, recheck_matches=False)
            assert [(each.contact.contact_id, each.link.link_id if each.link else None) for each in found] == [
                (each, rows.get(each)) for each in sorted([free, changed, retried])
            ]
            again = unit.unpaired_contacts(TYPE, "", 99, recheck_matches=True)
            assert [each.contact.contact_id for each in again] == sorted([free, changed, retried, asked])
            (second,) = unit.unpaired_contacts(TYPE, again[0].contact.contact_id, 1, recheck_matches=True)
            assert second.contact.contact_id == again[1].contact.contact_id

    def test_key_hits_count_both_sides_and_say_who_is_free(self, world: StoreWorld) -> None:
        """Contacts and records with a key, the free ones apart; a key without hit is absent."""
        shared = "shop@x.example"
        alone, linked = (world.make_contact({"email": text}) for text in ("Shop@X.example", shared))
        world.delete_contact(world.make_contact({"email": shared}))
        run_id = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_links([link_to(world, linked, "R1")])
            unit.save_observations(run_id, [seen_record(each, {}, email_key=shared) for each in ("R1", "R2", "R3")])
            emails, phones = unit.key_hits(TYPE, [shared, "nobody@x.example"], ["+31612345678"])
        assert set(emails) == {shared}
        assert phones == {}
        hit = emails[shared]
        assert (set(hit.contacts), hit.free_contacts) == ({alone, linked}, (alone,))
        assert (set(hit.records), set(hit.free_records)) == ({"R1", "R2", "R3"}, {"R2", "R3"})
        assert hit.creating == ()

    def test_key_hits_list_at_most_three(self, world: StoreWorld) -> None:
        for _ in range(5):
            world.make_contact({"phone": "+31612345678"})
        with world.store.unit() as unit:
            hit = unit.key_hits(TYPE, [], ["+31612345678"])[1]["+31612345678"]
        assert len(hit.contacts) == len(hit.free_contacts) == 3
        assert hit.records == ()

    def test_key_hits_name_contacts_that_are_being_created(self, world: StoreWorld) -> None:
        contact_id = world.make_contact({"email": "ada@x.example"})
        with world.store.unit() as unit:
            unit.record_intents([create_intent(world, Action(ActionKind.CREATE_IN_CRM, TYPE, contact_id))])
            assert unit.key_hits(TYPE, ["ada@x.example"], [])[0]["ada@x.example"].creating == (contact_id,)

    def test_a_contact_that_waits_for_its_record_is_free(self, world: StoreWorld) -> None:
        contact_id = world.make_contact({"email": "ada@x.example"})
        with world.store.unit() as unit:
            unit.save_links([replace(link_to(world, contact_id, ""), state=LinkState.PENDING)])
            assert unit.key_hits(TYPE, ["ada@x.example"], [])[0]["ada@x.example"].free_contacts == (contact_id,)

    def test_named_contacts_are_those_that_a_line_or_an_open_question_names(self, world: StoreWorld) -> None:
        """A line's word goes before a question's; of several questions the one of the lowest record counts."""
        linked, asked, created, untouched = (world.make_contact({"firstName": name}) for name in "ABCD")
        review = ConflictDraft(ConflictKind.MATCH, candidates=(f"contact:{asked}", "record:R2"))
        plan_id = plan_of(
            world,
            Action(ActionKind.LINK, TYPE, linked, "R1"),
            Action(ActionKind.REVIEW, TYPE, remote_id="R2", conflicts=(review,)),
            Action(ActionKind.CREATE_IN_CRM, TYPE, created),
        )
        with world.store.unit() as unit:
            everybody = [linked, asked, created, untouched]
            assert unit.named_contacts(plan_id, TYPE, everybody) == {linked: "", asked: "", created: ""}
            assert unit.named_contacts(world.store.new_id(), TYPE, everybody) == {}
            about = ConflictDraft(ConflictKind.MATCH, candidates=(f"contact:{linked}", f"contact:{untouched}"))
            changes = [ConflictChange("", "", TYPE, remote_id, (about,)) for remote_id in ("R9", "R10")]
            unit.save_conflicts(world.start_run(RunKind.FULL), changes)
            named = unit.named_contacts(plan_id, TYPE, everybody)
            assert named == {linked: "", asked: "", created: "", untouched: "R10"}
            assert unit.named_contacts(plan_id, "lead", [untouched]) == {}

    def test_a_lone_record_comes_with_its_question_until_the_record_is_gone(self, world: StoreWorld) -> None:
        """An answer lists it though the run has not seen it; other candidates take the answer back."""
        run_id, later = world.start_run(RunKind.FULL), world.start_run(RunKind.FULL)
        draft = ConflictDraft(ConflictKind.MATCH, code="match.ambiguous", candidates=("record:R1", "record:R2"))
        asked = ConflictChange("", "", TYPE, "R1", (draft,))
        with world.store.unit() as unit:
            unit.save_observations(run_id, [seen_record("R1", {}), seen_record("R2", {})])
            unit.save_conflicts(run_id, [asked])
            first, second = unit.unpaired_records(run_id, TYPE, "", 9)
            assert second.question is None
            assert first.question is not None
            assert (first.question.code, first.question.candidates) == ("match.ambiguous", draft.candidates)
            assert not first.question.create
            assert unit.unpaired_records(later, TYPE, "", 9) == []
        world.create_anyway(first.question.conflict_id)
        with world.store.unit() as unit:
            unit.save_conflicts(run_id, [asked])
            (found,) = unit.unpaired_records(later, TYPE, "", 9)
            assert found.question is not None
            assert found.question.create
            unit.save_conflicts(run_id, [replace(asked, drafts=(replace(draft, candidates=("record:R1",)),))])
            assert unit.unpaired_records(later, TYPE, "", 9) == []
        world.pass_time(1)
        last = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_observations(last, [seen_record("R2", {})])
            unit.finish_scan(last, TYPE)
        assert world.open_conflict_ids() == []

    def test_a_lone_contact_comes_with_its_question(self, world: StoreWorld) -> None:
        contact_id = world.make_contact({"email": "ada@x.example"})
        waiting = replace(link_to(world, contact_id, ""), state=LinkState.PENDING, synced_version=1)
        draft = ConflictDraft(ConflictKind.MATCH, code="match.email_taken", candidates=("record:R1",))
        with world.store.unit() as unit:
            unit.save_links([replace(waiting, error_code="match.email_taken")])
            change = ConflictChange(waiting.link_id, contact_id, TYPE, "", (draft,))
            unit.save_conflicts(world.start_run(RunKind.FULL), [change])
            assert unit.unpaired_contacts(TYPE, "", 9, recheck_matches=False) == []
        world.create_anyway(world.open_conflict_ids()[0])
        with world.store.unit() as unit:
            (found,) = unit.unpaired_contacts(TYPE, "", 9, recheck_matches=False)
            assert found.question is not None
            assert (found.question.code, found.question.create) == ("match.email_taken", True)
            (view,) = unit.links([waiting.link_id])
            assert view.conflicts == (found.question,)
            assert view.resolutions == {}
