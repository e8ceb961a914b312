"""CRM log-ins are ciphertext in the database, exact in Python, and useless in another row."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.core import serializers
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import connection, transaction
from django.db.models import Value
from django.test import override_settings

from adsapp_crm.fields import DecryptionError
from adsapp_crm.models import CredentialsMismatchError, CrmConnection

pytestmark = pytest.mark.django_db

SECRET = {"access_token": "canary-token-é🙂", "expires_at": 1.5, "refresh": None, "active": False, "scopes": ["a"]}
OLD, NEW = "old-key-" + "o" * 32, "new-key-" + "n" * 32


def box(key):
    """The derivation of django-fernet-fields, written out once more."""
    info, salt = b"django-fernet-fields", b"django-fernet-fields-hkdf-salt"
    raw = HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=info).derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(raw))


def raw(pk):
    with connection.cursor() as cursor:
        cursor.execute("SELECT credentials FROM crm_connections WHERE id = %s", [pk])
        (value,) = cursor.fetchone()
        return None if value is None else bytes(value)


def connect(crm_type="hubspot", payload=SECRET):
    made = CrmConnection(crm_type=crm_type)
    made.seal_credentials(payload)
    made.save()
    return made


def again(connection_row):
    return CrmConnection.objects.get(pk=connection_row.pk)


def test_what_is_sealed_comes_back_exactly_and_is_stored_as_ciphertext(inside):
    """Numbers, nothing, false and every script come back as they went in."""
    made = connect()
    assert again(made).open_credentials() == SECRET
    assert b"canary" not in raw(made.pk)
    assert b"canary" not in base64.urlsafe_b64decode(raw(made.pk))


@pytest.mark.parametrize("value", [1.5, None, False, "", [], {}, 0, "text", [1, {"a": None}]])
def test_any_json_value_survives(inside, value):
    """The field itself changes no type; None is NULL."""
    made = CrmConnection.objects.create(crm_type="hubspot", credentials=value)
    stored = again(made).credentials
    assert (stored, type(stored)) == (value, type(value))
    assert (raw(made.pk) is None) == (value is None)


def test_update_and_bulk_update_encrypt(inside):
    """Where drop-in fields destroy the value, this one keeps it."""
    one, two = connect(), connect("pipedrive")
    CrmConnection.objects.filter(pk=one.pk).update(credentials={"by": "update"})
    assert again(one).credentials == {"by": "update"}
    for number, row in enumerate((one, two)):
        row.credentials = {"by": f"bulk {number}"}
    CrmConnection.objects.bulk_update([one, two], ["credentials"])
    assert [again(row).credentials for row in (one, two)] == [{"by": "bulk 0"}, {"by": "bulk 1"}]
    assert b"bulk" not in raw(one.pk)
    two.credentials = None
    CrmConnection.objects.bulk_update([one, two], ["credentials"])
    assert raw(two.pk) is None


def test_bulk_create_encrypts(inside):
    CrmConnection.objects.bulk_create([CrmConnection(crm_type="hubspot", credentials={"by": "bulk"})])
    made = CrmConnection.objects.get()
    assert made.credentials == {"by": "bulk"}
    assert b"bulk" not in raw(made.pk)


def test_it_reads_and_writes_the_format_of_django_fernet_fields(inside):
    """Either reads what the other wrote."""
    with override_settings(FERNET_KEYS=[OLD]):
        made = connect()
        assert json.loads(box(OLD).decrypt(raw(made.pk)))["payload"] == SECRET
        foreign = box(OLD).encrypt(b'{"from": "elsewhere"}')
        with connection.cursor() as cursor:
            cursor.execute("UPDATE crm_connections SET credentials = %s", [foreign])
        assert again(made).credentials == {"from": "elsewhere"}


def test_keys_rotate(inside):
    """The first key encrypts, all of them decrypt."""
    with override_settings(FERNET_KEYS=[OLD]):
        made = connect()
    with override_settings(FERNET_KEYS=[NEW, OLD]):
        row = again(made)
        assert row.open_credentials() == SECRET
        row.seal_credentials({"token": "second"})
        row.save(update_fields=["credentials"])
    assert json.loads(box(NEW).decrypt(raw(made.pk)))["payload"] == {"token": "second"}
    with override_settings(FERNET_KEYS=[NEW]):
        assert again(made).open_credentials() == {"token": "second"}


def test_a_wrong_key_is_an_error_that_names_the_column_and_no_secret(inside):
    """Never the ciphertext as the value; and lists of connections still open."""
    with override_settings(FERNET_KEYS=[OLD]):
        made = connect()
    with override_settings(FERNET_KEYS=[NEW]):
        assert [each.crm_type for each in CrmConnection.objects.all()] == ["hubspot"]
        with pytest.raises(DecryptionError, match=r"FERNET_KEYS opens crm_connections\.credentials") as caught:
            again(made).open_credentials()
    assert caught.value.code == "config.encryption_key"
    assert "canary" not in str(caught.value)


def test_a_damaged_value_is_an_error(inside):
    made = connect()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE crm_connections SET credentials = 'plain text'::bytea")
    with pytest.raises(DecryptionError):
        again(made).open_credentials()


def test_without_key_nothing_is_stored(inside):
    """Never in the clear instead."""
    with (
        override_settings(FERNET_KEYS=[]),
        pytest.raises(ImproperlyConfigured, match="FERNET_KEYS is empty"),
        transaction.atomic(),
    ):
        connect()
    assert CrmConnection.objects.count() == 0


@pytest.mark.parametrize("swap", ["connection", "organization"])
def test_ciphertext_moved_to_another_row_does_not_open(tenant, other, swap):
    """The value says whose it is, and that is compared on use."""
    with tenant.context():
        made = connect()
        stolen = raw(made.pk)
        second = connect("pipedrive", {"token": "own"})
    place = tenant if swap == "connection" else other
    with place.context():
        target = second if swap == "connection" else CrmConnection.objects.create(crm_type="hubspot")
        with connection.cursor() as cursor:
            cursor.execute("UPDATE crm_connections SET credentials = %s WHERE id = %s", [stolen, target.pk])
        with pytest.raises(CredentialsMismatchError) as caught:
            again(target).open_credentials()
    assert caught.value.code == "auth.credentials_foreign"
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("value", ["text", 1, [], {}, {"payload": {"token": "x"}}])
def test_credentials_that_were_never_sealed_do_not_open(inside, value):
    made = CrmConnection.objects.create(crm_type="hubspot", credentials=value)
    with pytest.raises(CredentialsMismatchError):
        again(made).open_credentials()


def test_no_credentials_open_as_nothing(inside):
    made = connect(payload=None)
    assert again(made).open_credentials() == {}


def test_lists_leave_the_credentials_in_the_database(inside, django_assert_num_queries):
    """A list reads no secret; opening one costs one more query."""
    made = connect()
    with django_assert_num_queries(1) as queries:
        (row,) = CrmConnection.objects.all()
    assert "credentials" not in queries[0]["sql"]
    with django_assert_num_queries(1):
        assert row.open_credentials() == SECRET
    row.settings = {"batchSize": 50}
    row.save()
    assert again(made).open_credentials() == SECRET


def test_opening_credentials_leaves_unsaved_changes_alone(inside):
    """Reading the one deferred column reads that column only."""
    made = connect()
    row = again(made)
    row.status = "paused"
    assert row.open_credentials() == SECRET
    assert row.status == "paused"
    organization = inside.organization.__class__.objects.get()
    organization.region = "BE"
    assert organization.tombstone_key is None
    assert organization.region == "BE"


@pytest.mark.parametrize("lookup", ["exact", "in", "contains", "gt", "startswith"])
def test_it_cannot_be_searched(inside, lookup):
    """A search would compare ciphertext and silently find nothing."""
    with pytest.raises(FieldError, match="encrypted"):
        CrmConnection.objects.filter(**{f"credentials__{lookup}": ["x"]}).first()


def test_whether_there_is_one_can_be_asked(inside):
    connect()
    connect("pipedrive", None)
    assert CrmConnection.objects.filter(credentials__isnull=False).count() == 1
    assert CrmConnection.objects.filter(credentials__isnull=True).count() == 1


def test_it_is_not_serialised(inside):
    """dumpdata and exports refuse instead of writing secrets."""
    made = connect()
    with pytest.raises(FieldError, match="not serialised"):
        serializers.serialize("json", [again(made)])


def test_expressions_pass_untouched(inside):
    """Setting NULL by expression is no encrypted NULL."""
    made = connect()
    CrmConnection.objects.update(credentials=Value(None))
    assert raw(made.pk) is None
