"""Keys change while everything runs; what a retired key still opens is seen before it is dropped."""

from __future__ import annotations

import io
import json

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection as database
from django.db import connections

from adsapp_crm.checks import check_stored_values
from adsapp_crm.fields import EncryptedJSONField
from adsapp_crm.models import CredentialsMismatchError, CrmAppRegistration, CrmConnection
from adsapp_crm.services.keys import count_by_key, encrypted_columns, rotate_values
from adsapp_crm.storage.apps import client_of, register_app
from crm.http.redact import Secret

pytestmark = pytest.mark.django_db(transaction=True)

OLD, NEW, LOST = "o" * 40, "n" * 40, "l" * 40


@pytest.fixture
def values(settings, tenant, other):
    """Three connections' worth of values in two organizations, all under the old key."""
    settings.FERNET_KEYS = [OLD]
    for each in (tenant, other):
        with each.context():
            row = CrmConnection.objects.create(crm_type="hubspot", remote_account_id="1")
            row.seal_credentials({"token": f"token of {each.id}"})
            row.save()
            register_app("hubspot", "app", Secret("app secret"))
            # The organization's own key was made with the suite's key.
            each.organization.tombstone_key = {"key": "tombstone"}
            each.organization.save(update_fields=["tombstone_key"])
    return settings


def run(*arguments):
    out, err = io.StringIO(), io.StringIO()
    code = 0
    try:
        call_command("rotate_keys", *arguments, stdout=out, stderr=err)
    except SystemExit as stop:
        code = int(stop.code or 0)
    return code, out.getvalue()


def tokens(*tenants):
    found = []
    for each in tenants:
        with each.context():
            found.append(CrmConnection.objects.defer(None).get().open_credentials()["token"])
    return found


def test_every_encrypted_field_of_every_model_is_covered():
    """Found by the models, so that a new one is covered by existing."""
    fields = {
        f"{model._meta.db_table}.{field.column}"
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if isinstance(field, EncryptedJSONField)
    }
    assert {column.label for column in encrypted_columns()} == fields
    assert "crm_connections.credentials" in fields


def test_values_move_to_the_new_key_and_the_old_one_can_be_dropped(values, tenant, other):
    """All of them, in all organizations; afterwards they open without the old key."""
    values.FERNET_KEYS = [NEW, OLD]
    assert count_by_key().by_key == {0: 0, 1: 6}
    code, out = run("--json")
    told = json.loads(out)
    assert code == 0
    assert {name: told[name] for name in ("ok", "rotated", "current", "left", "unreadable")} == {
        "ok": True,
        "rotated": 6,
        "current": 0,
        "left": 0,
        "unreadable": {},
    }
    values.FERNET_KEYS = [NEW]
    assert tokens(tenant, other) == [f"token of {tenant.id}", f"token of {other.id}"]


def test_running_it_again_changes_nothing(values, tenant):
    """What the first key opens is left alone, byte for byte."""
    values.FERNET_KEYS = [NEW, OLD]
    run()
    with tenant.context(), database.cursor() as cursor:
        cursor.execute("SELECT credentials FROM crm_connections")
        before = cursor.fetchall()
    code, out = run("--json")
    assert (code, json.loads(out)["rotated"], json.loads(out)["current"]) == (0, 0, 6)
    with tenant.context(), database.cursor() as cursor:
        cursor.execute("SELECT credentials FROM crm_connections")
        assert cursor.fetchall() == before


def test_a_run_that_was_killed_goes_on_where_it_stopped(values, tenant, other):
    """Injected after the first batch."""
    values.FERNET_KEYS = [NEW, OLD]

    def killed(_seen, _rotated):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotate_values(progress=killed, rows_a_batch=2)
    assert count_by_key().by_key == {0: 2, 1: 4}
    assert tokens(tenant, other) == [f"token of {tenant.id}", f"token of {other.id}"]
    assert rotate_values(rows_a_batch=2).rotated == 4
    assert count_by_key().by_key == {0: 6, 1: 0}


def test_the_check_fails_while_a_retired_key_is_in_use(values):
    """It counts the values of each key and changes none."""
    values.FERNET_KEYS = [NEW, OLD]
    code, out = run("--check", "--json")
    assert (code, json.loads(out)["retiredInUse"]) == (1, 6)
    assert "keep it" in run("--check")[1]
    assert count_by_key().by_key == {0: 0, 1: 6}
    run()
    code, out = run("--check")
    assert code == 0
    assert "it can be dropped" in out


def test_the_system_check_says_which_keys_are_needed(values):
    """A retired key in use is a warning, a value that no key opens an error; silent without a database."""
    assert check_stored_values() == []
    values.FERNET_KEYS = [NEW, OLD]
    assert [each.id for each in check_stored_values(databases=["default"])] == ["crmsync.W012"]
    values.FERNET_KEYS = [NEW]
    assert {each.id for each in check_stored_values(databases=["default"])} == {"crmsync.E011"}
    values.FERNET_KEYS = [OLD]
    assert check_stored_values(databases=["default"]) == []


def test_what_no_key_opens_is_counted_and_kept(values, tenant):
    """By table and column, with what to do; the rest moves."""
    values.FERNET_KEYS = [LOST]
    with tenant.context():
        row = CrmConnection.objects.create(crm_type="salesforce", remote_account_id="2")
        row.seal_credentials({"token": "t"})
        row.save()
    values.FERNET_KEYS = [NEW, OLD]
    code, out = run("--json")
    told = json.loads(out)
    assert (code, told["rotated"], told["unreadable"]) == (1, 6, {"crm_connections.credentials": 1})
    assert "put back the key" in run()[1]
    values.FERNET_KEYS = [LOST]
    with tenant.context():
        assert CrmConnection.objects.defer(None).get(crm_type="salesforce").open_credentials() == {"token": "t"}


def test_a_locked_row_is_passed_over_and_gets_its_turn(values, tenant):
    """Injected: another worker holds the row during the first pass and writes it, with the new key, before the next."""
    values.FERNET_KEYS = [NEW, OLD]
    holder = connections["default"].copy()
    try:
        with holder.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT set_config('app.org', %s, true)", [str(tenant.id)])
            cursor.execute("SELECT id FROM crm_connections FOR UPDATE")
            assert cursor.rowcount == 1
        passes = []

        def progress(seen, _rotated):
            passes.append(seen)
            if len(passes) == 2:  # both organizations were seen once
                with holder.cursor() as cursor:
                    cursor.execute("COMMIT")

        done = rotate_values(progress=progress)
    finally:
        holder.close()
    assert (done.rotated, done.left) == (6, 0)
    assert count_by_key().by_key == {0: 6, 1: 0}


def test_the_app_s_secret_is_bound_to_its_row(values, tenant, other):
    """A sealed secret that was moved to another organization's row is refused there."""
    with tenant.context():
        sealed = CrmAppRegistration.objects.get().secrets
    with other.context():
        row = CrmAppRegistration.objects.get()
        row.secrets = sealed
        row.save()
    with pytest.raises(CredentialsMismatchError):
        client_of(other.id, "hubspot", row.pk)
