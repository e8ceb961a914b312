"""History says which transaction wrote it, so that what changed can be marked on the links that it concerns.

Nothing is filled in: a connection without a position has everything looked through once, by its next delta.
"""

import django.db.models.deletion
from django.db import migrations, models

import adsapp_crm.models.base
import adsapp_crm.tenancy
from adsapp_crm.migrations._tenancy import Isolate


class Migration(migrations.Migration):
    dependencies = [
        ("adsapp_crm", "0024_trouble"),
    ]

    operations = [
        migrations.AddField(
            model_name="contactchange", name="xid", field=models.BigIntegerField(editable=False, null=True)
        ),
        # A default of its own, after the column: with the column it would write every line of history anew.
        migrations.RunSQL(
            "ALTER TABLE contact_changes ALTER COLUMN xid SET DEFAULT pg_current_xact_id()::text::bigint",
            "ALTER TABLE contact_changes ALTER COLUMN xid DROP DEFAULT",
        ),
        migrations.AddField(
            model_name="crmconnection",
            name="changes_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="crmconnection",
            name="changes_cluster",
            field=models.BigIntegerField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="crmconnection",
            name="changes_xid",
            field=models.BigIntegerField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="crmsyncstate",
            name="contact_version",
            field=models.BigIntegerField(
                db_default=0,
                default=0,
                editable=False,
                help_text="Newest version of the contact that was noticed.",
            ),
        ),
        migrations.CreateModel(
            name="CrmLoneContact",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=adsapp_crm.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "connection",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="lone_contacts",
                        to="adsapp_crm.crmconnection",
                    ),
                ),
                (
                    "contact",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="lone_in",
                        to="adsapp_crm.contact",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        default=adsapp_crm.tenancy.current_organization_or_none,
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="adsapp_crm.organization",
                    ),
                ),
            ],
            options={
                "verbose_name": "contact without a link",
                "verbose_name_plural": "contacts without a link",
                "db_table": "crm_lone_contacts",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "connection", "contact"), name="crm_lone_contacts_contact"
                    )
                ],
            },
        ),
        Isolate("CrmLoneContact"),
    ]
