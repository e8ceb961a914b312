"""A delta looks at what changed, and no change escapes it: however late it commits, and whatever is saved meanwhile."""

from __future__ import annotations

import json
from unittest import mock

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from adsapp_crm.models import Contact, CrmConnection, CrmLoneContact, CrmSyncLog, CrmSyncState
from adsapp_crm.storage import DjangoStore, marking
from crm.model import Link, Phase

pytestmark = pytest.mark.django_db(transaction=True)
TYPE = "contacts"
MANY = 2_000


class Delta:
    """A connection, and what a delta of it would look at."""

    def __init__(self, tenant):
        self.tenant = tenant
        with tenant.context():
            self.connection = CrmConnection.objects.create(crm_type="hubspot")
            self.run = CrmSyncLog.objects.create(connection=self.connection, sync_type="delta", record_types=[TYPE])
        self.store = DjangoStore(tenant.id, self.connection.pk, worker="one")

    def contact(self, name="Ada"):
        with self.tenant.context(actor="user:test", origin="user"):
            return str(Contact.objects.create(first_name=name).pk)

    def linked(self, remote_id):
        link = Link(self.store.new_id(), self.contact(), TYPE, remote_id, synced_version=1)
        with self.store.unit() as unit:
            unit.save_links([link])
        return link

    def looked(self):
        """(contacts of links with work, contacts without a link), once everything is marked."""
        done = False
        while not done:
            with self.store.unit() as unit:
                done = unit.mark_changed()
        return self.pages()

    def pages(self):
        with self.store.unit() as unit:
            due = [view.contact.contact_id for view in unit.due_links(TYPE, "", 99, marked=True)]
            alone = unit.unpaired_contacts(TYPE, "", 99, recheck_matches=False, marked=True)
        return due, [each.contact.contact_id for each in alone]


@pytest.fixture
def delta(tenant):
    return Delta(tenant)


@pytest.fixture
def late(tenant, owner_sql):
    """Somebody else's transaction: statements as text; ``BEGIN`` and ``COMMIT`` are the test's own."""
    owner_sql("SELECT set_config('app.org', %s, false)", str(tenant.id))
    yield owner_sql
    owner_sql("ROLLBACK")


def _edit(sql, contact_id, name="Late"):
    sql("UPDATE contacts SET first_name = %s WHERE id = %s", name, contact_id)


def test_an_edit_that_commits_late_is_not_missed(delta, late):
    early, edited = delta.linked("R1").contact_id, delta.linked("R2").contact_id
    assert delta.looked() == ([], [])
    late("BEGIN")
    _edit(late, edited)
    late("INSERT INTO contacts (id, organization_id, first_name) VALUES (crm_uuid7(), %s, 'New')", str(delta.tenant.id))
    with delta.tenant.context():
        Contact.objects.filter(pk=early).update(first_name="Early")
    assert delta.looked() == ([early], [])
    assert delta.looked() == ([early], [])
    late("COMMIT")
    due, alone = delta.looked()
    assert due == [early, edited]
    assert len(alone) == 1


def test_a_link_saved_beside_an_open_edit_is_due(delta, late):
    """Nobody waits: the link is saved while the edit is open, and is looked at again."""
    contact_id = delta.contact()
    assert delta.looked() == ([], [contact_id])
    late("BEGIN")
    _edit(late, contact_id)
    with delta.store.unit() as unit:
        unit.save_links([Link(delta.store.new_id(), contact_id, TYPE, "R1", synced_version=1)])
    assert delta.looked() == ([contact_id], [])
    late("COMMIT")
    assert delta.looked() == ([contact_id], [])


def test_a_link_saved_with_an_old_version_is_due(delta):
    """The edit was marked while the contact had no link: the link brings the mark along, and takes the row away."""
    contact_id = delta.contact()
    delta.looked()
    with delta.tenant.context():
        Contact.objects.filter(pk=contact_id).update(first_name="New")
    assert delta.looked() == ([], [contact_id])
    with delta.store.unit() as unit:
        unit.save_links([Link(delta.store.new_id(), contact_id, TYPE, "R1", synced_version=1)])
        assert not CrmLoneContact.unscoped.exists()
    assert delta.pages() == ([contact_id], [])


def test_a_mark_outlives_a_look_at_an_older_version(delta):
    link = delta.linked("R1")
    delta.looked()
    with delta.tenant.context():
        Contact.objects.filter(pk=link.contact_id).update(first_name="New")
    delta.looked()
    with delta.store.unit() as unit:
        unit.mark_seen(str(delta.run.pk), {link.link_id: 1})
    assert delta.pages() == ([link.contact_id], [])
    with delta.store.unit() as unit:
        unit.mark_seen(str(delta.run.pk), {link.link_id: 2})
    assert delta.pages() == ([], [])


def test_marks_are_made_in_bounded_parts(delta):
    contacts = [delta.linked(f"R{number}").contact_id for number in range(5)]
    delta.looked()
    for contact_id in contacts:
        with delta.tenant.context():
            Contact.objects.filter(pk=contact_id).update(first_name="New")
    with mock.patch.object(marking, "BATCH", 2), delta.store.unit() as unit:
        at_once = unit.mark_changed()  # where somebody else's transaction is open since before
    assert delta.pages() == (contacts if at_once else contacts[:2], [])
    with mock.patch.object(marking, "BATCH", 2):
        assert delta.looked() == (contacts, [])


@pytest.mark.parametrize(
    "lost", ["changes_cluster = 1", "changes_at = now() - interval '21 hours'", "changes_xid = NULL"]
)
def test_where_the_history_says_nothing_everything_is_looked_through(delta, late, lost):
    contact_id, alone = delta.linked("R1").contact_id, delta.contact()
    with delta.tenant.context():
        Contact.objects.filter(pk=contact_id).update(first_name="New")
    late("UPDATE contact_changes SET xid = NULL")
    delta.looked()
    late("UPDATE crm_sync_state SET contact_version = 0")
    late("DELETE FROM crm_lone_contacts")
    assert delta.looked() == ([], [])
    late(f"UPDATE crm_connections SET {lost}")
    assert delta.looked() == ([contact_id], [alone])


def test_an_idle_delta_reads_no_more_of_many_contacts(delta, late):
    """Linked contacts, and as many records without one."""
    organization, connection = str(delta.tenant.id), str(delta.connection.pk)
    late(
        "INSERT INTO contacts (id, organization_id, first_name)"
        " SELECT crm_uuid7(), %s, 'N' FROM generate_series(1, %s)",
        organization,
        MANY,
    )
    late(
        "INSERT INTO crm_sync_state (id, organization_id, connection_id, contact_id, crm_record_type, crm_record_id,"
        " state, base, synced_version, contact_version, troubles, flips, error_code, attempts, excluded_by, email_key,"
        " phone_key, conflict_detected, updated_at)"
        " SELECT crm_uuid7(), organization_id, %s, id, %s, id::text, 'live', '{}', 1, 1, '{}', '{}', '', 0, '', '', '',"
        " false, now() FROM contacts",
        connection,
        TYPE,
    )
    late(
        "INSERT INTO crm_observations (id, organization_id, connection_id, record_type, remote_id, values, state,"
        " merged_into, former_ids, marker, email_key, phone_key, reason_code, excluded_by, seen_run)"
        " SELECT crm_uuid7(), organization_id, %s, %s, 'alone ' || id, '{}', 'live', '', '[]', '', '', '', '', '', %s"
        " FROM contacts",
        connection,
        TYPE,
        organization,
    )
    late("ANALYZE contacts, crm_sync_state, crm_observations, contact_changes")
    assert delta.looked() == ([], [])
    assert _rows_read(delta) < 20
    with delta.tenant.context():
        edited = [str(each) for each in Contact.objects.order_by("id").values_list("pk", flat=True)[:: MANY // 4]]
        Contact.objects.filter(pk__in=edited).update(first_name="New")
    assert delta.looked() == (edited, [])
    with delta.tenant.context():
        CrmSyncState.objects.filter(contact__in=edited).update(synced_version=2)
    assert delta.pages() == ([], [])
    assert _rows_read(delta) < 20


def _rows_read(delta):
    """Rows that the question of an idle delta touched in all tables."""
    phases = (Phase.CHANGED, Phase.PAIR, Phase.UNPAIRED)
    with CaptureQueriesContext(database) as captured, delta.store.unit() as unit:
        unit.phases_with_work(str(delta.run.pk), TYPE, phases, recheck_matches=False, marked=True)
    (asked,) = [each for each in captured.captured_queries if "crm_lone_contacts" in each["sql"]]
    with delta.store.unit(), database.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {asked['sql']}")
        plan = cursor.fetchone()[0]
    (told,) = json.loads(plan) if isinstance(plan, str) else plan
    return _touched(told["Plan"])


def _touched(node):
    removed = sum(count for name, count in node.items() if name.startswith("Rows Removed by"))
    own = (node["Actual Rows"] + removed) * node["Actual Loops"] if "Relation Name" in node else 0
    return own + sum(map(_touched, node.get("Plans", ())))
