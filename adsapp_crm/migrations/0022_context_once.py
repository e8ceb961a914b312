"""The history's triggers read who acts, by which way and with what evidence once a statement.

Called for each row, ``crm_evidence()`` parsed the evidence of a whole page of contacts for every contact of it.
"""

from importlib import import_module

from django.db import migrations

_history = import_module("adsapp_crm.migrations.0003_contact_history")

TOLD = """WITH told AS MATERIALIZED (SELECT crm_who() AS who, crm_origin() AS origin, crm_evidence() AS evidence)
  SELECT crm_uuid7()"""
PER_ROW = "crm_who(), crm_origin(), crm_evidence() -> n.id::text"
ONCE = "told.who, told.origin, told.evidence -> n.id::text"


def _once(function: str, rows: str) -> str:
    replaced = function.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION").replace("SELECT crm_uuid7()", TOLD)
    return replaced.replace(PER_ROW, ONCE).replace(f"FROM {rows}", f"FROM told CROSS JOIN {rows}")


def _as_before(function: str) -> str:
    return function.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


class Migration(migrations.Migration):
    dependencies = [("adsapp_crm", "0021_late_by_schedule")]

    operations = [
        migrations.RunSQL(
            [_once(_history.RECORD_INSERT, "new_rows n"), _once(_history.RECORD_UPDATE, "new_rows n")],
            [_as_before(_history.RECORD_INSERT), _as_before(_history.RECORD_UPDATE)],
        )
    ]
