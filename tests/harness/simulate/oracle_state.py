"""How things stand at quiet: everything agrees, or somebody is asked, or there is a reason."""

from __future__ import annotations

from collections import Counter

from crm.mapping.field_map import FieldMap
from crm.model import (
    AppContact,
    BlankRule,
    ConflictKind,
    ContactState,
    Direction,
    IntentStatus,
    LineStatus,
    Link,
    LinkState,
    RemoteState,
    Side,
    Value,
)
from tests.harness.simulate.evidence import Evidence, is_blank


class StateJudge(Evidence):
    # I1, I8, I12, I18, I25: how things stand

    def judge_state(self) -> None:
        questions: dict[tuple[str, ...], int] = Counter(row.question for row in self.store.open_conflicts())
        for question, count in questions.items():
            if count > 1:
                self.accuse("I18", f"{count} open conflicts about {question}")
        for intent in self.store.intents():
            if intent.status in (IntentStatus.SENT, IntentStatus.UNKNOWN):
                self.accuse("I12", f"intent {intent.intent_id[:8]} {intent.kind} is {intent.status} at quiet")
        for row in self.store.state.lines.values():
            if row.line.status is LineStatus.HELD:
                self.accuse("I12", f"line {row.line.line_id[:8]} is still held")
        for link in self.links:
            if link.error_code.startswith(("quota.", "net.")):
                self.accuse("I17", f"link {link.link_id[:8]} failed with {link.error_code}: it passes by itself")
            if link.state is LinkState.LIVE:
                self._judge_link(link)
                self._judge_base(link)
        self._judge_unlinked()

    def _judge_base(self, link: Link) -> None:
        """I8: each half of a base pair stood there once, exactly so."""
        group = self.groups[link.contact_id]
        for mapping_id, pair in link.base.items():
            for side, half in ((Side.APP, pair.app), (Side.CRM, pair.crm)):
                stood = {repr(event.after) for event in self.timeline[group, side, mapping_id]}
                if not is_blank(half) and repr(half) not in stood:
                    self.accuse("I8", f"link {link.link_id[:8]} {mapping_id}: the {side} never held {half!r}")

    def _judge_link(self, link: Link) -> None:
        contact = self.app.get(link.contact_id)
        record = self.crm.records.get(link.remote_id)
        asked = {row.draft.mapping_id: row for row in self.store.open_conflicts() if row.link_id == link.link_id}
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
        for field_map in self.account.maps:
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
        return self.same(field_map.mapping_id, app, crm)

    def _judge_unlinked(self) -> None:
        """I25: whoever has no partner has a reason."""
        linked_contacts = {link.contact_id for link in self.links}
        linked_records = {link.remote_id for link in self.links}
        named = {
            candidate
            for row in self.store.open_conflicts()
            for candidate in (
                *row.draft.candidates, f"contact:{row.contact_id}", f"record:{row.remote_id}",
            )
        }  # fmt: skip
        for contact in self.app.live():
            if contact.contact_id not in linked_contacts and f"contact:{contact.contact_id}" not in named:
                self.accuse("I25", f"contact {contact.contact_id[:8]} has no link, no question and no reason")
        for record in self.crm.live():
            if record.remote_id not in linked_records and f"record:{record.remote_id}" not in named:
                self.accuse("I25", f"record {record.remote_id} has no link, no question and no reason")

    # I16: the brake

    def judge_brakes(self) -> None:
        harm: Counter[str] = Counter()
        for row in self.store.state.lines.values():
            line = row.line
            if line.status is LineStatus.APPLIED and not line.approved:
                harm[row.plan_id] += line.action.deletes + line.action.blanks
        live = sum(link.state is LinkState.LIVE for link in self.links)
        for plan_id, count in harm.items():
            if count > max(5, 0.1 * len(self.links)):
                self.accuse("I16", f"plan {plan_id[:8]} deleted or blanked {count} of {live} links unapproved")
