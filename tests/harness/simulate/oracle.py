"""The judge: what people entered, what became of it, and whether every engine write was right.

It looks at both journals (who wrote which value when) and never at how the engine decided.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from crm.mapping.field_map import FieldMap
from crm.model import (
    ActionKind,
    AppContact,
    BlankRule,
    ConflictKind,
    ContactState,
    Direction,
    Effect,
    IntentStatus,
    LineStatus,
    Link,
    LinkState,
    RemoteState,
    Rule,
    Side,
    Value,
)
from tests.harness.simulate.world import World

_OVERRULING = {
    Rule.ADSAPP_WINS, Rule.CRM_WINS, Rule.NEWEST_WINS, Rule.TIE, Rule.ONE_WAY, Rule.WRITTEN_BACK,
    Rule.OPT_OUT_WINS, Rule.CHOSEN, Rule.MERGED, Rule.UNDO, Rule.AGREED_DIFFERENCE,
}  # fmt: skip
FRESH_SECONDS = 95.0
"""A check read may be this old when a record is written: 30 s by the engine's own rule, and the pauses between
the port calls from there to the write. What a user enters meanwhile falls into the blind window."""


@dataclass(frozen=True)
class Event:
    """One write of one field on one side."""

    at: datetime
    side: Side
    entity: str
    mapping_id: str
    before: Value
    after: Value
    by: str
    """user, us, automation, merge."""
    read_at: datetime | None = None
    order: int = 0
    read_order: int = 0


@dataclass
class Told:
    edits: int = 0
    contested: int = 0
    blind: int = 0
    unknowable: int = 0


class _Judge:
    def __init__(self, world: World) -> None:
        self.world = world
        self.maps = {field_map.mapping_id: field_map for field_map in world.maps}
        self.by_app = {field_map.app_field: field_map for field_map in world.maps}
        self.by_remote = {field_map.remote_field: field_map for field_map in world.maps}
        self.links = world.store.links()
        self.groups = self._groups()
        self.events = sorted([*self._app_events(), *self._crm_events()], key=lambda event: event.at)
        self.timeline: dict[tuple[str, Side, str], list[Event]] = defaultdict(list)
        for event in self.events:
            self.timeline[self.groups.get(event.entity, event.entity), event.side, event.mapping_id].append(event)
        self.merged_at = {
            contact_id: world.app.changes[contact_id, row.contact.version].at
            for contact_id, row in world.app.rows.items()
            if row.contact.state is ContactState.MERGED
        }
        self.merged_at.update((entry.remote_id, entry.at) for entry in world.crm.journal if entry.what == "merge")
        self.told = Told()

    def accuse(self, invariant: str, text: str) -> None:
        self.world.accuse(invariant, text)

    # what there is

    def _groups(self) -> dict[str, str]:
        """Entity -> a name shared by all that were ever linked or merged with it."""
        parent: dict[str, str] = {}

        def find(name: str) -> str:
            while parent.setdefault(name, name) != name:
                name = parent[name]
            return name

        def join(left: str, right: str) -> None:
            if left and right:
                parent[find(left)] = find(right)

        for link in self.links:
            join(link.contact_id, link.remote_id)
        for entry in self.world.store.ledger():
            join(entry.contact_id, entry.remote_id)
        for made in self.world.crm.journal:
            if made.what == "create" and made.by == "us":
                join(made.remote_id, made.marker.partition(":")[2])
        for row in self.world.app.rows.values():
            join(row.contact.contact_id, row.contact.merged_into)
        for record in self.world.crm.records.values():
            join(record.remote_id, record.merged_into)
            for former in record.former_ids:
                join(record.remote_id, former)
        return {name: find(name) for name in list(parent)}

    def _app_events(self) -> Iterator[Event]:
        for change in self.world.app.changes.values():
            by = "us" if change.origin == self.world.store.name else "user"
            for name, (before, after) in change.fields.items():
                field_map = self.by_app.get(name)
                if field_map is not None:
                    yield Event(change.at, Side.APP, change.contact_id, field_map.mapping_id, before, after, by)

    def _crm_events(self) -> Iterator[Event]:
        for entry in self.world.crm.journal:
            if not entry.field:
                continue
            field_map = self.by_remote.get(entry.field)
            if field_map is None:
                if entry.by == "us":
                    self.accuse("I7", f"record {entry.remote_id}: unmapped field {entry.field} was written")
                continue
            yield Event(
                entry.at, Side.CRM, entry.remote_id, field_map.mapping_id, entry.before, entry.after, entry.by,
                entry.read_at, entry.number, entry.read_number,
            )  # fmt: skip

    def _same(self, mapping_id: str, left: Value, right: Value) -> bool:
        """Equal in the CRM's stored form as well: the CRM may rewrite what it gets."""
        field_map, tag = self.maps[mapping_id], self.world.book.deleted_tag
        if isinstance(left, tuple) and isinstance(right, tuple):
            left, right = (tuple(word for word in words if word != tag) for words in (left, right))
        stores = self.world.nature.fields[field_map.remote_field].stores
        forms = {repr(field_map.canonical_crm(left)), repr(field_map.canonical_crm(_stored(stores, left)))}
        return bool(
            forms & {repr(field_map.canonical_crm(right)), repr(field_map.canonical_crm(_stored(stores, right)))}
        )

    # I4, I7: every write of ours

    def judge_writes(self) -> None:
        last: dict[tuple[str, str], Event] = {}
        for event in self.events:
            key = (event.entity, event.mapping_id)
            if event.by == "us":
                self._judge_origin(event)
                victim = last.get(key)
                if victim is not None and victim.by != "us":
                    self._judge_overwriting(event, victim)
            else:
                self.told.edits += event.by == "user"
            last[key] = event

    def _other(self, event: Event) -> list[Event]:
        side = Side.CRM if event.side is Side.APP else Side.APP
        group = self.groups.get(event.entity, event.entity)
        return [other for other in self.timeline[group, side, event.mapping_id] if other.at < event.at]

    def _judge_origin(self, event: Event) -> None:
        """I7: what we write stood on the other side before; blank only where somebody blanked."""
        if _is_blank(event.after):
            group = self.groups.get(event.entity, event.entity)
            blanked = any(
                _is_blank(other.after) and other.by != "us" and other.at < event.at
                for side in Side
                for other in self.timeline[group, side, event.mapping_id]
            )
            if not blanked and not self._typed(event):
                self.accuse("I7", f"{_name(event)} was blanked although nobody blanked it: {event.before!r}")
        elif not self._typed(event) and not any(
            self._same(event.mapping_id, other.after, event.after) for other in self._other(event)
        ):
            self.accuse("I7", f"{_name(event)} got {event.after!r}, which the other side never held")

    def _typed(self, event: Event) -> bool:
        """The tag that a contact gets when its record was deleted."""
        tagged = self.maps[event.mapping_id].app_field == "tags" and isinstance(event.after, tuple)
        return tagged and set(event.after) - set(event.before or ()) == {self.world.book.deleted_tag}

    def _judge_overwriting(self, event: Event, victim: Event) -> None:
        """I4: the value of a person that we overwrote was outdated, overruled on record, or could not be seen."""
        if self._same(event.mapping_id, victim.after, event.after) or self._typed(event):
            return
        if _is_blank(victim.before) and _is_blank(victim.after):
            return
        if event.side is Side.CRM and victim.by == "automation":
            return
        self.told.contested += 1
        if self._seen_there_before(event, victim) or self._merged_away(event, victim) or self._on_record(event, victim):
            return
        if event.side is Side.CRM and victim.order > event.read_order:
            age = (event.at - event.read_at).total_seconds() if event.read_at is not None else float("inf")
            if age <= FRESH_SECONDS:
                self.told.blind += 1
                return
            self.accuse(
                "I4",
                f"{_name(event)}: {victim.after!r} entered at {_clock(victim)} was overwritten unseen with "
                f"{event.after!r} at {_clock(event)}; the record was last read {age:.1f} s before",
            )
            return
        self.accuse(
            "I4",
            f"{_name(event)}: {victim.after!r} entered at {_clock(victim)} ({victim.by}) was overwritten with "
            f"{event.after!r} at {_clock(event)}, named nowhere",
        )

    def _seen_there_before(self, event: Event, victim: Event) -> bool:
        """The other side held the victim's value before somebody there entered what we wrote."""
        others = self._other(event)
        returned = self._is_return(victim)
        sources = [
            other for other in others if other.by != "us" and self._same(event.mapping_id, other.after, event.after)
        ]
        for source in sources:
            held = any(
                (victim.at <= other.at or returned or self._holds_at(others, index, victim.at)) and other.at < source.at
                for index, other in enumerate(others)
                if self._same(event.mapping_id, other.after, victim.after)
            )
            if held:
                return True
        return False

    def _is_return(self, victim: Event) -> bool:
        """The side had held this value before: there and back again looks like no edit at all."""
        group = self.groups.get(victim.entity, victim.entity)
        return any(
            earlier.at < victim.at and self._same(victim.mapping_id, earlier.after, victim.after)
            for earlier in self.timeline[group, victim.side, victim.mapping_id]
        )

    def _merged_away(self, event: Event, victim: Event) -> bool:
        """A user merged what held the victim's value, on the other side, into what we took ours from."""
        return any(
            other.entity in self.merged_at and other.at < self.merged_at[other.entity] < event.at
            for other in self._other(event)
            if self._same(event.mapping_id, other.after, victim.after)
        )

    @staticmethod
    def _holds_at(others: Sequence[Event], index: int, at: datetime) -> bool:
        """The value written by ``others[index]`` was still there at that time."""
        entity = others[index].entity
        later = next((other for other in others[index + 1 :] if other.entity == entity), None)
        return later is None or later.at > at

    def _on_record(self, event: Event, victim: Event) -> bool:
        group = self.groups.get(event.entity, event.entity)
        actions = [entry.action for entry in self.world.store.ledger()]
        actions += [intent.action for intent in self.world.store.intents()]
        for action in actions:
            if self.groups.get(action.contact_id) != group and self.groups.get(action.remote_id) != group:
                continue
            for effect in action.effects:
                fills = effect.rule is Rule.FILLED and _is_blank(victim.after)
                merged = action.kind is ActionKind.RELINK
                overrules = effect.overrules or effect.rule in _OVERRULING or fills or merged
                if effect.mapping_id != event.mapping_id or not overrules:
                    continue
                named = (effect.lost, effect.before, *_agreed(effect))
                if any(self._same(event.mapping_id, value, victim.after) for value in named):
                    return True
        for row in self.world.store.state.conflicts.values():
            if row.draft.mapping_id != event.mapping_id:
                continue
            if self.groups.get(row.contact_id) != group and self.groups.get(row.remote_id) != group:
                continue
            named = (row.draft.app_value, row.draft.crm_value)
            if any(self._same(event.mapping_id, value, victim.after) for value in named):
                return True
        return False

    # I5, I6: who was made how often

    def judge_creations(self) -> None:
        made = [entry for entry in self.world.crm.journal if entry.what == "create" and entry.by == "us"]
        gone = {
            entry.remote_id: entry.at
            for entry in self.world.crm.journal
            if entry.what in ("delete", "merge") and entry.by == "user"
        }
        known = {
            entry.remote_id for entry in self.world.store.ledger() if entry.action.kind is ActionKind.CREATE_IN_CRM
        }
        by_marker: dict[str, list[tuple[str, datetime]]] = defaultdict(list)
        for entry in made:
            by_marker[entry.marker].append((entry.remote_id, entry.at))
        for marker, records in by_marker.items():
            for (first, _), (_, again_at) in pairwise(records):
                lost = first not in known
                if lost and (not self.world.nature.marker_allowed or (first in gone and gone[first] < again_at)):
                    self.told.unknowable += 1  # no answer, and no marker to look for or a user who deleted it
                elif first in gone and gone[first] < again_at:
                    self.accuse("I6", f"record {first} of {marker[-36:-28]} was deleted by a user and made again")
                else:
                    self.accuse(
                        "I5", f"contact {marker[-36:-28]} has records {[remote_id for remote_id, _ in records]}"
                    )
        sources = Counter(
            entry.remote_id for entry in self.world.store.ledger() if entry.action.kind is ActionKind.CREATE_IN_APP
        )
        for remote_id, count in sources.items():
            if count > 1:
                self.accuse("I5", f"record {remote_id} became {count} contacts")
        made_in_app = {
            change.contact_id
            for change in self.world.app.changes.values()
            if change.version == 1 and change.origin == self.world.store.name
        }
        told = {
            entry.contact_id for entry in self.world.store.ledger() if entry.action.kind is ActionKind.CREATE_IN_APP
        }
        for contact_id in made_in_app - told:
            self.accuse("I20", f"contact {contact_id[:8]} was made without a ledger line")

    def judge_resurrections(self) -> None:
        """A contact whose record a user deleted gets no second record."""
        deleted = {
            entry.remote_id: entry.at
            for entry in self.world.crm.journal
            if entry.what == "delete" and entry.by == "user"
        }
        made = {
            entry.remote_id: entry.at for entry in self.world.crm.journal if entry.what == "create" and entry.by == "us"
        }
        had: dict[str, set[str]] = defaultdict(set)
        for entry in self.world.store.ledger():
            if entry.action.kind is ActionKind.CREATE_IN_CRM:
                for remote_id in had[entry.contact_id] & deleted.keys():
                    if entry.remote_id in made and deleted[remote_id] < made[entry.remote_id]:
                        self.accuse("I6", f"record {remote_id} was deleted, and {entry.remote_id} made for it")
            had[entry.contact_id].add(entry.remote_id)

    # I1, I8, I12, I18, I25: how things stand

    def judge_state(self) -> None:
        questions: dict[tuple[str, ...], int] = Counter(row.question for row in self.world.store.open_conflicts())
        for question, count in questions.items():
            if count > 1:
                self.accuse("I18", f"{count} open conflicts about {question}")
        for intent in self.world.store.intents():
            if intent.status in (IntentStatus.SENT, IntentStatus.UNKNOWN):
                self.accuse("I12", f"intent {intent.intent_id[:8]} {intent.kind} is {intent.status} at quiet")
        for row in self.world.store.state.lines.values():
            if row.line.status is LineStatus.HELD:
                self.accuse("I12", f"line {row.line.line_id[:8]} is still held")
        for link in self.links:
            if link.state is LinkState.LIVE:
                self._judge_link(link)
        self._judge_unlinked()

    def _judge_link(self, link: Link) -> None:
        contact = self.world.app.get(link.contact_id)
        record = self.world.crm.records.get(link.remote_id)
        asked = {row.draft.mapping_id: row for row in self.world.store.open_conflicts() if row.link_id == link.link_id}
        kinds = {row.draft.kind for row in asked.values()}
        name = f"link {link.link_id[:8]} ({link.contact_id[:8]} ~ {link.remote_id})"
        if contact is None or record is None:
            self.accuse("I1", f"{name} leads nowhere")
            return
        if contact.state is not ContactState.LIVE or record.state is not RemoteState.LIVE:
            if not kinds & {ConflictKind.DELETE_EDIT, ConflictKind.MERGE}:
                self.accuse(
                    "I1", f"{name} is live: contact {contact.state}, record {record.state}, and nobody is asked"
                )
            return
        for field_map in self.world.maps:
            self._judge_field(
                name, link, contact, record.values, field_map, asked.get(field_map.mapping_id) is not None
            )

    def _judge_field(
        self,
        name: str,
        link: Link,
        contact: AppContact,
        values: dict[str, Value],
        field_map: FieldMap,
        asked: bool,
    ) -> None:
        app, crm = contact.values.get(field_map.app_field), values.get(field_map.remote_field)
        pair = link.base.get(field_map.mapping_id)
        agree = field_map.correspond(app, crm) or (field_map.consent and bool(app) == bool(crm))
        if agree:
            if asked:
                self.accuse("I18", f"{name} {field_map.app_field}: both sides hold {app!r}, and the conflict is open")
            return
        if asked or field_map.mapping_id in link.troubles:
            return
        if pair is not None and self._pair_is_honest(pair.app, pair.crm, app, crm, field_map):
            return
        if field_map.direction is not Direction.BIDIRECTIONAL:
            return
        if link.error_code and link.attempts:
            return
        if field_map.mapping_id in link.flips and link.flips[field_map.mapping_id].count >= 3:
            return
        self.accuse(
            "I1",
            f"{name} {field_map.app_field}: app {app!r}, CRM {crm!r}, base {pair and (pair.app, pair.crm)}, "
            f"no question, no reason",
        )

    def _pair_is_honest(self, base_app: Value, base_crm: Value, app: Value, crm: Value, field_map: FieldMap) -> bool:
        """The pair is what both hold, and they differ by the CRM's own form or by an agreed blank."""
        if field_map.canonical_app(base_app) != field_map.canonical_app(app):
            return False
        if field_map.canonical_crm(base_crm) != field_map.canonical_crm(crm):
            return False
        if field_map.blank_rule is BlankRule.NEVER and None in (
            field_map.canonical_app(app),
            field_map.canonical_crm(crm),
        ):
            return True
        if field_map.consent:
            return True
        return self._same(field_map.mapping_id, app, crm)

    def _judge_unlinked(self) -> None:
        """I25: whoever has no partner has a reason."""
        linked_contacts = {link.contact_id for link in self.links}
        linked_records = {link.remote_id for link in self.links}
        named = {
            candidate
            for row in self.world.store.open_conflicts()
            for candidate in (
                *row.draft.candidates, f"contact:{row.contact_id}", f"record:{row.remote_id}",
            )
        }  # fmt: skip
        for contact in self.world.app.live():
            if contact.contact_id not in linked_contacts and f"contact:{contact.contact_id}" not in named:
                self.accuse("I25", f"contact {contact.contact_id[:8]} has no link, no question and no reason")
        for record in self.world.crm.live():
            if record.remote_id not in linked_records and f"record:{record.remote_id}" not in named:
                self.accuse("I25", f"record {record.remote_id} has no link, no question and no reason")

    # I16: the brake

    def judge_brakes(self) -> None:
        harm: Counter[str] = Counter()
        for row in self.world.store.state.lines.values():
            line = row.line
            if line.status is LineStatus.APPLIED and not line.approved:
                harm[row.plan_id] += line.action.deletes + line.action.blanks
        live = sum(link.state is LinkState.LIVE for link in self.links)
        for plan_id, count in harm.items():
            if count > max(5, 0.1 * len(self.links)):
                self.accuse("I16", f"plan {plan_id[:8]} deleted or blanked {count} of {live} links unapproved")


def judge(world: World, *, is_quiet: bool) -> Told:
    """Accuse the world of every broken invariant; returns what was counted."""
    case = _Judge(world)
    case.judge_writes()
    case.judge_creations()
    case.judge_resurrections()
    case.judge_brakes()
    if is_quiet:
        case.judge_state()
    return case.told


def _agreed(effect: Effect) -> tuple[Value, ...]:
    """The values that an agreed difference names: either may be replaced by an edit of the other side."""
    return (effect.app_value, effect.crm_value) if effect.rule is Rule.AGREED_DIFFERENCE else ()


def _is_blank(value: Value) -> bool:
    return value in (None, "", ())


def _stored(stores, value: Value) -> Value:
    return stores(value) if value not in (None, "", ()) else None


def _name(event: Event) -> str:
    return f"{event.side} {event.entity[:8]} {event.mapping_id}"


def _clock(event: Event) -> str:
    return f"{event.at:%H:%M:%S.%f}"[:-3]
