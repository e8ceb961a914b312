"""A contact and a record in step, edited on both sides and synced by whole runs: where tests of the engine begin."""

from __future__ import annotations

import pytest

from crm.engine.context import Ports
from crm.engine.rulebook import Rulebook
from crm.engine.run import advance
from crm.errors import TransientError
from crm.mapping.field_map import FieldMap
from crm.mapping.kinds import Kind
from crm.model import (
    Direction,
    Phase,
    Policy,
    RunKind,
)
from crm.testing.adversary import RECORD_TYPE, AdversaryConnector
from crm.testing.adversary_nature import HUBSPOT_LIKE
from crm.testing.memory import MemoryStore

MAPS = tuple(
    FieldMap(f"m-{remote_field}", app_field, remote_field, Direction.BIDIRECTIONAL, kind, kind)
    for app_field, remote_field, kind in (
        ("firstName", "firstname", Kind.NAME),
        ("lastName", "lastname", Kind.NAME),
        ("email", "email", Kind.EMAIL),
        ("company", "company", Kind.TEXT),
    )
)


class Pair:
    """A contact and a record that are in step, and the doors to both sides."""

    def __init__(self, nature=HUBSPOT_LIKE, **policy):
        self.store = MemoryStore()
        self.connector = AdversaryConnector.quiet(nature, self.store.app.clock)
        self.crm = self.connector.crm
        book = Rulebook(RECORD_TYPE, MAPS, Policy(**policy), "rules-1", "crm-deleted")
        self.ports = Ports(self.store, self.connector, {RECORD_TYPE: book}, self.store.app.organization_id, RECORD_TYPE)
        values = {"firstName": "Ada", "lastName": "Lovelace", "email": "ada@x.example", "company": "Engines"}
        self.contact_id = self.store.app.create_contact(values)
        self.remote_id = self.crm.user_creates({"firstname": "Ada", "lastname": "Lovelace", "email": "ada@x.example"})
        self.wait(600)
        self.run(RunKind.FULL)
        self.wait(600)

    @property
    def contact(self):
        return self.store.app.get(self.contact_id).values

    @property
    def record(self):
        return self.crm.records[self.remote_id].values

    def wait(self, seconds):
        self.store.app.clock.advance(seconds)

    def edit(self, **values):
        self.store.app.edit_contact(self.contact_id, values)

    def edit_record(self, **values):
        self.crm.user_edits(self.remote_id, values)

    def run(self, kind=RunKind.DELTA, **options):
        """A whole run; a call that the CRM puts off is tried again."""
        run_id = self.store.start_run(kind, **options)
        for _ in range(100):
            try:
                run = advance(run_id, self.ports)
            except TransientError:
                self.connector.faults.stop()
                continue
            if run.phase is Phase.DONE:
                return run
        pytest.fail("the run does not end")


def lose_a_create(pair, values, rename=None):
    """A contact whose record was made without an answer: (contact id, record id)."""
    contact_id = pair.store.app.create_contact(values)
    pair.connector.faults.lost_after = 1.0
    pair.run()
    pair.connector.faults.stop()
    made = next(record.remote_id for record in pair.crm.live() if record.remote_id != pair.remote_id)
    if rename:
        pair.crm.user_edits(made, rename)
    return contact_id, made


def up_to(pair, run_id, *phases):
    while pair.store.run(run_id).phase not in (*phases, Phase.DONE):
        advance(run_id, pair.ports)
