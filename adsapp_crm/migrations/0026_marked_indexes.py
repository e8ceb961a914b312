"""The indexes behind the marks, built while everybody goes on writing."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("adsapp_crm", "0025_marked_changes"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="contactchange",
            index=models.Index(
                condition=models.Q(("xid__isnull", False)),
                fields=["organization", "xid", "contact"],
                name="contact_changes_xid",
            ),
        ),
        AddIndexConcurrently(
            model_name="crmobservation",
            index=models.Index(
                fields=["organization", "connection", "record_type", "seen_run", "remote_id"],
                name="crm_observations_seen",
            ),
        ),
        AddIndexConcurrently(
            model_name="crmsyncstate",
            index=models.Index(
                condition=models.Q(("due", True), ("contact_version__gt", models.F("synced_version")), _connector="OR"),
                fields=["organization", "connection", "crm_record_type", "state", "id"],
                name="crm_sync_state_marked",
            ),
        ),
    ]
