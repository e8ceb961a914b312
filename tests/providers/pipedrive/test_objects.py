"""Every record type through the one grammar: described, created, read, changed, found as changed, deleted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from crm.errors import ConfigurationError
from crm.model import RemoteState, Value
from crm.ports import CreateItem, UpdateItem
from tests.providers.pipedrive.stand import PipedriveStand, pipedrive_stand

PASSES: dict[str, tuple[dict[str, Value], dict[str, Value]]] = {
    "persons": ({"name": "Ada", "email": "ada@example.com"}, {"phone": "+34600111222"}),
    "organizations": ({"name": "Umbra", "label_ids": ("18",)}, {"address.locality": "Ulm"}),
    "deals": ({"title": "Big", "value": 5.5, "person_id": "{person}"}, {"status": "won"}),
    "activities": (
        {"subject": "Call Ada", "type": "call", "person_id": "{person}", "due_date": "2026-10-01"},
        {"done": True},
    ),
    "notes": ({"content": "Called", "person_id": "{person}"}, {"content": "Called again"}),
}


@pytest.mark.parametrize("version", ["v2", "v1"])
@pytest.mark.parametrize("record_type", PASSES)
def test_a_record_of_each_type_lives_and_dies(record_type: str, version: str) -> None:
    """With either version of the API; a link to a person is a value like any other."""
    with pipedrive_stand({"api_version": version}) as stand:
        (person,) = stand.add([{"name": "Linked Person"}])
        stand.pass_time(60)
        given, change = ({**values} for values in PASSES[record_type])
        given = {name: person if value == "{person}" else value for name, value in given.items()}
        connector = stand.connector()
        definitions = {each.name: each for each in connector.describe(record_type)}
        assert {name for name in (*given, *change) if not definitions[name].writable} == set()
        since = stand.now()
        created = connector.create(record_type, [CreateItem("k", "", given)])["k"]
        assert (created.error, created.record.values) == (None, given)
        remote_id = created.record.remote_id
        stand.pass_time(60)
        updated = connector.update(record_type, [UpdateItem("k", remote_id, change)])["k"]
        assert (updated.error, updated.record.values) == (None, change)
        names = list({**given, **change})
        read = connector.fetch(record_type, [remote_id], names)[remote_id]
        assert (read.state, read.values) == (RemoteState.LIVE, {**given, **change})
        assert (read.created_at, read.modified_at) == (since, since + timedelta(seconds=60))
        scanned = connector.scan(record_type, names, None).records
        assert {**given, **change} in [record.values for record in scanned]
        changed = connector.changes(record_type, names, since, None).records
        assert [record.remote_id for record in changed] == [remote_id]
        assert connector.delete(record_type, [UpdateItem("k", remote_id, {})])["k"].error is None
        gone = connector.fetch(record_type, [remote_id], names)[remote_id]
        assert gone.state in {RemoteState.ARCHIVED, RemoteState.MISSING}


@pytest.mark.parametrize("record_type", ["organizations", "deals", "activities", "notes"])
def test_pages_of_every_type_are_complete(record_type: str) -> None:
    """Three pages, each record once."""
    with pipedrive_stand() as stand:
        (person,) = stand.add([{"name": "Linked Person"}])
        bodies: dict[str, dict[str, Any]] = {
            "organizations": {"name": "O"},
            "deals": {"title": "D"},
            "activities": {"subject": "A"},
            "notes": {"content": "N", "person_id": int(person)},
        }
        ids = stand.add([bodies[record_type]] * 25, record_type)
        connector = stand.connector(batch_size=10)
        found, after = [], None
        while True:
            page = connector.scan(record_type, [], after)
            found += [record.remote_id for record in page.records]
            after = page.next
            if after is None:
                break
        assert found == ids


def test_an_unknown_type_is_refused(stand: PipedriveStand) -> None:
    with pytest.raises(ConfigurationError):
        stand.connector().scan("leads", ["title"], None)
    assert stand.fake.stats()["totalRequests"] == 0
