"""The database's own catalogue: no table of an organization without its walls, no look-up that tells contents."""

from __future__ import annotations

import re

import pytest
from django.apps import apps
from django.db import connection, models

from adsapp_crm.checks import check_database
from adsapp_crm.models.base import OrganizationModel

pytestmark = pytest.mark.django_db

MODELS = [model for model in apps.get_app_config("adsapp_crm").get_models() if issubclass(model, OrganizationModel)]
TABLES = sorted(model._meta.db_table for model in MODELS)


def sql(statement, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return cursor.fetchall()


def test_the_application_role_is_bound_by_policies():
    """Neither superuser nor owner of anything, and it cannot become somebody else."""
    ((superuser, bypasses, creates_roles),) = sql(
        "SELECT rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = current_user"
    )
    assert (superuser, bypasses, creates_roles) == (False, False, False)
    assert sql("SELECT relname FROM pg_class WHERE pg_get_userbyid(relowner) = current_user") == []
    assert (
        sql("SELECT 1 FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = current_user") == []
    )


def test_every_table_with_an_organization_has_forced_policies():
    """Rows are seen and written only where app.org is their organization."""
    walked = sql(
        """
        SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity, p.qual, p.with_check, p.roles::text
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped
        LEFT JOIN pg_policies p ON p.tablename = c.relname AND p.policyname = 'organization'
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace ORDER BY 1
        """
    )
    assert [row[0] for row in walked] == TABLES
    rule = "(organization_id = (NULLIF(current_setting('app.org'::text, true), ''::text))::uuid)"
    assert {row[1:] for row in walked} == {(True, True, rule, rule, "{public}")}


def test_organizations_are_behind_the_wall_themselves():
    """The list of customers is nobody's to read."""
    ((secured, forced, rule),) = sql(
        "SELECT c.relrowsecurity, c.relforcerowsecurity, p.qual FROM pg_class c JOIN pg_policies p"
        " ON p.tablename = c.relname AND p.policyname = 'organization' WHERE c.relname = 'organizations'"
    )
    assert (secured, forced) == (True, True)
    assert rule == "(id = (NULLIF(current_setting('app.org'::text, true), ''::text))::uuid)"


def test_other_policies_are_for_the_look_ups_only():
    """Whoever adds a policy for another role has to say so here: policies of one table add up."""
    extra = sql("SELECT DISTINCT policyname, cmd, roles::text FROM pg_policies WHERE policyname <> 'organization'")
    assert extra == [("look_up", "SELECT", "{crm_definer}")]


def test_references_stay_inside_the_organization():
    """Beside every reference between organization tables stands a composite key that begins with the organization."""
    keys = {
        (table, tuple(columns), target)
        for table, columns, target in sql(
            """
            SELECT con.conrelid::regclass::text, (SELECT array_agg(a.attname::text ORDER BY k.n)
              FROM unnest(con.conkey) WITH ORDINALITY k(attnum, n)
              JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = k.attnum), con.confrelid::regclass::text
            FROM pg_constraint con WHERE con.contype = 'f'
            """
        )
    }
    expected = {
        (model._meta.db_table, ("organization_id", field.column), field.related_model._meta.db_table)
        for model in MODELS
        for field in model._meta.local_fields
        if isinstance(field, models.ForeignKey) and issubclass(field.related_model, OrganizationModel)
    }
    assert len(expected) > 25
    assert expected - keys == set()
    plain = {key for key in keys if key[2] in TABLES and key[1][0] != "organization_id"}
    assert plain == set()


def test_unique_rules_begin_with_the_organization():
    """A rule across organizations would tell what another one has."""
    loose = sql(
        """
        SELECT i.indexrelid::regclass::text FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indisunique AND NOT i.indisprimary AND i.indrelid::regclass::text = ANY(%s)
          AND a.attname <> 'organization_id'
        """,
        TABLES,
    )
    assert loose == []


def test_nobody_but_the_owner_truncates():
    """Row-level security does not stop TRUNCATE."""
    granted = sql(
        "SELECT table_name FROM information_schema.table_privileges"
        " WHERE privilege_type IN ('TRUNCATE', 'TRIGGER', 'REFERENCES') AND grantee <> 'crm_owner'"
        " AND table_schema = 'public'"
    )
    assert granted == []


def test_history_and_ledger_are_append_only():
    """Values can be erased, old rows dropped; who, when and which version are never rewritten."""
    columns = sql(
        "SELECT table_name, column_name FROM information_schema.column_privileges WHERE privilege_type = 'UPDATE'"
        " AND grantee = 'crm_app' AND table_name IN ('contact_changes', 'crm_ledger') ORDER BY 1, 2"
    )
    assert columns == [
        ("contact_changes", "changes"),
        ("contact_changes", "evidence"),
        ("crm_ledger", "action"),
        ("crm_ledger", "effects"),
    ]


def test_no_view_reads_with_its_owners_rights():
    """A view of the owner's would see every organization."""
    views = sql(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND (relkind = 'm' OR"
        " (relkind = 'v' AND NOT coalesce(reloptions::text LIKE '%security_invoker=true%', false)))"
    )
    assert views == []


def test_look_ups_are_few_closed_and_owned_by_nobody():
    """Functions with other rights than the caller's: owned by the look-up role, fixed path, not for the public."""
    found = sql(
        """
        SELECT p.proname, pg_get_userbyid(p.proowner), p.proconfig::text,
               has_function_privilege('crm_app', p.oid, 'EXECUTE'),
               EXISTS (SELECT FROM aclexplode(p.proacl) x WHERE x.grantee = 0), pg_get_function_result(p.oid)
        FROM pg_proc p WHERE p.prosecdef AND p.pronamespace = 'public'::regnamespace ORDER BY 1
        """
    )
    assert [row[0] for row in found] == [
        "crm_api_key",
        "crm_connection_board",
        "crm_connection_figures",
        "crm_connections_beside_changes",
        "crm_connections_of_account",
        "crm_failing_figures",
        "crm_inbox_figures",
        "crm_oauth_state",
        "crm_open_connections",
        "crm_open_run_figures",
        "crm_organization_of_app",
        "crm_organization_of_audit",
        "crm_organization_of_connection",
        "crm_organization_of_run",
        "crm_organizations",
        "crm_organizations_named",
        "crm_organizations_of",
        "crm_organizations_to_tell",
        "crm_question_figures",
        "crm_recent_run_figures",
        "crm_runs_by_day",
        "crm_unfinished_runs",
        "crm_waiting_inboxes",
        "crm_webhook_of_path",
    ]
    assert {row[1:5] for row in found} == {("crm_definer", '{"search_path=public, pg_temp"}', True, False)}
    told = {word for row in found for word in re.findall(r"(\w+) (?:uuid|text|timestamp|character)", row[5])}
    assert told <= {
        *("organization_id", "connection_id", "run_id", "state_id", "webhook_id", "api_key_id", "staff_access_id"),
        *("role", "crm_type", "status", "health", "mode", "last_error_code", "resume_at", "last_sync_at"),
        *("last_success_at", "first_sync_approved_at", "next_sync_at", "parked_until", "token_expires_at"),
        *("sync_type", "kind", "code"),
    }


def test_the_look_up_role_reads_no_contents():
    """It may read the columns that its functions compare and return; nobody logs in as it."""
    columns = {
        f"{table}.{column}"
        for table, column in sql(
            "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND NOT a.attisdropped"
            " AND has_column_privilege('crm_definer', c.oid, a.attnum, 'SELECT, INSERT, UPDATE')"
        )
    }
    assert columns & {"crm_connections.credentials", "organizations.tombstone_key", "api_keys.secret_hash"} == set()
    assert {name for name in columns if name.startswith("contact_changes.")} == {
        "contact_changes.organization_id",
        "contact_changes.at",
    }
    assert {name.partition(".")[0] for name in columns} == {
        *("api_keys", "crm_connections", "crm_oauth_states", "crm_sync_logs", "crm_webhooks"),
        *("memberships", "organizations", "staff_access", "contact_changes", "crm_app_registrations"),
        *("crm_webhook_events", "crm_conflicts", "crm_sync_state", "crm_audits", "crm_notices", "crm_messages"),
        "crm_field_mappings",
    }
    assert {name.partition(".")[2] for name in columns if name.startswith(("crm_sync_state.", "crm_field_map"))} == {
        *("id", "organization_id", "connection_id", "state", "error_code", "troubles", "excluded_at"),
        *("deleted_at", "broken_code"),
    }
    assert sql("SELECT rolcanlogin, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = 'crm_definer'") == [
        (False, False, False)
    ]


FORCED = "ALTER TABLE loose ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT 1", "not forced"),
        ("ALTER TABLE loose ENABLE ROW LEVEL SECURITY", "not forced"),
        (FORCED, "no policy"),
        (f"{FORCED}; CREATE POLICY everything ON loose USING (true) WITH CHECK (true)", "no policy"),
    ],
)
def test_a_table_without_its_wall_fails_the_check(owner_sql, statement, said):
    """The check that guards releases sees a forgotten table, a policy that lets everything through too."""
    owner_sql("CREATE TABLE loose (organization_id uuid, id uuid)")
    try:
        for part in statement.split(";"):
            owner_sql(part)
        (found,) = check_database(databases=["default"])
        assert found.id == "crmsync.E010"
        assert "loose" in found.msg
        assert said in found.msg
    finally:
        owner_sql("DROP TABLE loose")
