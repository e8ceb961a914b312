"""Let the application refresh the planner's statistics of the tables that a first sync fills within minutes.

Without statistics every column of an index looks equally rare, organization and connection included, and a
look-up by contact may walk a whole connection. The privilege came with PostgreSQL 17; on 16 autovacuum alone
keeps the statistics, a minute late.
"""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from adsapp_crm import conf

TABLES = ("contacts", "crm_sync_state", "crm_observations", "crm_plan_lines", "crm_intents", "crm_conflicts")


def _change(schema_editor: BaseDatabaseSchemaEditor, statement: str) -> None:
    if schema_editor.connection.pg_version >= 170000:
        for table in TABLES:
            schema_editor.execute(statement.format(table=table, role=conf.app_role()))


def grant(_apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    _change(schema_editor, 'GRANT MAINTAIN ON {table} TO "{role}"')


def revoke(_apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    _change(schema_editor, 'REVOKE MAINTAIN ON {table} FROM "{role}"')


class Migration(migrations.Migration):
    dependencies = [("adsapp_crm", "0007_plan_line_claimed")]

    operations = [migrations.RunPython(grant, revoke)]
