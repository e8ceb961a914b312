"""All three CRMs on one organization: contacts travel from one to another through the app, then all is quiet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.harness.demo.app_side import App
from tests.harness.demo.crm_side import CrmAccount
from tests.harness.demo.live import Live
from tests.harness.demo.people import UNUSUAL
from tests.harness.demo.scenario import Scenario, take

LONGEST_LAST_NAME = {"salesforce": 80}
"""Characters; a longer last name is listed as failing, and the rest of the record goes through."""


@dataclass(slots=True)
class Travel:
    """The second half of the demo, on the organization that the first half left at rest."""

    first: Scenario
    beside: Sequence[CrmAccount]
    """Salesforce and Pipedrive, connected."""
    people: Mapping[str, Sequence[Mapping[str, str]]]
    """By CRM, in ADSapp's field names."""
    known: Sequence[Mapping[str, str]]
    """Those of them who are in ADSapp already."""

    def play(self) -> None:
        contacts = self._contacts_before()
        for account in self.beside:
            contacts = self._first_sync(account, contacts)
        self._hand_on()
        self._edit_everywhere()
        accounts = [self.first.crm, *self.beside]
        Live(
            self.first, accounts, [self._email(len(accounts) + 1 + place) for place in range(len(accounts) + 1)]
        ).play()
        self._quiet_round()

    def _contacts_before(self) -> int:
        sizes, edits = self.first.people.sizes, self.first.edits
        return sizes.app + sizes.crm_only - edits.deleted_in_app

    def _first_sync(self, account: CrmAccount, contacts: int) -> int:
        """Dry run and approval in one step; returns how many contacts there are afterwards."""
        app, sizes = self.first.app, self.first.people.sizes
        mine, mailbox_people = len(self.people[account.key]), sizes.mailboxes * sizes.per_mailbox
        longest = LONGEST_LAST_NAME.get(account.key, 10_000)
        too_long = 2 * sum(len(name.strip()) > longest for name in UNUSUAL)  # one each among app_only and crm_only
        fillable = [row for row in self.known if any(row[name] for name in account.lacks)]
        expected = {
            "linked": len(self.known),
            "created_in_app": mine - len(self.known),
            "created_in_crm": contacts - len(self.known) - mailbox_people,
            "updated_in_crm": len(fillable),
            "conflicts": sizes.mailboxes,
            "failed": too_long,
        }
        with self.first.step(f"{account.label}: first sync", expected, account=account) as step:
            held = app.sync("full", account.key)
            take(step, app.approve(held, account.key))
        return contacts + mine - len(self.known)

    def _hand_on(self) -> None:
        """What the later CRMs brought goes to the earlier ones."""
        new = {account.key: len(self.people[account.key]) - len(self.known) for account in self.beside}
        order: list[CrmAccount] = [self.first.crm, *self.beside]
        for place, account in enumerate(order[:-1]):
            later = sum(new[each.key] for each in order[place + 1 :])
            with self.first.step(
                f"{account.label}: contacts from the others", {"created_in_crm": later}, account=account
            ) as step:
                take(step, self.first.app.sync("delta", account.key))

    def _edit_everywhere(self) -> None:
        """One edit in each CRM and one in ADSapp; two rounds of deltas bring each of them everywhere."""
        app = self.first.app
        order: list[CrmAccount] = [*self.beside, self.first.crm]
        edited = {account.key: self._email(place) for place, account in enumerate(order)}
        ours = self._email(len(order))
        for account in order:
            pair = app.linked(edited[account.key], account.key)
            account.edit_field(pair.remote_id, "lastName", f"Edited in {account.label}")
        app.edit(app.linked(ours, order[0].key), lastName="Edited in ADSapp")
        App.wait_for_search()
        for turn in (1, 2):
            for place, account in enumerate(order):
                pushed = 1 + place if turn == 1 else len(order) - 1 - place
                expected = {"updated_in_app": 1 if turn == 1 else 0, "updated_in_crm": pushed}
                name = f"{account.label}: delta, round {turn}"
                with self.first.step(name, expected, account=account) as step:
                    take(step, app.sync("delta", account.key))
        self._hold_the_same(
            order, {**{edited[each.key]: f"Edited in {each.label}" for each in order}, ours: "Edited in ADSapp"}
        )

    def _hold_the_same(self, order: Sequence[CrmAccount], wanted: Mapping[str, str]) -> None:
        """Every edit is in the app and in every CRM."""
        places = len(wanted) * (len(order) + 1)
        with self.first.step("every edit is everywhere", {"values": places}, account=self.first.crm) as step:
            found = sum(self.first.app.contact(email)["last_name"] == value for email, value in wanted.items())
            for account in order:
                for email, value in wanted.items():
                    pair = self.first.app.linked(email, account.key)
                    found += account.value(pair.remote_id, "lastName") == value
            step.actual["values"] = found

    def _quiet_round(self) -> None:
        App.wait_for_search()
        for account in (self.first.crm, *self.beside):
            with self.first.step(f"{account.label}: quiet full sync", {}, writes=0, account=account) as step:
                take(step, self.first.app.sync("full", account.key))

    def _email(self, place: int) -> str:
        return str(self.known[place]["email"]).lower()
