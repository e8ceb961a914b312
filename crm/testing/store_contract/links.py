"""Links: what they hold, which are due and which are missing."""

# ruff: noqa: S101 - a test suite: asserts are what it is made of, its names say what holds

from __future__ import annotations

from dataclasses import replace

from crm.model import (
    BasePair,
    Link,
    LinkState,
    Observation,
    Phase,
    RemoteRecord,
    RunKind,
    Side,
)
from crm.testing.store_contract.rows import (
    TYPE,
    due_ids,
    link_to,
    marked_pages,
    pages,
    question_about,
    seen_record,
    stored_link,
)
from crm.testing.store_contract.world import StoreWorld, WithWorld


class LinkContract(WithWorld):
    def test_a_link_comes_back_as_saved(self, world: StoreWorld) -> None:
        contact_id = world.make_contact({"firstName": "Ada"})
        base = {"m1": BasePair("Ada", "ada", "firstname:string:"), "m2": BasePair(None, ("a", "b"), "tags:set:")}
        link = replace(
            link_to(world, contact_id, "R1"), base=base, synced_version=1, attempts=2, error_code="rule.length"
        )
        with world.store.unit() as unit:
            assert unit.save_links([link]) == {link.link_id: ""}
        with world.store.unit() as unit:
            (view,) = unit.links_for_records(TYPE, ["R1", "R2"])
            assert view.link == link
            assert view.contact.contact_id == contact_id
            assert unit.links_for_contacts(TYPE, [contact_id])[0].link == link
            assert unit.links_for_records("lead", ["R1"]) == []
            assert [each.link for each in unit.links([link.link_id, world.store.new_id()])] == [link]

    def test_a_record_belongs_to_one_link(self, world: StoreWorld) -> None:
        """The second pair on one record is refused with a code, the rest of the page is saved."""
        first, second, third = (world.make_contact({"firstName": name}) for name in "ABC")
        taken, good = link_to(world, second, "R1"), link_to(world, third, "R3")
        with world.store.unit() as unit:
            unit.save_links([link_to(world, first, "R1")])
            assert unit.save_links([taken, good]) == {taken.link_id: "match.taken", good.link_id: ""}
        with world.store.unit() as unit:
            assert [view.contact.contact_id for view in unit.links_for_records(TYPE, ["R1"])] == [first]
            assert unit.links_for_contacts(TYPE, [second]) == []
            assert len(unit.links_for_contacts(TYPE, [third])) == 1

    def test_a_contact_has_one_live_link_of_a_type(self, world: StoreWorld) -> None:
        contact_id = world.make_contact({"firstName": "Ada"})
        old, new = link_to(world, contact_id, "R1"), link_to(world, contact_id, "R2")
        with world.store.unit() as unit:
            assert unit.save_links([old]) == {old.link_id: ""}
            assert unit.save_links([new]) == {new.link_id: "match.taken"}
            unit.save_links([replace(old, state=LinkState.DELETED_IN_CRM)])
            assert unit.save_links([new]) == {new.link_id: ""}
            assert len(unit.links_for_contacts(TYPE, [contact_id])) == 2

    def test_a_link_that_moves_to_another_record_frees_the_old_one(self, world: StoreWorld) -> None:
        link = stored_link(world, "R1")
        with world.store.unit() as unit:
            assert unit.save_links([replace(link, remote_id="R2")]) == {link.link_id: ""}
            assert unit.links_for_records(TYPE, ["R1"]) == []
            assert [view.link.link_id for view in unit.links_for_records(TYPE, ["R2"])] == [link.link_id]

    def test_several_contacts_may_wait_for_a_record(self, world: StoreWorld) -> None:
        """PENDING links have no remote id: an empty id is not a record that they share."""
        first, second = (world.make_contact({"firstName": name}) for name in "AB")
        links = [replace(link_to(world, each, ""), state=LinkState.PENDING) for each in (first, second)]
        with world.store.unit() as unit:
            assert set(unit.save_links(links).values()) == {""}

    def test_due_links_are_exactly_those_with_work(self, world: StoreWorld) -> None:
        """Changed contact, observation, answered conflict, retry whose time has come; no others."""
        quiet, edited, seen, asked, later, dead, elsewhere = (stored_link(world, f"R{n}") for n in range(7))
        world.edit_contact(edited.contact_id, {"firstName": "New"})
        run_id = world.start_run(RunKind.DELTA)
        with world.store.unit() as unit:
            unit.save_observations(run_id, [seen_record("R2", {"firstname": "X"})])
            unit.save_conflicts(run_id, [question_about(asked)])
            unit.save_links([replace(later, error_code="rule.length", attempts=1, next_attempt_seconds=1800.0)])
            unit.save_links([replace(dead, state=LinkState.UNLINKED, due=True)])
            unit.save_links([replace(elsewhere, record_type="lead", due=True)])
        assert due_ids(world) == {edited.link_id, seen.link_id}
        world.answer_conflict(world.open_conflict_ids()[0], Side.APP)
        assert due_ids(world) == {edited.link_id, seen.link_id, asked.link_id}
        world.pass_time(1801)
        assert due_ids(world) == {edited.link_id, seen.link_id, asked.link_id, later.link_id}
        assert quiet.link_id not in due_ids(world)

    def test_a_phase_has_work_where_its_first_page_is_not_empty(self, world: StoreWorld) -> None:
        run_id = world.start_run(RunKind.FULL)
        every = (Phase.MISSING, Phase.CHANGED, Phase.PAIR, Phase.UNPAIRED)

        def found(*phases: Phase) -> set[Phase]:
            with world.store.unit() as unit:
                return unit.phases_with_work(run_id, TYPE, phases, recheck_matches=True)

        assert found(*every) == found() == set()
        contact_id = world.make_contact({"firstName": "Ada"})
        assert found(*every) == {Phase.UNPAIRED}
        assert found(Phase.PAIR) == set()
        with world.store.unit() as unit:
            unit.save_observations(run_id, [Observation(RemoteRecord(TYPE, "r1", {}))])
        assert found(*every) == {Phase.PAIR, Phase.UNPAIRED}
        link = Link(world.store.new_id(), contact_id, TYPE, "r1", synced_version=1)
        with world.store.unit() as unit:
            unit.save_links([link])
        assert found(*every) - {Phase.MISSING} == set()
        world.edit_contact(contact_id, {"firstName": "Grace"})
        assert found(*every) - {Phase.MISSING} == {Phase.CHANGED}

    def test_marked_pages_hold_what_changed(self, world: StoreWorld) -> None:
        """After ``mark_changed`` a page of marks is the page of everything, whoever made the change and whenever."""
        quiet, edited, seen, asked, later, dead = (stored_link(world, f"R{n}") for n in range(6))
        waits = replace(link_to(world, world.make_contact({"firstName": "Ada"}), ""), state=LinkState.PENDING)
        with world.store.unit() as unit:
            unit.save_links([replace(waits, synced_version=1)])
        run_id = world.start_run(RunKind.DELTA)
        assert marked_pages(world) == pages(world)
        alone = world.make_contact({"firstName": "New"})
        gone = world.make_contact({"firstName": "Gone"})
        world.delete_contact(gone)
        for each in (edited, dead, waits):
            world.edit_contact(each.contact_id, {"firstName": "Edited"})
        with world.store.unit() as unit:
            unit.save_observations(run_id, [seen_record("R2", {"firstname": "X"})])
            unit.save_conflicts(run_id, [question_about(asked)])
            unit.save_links([replace(later, error_code="rule.length", attempts=1, next_attempt_seconds=1800.0)])
            unit.save_links([replace(dead, state=LinkState.UNLINKED)])
        world.answer_conflict(world.open_conflict_ids()[0], Side.APP)
        world.pass_time(1801)
        phases = (Phase.CHANGED, Phase.UNPAIRED)
        with world.store.unit() as unit:
            told = unit.phases_with_work(run_id, TYPE, phases, recheck_matches=False, marked=True)
        assert told == set(phases)
        due, unpaired = marked_pages(world)
        assert due == {each.link_id for each in (edited, seen, asked, later)}
        assert unpaired == {alone, waits.contact_id}
        assert (due, unpaired) == pages(world)
        with world.store.unit() as unit:
            unit.save_links([replace(link_to(world, alone, "R9"), synced_version=1), replace(edited, synced_version=2)])
            unit.mark_seen(run_id, {seen.link_id: 1, asked.link_id: 1})
        assert marked_pages(world) == pages(world)
        assert quiet.link_id not in due_ids(world)

    def test_marked_pages_are_paged(self, world: StoreWorld) -> None:
        contacts = sorted(world.make_contact({"firstName": f"N{n}"}) for n in range(5))
        links = sorted(stored_link(world, f"R{n}", synced_version=0).link_id for n in range(5))
        with world.store.unit() as unit:
            assert unit.mark_changed()
            pages = [
                [view.link.link_id for view in unit.due_links(TYPE, after, 2, marked=True)]
                for after in ("", links[1], links[3])
            ]
            assert pages == [links[:2], links[2:4], links[4:]]
            alone = [
                [
                    item.contact.contact_id
                    for item in unit.unpaired_contacts(TYPE, after, 2, recheck_matches=False, marked=True)
                ]
                for after in ("", contacts[1], contacts[3])
            ]
            assert alone == [contacts[:2], contacts[2:4], contacts[4:]]

    def test_due_links_are_paged_by_id(self, world: StoreWorld) -> None:
        links = sorted(stored_link(world, f"R{n}", synced_version=0).link_id for n in range(5))
        with world.store.unit() as unit:
            pages = [
                [view.link.link_id for view in unit.due_links(TYPE, after, 2)] for after in ("", links[1], links[3])
            ]
        assert pages == [links[:2], links[2:4], links[4:]]

    def test_a_saved_link_is_due_no_longer(self, world: StoreWorld) -> None:
        """Saving what was read clears observation, due mark and retry; the contact's version counts as synced."""
        link = stored_link(world, "R1")
        world.edit_contact(link.contact_id, {"firstName": "New"})
        run_id = world.start_run(RunKind.DELTA)
        with world.store.unit() as unit:
            unit.save_links([replace(link, next_attempt_seconds=0.0)])
            unit.save_observations(run_id, [seen_record("R1", {"firstname": "X"})])
            (view,) = unit.due_links(TYPE, "", 9)
            assert view.link.observed == {"firstname": "X"}
            assert view.link.due
            unit.save_links([replace(view.link, observed=None, due=False, synced_version=2)])
        assert due_ids(world) == set()

    def test_a_superseded_link_gives_its_record_up(self, world: StoreWorld) -> None:
        """By a merge in the CRM an ended row makes room for the link that goes on; a waiting row never had a record."""
        ended, goes_on = stored_link(world, "R1"), stored_link(world, "R2")
        waiting = replace(link_to(world, world.make_contact({"firstName": "Ada"}), ""), state=LinkState.PENDING)
        with world.store.unit() as unit:
            unit.save_links([waiting, replace(ended, state=LinkState.DELETED_IN_CRM)])
        gone = [
            replace(each, state=LinkState.SUPERSEDED, superseded_by=goes_on.link_id, remote_id="")
            for each in (ended, waiting)
        ]
        moved = replace(goes_on, remote_id="R1")
        with world.store.unit() as unit:
            assert set(unit.save_links([*gone, moved]).values()) == {""}
            assert [view.link.link_id for view in unit.links_for_records(TYPE, ["R1", "R2"])] == [goes_on.link_id]

    def test_an_observation_older_than_the_link_is_not_taken(self, world: StoreWorld) -> None:
        """What was read before a link was saved knows less than the link: its id is returned, the rest is stored."""
        stale, fresh = stored_link(world, "R1"), stored_link(world, "R2")
        run_id = world.start_run(RunKind.DELTA)
        with world.store.unit() as unit:
            read_at = unit.now()
        world.pass_time(1)
        with world.store.unit() as unit:
            unit.save_links([stale])
        with world.store.unit() as unit:
            seen = [seen_record(each, {"firstname": "X"}) for each in ("R1", "R2", "R3")]
            assert unit.save_observations(run_id, seen, read_at) == {stale.link_id}
            assert [view.link.link_id for view in unit.due_links(TYPE, "", 9)] == [fresh.link_id]
            assert [each.record.remote_id for each in unit.unpaired_records(run_id, TYPE, "", 9)] == ["R3"]
            assert unit.save_observations(run_id, seen, unit.now()) == set()
        assert due_ids(world) == {stale.link_id, fresh.link_id}

    def test_a_marked_link_is_seen_synced_and_due_no_longer(self, world: StoreWorld) -> None:
        """The mark says that nothing is to be done for this version of the contact; a later one is due again."""
        link = stored_link(world, "R1")
        world.edit_contact(link.contact_id, {"firstName": "New"})
        first, second = world.start_run(RunKind.FULL), world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_observations(first, [seen_record("R1", {"firstname": "X"})])
            unit.mark_seen(second, {link.link_id: 2})
            assert unit.missing_links(second, TYPE, "", 9) == []
            (view,) = unit.links_for_records(TYPE, ["R1"])
            assert (view.link.synced_version, view.link.due) == (2, False)
            assert view.link.observed_at is not None
        assert due_ids(world) == set()
        world.edit_contact(link.contact_id, {"firstName": "Newer"})
        assert due_ids(world) == {link.link_id}

    def test_missing_links_are_exactly_the_live_ones_not_seen(self, world: StoreWorld) -> None:
        marked, observed, unseen, ended = (stored_link(world, f"R{n}") for n in range(4))
        run_id = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.mark_seen(world.start_run(RunKind.FULL), {unseen.link_id: 1})
            unit.mark_seen(run_id, {marked.link_id: 1})
            unit.save_observations(run_id, [seen_record("R1", {}, link_id=observed.link_id)])
            unit.save_links([replace(ended, state=LinkState.DELETED_IN_APP)])
            assert [view.link.link_id for view in unit.missing_links(run_id, TYPE, "", 9)] == [unseen.link_id]
            assert unit.missing_links(run_id, TYPE, unseen.link_id, 9) == []
            assert unit.missing_links(run_id, "lead", "", 9) == []

    def test_a_record_linked_after_it_was_seen_is_not_missing(self, world: StoreWorld) -> None:
        contact_id = world.make_contact({"firstName": "Ada"})
        run_id = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_observations(run_id, [seen_record("R1", {})])
            unit.save_links([link_to(world, contact_id, "R1")])
            assert unit.missing_links(run_id, TYPE, "", 9) == []

    def test_links_are_found_by_contact_record_or_id_at_once(self, world: StoreWorld) -> None:
        """Contacts and records count for the types named only; each row is there once."""
        by_contact, by_record, by_id, other = (stored_link(world, each) for each in ("R1", "R2", "R3", "R4"))
        with world.store.unit() as unit:
            found = unit.links_of([TYPE], [by_contact.contact_id], ["R1", "R2"], [by_id.link_id])
            wanted = sorted(link.link_id for link in (by_contact, by_record, by_id))
            assert sorted(view.link.link_id for view in found) == wanted
            assert unit.links_of(["lead"], [other.contact_id], ["R4"], []) == []

    def test_opening_a_unit_may_bring_the_run_along(self, world: StoreWorld) -> None:
        run_id = world.start_run(RunKind.DELTA)
        with world.store.unit(run_id) as unit:
            run = unit.load_run(run_id)
            assert (run.run_id, run.kind, run.loaded_at) == (run_id, RunKind.DELTA, unit.now())
            assert unit.load_run(run_id) == run
