"""What a scan saw of records that have no link."""

# ruff: noqa: S101 - a test suite: asserts are what it is made of, its names say what holds

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from crm.model import (
    SET_ASIDE,
    ConflictChange,
    ConflictDraft,
    ConflictKind,
    LinkState,
    RemoteState,
    RunKind,
)
from crm.testing.store_contract.rows import TYPE, link_to, seen_record, stored_link
from crm.testing.store_contract.world import StoreWorld, WithWorld


class ObservationContract(WithWorld):
    def test_unpaired_records_are_live_seen_by_this_run_and_without_link(self, world: StoreWorld) -> None:
        stored_link(world, "R1")
        ended = stored_link(world, "R2")
        old, run_id = world.start_run(RunKind.FULL), world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_links([replace(ended, state=LinkState.DELETED_IN_APP)])
            unit.save_observations(old, [seen_record("R3", {})])
            unit.save_observations(run_id, [seen_record(each, {}) for each in ("R1", "R2", "R6", "R5")])
            unit.save_observations(run_id, [seen_record("R7", {}, state=RemoteState.ARCHIVED)])
            found = unit.unpaired_records(run_id, TYPE, "", 9)
            assert [each.record.remote_id for each in found] == ["R5", "R6"]
            assert [each.record.remote_id for each in unit.unpaired_records(run_id, TYPE, "R5", 9)] == ["R6"]
            assert unit.unpaired_records(run_id, "lead", "", 9) == []

    def test_an_observation_replaces_the_one_before(self, world: StoreWorld) -> None:
        run_id = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_observations(run_id, [seen_record("R1", {"firstname": "A"})])
            unit.save_observations(run_id, [seen_record("R1", {"firstname": "B"})])
            (found,) = unit.unpaired_records(run_id, TYPE, "", 9)
        assert found.record.values == {"firstname": "B"}

    def test_a_record_that_was_set_aside_stays_so_until_it_changes(self, world: StoreWorld) -> None:
        run_id = world.start_run(RunKind.FULL)
        at, later = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC)
        seen = seen_record("R1", {}, email_key="a@x.example")
        aside = replace(seen, record=replace(seen.record, modified_at=at, skip_reason=SET_ASIDE), reason_code=SET_ASIDE)
        with world.store.unit() as unit:
            unit.save_observations(run_id, [aside])
            for modified_at, reason in ((at, SET_ASIDE), (later, "")):
                unit.save_observations(run_id, [replace(seen, record=replace(seen.record, modified_at=modified_at))])
                (found,) = unit.unpaired_records(run_id, TYPE, "", 9)
                assert found.record.skip_reason == reason

    def test_starts_are_counted_until_a_page_is_stored(self, world: StoreWorld) -> None:
        """What a unit of work stores takes them back."""
        run_id = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            run = unit.load_run(run_id)
            run.position = {"type": 0, "starts": 2}
            unit.save_run(run)
            assert unit.load_run(run_id).position == {"type": 0}

    def test_a_finished_scan_forgets_what_it_did_not_see(self, world: StoreWorld) -> None:
        """A record that no longer exists is no match for anybody."""
        old = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_observations(old, [seen_record("R1", {}, email_key="a@x.example")])
        world.pass_time(1)
        run_id = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_observations(run_id, [seen_record("R2", {}, email_key="a@x.example")])
            unit.finish_scan(run_id, TYPE)
            assert unit.unpaired_records(old, TYPE, "", 9) == []
            assert unit.key_hits(TYPE, ["a@x.example"], [])[0]["a@x.example"].records == ("R2",)

    def test_a_finished_scan_keeps_what_another_run_has_seen_meanwhile(self, world: StoreWorld) -> None:
        """The record was read once more, by word of it: it is there, and so is the question about it."""
        scan, other = world.start_run(RunKind.FULL), world.start_run(RunKind.WEBHOOK)
        draft = ConflictDraft(ConflictKind.MATCH, code="match.ambiguous", candidates=("record:R1", "record:R2"))
        with world.store.unit() as unit:
            unit.save_observations(scan, [seen_record("R1", {}, email_key="a@x.example")])
            unit.save_observations(scan, [seen_record("R2", {}, email_key="a@x.example")])
            unit.save_observations(other, [seen_record("R1", {}, email_key="a@x.example")])
            unit.save_conflicts(scan, [ConflictChange("", "", TYPE, "R1", (draft,))])
            unit.finish_scan(scan, TYPE)
            assert unit.key_hits(TYPE, ["a@x.example"], [])[0]["a@x.example"].records == ("R1", "R2")
        assert len(world.open_conflict_ids()) == 1

    def test_a_finished_scan_frees_the_keys_of_records_that_outlived_their_link_and_are_gone(
        self, world: StoreWorld
    ) -> None:
        """It has not shown R1; R2 it has, R3 another run has read meanwhile, and of a pair it frees nothing."""
        links = [stored_link(world, f"R{number}") for number in range(1, 5)]
        with world.store.unit() as unit:
            unit.save_links([replace(link, state=LinkState.UNLINKED) for link in links[:3]])
        keyed = [seen_record(f"R{number}", {}, email_key=f"{number}@x.example") for number in range(1, 5)]
        world.pass_time(1)
        first = world.start_run(RunKind.FULL)
        with world.store.unit() as unit:
            unit.save_observations(first, keyed)
        world.pass_time(1)
        scan, other = world.start_run(RunKind.FULL), world.start_run(RunKind.WEBHOOK)
        with world.store.unit() as unit:
            unit.save_observations(scan, [keyed[1]])
            unit.save_observations(other, [keyed[2]])
            unit.finish_scan(scan, TYPE)
            hits = unit.key_hits(TYPE, [each.email_key for each in keyed], [])[0]
            assert {hit.records for hit in hits.values()} == {("R2",), ("R3",), ("R4",)}

    def test_a_record_that_outlived_its_contact_keeps_its_keys(self, world: StoreWorld) -> None:
        """Seen again after the contact was deleted it is there; one that was deleted with it is not seen again."""
        run_id = world.start_run(RunKind.FULL)
        links = [link_to(world, world.make_contact({"lastName": "Ada"}), remote_id) for remote_id in ("R1", "R2")]
        with world.store.unit() as unit:
            unit.save_links(links)
            for link in links:
                unit.save_observations(run_id, [seen_record(link.remote_id, {}, email_key="a@x.example")])
                unit.save_links([replace(link, state=LinkState.DELETED_IN_APP, observed_at=None)])
            assert unit.key_hits(TYPE, ["a@x.example"], [])[0] == {}
        world.pass_time(1)
        with world.store.unit() as unit:
            unit.mark_seen(run_id, {links[1].link_id: 1})
            (hit,) = unit.key_hits(TYPE, ["a@x.example"], [])[0].values()
        assert (hit.records, hit.free_records) == (("R2",), ())
