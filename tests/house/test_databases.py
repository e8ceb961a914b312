"""The roles a test, and production, runs with."""

from __future__ import annotations

import socket

import psycopg
import pytest
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import ProgrammingError, connection, transaction
from django.utils import timezone


def rows(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


@pytest.mark.django_db
def test_code_under_test_is_the_application_role():
    """It is no superuser, bypasses nothing and owns nothing."""
    role = rows(
        "SELECT rolname, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
    )
    owned = rows("SELECT count(*) FROM pg_class WHERE relowner = current_user::regrole")

    assert [("crm_app", False, False, False, False)] == role
    assert [(0,)] == owned


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE mine (id int)", "TRUNCATE django_session", "DROP TABLE django_session", "SET ROLE crm_owner"],
)
def test_the_application_role_cannot(statement):
    """Row-level security would not stop a TRUNCATE."""
    with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"), transaction.atomic():
        rows(statement)

    assert rows("SELECT to_regclass('django_session') IS NOT NULL, to_regclass('mine') IS NULL") == [(True, True)]


@pytest.mark.django_db
def test_the_owner_hands_a_function_to_the_definer(owner_sql):
    """The definer owns it then; the owner has the definer's rights only when it takes its role."""
    owner_sql("CREATE FUNCTION who() RETURNS name LANGUAGE sql SECURITY DEFINER RETURN current_user")
    try:
        owner_sql("ALTER FUNCTION who() OWNER TO crm_definer")

        assert rows("SELECT who()") == [("crm_definer",)]
        assert owner_sql(
            "SELECT rolcanlogin, rolsuper, rolbypassrls, pg_has_role('crm_owner', oid, 'USAGE')"
            " FROM pg_roles WHERE rolname = 'crm_definer'"
        ) == [(False, False, False, False)]
    finally:
        owner_sql("SET ROLE crm_definer")
        owner_sql("DROP FUNCTION who()")
        owner_sql("RESET ROLE")


@pytest.mark.django_db
def test_a_wrong_password_is_refused():
    """The servers trust no local connection."""
    place = connection.settings_dict

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host=place["HOST"], port=place["PORT"], dbname=place["NAME"], user="crm_app", password="no")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", [1, 2])
def test_a_committing_test_begins_with_empty_tables(owner_sql, attempt):
    """What it commits others see, and the next test does not; what migrations wrote stays."""
    assert Session.objects.count() == 0
    Session.objects.create(session_key=f"key{attempt}", session_data="", expire_date=timezone.now())

    assert owner_sql("SELECT session_key FROM django_session") == [(f"key{attempt}",)]
    assert ContentType.objects.filter(app_label="sessions").count() == 1


@pytest.mark.parametrize("address", ["192.0.2.1", "8.8.8.8", "::ffff:192.0.2.1", "example.com"])
def test_nothing_reaches_beyond_this_machine(address):
    """Neither a connection nor a look-up leaves."""
    with pytest.raises(RuntimeError, match="tests reach loopback only"):
        socket.create_connection((address, 443), timeout=1)
