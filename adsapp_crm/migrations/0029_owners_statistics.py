"""What a connection has goes with its organization: PostgreSQL is told, and counts them together.

It takes two columns for independent otherwise. With ten thousand organizations it expects no row of a connection that it
has not sampled yet, all indexes are alike to it then, and a first sync may be led past all its own rows for each of them.
https://www.postgresql.org/docs/current/planner-stats.html#PLANNER-STATS-EXTENDED
"""

from django.db import migrations

TOGETHER = {
    "crm_sync_state": "organization_id, connection_id, crm_record_type",
    "crm_observations": "organization_id, connection_id, record_type",
    "crm_intents": "organization_id, connection_id, record_type",
    "crm_conflicts": "organization_id, connection_id, record_type",
    "crm_ledger": "organization_id, connection_id",
    "crm_plan_lines": "organization_id, plan_id",
}


class Migration(migrations.Migration):
    dependencies = [("adsapp_crm", "0028_key_revoked_by")]

    operations = [
        migrations.RunSQL(
            f"CREATE STATISTICS {table}_together (dependencies) ON {columns} FROM {table}",
            f"DROP STATISTICS {table}_together",
        )
        for table, columns in TOGETHER.items()
    ]
