"""Links between records: both directions stored, default types, labels replaced by PUT.

Page: https://developers.hubspot.com/docs/api-reference/crm-associations-v4/guide
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from crm.providers.hubspot.fake import answers
from crm.providers.hubspot.fake.answers import Json
from crm.providers.hubspot.fake.object_types import COMPANIES, CONTACTS, OBJECT_TYPES, ObjectType
from crm.providers.hubspot.fake.state import Actor, Record, State
from crm.testing.clock import iso_ms

_NAMES: Final = {kind.singular: kind.type_id for kind in OBJECT_TYPES}


def _pairs() -> dict[tuple[str, str], tuple[int, ...]]:
    """(from type, to type) -> association type ids, the unlabelled default first."""
    table: dict[tuple[str, str], tuple[int, ...]] = {}
    both_ways = (
        "contact company 279,1 280,2",
        "contact deal 4 3",
        "deal company 341,5 342,6",
        "contact call 193 194",
        "contact email 197 198",
        "contact meeting 199 200",
        "contact note 201 202",
        "contact task 203 204",
        "contact communication 82 81",
        "company call 181 182",
        "company email 185 186",
        "company meeting 187 188",
        "company note 189 190",
        "company task 191 192",
        "company communication 88 87",
        "deal call 205 206",
        "deal email 209 210",
        "deal meeting 211 212",
        "deal note 213 214",
        "deal task 215 216",
        "contact contact 449 449",
        "company company 450 450",
    )
    for line in both_ways:
        one, other, there, back = line.split()
        table[_NAMES[one], _NAMES[other]] = tuple(int(part) for part in there.split(","))
        table[_NAMES[other], _NAMES[one]] = tuple(int(part) for part in back.split(","))
    return table


TYPE_IDS: Final = _pairs()
INVERSE: Final = {
    (pair, type_id): TYPE_IDS[pair[1], pair[0]][position]
    for pair, type_ids in TYPE_IDS.items()
    for position, type_id in enumerate(type_ids)
}
PRIMARY: Final = frozenset({1, 2, 5, 6})


class NewLink(NamedTuple):
    """A wanted link of a record that is about to be made."""

    other: Record
    type_ids: tuple[int, ...]


def parse_specs(raw: Any) -> list[tuple[str, tuple[int, ...]]]:
    """The ``associations`` of a create call as (other id, type ids)."""
    if raw is None:
        return []
    try:
        return [(str(item["to"]["id"]), type_ids_of(item["types"])) for item in raw]
    except (TypeError, KeyError) as error:
        raise answers.invalid_input("`associations` must hold `to.id` and `types`") from error


def type_ids_of(raw: Any) -> tuple[int, ...]:
    try:
        type_ids = tuple(int(item["associationTypeId"]) for item in raw)
    except (TypeError, KeyError, ValueError) as error:
        raise answers.invalid_input(
            "association types must hold `associationCategory` and `associationTypeId`"
        ) from error
    if not type_ids:
        raise answers.invalid("One or more associations are invalid")
    return type_ids


class AssociationStore:
    def __init__(self, state: State) -> None:
        self.state = state

    def check_new(self, kind: ObjectType, specs: Iterable[tuple[str, tuple[int, ...]]]) -> list[NewLink]:
        """Find the other ends; the target type follows from the type id. Raises 400 as HubSpot does."""
        wanted = []
        for other_id, type_ids in specs:
            targets = {to for (from_, to), known in TYPE_IDS.items() if from_ == kind.type_id and type_ids[0] in known}
            if not targets:
                owners = [from_ for (from_, _), known in TYPE_IDS.items() if type_ids[0] in known]
                expected = owners[0] if owners else "unknown"
                raise answers.invalid(
                    f"invalid from object type {kind.type_id} for associations to be created. expected: {expected}"
                )
            other = self.state.tables[targets.pop()].live_by_key(other_id)
            if other is None or not set(type_ids) <= set(TYPE_IDS[kind.type_id, other.kind.type_id]):
                raise answers.invalid("One or more associations are invalid")
            wanted.append(NewLink(other, type_ids))
        return wanted

    def link_new(self, record: Record, wanted: Iterable[NewLink], actor: Actor) -> None:
        for other, type_ids in wanted:
            self.link(record, other, type_ids, actor)

    def link(
        self, record: Record, other: Record, type_ids: Iterable[int], actor: Actor, *, replace: bool = False
    ) -> set[int]:
        """Store both directions with the default type; gives the type ids now in force from ``record``."""
        pair = (record.kind.type_id, other.kind.type_id)
        default = TYPE_IDS[pair][0]
        wanted = {default, *type_ids}
        before = set(record.links.get(pair[1], {}).get(other.record_id, ()))
        after = wanted if replace else before | wanted
        if after == before:
            return after
        record.links.setdefault(pair[1], {})[other.record_id] = after
        other.links.setdefault(pair[0], {})[record.record_id] = {INVERSE[pair, type_id] for type_id in after}
        self._tell(record, other, actor, removed=False, primary=bool(after & PRIMARY))
        return after

    def unlink(self, record: Record, other: Record, actor: Actor, type_ids: Iterable[int] = ()) -> bool:
        """Remove all types, or the given ones; removing the default removes the rest."""
        pair = (record.kind.type_id, other.kind.type_id)
        before = record.links.get(pair[1], {}).get(other.record_id)
        if not before:
            return False
        removed = set(type_ids) or set(before)
        left = set() if TYPE_IDS[pair][0] in removed else before - removed
        if left == before:
            return False
        if left:
            record.links[pair[1]][other.record_id] = left
            other.links[pair[0]][record.record_id] = {INVERSE[pair, type_id] for type_id in left}
        else:
            del record.links[pair[1]][other.record_id]
            del other.links[pair[0]][record.record_id]
        self._tell(record, other, actor, removed=True, primary=bool(before & PRIMARY))
        return True

    def of(self, record: Record, kind: ObjectType) -> dict[int, set[int]]:
        """Live records of a type linked to this one, in id order."""
        table = self.state.table(kind)
        found = record.links.get(kind.type_id, {})
        return {other_id: found[other_id] for other_id in sorted(found) if table.live(other_id)}

    def embedded(self, record: Record, kinds: Iterable[ObjectType]) -> Json:
        """The ``associations`` of a list or single read: one entry per type, so ids may repeat."""
        shown: Json = {}
        for kind in kinds:
            name = f"{record.kind.singular}_to_{kind.singular}"
            results = []
            for other_id, type_ids in self.of(record, kind).items():
                if type_ids & PRIMARY:
                    results.append({"id": str(other_id), "type": name})
                    results.append({"id": str(other_id), "type": f"{name}_unlabeled"})
                else:
                    results.append({"id": str(other_id), "type": name})
            if results:
                shown[kind.plural] = {"results": results}
        return shown

    def _tell(self, record: Record, other: Record, actor: Actor, *, removed: bool, primary: bool) -> None:
        state = self.state
        at_ms = state.clock.now_ms()
        for one, two in ((record, other), (other, record)):
            state.dirty_records[one.kind.type_id, one.record_id] = None
            self._mirror(one, two, actor, at_ms)
            state.tell(
                one.kind,
                "associationChange",
                at_ms,
                actor,
                associationType=f"{one.kind.singular.upper()}_TO_{two.kind.singular.upper()}",
                fromObjectId=one.record_id,
                toObjectId=two.record_id,
                associationRemoved=removed,
                isPrimaryAssociation=primary,
            )
        state.note("unlink" if removed else "link", record, actor, at_ms, {}, other=str(other.record_id))

    def _mirror(self, record: Record, other: Record, actor: Actor, at_ms: int) -> None:
        """``associatedcompanyid`` follows the primary company; activities count on the contact."""
        if record.kind is not CONTACTS:
            return
        values = {}
        if other.kind is COMPANIES:
            primary = [id_ for id_, type_ids in record.links.get(COMPANIES.type_id, {}).items() if type_ids & PRIMARY]
            values["associatedcompanyid"] = str(primary[0]) if primary else ""
        elif other.kind.is_activity:
            count = sum(len(self.of(record, kind)) for kind in OBJECT_TYPES if kind.is_activity)
            values = {"num_notes": str(count), "notes_last_updated": iso_ms(at_ms)}
        if values and self.state.put_values(record, values, actor, at_ms):
            self.state.stamp(record, at_ms)
