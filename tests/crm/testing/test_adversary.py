"""The made-up CRM misbehaves as told, keeps its promises otherwise, and remembers who wrote what."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from crm.errors import (
    DuplicateRecordError,
    OutcomeUnknownError,
    ProviderUnavailableError,
    RateLimitedError,
    RecordGoneError,
    RecordInvalidError,
    StaleWriteError,
)
from crm.model import RemoteState
from crm.ports import CreateItem, UpdateItem
from crm.testing.adversary import RECORD_TYPE, AdversaryConnector, Faults
from crm.testing.adversary_nature import HUBSPOT_LIKE, NATURES, PIPEDRIVE_LIKE, SALESFORCE_LIKE, Automation, draw_nature
from crm.testing.adversary_records import AdversaryCrm
from crm.testing.clock import FakeClock

FIELDS = ("firstname", "lastname", "email", "phone", "score", "tier")


@pytest.fixture
def clock():
    return FakeClock(start_ms=1_790_000_000_400)


def connect(nature, clock, **faults):
    return AdversaryConnector(
        AdversaryCrm(nature, clock, random.Random(1)), draw=random.Random(1), faults=Faults(**faults)
    )


def walk(read):
    """All pages of a scan, and how many there were."""
    records, after, pages = [], None, 0
    while True:
        page = read(after)
        records.extend(page.records)
        pages += 1
        if page.next is None:
            return records, pages
        after = page.next


def create(connector, values, marker="org:c1"):
    return connector.create(RECORD_TYPE, [CreateItem("k", marker, values)])["k"]


@pytest.mark.parametrize("nature", NATURES, ids=lambda nature: nature.name)
def test_a_scan_shows_every_live_record_once(nature, clock):
    connector = connect(replace(nature, page_size=2), clock)
    ids = [connector.crm.user_creates({"lastname": f"N{n}"}) for n in range(5)]
    connector.crm.user_deletes(ids[1])
    records, pages = walk(lambda after: connector.scan(RECORD_TYPE, FIELDS, after))
    assert [record.remote_id for record in records] == [ids[0], *ids[2:]]
    assert pages == 2
    assert connector.calls == 2


def test_a_fresh_change_shows_late_in_changes_but_at_once_in_a_fetch(clock):
    """The search index lags; when it shows the change, it does so with the stamp of the change."""
    connector = connect(HUBSPOT_LIKE, clock)
    remote_id = connector.crm.user_creates({"firstname": "Ada"})
    clock.advance(120)
    before = connector.crm.server_now()
    connector.crm.user_edits(remote_id, {"firstname": "Eve"})
    assert connector.fetch(RECORD_TYPE, [remote_id], FIELDS)[remote_id].values["firstname"] == "Eve"
    assert connector.changes(RECORD_TYPE, FIELDS, before, None).records == ()
    clock.advance(HUBSPOT_LIKE.lag_seconds)
    (record,) = connector.changes(RECORD_TYPE, FIELDS, before, None).records
    assert (record.values["firstname"], record.modified_at) == ("Eve", before)


def test_equal_stamps_are_paged_by_id(clock):
    """More records of one second than a page holds are all shown, each once."""
    connector = connect(replace(SALESFORCE_LIKE, page_size=2, lag_seconds=0.0), clock)
    ids = [connector.crm.user_creates({"lastname": f"N{n}"}) for n in range(5)]
    since = connector.crm.server_now() - timedelta(seconds=1)
    records, pages = walk(lambda after: connector.changes(RECORD_TYPE, FIELDS, since, after))
    assert [record.remote_id for record in records] == ids
    assert len({record.modified_at for record in records}) == 1
    assert pages == 3


def test_only_a_crm_whose_delta_shows_deletions_does(clock):
    for nature, states in ((SALESFORCE_LIKE, [RemoteState.ARCHIVED]), (HUBSPOT_LIKE, [])):
        connector = connect(nature, clock)
        remote_id = connector.crm.user_creates({"lastname": "Gone"})
        since = connector.crm.server_now() - timedelta(seconds=2)
        connector.crm.user_deletes(remote_id)
        clock.advance(60)
        assert [record.state for record in connector.changes(RECORD_TYPE, FIELDS, since, None).records] == states


def test_a_write_stores_the_crms_own_form_and_returns_it_where_the_crm_does(clock):
    for nature, returned in ((HUBSPOT_LIKE, {"firstname": "Ada", "email": "ada@x.example"}), (SALESFORCE_LIKE, {})):
        connector = connect(nature, clock)
        result = create(connector, {"firstname": " Ada ", "email": "Ada@X.example", "lastname": "L"})
        assert {**result.record.values, "lastname": "L"} == {**returned, "lastname": "L"}
        stored = connector.crm.records[result.record.remote_id].values
        assert stored["email"] == "ada@x.example"


def test_a_lost_answer_leaves_the_write_done_or_undone_as_drawn(clock):
    done, undone = connect(HUBSPOT_LIKE, clock, lost_after=1.0), connect(HUBSPOT_LIKE, clock, lost_before=1.0)
    for connector, count in ((done, 1), (undone, 0)):
        with pytest.raises(OutcomeUnknownError):
            create(connector, {"firstname": "Ada"})
        assert len(connector.crm.live()) == count
    assert done.find_by_markers(RECORD_TYPE, ["org:c1"], FIELDS).get("org:c1").values["firstname"] == "Ada"
    assert undone.find_by_markers(RECORD_TYPE, ["org:c1"], FIELDS).get("org:c1") is None
    assert (done.faults.given["lost_after"], undone.faults.given["lost_before"]) == (1, 1)


def test_a_marker_is_used_once_where_the_field_is_unique(clock):
    connector = connect(HUBSPOT_LIKE, clock)
    first = create(connector, {"firstname": "Ada"})
    again = create(connector, {"firstname": "Ada"})
    assert isinstance(again.error, DuplicateRecordError)
    assert again.error.remote_id == first.record.remote_id
    plain = connect(PIPEDRIVE_LIKE, clock)
    assert create(plain, {"firstname": "Ada"}).error is None
    assert create(plain, {"firstname": "Ada"}).error is None
    assert len(plain.crm.live()) == 2


def test_an_email_is_used_once_where_the_crm_says_so(clock):
    connector = connect(HUBSPOT_LIKE, clock)
    remote_id = connector.crm.user_creates({"email": "ada@x.example"})
    result = create(connector, {"email": "ADA@x.example"})
    assert isinstance(result.error, DuplicateRecordError)
    assert result.error.remote_id == remote_id
    assert len(connector.crm.live()) == 1


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"firstname": "A#b"}, "rule.validation"),
        ({"lastname": "x" * 41}, "field.too_long"),
        ({"tier": "platinum"}, "field.picklist"),
        ({"score": "many"}, "field.type"),
        ({"nothing": "x"}, "field.missing"),
    ],
)
def test_a_value_that_breaks_a_rule_is_refused_by_field_and_nothing_is_written(clock, values, code):
    connector = connect(HUBSPOT_LIKE, clock)
    result = create(connector, {"company": "X", **values})
    assert isinstance(result.error, RecordInvalidError)
    assert {name: refusal.code for name, refusal in result.error.fields.items()} == {next(iter(values)): code}
    assert connector.crm.live() == []


def test_a_crm_may_write_the_rest_of_a_record(clock):
    connector = connect(replace(HUBSPOT_LIKE, drops_refused_fields=True), clock)
    result = create(connector, {"company": "X", "tier": "platinum"})
    assert set(result.refused) == {"tier"}
    assert connector.crm.records[result.record.remote_id].values == {"company": "X"}


def test_a_hidden_field_is_neither_listed_nor_read_nor_written(clock):
    connector = connect(HUBSPOT_LIKE, clock)
    remote_id = connector.crm.user_creates({"firstname": "Ada", "phone": "+31612345678"})
    connector.crm.hidden.add("phone")
    assert "phone" not in {definition.name for definition in connector.describe(RECORD_TYPE)}
    assert "phone" not in connector.fetch(RECORD_TYPE, [remote_id], FIELDS)[remote_id].values
    result = connector.update(RECORD_TYPE, [UpdateItem("k", remote_id, {"phone": None})])["k"]
    assert isinstance(result.error, RecordInvalidError)
    assert connector.crm.records[remote_id].values["phone"] == "+31612345678"


def test_a_merge_leads_from_the_old_ids_to_the_survivor(clock):
    """A new id where the CRM gives one; the survivor's blanks are filled from the loser."""
    for nature, is_new in ((HUBSPOT_LIKE, True), (SALESFORCE_LIKE, False)):
        connector = connect(nature, clock)
        winner = connector.crm.user_creates({"lastname": "W", "firstname": "Ada"})
        loser = connector.crm.user_creates({"lastname": "L", "phone": "+31612345678"})
        survivor = connector.crm.user_merges(loser, winner)
        assert (survivor not in {winner, loser}) is is_new
        answer = connector.fetch(RECORD_TYPE, [loser, survivor], FIELDS)
        assert (answer[loser].state, answer[loser].merged_into) == (RemoteState.MERGED, survivor)
        assert answer[survivor].values["lastname"] == "W"
        assert answer[survivor].values["phone"] == "+31612345678"
        assert (loser in answer[survivor].former_ids) is nature.survivor_lists_former


def test_a_deleted_record_is_archived_or_missing_and_refuses_writes(clock):
    for shown, state in ((True, RemoteState.ARCHIVED), (False, RemoteState.MISSING)):
        connector = connect(replace(HUBSPOT_LIKE, deleted_are_shown=shown), clock)
        remote_id = connector.crm.user_creates({"firstname": "Ada"})
        connector.crm.user_deletes(remote_id)
        assert connector.fetch(RECORD_TYPE, [remote_id, "9"], FIELDS)[remote_id].state is state
        item = UpdateItem("k", remote_id, {"firstname": "Eve"})
        assert isinstance(connector.update(RECORD_TYPE, [item])["k"].error, RecordGoneError)
        assert connector.delete(RECORD_TYPE, [item])["k"].error is None
        connector.crm.user_undeletes(remote_id)
        assert connector.fetch(RECORD_TYPE, [remote_id], FIELDS)[remote_id].values["firstname"] == "Ada"


def test_a_conditional_write_refuses_what_changed_since(clock):
    connector = connect(replace(SALESFORCE_LIKE, lag_seconds=0.0), clock)
    remote_id = connector.crm.user_creates({"lastname": "L"})
    seen = connector.fetch(RECORD_TYPE, [remote_id], FIELDS)[remote_id].modified_at
    clock.advance(5)
    connector.crm.user_edits(remote_id, {"lastname": "M"})
    result = connector.update(RECORD_TYPE, [UpdateItem("k", remote_id, {"lastname": "X"}, seen)])["k"]
    assert isinstance(result.error, StaleWriteError)
    assert connector.crm.records[remote_id].values["lastname"] == "M"


def test_an_automation_rewrites_a_field_later_as_nobody(clock):
    rule = Automation("tier", lambda value: "gold" if value == "black" else value, 5.0)
    connector = connect(replace(SALESFORCE_LIKE, automations=(rule,)), clock)
    result = create(connector, {"lastname": "L", "tier": "black"})
    clock.advance(6)
    record = connector.fetch(RECORD_TYPE, [result.record.remote_id], FIELDS)[result.record.remote_id]
    assert (record.values["tier"], record.by_us) == ("gold", False)
    assert [(entry.after, entry.by) for entry in connector.crm.journal if entry.field == "tier"] == [
        ("black", "us"),
        ("gold", "automation"),
    ]


def test_a_refused_batch_is_done_in_halves(clock):
    """Every item gets its own outcome, and none is written twice."""
    connector = connect(HUBSPOT_LIKE, clock, batch_refused=1.0)
    items = [CreateItem(f"k{n}", f"org:c{n}", {"firstname": f"N{n}"}) for n in range(8)]
    results = connector.create(RECORD_TYPE, items)
    assert set(results) == {item.key for item in items}
    assert all(result.error is None for result in results.values())
    assert len(connector.crm.live()) == 8
    assert connector.calls == 8 + 7


def test_limits_and_outages_change_nothing(clock):
    for faults, error in (({"rate_limited": 1.0}, RateLimitedError), ({"unavailable": 1.0}, ProviderUnavailableError)):
        connector = connect(HUBSPOT_LIKE, clock, **faults)
        with pytest.raises(error):
            connector.scan(RECORD_TYPE, FIELDS, None)
        assert connector.crm.journal == []


def test_the_history_of_a_field_is_newest_first_and_names_us(clock):
    connector = connect(HUBSPOT_LIKE, clock)
    remote_id = create(connector, {"firstname": "Ada"}).record.remote_id
    clock.advance(60)
    connector.crm.user_edits(remote_id, {"firstname": "Eve"})
    changes = connector.field_history(RECORD_TYPE, [remote_id], ["firstname"])[remote_id]["firstname"]
    assert [(change.value, change.by_us) for change in changes] == [("Eve", False), ("Ada", True)]
    assert changes[0].at - changes[1].at == timedelta(seconds=60)
    assert connect(PIPEDRIVE_LIKE, clock).field_history(RECORD_TYPE, [remote_id], ["firstname"]) == {}


def test_the_journal_says_what_we_had_read_when_we_wrote(clock):
    """A user's edit between our read and our write has a higher number than what we had read."""
    connector = connect(HUBSPOT_LIKE, clock)
    remote_id = connector.crm.user_creates({"firstname": "Ada"})
    connector.fetch(RECORD_TYPE, [remote_id], FIELDS)
    connector.crm.user_edits(remote_id, {"firstname": "Eve"})
    connector.update(RECORD_TYPE, [UpdateItem("k", remote_id, {"firstname": "Bea"})])
    theirs, ours = connector.crm.journal[-2:]
    assert (theirs.by, ours.by, ours.before) == ("user", "us", "Eve")
    assert ours.read_number < theirs.number


def test_a_seed_draws_the_same_nature_again():
    natures = [draw_nature(random.Random(seed)) for seed in range(60)]
    assert [each.name for each in natures] == [draw_nature(random.Random(seed)).name for seed in range(60)]
    assert {each.name for each in natures} == {each.name for each in NATURES}
