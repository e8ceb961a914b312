"""Two organizations that must not meet: each wall alone, on every table."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest
from django.apps import apps
from django.db import DatabaseError, IntegrityError, connection, models

from adsapp_crm import selectors
from adsapp_crm.models import Contact, CrmConnection, Membership, Organization, StaffAccess, uuid7
from adsapp_crm.models.base import OrganizationModel
from adsapp_crm.tenancy import organization_context

pytestmark = pytest.mark.django_db(transaction=True)

MODELS = {
    model.__name__: model
    for model in apps.get_app_config("adsapp_crm").get_models()
    if issubclass(model, OrganizationModel)
}
REFERENCES = [
    (name, field.name)
    for name, model in MODELS.items()
    for field in model._meta.local_fields
    if isinstance(field, models.ForeignKey) and issubclass(field.related_model, OrganizationModel)
]


def execute(statement, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else cursor.rowcount


def test_every_table_is_filled(tenant, fill):
    """The matrix below has a row for each table."""
    assert set(fill(tenant)) == set(MODELS)


@pytest.mark.parametrize("name", sorted(MODELS))
class TestEachTable:
    def test_the_database_alone_shows_and_changes_only_the_own_rows(self, tenant, other, fill, name):
        """Row-level security without any help from the managers."""
        mine, theirs = fill(tenant)[name], fill(other)[name]
        table = MODELS[name]._meta.db_table
        with tenant.context():
            seen = {row[0] for row in execute(f"SELECT organization_id FROM {table}")}
            assert seen == {tenant.id}
            assert MODELS[name].unscoped.filter(pk=theirs.pk).count() == 0
            assert MODELS[name].unscoped.filter(pk=mine.pk).count() == 1
            assert execute(f"DELETE FROM {table} WHERE id = %s", theirs.pk) == 0
        with pytest.raises(DatabaseError, match=r"row-level security|permission denied|keeps its"), tenant.context():
            execute(f"UPDATE {table} SET organization_id = %s WHERE id = %s", other.id, mine.pk)
        assert execute(f"SELECT count(*) FROM {table}") == [(0,)]

    def test_a_row_for_another_organization_is_refused(self, tenant, other, fill, name):
        """Neither inserting nor copying reaches over the wall."""
        row = fill(tenant)[name]
        fields = [field for field in MODELS[name]._meta.concrete_fields if field.column != "id" and not field.generated]
        columns = ", ".join(f'"{field.column}"' for field in fields)
        values = ", ".join("%s" if field.column == "organization_id" else f'"{field.column}"' for field in fields)
        table = MODELS[name]._meta.db_table
        with pytest.raises(DatabaseError, match="row-level security"), tenant.context():
            execute(
                f"INSERT INTO {table} (id, {columns}) SELECT gen_random_uuid(), {values} FROM {table} WHERE id = %s",
                other.id,
                row.pk,
            )
        with other.context():
            assert execute(f"SELECT count(*) FROM {table} WHERE organization_id = %s", other.id) == [
                (1 if name == "Membership" else 0,)
            ]

    def test_the_managers_alone_show_only_the_own_rows(self, tenant, other, fill, owner_sql, name):
        """With row-level security switched off the managers still filter."""
        mine, theirs = fill(tenant)[name], fill(other)[name]
        table = MODELS[name]._meta.db_table
        owner_sql(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        try:
            with tenant.context():
                assert execute(f"SELECT count(DISTINCT organization_id) FROM {table}") == [(2,)]
                assert set(MODELS[name].objects.values_list("organization_id", flat=True)) == {tenant.id}
                assert MODELS[name].objects.filter(pk=theirs.pk).first() is None
                assert MODELS[name]._base_manager.filter(pk=theirs.pk).first() is None
                assert MODELS[name].objects.filter(pk=mine.pk).exists()
        finally:
            owner_sql(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")


@pytest.mark.parametrize(("name", "reference"), REFERENCES)
def test_a_reference_to_another_organizations_row_is_refused(tenant, other, fill, name, reference):
    """And looks the same as a reference to a row that is nowhere: no oracle."""
    mine, theirs = fill(tenant), fill(other)
    model = MODELS[name]
    target = theirs[model._meta.get_field(reference).related_model.__name__]
    column = model._meta.get_field(reference).column
    messages = []
    statement = f"UPDATE {model._meta.db_table} SET {column} = %s WHERE id = %s"
    if name == "ContactChange":  # whose reference is never updated
        statement = (
            "INSERT INTO contact_changes (id, organization_id, contact_id, version, changes, at, who, origin)"
            " SELECT gen_random_uuid(), organization_id, %s, 9, '{}', now(), '', '' FROM contact_changes WHERE id = %s"
        )
    for pk in (target.pk, uuid7()):
        with pytest.raises(DatabaseError) as caught, tenant.context():
            execute(statement, pk, mine[name].pk)
        messages.append(str(caught.value).replace(str(pk), "<id>"))
    if name == "CrmLedgerEntry":
        assert "permission denied" in messages[0]
    else:
        assert isinstance(caught.value, IntegrityError)
    assert messages[0] == messages[1]


def test_organizations_see_themselves_only(tenant, other):
    """The name of another customer is not to be had, by either wall."""
    with tenant.context():
        assert execute("SELECT id FROM organizations") == [(tenant.id,)]
        assert list(Organization.unscoped.values_list("id", flat=True)) == [tenant.id]
        assert Organization.objects.get() == tenant.organization
        assert execute("UPDATE organizations SET name = 'x' WHERE id = %s", other.id) == 0
    assert Organization.unscoped.count() == 0


def test_the_owner_is_bound_too(tenant, fill, owner_sql):
    """A migration or a dump sees nothing without context either."""
    fill(tenant)
    assert owner_sql("SELECT count(*) FROM contacts") == [(0,)]


def test_the_application_cannot_empty_a_table(tenant):
    with pytest.raises(DatabaseError, match="permission denied"):
        execute("TRUNCATE contacts")


def test_look_ups_find_the_organization_of_ids_from_outside(tenant, other, fill):
    """Each returns ids of exactly the row that was named, without any context."""
    mine = fill(tenant)
    theirs = fill(other)
    connection_id = mine["CrmConnection"].pk
    assert selectors.organization_of_connection(connection_id) == tenant.id
    assert selectors.organization_of_connection(uuid7()) is None
    assert selectors.place_of_run(mine["CrmSyncLog"].pk) == (tenant.id, connection_id)
    assert selectors.place_of_run(uuid7()) is None
    assert selectors.connections_of_account("hubspot", "42") == [
        (connection_id, tenant.id),
        (theirs["CrmConnection"].pk, other.id),
    ]
    assert selectors.connections_of_account("hubspot", "") == []
    assert [each.organization_id for each in selectors.open_connections()] == [tenant.id, other.id]
    assert [each.run_id for each in selectors.unfinished_runs()] == [mine["CrmSyncLog"].pk, theirs["CrmSyncLog"].pk]
    assert list(selectors.organization_ids()) == [tenant.id, other.id]
    assert selectors.find_organization("First") == tenant.id
    assert selectors.find_organization(str(other.id)) == other.id
    assert [selectors.find_organization(text) for text in ("first", "", str(uuid7()))] == [None, None, None]
    # Secrets that several rows share open none of them.
    assert selectors.webhook_of_path("token") is None
    assert selectors.oauth_state("s") is None
    assert selectors.api_key("crm_live_a") is None
    with other.context():
        for name in ("CrmWebhook", "CrmOAuthState", "ApiKey"):
            theirs[name].delete()
    assert selectors.webhook_of_path("token") == (mine["CrmWebhook"].pk, tenant.id, connection_id)
    assert selectors.oauth_state("s") == (mine["CrmOAuthState"].pk, tenant.id)
    assert selectors.api_key("crm_live_a") == (mine["ApiKey"].pk, tenant.id)


def test_a_disconnected_connection_is_not_found_by_its_account(tenant, fill):
    connection_id = fill(tenant)["CrmConnection"].pk
    with tenant.context():
        CrmConnection.objects.update(status="disconnected")
    assert selectors.connections_of_account("hubspot", "42") == []
    assert list(selectors.open_connections()) == []
    assert selectors.organization_of_connection(connection_id) == tenant.id


def test_places_of_a_person(tenant, other):
    """Memberships, then grants that have not ended."""
    with other.context():
        Membership.objects.create(user=tenant.user, role="viewer")
        StaffAccess.objects.create(user=tenant.user, reason="old", expires_at="2000-01-01T00:00Z")
        access = StaffAccess.objects.create(user=tenant.user, reason="now", expires_at="2100-01-01T00:00Z")
    assert [
        (each.organization_id, each.role, each.staff_access_id) for each in selectors.places_of(tenant.user.pk)
    ] == [
        (tenant.id, "owner", None),
        (other.id, "viewer", None),
        (other.id, "viewer", access.pk),
    ]
    assert selectors.places_of(uuid7()) == []


def test_work_without_context_refuses(tenant, fill):
    """A task that forgot its organization stops instead of seeing an empty account."""
    fill(tenant)
    from adsapp_crm.services import contacts, erasure
    from adsapp_crm.tenancy import NoOrganizationError

    with tenant.context():
        contact = Contact.objects.get()
    for work in (
        lambda: contacts.create_contact({"firstName": "Bea"}),
        lambda: contacts.update_contact(contact.pk, {"firstName": "Bea"}, version=None),
        lambda: contacts.delete_contact(contact.pk),
        lambda: erasure.erase_contact(contact.pk),
        contact.save,
        contact.refresh_from_db,
        contact.delete,
        lambda: list(contact.links.all()),
    ):
        with pytest.raises(NoOrganizationError):
            work()


@contextmanager
def own_connection():
    try:
        yield
    finally:
        connection.close()


def test_threads_with_interleaved_organizations_never_meet(tenant, other):
    """Eight workers on persistent connections, changing organization with every transaction."""
    for each, name in ((tenant, "Ann"), (other, "Bob")):
        with each.context():
            Contact.objects.create(first_name=name)
    expected = {tenant.id: ["Ann"], other.id: ["Bob"]}
    wrong, done = [], []

    def work(number):
        with own_connection():
            for turn in range(50):
                wanted = (tenant.id, other.id)[(turn + number) % 2]
                with organization_context(wanted):
                    seen = [row[0] for row in execute("SELECT first_name FROM contacts")]
                if seen != expected[wanted] or execute("SELECT count(*) FROM contacts") != [(0,)]:
                    wrong.append((wanted, seen))
            done.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(8))
    assert wrong == []
