"""Every write of the engine: whose value it was, whose it replaced, and who was made how often."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from crm.model import ActionKind, LedgerEntry, LineStatus, LinkState, RemoteState, Rule, Side
from tests.harness.simulate.evidence import Event, Evidence, agreed, clock_of, is_blank, name_of

_OVERRULING = {
    Rule.ADSAPP_WINS, Rule.CRM_WINS, Rule.NEWEST_WINS, Rule.TIE, Rule.ONE_WAY, Rule.WRITTEN_BACK,
    Rule.OPT_OUT_WINS, Rule.CHOSEN, Rule.MERGED, Rule.UNDO, Rule.AGREED_DIFFERENCE,
}  # fmt: skip
FRESH_SECONDS = 95.0
"""A check read may be this old when a record is written: 30 s by the engine's own rule, and the pauses between
the port calls from there to the write. What a user enters meanwhile falls into the blind window."""


class WritesJudge(Evidence):
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
                first = self.account is self.world.accounts[0]
                self.told.edits += event.by == "user" and (event.side is Side.CRM or first)
            last[key] = event

    def other(self, event: Event) -> list[Event]:
        side = Side.CRM if event.side is Side.APP else Side.APP
        group = self.groups.get(event.entity, event.entity)
        return [other for other in self.timeline[group, side, event.mapping_id] if other.at < event.at]

    def _judge_origin(self, event: Event) -> None:
        """I7: what we write stood on the other side before; blank only where somebody blanked."""
        if is_blank(event.after):
            group = self.groups.get(event.entity, event.entity)
            blanked = any(
                is_blank(other.after) and other.by != "us" and other.at < event.at
                for side in Side
                for other in self.timeline[group, side, event.mapping_id]
            )
            if not blanked and not self._typed(event):
                name = self.maps[event.mapping_id].remote_field
                hid = event.side is Side.APP and any(hiding.field == name for hiding in self.account.hidings)
                told = f"{name_of(event)} was blanked although nobody blanked it: {event.before!r}"
                self.accuse("I23" if hid else "I7", told)
            elif event.side is Side.APP:
                self._judge_unseen_blank(event)
        elif not self._typed(event) and not any(
            self.same(event.mapping_id, other.after, event.after) for other in self.other(event)
        ):
            self.accuse("I7", f"{name_of(event)} got {event.after!r}, which the other side never held")

    def _judge_unseen_blank(self, event: Event) -> None:
        """I23: a field that could not be read for a while, and is blank when it can, is not taken for cleared."""
        field_map, group = self.maps[event.mapping_id], self.groups.get(event.entity, event.entity)
        source = next((other for other in reversed(self.other(event)) if is_blank(other.after)), None)
        hiding = source and next(
            (
                each for each in self.account.hidings
                if each.field == field_map.remote_field and each.was_noticed and each.ended is not None
                and each.begun < source.at < each.ended <= event.at
            ), None,
        )  # fmt: skip
        rules = {
            effect.rule
            for entry in self.store.ledger()
            for effect in entry.action.effects
            if effect.mapping_id == event.mapping_id and self.groups.get(entry.contact_id) == group
            and effect.side is Side.APP and is_blank(effect.after)
        }  # fmt: skip
        if hiding and rules == {Rule.CRM_CHANGED}:
            self.accuse(
                "I23", f"{name_of(event)} was blanked by a blank of {clock_of(source)}, when nobody could read it"
            )

    def _typed(self, event: Event) -> bool:
        """The tag that a contact gets when its record was deleted."""
        tagged = self.maps[event.mapping_id].app_field == "tags" and isinstance(event.after, tuple)
        return tagged and set(event.after) - set(event.before or ()) == {self.account.book.deleted_tag}

    def _judge_overwriting(self, event: Event, victim: Event) -> None:
        """I4: the value of a person that we overwrote was outdated, overruled on record, or could not be seen."""
        if self._is_no_loss(event, victim):
            return
        self.told.contested += 1
        if self.maps[event.mapping_id].consent and not event.after:
            self._judge_opt_in(event, victim)
        elif self._seen_there_before(event, victim) or self._merged_away(event, victim):
            pass
        elif not self._on_record(event, victim):
            self._judge_unnamed(event, victim)

    def _is_no_loss(self, event: Event, victim: Event) -> bool:
        """The same value in another form, a blank, or a machine's."""
        consent = self.maps[event.mapping_id].consent
        return (
            self.same(event.mapping_id, victim.after, event.after)
            or self._typed(event)
            or (is_blank(victim.before) and is_blank(victim.after))
            or (consent and bool(victim.before) == bool(victim.after))
            or (event.side is Side.CRM and victim.by == "automation")
        )

    def _judge_unnamed(self, event: Event, victim: Event) -> None:
        """Overwritten, and named nowhere: only what nobody could see is excused, and counted."""
        if event.side is Side.CRM and victim.order > event.read_order:
            age = (event.at - event.read_at).total_seconds() if event.read_at is not None else float("inf")
            if age <= FRESH_SECONDS:
                self.told.blind.append((event.mapping_id.removeprefix("m-"), round(age, 3)))
                return
            how = f"unseen; the record was last read {age:.1f} s before"
        elif self._looks_like_ours(victim):
            self.told.unknowable += 1
            return
        else:
            how = "named nowhere"
        self.accuse(
            "I4",
            f"{name_of(event)}: {victim.after!r} entered at {clock_of(victim)} ({victim.by}) was overwritten with "
            f"{event.after!r} at {clock_of(event)}, {how}",
        )

    def _judge_opt_in(self, event: Event, victim: Event) -> None:
        """I7: an opt-out gives way only to a person who saw it, or who was asked."""
        chosen = any(
            effect.rule is Rule.CHOSEN and effect.mapping_id == event.mapping_id
            for entry in self.store.ledger()
            for effect in entry.action.effects
        )
        blind = event.side is Side.CRM and victim.order > event.read_order
        if chosen or self._seen_there_before(event, victim) or self._merged_away(event, victim):
            return
        if blind or self._looks_like_ours(victim):
            if not blind:
                self.told.unknowable += 1
            elif event.read_at is not None:
                self.told.blind.append(("optout", round((event.at - event.read_at).total_seconds(), 3)))
            return
        self.accuse("I7", f"{name_of(event)}: an opt-out by {victim.by} at {clock_of(victim)} was undone")

    def _looks_like_ours(self, victim: Event) -> bool:
        """A write whose answer was lost had sent this very value to that record."""
        field_map = self.maps[victim.mapping_id]
        group = self.groups.get(victim.entity, victim.entity)
        return victim.side is Side.CRM and any(
            self.same(victim.mapping_id, intent.values[field_map.remote_field], victim.after)
            for intent in self.store.intents()
            if field_map.remote_field in intent.values
            and self.groups.get(intent.action.contact_id) == group
            and self.store.state.lines[intent.line_id].line.status is LineStatus.UNKNOWN
        )

    def _seen_there_before(self, event: Event, victim: Event) -> bool:
        """The other side held the victim's value before somebody there entered what we wrote."""
        others = self.other(event)
        returned = self._is_return(victim)
        sources = [
            other for other in others if other.by != "us" and self.same(event.mapping_id, other.after, event.after)
        ]
        for source in sources:
            held = any(
                (victim.at <= other.at or returned or self._holds_at(others, index, victim.at)) and other.at < source.at
                for index, other in enumerate(others)
                if self.same(event.mapping_id, other.after, victim.after)
            )
            if held:
                return True
        return False

    def _is_return(self, victim: Event) -> bool:
        """The side had held this value before: there and back again looks like no edit at all."""
        group = self.groups.get(victim.entity, victim.entity)
        return any(
            earlier.at < victim.at and self.same(victim.mapping_id, earlier.after, victim.after)
            for earlier in self.timeline[group, victim.side, victim.mapping_id]
        )

    def _merged_away(self, event: Event, victim: Event) -> bool:
        """A user merged what held the victim's value, on the other side, into what we took ours from."""
        return any(
            other.entity in self.merged_at and other.at < self.merged_at[other.entity] < event.at
            for other in self.other(event)
            if self.same(event.mapping_id, other.after, victim.after)
        )

    @staticmethod
    def _holds_at(others: Sequence[Event], index: int, at: datetime) -> bool:
        """The value written by ``others[index]`` was still there at that time."""
        entity = others[index].entity
        later = next((other for other in others[index + 1 :] if other.entity == entity), None)
        return later is None or later.at > at

    def _on_record(self, event: Event, victim: Event) -> bool:
        group = self.groups.get(event.entity, event.entity)
        actions = [entry.action for entry in self.store.ledger()]
        actions += [intent.action for intent in self.store.intents()]
        for action in actions:
            if self.groups.get(action.contact_id) != group and self.groups.get(action.remote_id) != group:
                continue
            for effect in action.effects:
                fills = effect.rule is Rule.FILLED and is_blank(victim.after)
                merged = action.kind is ActionKind.RELINK
                overrules = effect.overrules or effect.rule in _OVERRULING or fills or merged
                if effect.mapping_id != event.mapping_id or not overrules:
                    continue
                named = (effect.lost, effect.before, *agreed(effect))
                if any(self.same(event.mapping_id, value, victim.after) for value in named):
                    return True
        for row in self.store.state.conflicts.values():
            if row.draft.mapping_id != event.mapping_id:
                continue
            if self.groups.get(row.contact_id) != group and self.groups.get(row.remote_id) != group:
                continue
            named = (row.draft.app_value, row.draft.crm_value)
            if any(self.same(event.mapping_id, value, victim.after) for value in named):
                return True
        return False

    # I5, I6: who was made how often

    def judge_creations(self) -> None:
        made = [entry for entry in self.crm.journal if entry.what == "create" and entry.by == "us"]
        gone: dict[str, datetime] = {}
        for entry in self.crm.journal:
            if entry.what in ("delete", "merge") and entry.by == "user":
                gone.setdefault(entry.remote_id, entry.at)  # brought back and deleted again it was gone before
        known = {entry.remote_id for entry in self.store.ledger() if entry.action.kind is ActionKind.CREATE_IN_CRM}
        touched = {entry.remote_id for entry in self.crm.journal if entry.by != "us"}
        ours = {entry.remote_id: entry.marker.partition(":")[2] for entry in made}
        by_marker: dict[str, list[tuple[str, datetime]]] = defaultdict(list)
        for entry in made:
            by_marker[entry.marker].append((entry.remote_id, entry.at))
        for marker, records in by_marker.items():
            for (first, _), (_, again_at) in pairwise(records):
                lost = first not in known
                if lost and (not self.account.nature.marker_allowed or (first in gone and gone[first] < again_at)):
                    self.told.unknowable += 1  # no answer, and no marker to look for or a user who deleted it
                elif first in gone and gone[first] < again_at:
                    self.accuse("I6", f"record {first} of {marker[-36:-28]} was deleted by a user and made again")
                else:
                    self.accuse(
                        "I5", f"contact {marker[-36:-28]} has records {[remote_id for remote_id, _ in records]}"
                    )
        sources = Counter(
            entry.remote_id for entry in self.store.ledger() if entry.action.kind is ActionKind.CREATE_IN_APP
        )
        for remote_id, count in sources.items():
            if count > 1:
                self.accuse("I5", f"record {remote_id} became {count} contacts")
            elif remote_id in ours and remote_id not in touched and self._is_as_made(ours[remote_id]):
                self.accuse(
                    "I5", f"record {remote_id}, made of contact {ours[remote_id][:8]}, became a contact of its own"
                )
        made_in_app = {
            change.contact_id
            for change in self.app.changes.values()
            if change.version == 1 and change.origin == self.store.name
        }
        told = {entry.contact_id for entry in self.store.ledger() if entry.action.kind is ActionKind.CREATE_IN_APP}
        for contact_id in made_in_app - told:
            self.accuse("I20", f"contact {contact_id[:8]} was made without a ledger line")

    def _is_as_made(self, contact_id: str) -> bool:
        """Nobody has touched the contact since it was there: what was sent of it is what it holds."""
        contact = self.app.get(contact_id)
        return contact is not None and contact.version == 1

    def judge_resurrections(self) -> None:
        """A contact whose record a user deleted gets no second record."""
        deleted = {
            entry.remote_id: entry.at for entry in self.crm.journal if entry.what == "delete" and entry.by == "user"
        }
        made = {entry.remote_id: entry.at for entry in self.crm.journal if entry.what == "create" and entry.by == "us"}
        had: dict[str, set[str]] = defaultdict(set)
        for entry in self.store.ledger():
            if entry.action.kind is ActionKind.CREATE_IN_CRM:
                for remote_id in had[entry.contact_id] & deleted.keys():
                    if entry.remote_id in made and deleted[remote_id] < made[entry.remote_id]:
                        self.accuse("I6", f"record {remote_id} was deleted, and {entry.remote_id} made for it")
            had[entry.contact_id].add(entry.remote_id)
            self._judge_ending(entry)

    def _judge_ending(self, entry: LedgerEntry) -> None:
        """A record that was merged into a living one is not gone."""
        if entry.action.link_state is not LinkState.DELETED_IN_CRM or entry.action.kind is ActionKind.SYNC:
            return
        record = self.crm.records.get(entry.remote_id)
        went_into = {each.remote_id: str(each.after) for each in self.crm.journal if each.what == "merge"}
        names = [entry.remote_id]
        while names[-1] in went_into:  # its survivor of that time may have been merged further since
            names.append(went_into[names[-1]])
        deleted = any(each.what == "delete" and each.remote_id in names for each in self.crm.journal)
        if record is not None and record.state is RemoteState.MERGED and not deleted:
            survivor = self.crm.records.get(record.merged_into)
            if survivor is not None and survivor.state is RemoteState.LIVE:
                self.accuse("I6", f"record {entry.remote_id} was merged, and taken for deleted")
