"""Contacts as people and programs write them: checked, versioned, merged, imported."""

from __future__ import annotations

import datetime as dt
import io

import pytest
from django.db.models.functions import Now

from adsapp_crm.models import Contact, ContactChange, uuid7
from adsapp_crm.services.contact_import import import_contacts
from adsapp_crm.services.contacts import (
    create_contact,
    delete_contact,
    merge_contacts,
    restore_contact,
    update_contact,
)
from adsapp_crm.services.refusals import RefusedError

pytestmark = pytest.mark.django_db

FULL = {
    "firstName": " Ann ",
    "lastName": "Ünal",
    "email": "Ann@Bücher.de",
    "phone": "06 1234 5678",
    "whatsappNumber": "+31 6 1234 5678",
    "country": "nl",
    "birthday": "1980-02-29",
    "notes": "one\ntwo\0",
    "tags": ["vip", " vip ", "new", ""],
    "emailOptOut": True,
    "custom.tier": "gold",
    "custom.score": 4.5,
    "custom.list": ["a", "b"],
    "custom.none": None,
}


def refused(work, *arguments, **named):
    """The refusals of a call that must change nothing."""
    before = list(Contact.objects.order_by("pk").values())
    with pytest.raises(RefusedError) as caught:
        work(*arguments, **named)
    assert list(Contact.objects.order_by("pk").values()) == before
    return [(each.code, each.field) for each in caught.value.refusals]


class TestCreate:
    def test_values_are_put_into_the_columns_terms(self, inside):
        made = Contact.objects.get(pk=create_contact(FULL).pk)
        assert (made.first_name, made.last_name, made.email, made.country) == ("Ann", "Ünal", "Ann@Bücher.de", "NL")
        assert (made.email_normalized, made.phone_normalized) == ("ann@xn--bcher-kva.de", "+31612345678")
        assert (made.birthday, made.notes, made.tags) == (dt.date(1980, 2, 29), "one\ntwo\ufffd", ["vip", "new"])
        assert (made.email_opt_out, made.whatsapp_opt_out) == (True, False)
        assert made.custom_fields == {"tier": "gold", "score": 4.5, "list": ["a", "b"]}
        assert (made.version, made.state) == (1, "live")

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ({"surname": "x"}, [("contact.unknown_field", "surname")]),
            ({"version": 7}, [("contact.unknown_field", "version")]),
            ({"custom.": "x"}, [("contact.unknown_field", "custom.")]),
            ({"firstName": 1}, [("contact.invalid", "firstName")]),
            ({"firstName": "x" * 65_537}, [("contact.invalid", "firstName")]),
            ({"email": "a@b.nl, c@d.nl"}, [("contact.invalid", "email")]),
            ({"email": "ann"}, [("contact.invalid", "email")]),
            ({"birthday": "31.02.1980"}, [("contact.invalid", "birthday")]),
            ({"birthday": "1980-02-30"}, [("contact.invalid", "birthday")]),
            ({"birthday": 5}, [("contact.invalid", "birthday")]),
            ({"emailOptOut": "perhaps"}, [("contact.invalid", "emailOptOut")]),
            ({"emailOptOut": 1}, [("contact.invalid", "emailOptOut")]),
            ({"emailOptOut": None}, [("contact.invalid", "emailOptOut")]),
            ({"tags": [1]}, [("contact.invalid", "tags")]),
            ({"tags": ["x"] * 3 + [str(n) for n in range(200)]}, [("contact.invalid", "tags")]),
            ({"custom.a": {"b": 1}}, [("contact.invalid", "custom.a")]),
            ({"custom.a": float("nan")}, [("contact.invalid", "custom.a")]),
            ({"custom.a": 2**53 + 2}, [("contact.invalid", "custom.a")]),
            ({"custom.a": "x" * 65_537}, [("contact.invalid", "custom.a")]),
            ({f"custom.f{n}": 1 for n in range(501)}, [("contact.invalid", "")]),
            ({"firstName": 1, "email": "x"}, [("contact.invalid", "firstName"), ("contact.invalid", "email")]),
            ({}, [("contact.empty", "")]),
            ({"firstName": "  ", "notes": "x"}, [("contact.empty", "")]),
        ],
        ids=lambda each: str(each)[:60],
    )
    def test_a_wrong_value_is_named_and_nothing_is_stored(self, inside, values, expected):
        """Every field that is wrong at once, and never its value."""
        assert refused(create_contact, values) == expected


class TestUpdate:
    def test_the_named_fields_change_and_no_others(self, inside):
        made = create_contact(FULL)
        changed = update_contact(
            made.pk, {"firstName": "Bea", "phone": None, "custom.tier": None, "custom.new": True}, version=1
        )
        assert (changed.first_name, changed.last_name, changed.phone, changed.version) == ("Bea", "Ünal", "", 2)
        assert changed.custom_fields == {"score": 4.5, "list": ["a", "b"], "new": True}
        assert (changed.phone_normalized, changed.email_normalized) == ("", "ann@xn--bcher-kva.de")
        (_created, change) = ContactChange.objects.order_by("version")
        assert set(change.changes) == {"first_name", "phone", "custom.tier", "custom.new"}
        assert (change.who, change.origin) == ("user:test", "user")

    def test_another_version_refuses(self, inside):
        """Whoever edited in between is not overwritten; without a version the edit is unconditional."""
        made = create_contact({"firstName": "Ann"})
        update_contact(made.pk, {"city": "Oss"}, version=1)
        assert refused(update_contact, made.pk, {"city": "Ede"}, version=1) == [("contact.changed", "version")]
        assert update_contact(made.pk, {"city": "Ede"}, version=None).version == 3

    def test_unknown_deleted_and_foreign_contacts_are_the_same_to_the_caller(self, inside, make_organization):
        gone = create_contact({"firstName": "Ann"})
        delete_contact(gone.pk)
        assert refused(update_contact, gone.pk, {"city": "x"}, version=None) == [("contact.unknown", "")]
        assert refused(update_contact, uuid7(), {"city": "x"}, version=None) == [("contact.unknown", "id")]

    def test_a_wrong_value_changes_nothing(self, inside):
        made = create_contact({"firstName": "Ann"})
        assert refused(update_contact, made.pk, {"city": "x", "email": "y"}, version=1) == [
            ("contact.invalid", "email")
        ]


class TestDelete:
    def test_a_deletion_is_a_version_and_can_be_taken_back(self, inside):
        made = create_contact({"firstName": "Ann"})
        gone = delete_contact(made.pk, version=1)
        assert (gone.state, gone.version) == ("deleted", 2)
        assert Contact.objects.live().count() == 0
        back = restore_contact(made.pk)
        assert (back.state, back.version) == ("live", 3)

    def test_another_version_refuses(self, inside):
        made = create_contact({"firstName": "Ann"})
        assert refused(delete_contact, made.pk, version=9) == [("contact.changed", "version")]

    def test_what_was_merged_does_not_come_back(self, inside):
        one, two = (create_contact({"firstName": name}) for name in "AB")
        merge_contacts(one.pk, two.pk)
        assert refused(restore_contact, two.pk) == [("contact.unknown", "id")]


class TestMerge:
    def test_the_survivor_keeps_its_values_and_takes_what_it_lacks(self, inside):
        """Opted out with one is opted out; what was merged before follows."""
        one = create_contact({"firstName": "Ann", "tags": ["a"], "custom.x": 1, "email": "ann@a.nl"})
        two = create_contact(
            {"firstName": "Anna", "phone": "0612345678", "tags": ["b", "a"], "custom.x": 2, "custom.y": 3}
            | {"emailOptOut": True}
        )
        three = create_contact({"firstName": "A."})
        merge_contacts(two.pk, three.pk)
        merged = merge_contacts(one.pk, two.pk)
        assert (merged.first_name, merged.phone, merged.phone_normalized) == ("Ann", "0612345678", "+31612345678")
        assert (merged.tags, merged.custom_fields) == (["a", "b"], {"x": 1, "y": 3})
        assert (merged.email_opt_out, merged.whatsapp_opt_out) == (True, False)
        pointers = dict(Contact.objects.exclude(pk=one.pk).values_list("pk", "merged_into"))
        assert pointers == {two.pk: one.pk, three.pk: one.pk}
        assert Contact.objects.get(pk=two.pk).state == "merged"

    def test_only_two_live_contacts_are_merged(self, inside):
        one, two = (create_contact({"firstName": name}) for name in "AB")
        delete_contact(two.pk)
        for other_id in (one.pk, two.pk, uuid7()):
            assert refused(merge_contacts, one.pk, other_id) == [("contact.merge", "")]


def run_import(text):
    return import_contacts(io.StringIO(text, newline=""))


class TestImport:
    def test_good_rows_are_stored_and_each_bad_one_is_reported(self, inside):
        """With its line, field, rule and fix; and no row stops another."""
        report = run_import(
            "\ufefffirstName,email,phone,tags,emailOptOut,custom.tier\n"
            "Ann,ann@a.nl,0612345678,vip; new,yes,gold\n"
            "Bea,not an address,,,,\n"
            ",,,,,gold\n"
            '"Cis\nsaid ""no""",cis@a.nl\n'
            "\n"
            "Dee,dee@a.nl,1,2,3,4,5\n"
            "Eve,eve@a.nl,,,maybe,\n"
            "Fay,fay@a.nl,,,,\n"
        )
        assert (report.rows, report.created) == (7, 3)
        assert [(each.line, [(why.code, why.field) for why in each.refusals]) for each in report.refused] == [
            (3, [("contact.invalid", "email")]),
            (4, [("contact.empty", "")]),
            (8, [("import.columns", "")]),
            (9, [("contact.invalid", "emailOptOut")]),
        ]
        assert all(why.message and why.fix for each in report.refused for why in each.refusals)
        ann = Contact.objects.get(first_name="Ann")
        assert (ann.tags, ann.email_opt_out, ann.custom_fields) == (["vip", "new"], True, {"tier": "gold"})
        assert ann.phone_normalized == "+31612345678"
        assert {change.origin for change in ContactChange.objects.all()} == {"import"}

    def test_importing_again_creates_nobody_twice(self, inside):
        """Same address and name is the same person; a shared mailbox with other names is not."""
        text = "firstName,lastName,email\nAnn,Bee,info@a.nl\nCis,Dee,info@a.nl\nann,BEE,INFO@a.nl\nEve,,\n"
        first = run_import(text)
        assert (first.created, [each.line for each in first.refused]) == (3, [4])
        again = run_import(text)
        assert (again.created, [(each.line, each.refusals[0].code) for each in again.refused]) == (
            1,
            [(2, "contact.exists"), (3, "contact.exists"), (4, "contact.exists")],
        )

    def test_formulas_that_exports_disarmed_come_back(self, inside):
        """The apostrophe before a formula's first character goes; any other stays."""
        run_import("firstName,phone,notes\n'=1+1,'+31 6 1234 5678,'s avonds\n")
        stored = Contact.objects.get()
        assert (stored.first_name, stored.phone, stored.notes) == ("=1+1", "+31 6 1234 5678", "'s avonds")

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", [("import.unreadable", "")]),
            ("\n", [("import.unreadable", "")]),
            (
                "firstName,surname,e-mail\nAnn,B,c\n",
                [("contact.unknown_field", "surname"), ("contact.unknown_field", "e-mail")],
            ),
            ("email,email\na,b\n", [("import.columns", "email")]),
            ('firstName\nAnn\n"Bea\n', [("import.unreadable", "")]),
            ('firstName\nAnn\n"Bea"x\n', [("import.unreadable", "")]),
            (
                "PK\x03\x04\x00\x00,x\n",
                [("contact.unknown_field", "PK\x03\x04\x00\x00"), ("contact.unknown_field", "x")],
            ),
        ],
        ids=range(7),
    )
    def test_a_file_that_cannot_be_read_is_refused_whole(self, inside, text, expected):
        assert refused(run_import, text) == expected

    def test_bytes_that_are_no_utf8_refuse_the_file(self, inside):
        lines = io.TextIOWrapper(io.BytesIO(b"firstName\nAnn\n\xff\xfe\n"), encoding="utf-8", newline="")
        assert refused(import_contacts, lines) == [("import.unreadable", "")]

    @pytest.mark.parametrize("rows", [10, 500])
    def test_a_batch_costs_the_same_queries_whatever_its_size(self, inside, rows, django_assert_num_queries):
        """Five hundred rows are stored in as many statements as ten."""
        text = "firstName,email\n" + "".join(f"N{n},n{n}@a.nl\n" for n in range(rows))
        with django_assert_num_queries(8):
            assert run_import(text).created == rows


def test_a_contact_knows_its_state(inside):
    """Erased outweighs merged, merged outweighs deleted."""
    made = create_contact({"firstName": "Ann"})
    other = create_contact({"firstName": "Bea"})
    Contact.objects.filter(pk=made.pk).update(deleted_at=Now())
    assert Contact.objects.get(pk=made.pk).state == "deleted"
    Contact.objects.filter(pk=made.pk).update(merged_into=other)
    assert Contact.objects.get(pk=made.pk).state == "merged"
    Contact.objects.filter(pk=made.pk).update(erased_at=Now())
    assert Contact.objects.get(pk=made.pk).state == "erased"
