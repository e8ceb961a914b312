"""Which contacts a record of another object belongs to, offered as a field of that object.

https://developers.hubspot.com/docs/api-reference/crm-associations-v4/guide (checked 2026-11): a batch reads the
associations of 1,000 records and writes 2,000 pairs; a new record takes them along. Both directions are stored, and
the id of the type differs by direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from crm.errors import CrmError, FieldRefusal
from crm.mapping.kinds import Kind
from crm.model import FieldDefinition, RemoteRecord, RemoteState, Value
from crm.ports import ItemResult
from crm.providers.hubspot import endpoints
from crm.providers.hubspot.client import HubSpotClient

CONTACT_LINKS: Final = "associations.contacts"
TYPE_IDS: Final[Mapping[str, int]] = {
    "companies": 280,
    "deals": 3,
    "notes": 202,
    "tasks": 204,
    "calls": 194,
    "emails": 198,
    "meetings": 200,
    "communications": 81,
}
"""Object -> the unlabelled type from it to a contact."""
LINKS_TO_CONTACT: Final[Mapping[str, str]] = dict.fromkeys(TYPE_IDS, CONTACT_LINKS)
DEFINITION: Final = FieldDefinition(
    name=CONTACT_LINKS,
    label="Contacts",
    kind=Kind.TAGS.value,
    remote_type="association/contacts",
    multiple=True,
)


def is_linked(record_type: str, names: Sequence[str]) -> bool:
    return CONTACT_LINKS in names and record_type in TYPE_IDS


def without_links(names: Sequence[str]) -> list[str]:
    """The names that are properties."""
    return [name for name in names if name != CONTACT_LINKS]


def new_associations(record_type: str, contact_ids: Sequence[str]) -> list[dict[str, Any]]:
    """What a create call carries; nothing for an object that has none."""
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": TYPE_IDS.get(record_type)}]
    return [{"to": {"id": each}, "types": types} for each in contact_ids]


def contact_ids(value: Value) -> tuple[str, ...]:
    """The ids in a value that is to be written; one alone may come as text."""
    found = value if isinstance(value, tuple) else (value,) if isinstance(value, str) and value else ()
    return tuple(dict.fromkeys(found))


def with_links(client: HubSpotClient, record_type: str, records: Sequence[RemoteRecord]) -> tuple[RemoteRecord, ...]:
    """The records with their contacts, in the order of ids; of what is no longer live they stay unknown."""
    live = [record.remote_id for record in records if record.state is RemoteState.LIVE]
    found = _read(client, record_type, live)
    return tuple(
        replace(record, values={**record.values, CONTACT_LINKS: found[record.remote_id] or None})
        if record.remote_id in found
        else record
        for record in records
    )


def write_links(
    client: HubSpotClient, record_type: str, asked: Mapping[str, Value], results: Mapping[str, ItemResult]
) -> dict[str, ItemResult]:
    """The results with each written record's links made as asked: what is missing is added, what is more removed.

    One request reads, at most two write, and one reads again where HubSpot did not take all of it. A record whose
    links could not be made as asked has them among its ``refused``.
    """
    done = dict(results)
    of = {record.remote_id: key for key in asked if results[key].error is None and (record := results[key].record)}
    if not of:
        return done
    try:
        wanted = {remote_id: contact_ids(asked[key]) for remote_id, key in of.items()}
        now = _read(client, record_type, list(of))
        missing = [(own, other) for own, others in wanted.items() for other in others if other not in now[own]]
        extra = [(own, other) for own in wanted for other in now[own] if other not in wanted[own]]
        is_whole = all(
            [
                *(client.link(record_type, chunk) for chunk in _chunks(missing, endpoints.LINK_BATCH)),
                *(client.unlink(record_type, chunk) for chunk in _chunks(extra, endpoints.LINK_BATCH)),
            ]
        )
        after = {each: tuple(sorted(others, key=_order)) for each, others in wanted.items()}
        after = after if is_whole else _read(client, record_type, list(of))
    except CrmError as error:
        refusal = FieldRefusal(error.code, error.provider_message)
        return done | {key: _refused(results[key], refusal) for key in of.values()}
    for remote_id, key in of.items():
        record = results[key].record
        if set(after[remote_id]) != set(wanted[remote_id]):
            done[key] = _refused(results[key], FieldRefusal("field.picklist", "HubSpot did not link all of them"))
        elif record is not None:
            values = {**record.values, CONTACT_LINKS: after[remote_id] or None}
            done[key] = replace(results[key], record=replace(record, values=values))
    return done


def _refused(result: ItemResult, refusal: FieldRefusal) -> ItemResult:
    return replace(result, refused={**result.refused, CONTACT_LINKS: refusal})


def _read(client: HubSpotClient, record_type: str, remote_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Every id asked for -> the ids of its contacts, ascending."""
    found: dict[str, list[str]] = {each: [] for each in remote_ids}
    for chunk in _chunks(list(found), endpoints.LINK_READ_BATCH):
        positions = dict.fromkeys(chunk, "")
        while positions:
            linked, positions = client.links(record_type, positions)
            for own, others in linked.items():
                found.get(own, []).extend(others)
    return {own: tuple(sorted(dict.fromkeys(others), key=_order)) for own, others in found.items()}


def _order(remote_id: str) -> tuple[int, str]:
    return len(remote_id), remote_id


def _chunks(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
