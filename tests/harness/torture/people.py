"""Who is on which side, and what people enter while the stack is tortured: each edit is remembered, none is told."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.harness.torture.crm_side import Crm

FIELDS = {"jobTitle": "job_title", "city": "city", "company": "company", "lastName": "last_name"}
"""Field -> column of what people edit: texts that the CRM stores as they come."""
APP, CRM = "app", "crm"


@dataclass(frozen=True, slots=True)
class Edit:
    """One field, entered by a person on one side."""

    number: int
    round: int
    side: str
    email: str
    name: str
    value: str


@dataclass
class Town:
    """The people, keyed by their e-mail address, and the log of what was entered about them."""

    draw: random.Random
    organization_id: uuid.UUID
    crm: Crm
    contacts: dict[str, str] = field(default_factory=dict)
    """E-mail -> contact id, of people whom the app knew first."""
    records: dict[str, str] = field(default_factory=dict)
    edits: list[Edit] = field(default_factory=list)
    gone_in_app: set[str] = field(default_factory=set)
    gone_in_crm: set[str] = field(default_factory=set)
    asked_about: set[str] = field(default_factory=set)
    """People edited on both sides in the same field at the same time: one of the edits may lose, if it is named."""
    busy: set[str] = field(default_factory=set)
    """Edited in this round: twice would be in an order that nobody knows."""
    round: int = 0
    _people: int = 0

    @property
    def everybody(self) -> list[str]:
        return list(dict.fromkeys([*self.contacts, *self.records]))

    def settle(self, each_side: int) -> None:
        """So many on each side, half of them on both."""
        both = [self._person() for _ in range(each_side // 2)]
        self._into_app([*both, *(self._person() for _ in range(each_side - len(both)))])
        self._into_crm([*both, *(self._person() for _ in range(each_side - len(both)))])

    def begin_round(self) -> None:
        self.round += 1
        self.busy = self.gone_in_app | self.gone_in_crm

    def newcomers(self, count: int) -> None:
        self._into_app([self._person() for _ in range(count)])
        self._into_crm([self._person() for _ in range(count)])

    def edit_some(self, linked: list[tuple[str, str, str]], count: int, *, contested: int = 0) -> None:
        """``linked``: (e-mail, contact id, record id) of people in step. One field of each is edited on one side."""
        free = [each for each in linked if each[0] not in self.asked_about | self.busy]
        chosen = self.draw.sample(free, min(len(free), count + contested))
        self.busy |= {email for email, *_ in chosen}
        for index, (email, contact_id, remote_id) in enumerate(chosen):
            name = self.draw.choice(self.crm.edited)
            if index < contested:
                self.asked_about.add(email)
                self._edit_app(email, contact_id, name)
                self._edit_crm(email, remote_id, name)
            elif index % 2:
                self._edit_app(email, contact_id, name)
                if self.draw.random() < 0.3:  # two people, two fields: no conflict
                    self._edit_crm(
                        email, remote_id, self.draw.choice([other for other in self.crm.edited if other != name])
                    )
            else:
                self._edit_crm(email, remote_id, name)

    def take_leave(self, linked: list[tuple[str, str, str]]) -> None:
        """One person is deleted on each side."""
        from adsapp_crm.services.contacts import delete_contact

        free = [each for each in linked if each[0] not in self.asked_about | self.busy]
        (in_app, contact_id, _), (in_crm, _, remote_id) = self.draw.sample(free, 2)
        with self.inside():
            delete_contact(uuid.UUID(contact_id))
        self.busy |= {in_app, in_crm}
        self.gone_in_app.add(in_app)
        self.crm.delete(remote_id)
        self.gone_in_crm.add(in_crm)

    def last_edits(self) -> Iterator[list[Edit]]:
        """Of each person and field: the edits of the last round in which there were any."""
        groups: dict[tuple[str, str], list[Edit]] = {}
        for edit in self.edits:
            group = groups.setdefault((edit.email, edit.name), [])
            if group and group[-1].round != edit.round:
                group.clear()
            group.append(edit)
        yield from groups.values()

    # one at a time

    def _person(self) -> dict[str, str]:
        self._people += 1
        number = self._people
        person = {
            "firstName": self.draw.choice(("Anna", "Bram", "Chloé", "José", "Łukasz", "Noor", "Zoë")),
            "lastName": f"{self.draw.choice(('de Vries', 'Müller', 'O’Brien', '王', 'Kowalski'))} {number}",
            "email": f"person{number}@torture.example",
            "company": f"Company {number % 17}",
            "jobTitle": self.draw.choice(("Buyer", "Owner", "Engineer")),
            "city": self.draw.choice(("Utrecht", "Delft", "Breda")),
        }
        return {name: value for name, value in person.items() if name in self.crm.names}

    def _into_app(self, people: list[dict[str, str]]) -> None:
        from adsapp_crm.services.contact_values import read_contact_values
        from adsapp_crm.services.contacts import new_contact, save_new_contacts

        with self.inside():
            made = save_new_contacts([new_contact(read_contact_values(person)) for person in people])
        self.contacts.update((contact.email, str(contact.pk)) for contact in made)

    def _into_crm(self, people: list[dict[str, str]]) -> None:
        ids = self.crm.add(people)
        self.records.update(zip((person["email"] for person in people), ids, strict=True))

    def _edit_app(self, email: str, contact_id: str, name: str) -> None:
        from adsapp_crm.services.contacts import update_contact

        edit = self._next(APP, email, name)
        with self.inside():
            update_contact(uuid.UUID(contact_id), {name: edit.value}, version=None)
        self.edits.append(edit)

    def _edit_crm(self, email: str, remote_id: str, name: str) -> None:
        edit = self._next(CRM, email, name)
        self.crm.edit(remote_id, name, edit.value)
        self.edits.append(edit)

    def _next(self, side: str, email: str, name: str) -> Edit:
        number = len(self.edits) + 1
        return Edit(number, self.round, side, email, name, f"{name} {number} by {side}")

    def inside(self) -> Any:
        from adsapp_crm.tenancy import organization_context

        return organization_context(self.organization_id, actor="user:torture", origin="user")
