"""Who was taken for whom: by the addresses that stood on both sides from before the first run to the end."""

from __future__ import annotations

from collections import defaultdict

from crm.model import ContactState, RemoteState, Rule, Side, Value
from crm.testing.adversary_records import Write
from tests.harness.simulate.evidence import Evidence


class MatchesJudge(Evidence):
    # I5: who was taken for whom

    def judge_meetings(self) -> None:
        """I5: nobody is made beside a record that has had the same address from before the first run on."""
        begun = self.world.begun
        emails: dict[str, list[str]] = defaultdict(list)
        for event in self.events:
            if (
                event.side is Side.CRM
                and event.mapping_id == "m-email"
                and event.by == "user"
                and event.at < (begun or event.at)
            ):
                emails[repr(event.after)].append(event.entity)
        edited = {
            event.entity
            for event in self.events
            if begun and event.at >= begun and event.by != "us" and event.mapping_id == "m-email"
        }
        gone = {entry.remote_id for entry in self.crm.journal if entry.what in ("delete", "merge")}
        for entry in self.crm.journal:
            if entry.what != "create" or entry.by != "us":
                continue
            contact_id = entry.marker.partition(":")[2]
            mine = self._made_with(entry, "email")
            others = emails.get(repr(mine), []) if mine is not None else []
            if len(others) == 1 and not {others[0], contact_id, entry.remote_id} & (edited | gone):
                self.accuse("I5", f"record {entry.remote_id} was made beside {others[0]}, which has the same address")

    def _made_with(self, made: Write, name: str) -> Value:
        """What was written into the field when the record was made; a later push is none of it."""
        for written in self.crm.journal[made.number :]:
            if (written.remote_id, written.by, written.what) != (made.remote_id, "us", "edit"):
                break
            if written.field == name:
                return written.after
        return None

    def judge_guesses(self) -> None:
        """I5: where one address stands in several contacts or records, nobody is linked by it.

        Only those count that were there before the first run and have kept their address and their life since.
        """
        contacts, records = self._steady(Side.APP), self._steady(Side.CRM)
        for entry in self.store.ledger():
            address = contacts.get(entry.contact_id)
            if (
                entry.action.rule is not Rule.MATCHED_EMAIL
                or address is None
                or records.get(entry.remote_id) != address
            ):
                continue
            for side, found in (("contacts", contacts), ("records", records)):
                same = [name for name, other in found.items() if other == address]
                if len(same) > 1:
                    told = f"contact {entry.contact_id[:8]} was linked with record {entry.remote_id} by {address}"
                    self.accuse("I5", f"{told}, which {len(same)} {side} have")

    def _steady(self, side: Side) -> dict[str, str]:
        """Contacts, or records, with the address that they have had from before the first run on."""
        begun = self.world.begun
        if begun is None:
            return {}
        if side is Side.APP:
            alive = {key for key, row in self.app.rows.items() if row.contact.state is ContactState.LIVE}
            unsteady = {change.contact_id for change in self.app.changes.values() if not change.fields}
        else:
            alive = {record.remote_id for record in self.crm.records.values() if record.state is RemoteState.LIVE}
            unsteady = {entry.remote_id for entry in self.crm.journal if entry.what not in ("create", "edit")}
        held: dict[str, list[str]] = defaultdict(list)
        for event in self.events:
            if event.side is side and event.mapping_id == "m-email":
                early = event.at < begun and isinstance(event.after, str)
                held[event.entity].append(str(event.after).strip().casefold() if early else "")
        return {
            name: addresses[0]
            for name, addresses in held.items()
            if len(addresses) == 1 and addresses[0] and name in alive - unsteady
        }
