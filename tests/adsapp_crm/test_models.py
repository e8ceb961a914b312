"""Tables, names and rules of the database as the guide and the core have them."""

from __future__ import annotations

import time

import pytest
from django.apps import apps
from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from adsapp_crm import models
from adsapp_crm.models import User, choices, uuid7
from adsapp_crm.models.contact import CONTENT_ATTRIBUTES
from crm import model as core
from crm.mapping.app_fields import APP_FIELDS

GUIDE = {
    "crm_connections": {
        "id": "uuid",
        "organization_id": "uuid",
        "crm_type": "text",
        "status": "text",
        "credentials": "bytea",
        "settings": "jsonb",
        "last_sync_at": "timestamp with time zone",
        "last_error": "text",
    },
    "crm_sync_logs": {
        "id": "uuid",
        "connection_id": "uuid",
        "sync_type": "text",
        "direction": "text",
        "status": "text",
        "records_processed": "integer",
        "records_success": "integer",
        "records_failed": "integer",
        "errors": "jsonb",
        "started_at": "timestamp with time zone",
        "completed_at": "timestamp with time zone",
    },
    "crm_field_mappings": {
        "id": "uuid",
        "connection_id": "uuid",
        "adsapp_field": "text",
        "crm_field": "text",
        "direction": "text",
        "transform_rule": "jsonb",
        "is_custom": "boolean",
    },
    "crm_sync_state": {
        "id": "uuid",
        "connection_id": "uuid",
        "contact_id": "uuid",
        "crm_record_id": "text",
        "crm_record_type": "text",
        "last_synced_at": "timestamp with time zone",
        "adsapp_updated_at": "timestamp with time zone",
        "crm_updated_at": "timestamp with time zone",
        "conflict_detected": "boolean",
        "conflict_details": "jsonb",
    },
    "crm_webhooks": {"id": "uuid", "connection_id": "uuid"},
}

SAME_WORDS = [
    (choices.SyncDirection, core.Direction),
    (choices.ConflictStrategy, core.Strategy),
    (choices.BlankHandling, core.BlankRule),
    (choices.DriftHandling, core.DriftRule),
    (choices.OnDeletion, core.DeletionPolicy),
    (choices.LinkStatus, core.LinkState),
    (choices.SyncMode, core.Mode),
    (choices.RecordState, core.RemoteState),
    (choices.QuestionKind, core.ConflictKind),
    (choices.PlanLineKind, core.ActionKind),
    (choices.PlanLineStatus, core.LineStatus),
    (choices.WriteKind, core.IntentKind),
    (choices.WriteStatus, core.IntentStatus),
    (choices.SyncType, core.RunKind),
    (choices.RunState, core.RunStatus),
]


@pytest.mark.django_db
@pytest.mark.parametrize("table", sorted(GUIDE))
def test_the_guides_tables_have_its_columns(table):
    """Names and types as the guide lists them; credentials are ciphertext, which is no JSON."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s", [table])
        stored = dict(cursor.fetchall())
    assert {name: stored.get(name) for name in GUIDE[table]} == GUIDE[table]


@pytest.mark.parametrize(("ours", "theirs"), SAME_WORDS, ids=lambda kind: kind.__name__)
def test_columns_hold_the_cores_words(ours, theirs):
    """A word that the core learns has to be allowed in the column."""
    assert set(ours.values) == {each.value for each in theirs}


def test_a_tie_is_never_left_to_the_newest():
    assert set(choices.TieRule.values) == set(choices.ConflictStrategy.values) - {"newest_wins"}


def test_connections_carry_the_policy_by_name():
    """Every rule of the core's policy is a column of the same name with the same default."""
    made = models.CrmConnection()
    for name, default in ((each, getattr(core.Policy(), each)) for each in core.Policy.__dataclass_fields__):
        assert getattr(made, name) == default, name


def test_the_apps_fields_are_columns_of_contacts():
    """The guide's camelCase names and the contact's attributes are the same set."""
    assert {field.attribute for field in APP_FIELDS.values()} | {"custom_fields"} == set(CONTENT_ATTRIBUTES)


@pytest.mark.django_db
def test_migrations_say_what_the_models_say():
    call_command("makemigrations", "--check", "--dry-run", "adsapp_crm", skip_checks=True, verbosity=0)


def test_keys_are_uuids_of_version_7_in_the_order_of_time():
    """RFC 9562: milliseconds first, then random."""
    before = time.time_ns() // 1_000_000
    made = [uuid7() for _number in range(1000)]
    after = time.time_ns() // 1_000_000
    assert {(each.version, each.variant) for each in made} == {(7, "specified in RFC 4122")}
    stamps = [each.int >> 80 for each in made]
    assert before <= stamps[0] <= stamps[-1] <= after
    assert stamps == sorted(stamps)
    assert len(set(made)) == 1000


@pytest.mark.django_db(transaction=True)
def test_printed_rows_name_no_person_and_no_secret(tenant, fill):
    """What ends in logs and admin titles is ids, words and times."""
    rows = fill(tenant)
    canaries = ("Ann", "canary", "owner1@", "token", "crm.example.com")
    with tenant.context():
        for name, row in rows.items():
            text = f"{row} {row!r}"
            assert text.strip(), name
            assert [each for each in canaries if each in text] == [], name


def refused(make, **named):
    with pytest.raises(IntegrityError), transaction.atomic():
        make(**named)


@pytest.mark.django_db
class TestRules:
    def test_one_open_connection_of_a_crm(self, inside):
        """A disconnected one does not count."""
        first = models.CrmConnection.objects.create(crm_type="hubspot")
        refused(models.CrmConnection.objects.create, crm_type="hubspot", status="paused")
        models.CrmConnection.objects.create(crm_type="pipedrive")
        models.CrmConnection.objects.filter(pk=first.pk).update(status="disconnected")
        models.CrmConnection.objects.create(crm_type="hubspot")
        assert models.CrmConnection.objects.count() == 3

    @pytest.mark.parametrize(
        "wrong",
        [
            {"status": "odd"},
            {"health": "odd"},
            {"strategy": "odd"},
            {"tie_rule": "newest_wins"},
            {"mode": "odd"},
            {"drift": "odd"},
            {"on_app_deleted": "odd"},
            {"max_share_deleted": 1.1},
            {"max_share_created": -0.1},
        ],
        ids=str,
    )
    def test_a_connection_holds_known_words_and_shares(self, inside, wrong):
        refused(models.CrmConnection.objects.create, crm_type="hubspot", **wrong)

    def test_links_pair_one_to_one(self, inside):
        """One record has one link ever; a contact one live or pending link of a type."""
        connection_row = models.CrmConnection.objects.create(crm_type="hubspot")
        ann, bea = (models.Contact.objects.create(first_name=name) for name in ("Ann", "Bea"))

        def link(contact, record_id, state="live", record_type="contact"):
            return models.CrmSyncState.objects.create(
                connection=connection_row,
                contact=contact,
                crm_record_id=record_id,
                crm_record_type=record_type,
                state=state,
            )

        link(ann, "1")
        for contact, record_id, state in ((bea, "1", "live"), (bea, "1", "unlinked"), (ann, "2", "live")):
            with pytest.raises(IntegrityError), transaction.atomic():
                link(contact, record_id, state)
        for contact, record_id, state in ((ann, None, "pending"), (bea, None, "live")):
            with pytest.raises(IntegrityError), transaction.atomic():
                link(contact, record_id, state)
        link(ann, "1", record_type="lead")
        link(ann, "3", "deleted_in_crm")
        link(bea, None, "pending")
        assert models.CrmSyncState.objects.count() == 4

    def test_one_open_intent_a_record(self, inside):
        """Sent and unknown ones hold the record; settled ones do not."""
        on = {
            "connection": models.CrmConnection.objects.create(crm_type="hubspot"),
            "contact": models.Contact.objects.create(first_name="Ann"),
            "record_type": "contact",
            "kind": "update",
        }
        models.CrmIntent.objects.create(**on, status="confirmed")
        models.CrmIntent.objects.create(**on, status="unknown", remote_id="1")
        refused(models.CrmIntent.objects.create, **on, status="sent")
        on["contact"] = models.Contact.objects.create(first_name="Bea")
        refused(models.CrmIntent.objects.create, **on, status="sent", remote_id="1")
        models.CrmIntent.objects.create(**on, status="sent", remote_id="2")

    def test_one_open_conflict_a_question(self, inside):
        """Of a link and field, else of a contact, else of a record."""
        connection_row = models.CrmConnection.objects.create(crm_type="hubspot")
        contact = models.Contact.objects.create(first_name="Ann")
        link = models.CrmSyncState.objects.create(
            connection=connection_row, contact=contact, crm_record_id="1", crm_record_type="contact"
        )
        make = models.CrmConflict.objects.create
        questions = [
            {"link": link, "contact": contact, "kind": "field", "mapping_id": "m1"},
            {"link": link, "contact": contact, "kind": "field", "mapping_id": "m2"},
            {"link": link, "contact": contact, "kind": "delete_edit"},
            {"contact": contact, "kind": "match", "record_type": "contact"},
            {"kind": "match", "record_type": "contact", "remote_id": "9"},
            {"kind": "match", "record_type": "contact", "remote_id": "8"},
        ]
        for question in questions:
            make(connection=connection_row, **question)
        for question in questions:
            refused(make, connection=connection_row, **question)
            refused(make, connection=connection_row, status="answered", **question)
        models.CrmConflict.objects.update(status="closed")
        for question in questions:
            make(connection=connection_row, **question)

    def test_a_job_runs_once_a_slot(self):
        """Also the jobs that belong to no connection."""
        make = models.CrmJobSlot.objects.create
        make(kind="cleanup", slot="2026-01-01T00:00Z")
        refused(make, kind="cleanup", slot="2026-01-01T00:00Z")
        connection_id = uuid7()
        make(kind="delta", slot="2026-01-01T00:00Z", connection_id=connection_id)
        refused(make, kind="delta", slot="2026-01-01T00:00Z", connection_id=connection_id)
        make(kind="delta", slot="2026-01-01T00:15Z", connection_id=connection_id)

    def test_one_open_notice_of_a_state(self, inside):
        make = models.CrmNotice.objects.create
        make(kind="held", code="brake.held")
        refused(make, kind="held", code="brake.held")
        models.CrmNotice.objects.update(resolved_at="2026-01-01T00:00Z")
        make(kind="held", code="brake.held")

    def test_deleting_a_run_keeps_its_plan(self, inside):
        """Run logs are purged; plans then point nowhere, in their own column only."""
        connection_row = models.CrmConnection.objects.create(crm_type="hubspot")
        run = models.CrmSyncLog.objects.create(connection=connection_row, sync_type="full")
        plan = models.CrmPlan.objects.create(connection=connection_row, run=run)
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM crm_sync_logs WHERE id = %s", [run.pk])
        plan.refresh_from_db()
        assert (plan.run_id, plan.organization_id) == (None, inside.id)


@pytest.mark.django_db
class TestUser:
    def test_logs_in_by_address_whatever_its_case(self, rf):
        made = User.objects.create_user("Ann@Example.com", "a long and rare one")
        assert authenticate(rf.post("/"), username="ANN@example.com", password="a long and rare one") == made
        assert authenticate(rf.post("/"), username="ANN@example.com", password="another long one") is None
        assert User.objects.get_by_natural_key("ann@EXAMPLE.com").email == "ann@example.com"

    def test_addresses_are_unique_without_regard_to_case(self):
        User.objects.create_user("ann@example.com")
        with pytest.raises(IntegrityError), transaction.atomic():
            User.objects.bulk_create([User(email="ANN@example.com")])
        assert User.objects.count() == 1

    @pytest.mark.parametrize("email", ["", "ann"])
    def test_needs_an_address(self, email):
        with pytest.raises(ValidationError):
            User.objects.create_user(email)
        assert User.objects.count() == 0

    def test_without_password_nobody_logs_in(self):
        assert not User.objects.create_user("ann@example.com").has_usable_password()

    def test_superusers_are_staff(self):
        made = User.objects.create_superuser("root@example.com", "a long and rare one")
        assert (made.is_staff, made.is_superuser) == (True, True)


def test_every_model_names_itself_in_one_and_many():
    """Admin titles are translated words, not class names."""
    for model in apps.get_app_config("adsapp_crm").get_models():
        assert str(model._meta.verbose_name) != model.__name__.lower() or model.__name__ in {
            *("User", "Organization", "Contact", "Membership"),
        }
        assert model._meta.db_table != f"adsapp_crm_{model.__name__.lower()}"
