"""Version, history and match keys of contacts hold whatever writes the row."""

from __future__ import annotations

import json

import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from adsapp_crm.models import Contact, ContactChange, uuid7
from adsapp_crm.models.contact import CONTENT_ATTRIBUTES, LIFE_ATTRIBUTES, match_keys
from adsapp_crm.tenancy import change_evidence
from crm.normalize import email_key

pytestmark = pytest.mark.django_db


def execute(statement, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.rowcount


def history(contact):
    rows = ContactChange.objects.filter(contact=contact).order_by("version")
    return [(row.version, row.changes) for row in rows]


def by_orm_save(contact):
    contact.first_name = "Bea"
    contact.save()


def by_stale_orm_save(contact):
    stale = Contact.objects.get(pk=contact.pk)
    stale.version = 99
    stale.first_name = "Bea"
    stale.save()


def by_update(contact):
    Contact.objects.filter(pk=contact.pk).update(first_name="Bea")


def by_bulk_update(contact):
    contact.first_name = "Bea"
    Contact.objects.bulk_update([contact], ["first_name"])


def by_raw_sql(contact):
    assert execute("UPDATE contacts SET first_name = 'Bea', version = 40 WHERE id = %s", contact.pk) == 1


def by_upsert(contact):
    execute(
        "INSERT INTO contacts (id, organization_id, first_name) VALUES (%s, %s, 'Bea')"
        " ON CONFLICT (id) DO UPDATE SET first_name = excluded.first_name",
        contact.pk,
        contact.organization_id,
    )


@pytest.mark.parametrize(
    "write",
    [by_orm_save, by_stale_orm_save, by_update, by_bulk_update, by_raw_sql, by_upsert],
    ids=lambda f: f.__name__,
)
def test_every_way_to_write_makes_one_version_and_one_line(inside, write):
    """Exactly one change from Ann to Bea, at version 2, whatever version the writer sent."""
    contact = Contact.objects.create(first_name="Ann")
    write(contact)
    stored = Contact.objects.get(pk=contact.pk)
    assert (stored.first_name, stored.version) == ("Bea", 2)
    assert history(contact) == [(1, {"first_name": [None, "Ann"]}), (2, {"first_name": ["Ann", "Bea"]})]


def test_inserts_by_bulk_and_by_sql_are_recorded(inside):
    """The first line holds what the contact began with, blanks left out."""
    Contact.objects.bulk_create([Contact(first_name="Ann", tags=["vip"], custom_fields={"tier": "gold"}), Contact()])
    execute(
        "INSERT INTO contacts (id, organization_id, company, version) SELECT gen_random_uuid(), %s, c, 7"
        " FROM unnest(ARRAY['One', 'Two']) AS c",
        inside.id,
    )
    begun = ContactChange.objects.values_list("version", "changes")
    assert sorted(map(json.dumps, begun)) == sorted(
        map(
            json.dumps,
            [
                (1, {"tags": [None, ["vip"]], "first_name": [None, "Ann"], "custom.tier": [None, "gold"]}),
                (1, {}),
                (1, {"company": [None, "One"]}),
                (1, {"company": [None, "Two"]}),
            ],
        )
    )


NEW_VALUES = {
    "birthday": "1980-02-29",
    "tags": ["vip"],
    "email_opt_out": True,
    "whatsapp_opt_out": True,
    "custom_fields": {"tier": "gold"},
    "deleted_at": "2026-01-01T00:00Z",
    "erased_at": "2026-01-01T00:00Z",
}


@pytest.mark.parametrize("attribute", [*CONTENT_ATTRIBUTES, *LIFE_ATTRIBUTES])
def test_each_attribute_counts(inside, attribute):
    """No attribute of a contact can change without a version and a line that names it."""
    contact = Contact.objects.create(first_name="Ann", last_name="B")
    value = (
        Contact.objects.create(first_name="Y").pk if attribute == "merged_into_id" else NEW_VALUES.get(attribute, "new")
    )
    Contact.objects.filter(pk=contact.pk).update(**{attribute: value})
    (_first, (version, changes)) = history(contact)
    assert version == 2
    assert set(changes) == {"custom.tier" if attribute == "custom_fields" else attribute}


def test_the_trigger_knows_every_column():
    """A new column of the model has to be counted as content or named as none here."""
    counted = {*CONTENT_ATTRIBUTES, *LIFE_ATTRIBUTES}
    kept_by_the_database = {"id", "organization_id", "version", "created_at", "updated_at"}
    keys = {"email_normalized", "phone_normalized", "keys_of", "first_name_key", "last_name_key"}
    assert {field.attname for field in Contact._meta.concrete_fields} == counted | kept_by_the_database | keys


def test_a_write_that_changes_nothing_leaves_no_trace(inside):
    """Neither version, nor time, nor history moves for an equal value or for a key."""
    contact = Contact.objects.create(first_name="Ann", email="ann@example.com")
    before = Contact.objects.get(pk=contact.pk)
    Contact.objects.update(first_name="Ann")
    Contact.objects.update(**match_keys("ann@example.com", "", "NL"))
    contact.save()
    after = Contact.objects.get(pk=contact.pk)
    assert (after.version, after.updated_at) == (before.version, before.updated_at)
    assert len(history(contact)) == 1


def test_custom_fields_are_recorded_one_by_one(inside):
    """Added, changed and removed keys, each by its own name."""
    contact = Contact.objects.create(first_name="Ann", custom_fields={"tier": "gold", "old": 1, "same": [1]})
    Contact.objects.update(custom_fields={"tier": "silver", "new": None, "same": [1]})
    assert history(contact)[1] == (
        2,
        {"custom.tier": ["gold", "silver"], "custom.old": [1, None], "custom.new": [None, None]},
    )


def test_who_and_by_which_way_are_noted(tenant):
    """From the context; a write outside any service says it came straight from the database."""
    with tenant.context(actor="user:7", origin="api"):
        contact = Contact.objects.create(first_name="Ann")
        with tenant.context(origin="pull:c1"), change_evidence({str(contact.pk): {"last_name": ["a", "b"]}}):
            Contact.objects.update(last_name="Bee")
    with tenant.context():
        execute("UPDATE contacts SET city = 'Oss'")
        noted = [(row.who, row.origin, row.evidence) for row in ContactChange.objects.order_by("version")]
    assert noted == [
        ("user:7", "api", None),
        ("user:7", "pull:c1", {"last_name": ["a", "b"]}),
        ("role:crm_app", "database", None),
    ]


def test_evidence_reaches_its_own_contact_only(inside):
    """A page of pulls carries evidence for each of its contacts."""
    one, two = (Contact.objects.create(first_name=name) for name in "AB")
    with change_evidence({str(one.pk): {"city": "one"}}):
        Contact.objects.update(city="Oss")
    assert ContactChange.objects.get(contact=one, version=2).evidence == {"city": "one"}
    assert ContactChange.objects.get(contact=two, version=2).evidence is None


def test_times_are_the_databases(inside):
    """A writer cannot date a contact, nor re-date one."""
    contact = Contact(first_name="Ann", created_at="2001-01-01T00:00Z", updated_at="2001-01-01T00:00Z")
    contact.save()
    Contact.objects.update(first_name="Bea", created_at="2002-01-01T00:00Z", updated_at="2002-01-01T00:00Z")
    stored = Contact.objects.get()
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        (now,) = cursor.fetchone()
    assert (stored.created_at, stored.updated_at) == (now, now)
    assert {change.at for change in ContactChange.objects.all()} == {now}


@pytest.mark.parametrize("column", ["id", "organization_id"])
def test_a_contact_keeps_its_identity(inside, column):
    Contact.objects.create(first_name="Ann")
    with pytest.raises(DatabaseError, match="keeps its id and its organization"), transaction.atomic():
        execute(f"UPDATE contacts SET {column} = %s", uuid7())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE contact_changes SET version = 9",
        "UPDATE contact_changes SET at = now()",
        "UPDATE contact_changes SET who = 'somebody'",
        "UPDATE crm_ledger SET actor = 'somebody'",
    ],
)
def test_history_is_not_rewritten(inside, statement):
    """The application may take values away (erasure) and change nothing else."""
    Contact.objects.create(first_name="Ann")
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        execute(statement)


def test_history_rows_have_ids_in_the_order_of_time(inside):
    """The database makes version 7 as the application does."""
    contact = Contact.objects.create(first_name="Ann")
    for name in "BCDE":
        Contact.objects.update(first_name=name)
    ids = [row.pk for row in ContactChange.objects.filter(contact=contact).order_by("version")]
    assert [(each.version, each.variant) for each in ids] == [(7, "specified in RFC 4122")] * 5
    assert [each.int >> 80 for each in ids] == sorted(each.int >> 80 for each in ids)
    assert abs((uuid7().int >> 80) - (ids[-1].int >> 80)) < 60_000


# --- Match keys -------------------------------------------------------------------------------------------------------


def keys():
    return list(Contact.objects.values_list("email_normalized", "phone_normalized"))


def test_keys_that_come_with_their_source_are_kept(inside):
    Contact.objects.create(
        email="Ann@Bücher.de", phone="06 1234 5678", **match_keys("Ann@Bücher.de", "06 1234 5678", "NL")
    )
    assert keys() == [("ann@xn--bcher-kva.de", "+31612345678")]
    Contact.objects.update(first_name="Ann")
    assert keys() == [("ann@xn--bcher-kva.de", "+31612345678")]


def test_the_same_number_in_another_form_keeps_its_key(inside):
    """The key did not change, its source did: it is not taken for a stale one."""
    Contact.objects.create(phone="0612345678", **match_keys("", "0612345678", "NL"))
    Contact.objects.update(phone="+31 6 1234 5678", **match_keys("", "+31 6 1234 5678", "NL"))
    assert keys() == [("", "+31612345678")]


def test_a_write_without_keys_voids_them(inside):
    """The database makes the key of a plain address itself and leaves the phone's open."""
    Contact.objects.create(email="ann@a.nl", phone="0612345678", **match_keys("ann@a.nl", "0612345678", "NL"))
    execute("UPDATE contacts SET phone = '0687654321'")
    assert keys() == [("ann@a.nl", None)]
    execute("UPDATE contacts SET email = ' Bea@B.NL '")
    assert keys() == [("bea@b.nl", None)]
    execute("UPDATE contacts SET email = 'bea@bücher.de', phone = ''")
    assert keys() == [(None, "")]


def test_a_writer_cannot_bring_keys_of_another_text(inside):
    """A key is believed only beside the text it was made from."""
    execute(
        "INSERT INTO contacts (id, organization_id, email, email_normalized, phone_normalized)"
        " VALUES (gen_random_uuid(), %s, 'ann@a.nl', 'boss@b.nl', '+31600000000')",
        inside.id,
    )
    assert keys() == [("ann@a.nl", "")]


def test_open_keys_are_filled_by_the_organizations_region(inside):
    """Until none is left; a text that is no number has no key."""
    Contact.objects.bulk_create([Contact(phone="0612345678"), Contact(phone="call me"), Contact(email="é@bücher.de")])
    assert Contact.objects.fill_match_keys(limit=2) == 2
    assert Contact.objects.fill_match_keys(limit=2) == 1
    assert Contact.objects.fill_match_keys(limit=2) == 0
    assert sorted(keys()) == [("", ""), ("", "+31612345678"), ("é@xn--bcher-kva.de", "")]
    assert set(Contact.objects.values_list("version", flat=True)) == {1}


ADDRESSES = st.text(
    st.sampled_from(["a", "B", "1", "@", ".", "-", "+", "_", " ", "\t", ",", ";", '"', "<", "é"]), max_size=16
)


@given(st.lists(ADDRESSES | st.text(max_size=12).filter(lambda text: "\0" not in text), min_size=200, max_size=200))
def test_the_database_makes_the_same_email_key_as_python(addresses):
    """For every ASCII text; other text it leaves to Python."""
    clean = [text for text in addresses if not any("\ud800" <= each <= "\udfff" for each in text)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT t, crm_email_key(t) FROM unnest(%s::text[]) AS t", [clean])
        made = cursor.fetchall()
    assert made == [(text, (email_key(text) or "") if text.isascii() else None) for text in clean]


def test_a_contact_says_nothing_about_the_person_in_logs(inside):
    """What is printed of a contact or its history is ids and numbers."""
    contact = Contact.objects.create(first_name="Ann", email="ann@example.com")
    change = ContactChange.objects.get()
    assert str(contact) == f"Contact {contact.pk}"
    assert str(change) == f"Contact {contact.pk} version 1"
