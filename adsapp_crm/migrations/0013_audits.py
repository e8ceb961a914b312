import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import adsapp_crm.models.base
import adsapp_crm.tenancy
from adsapp_crm.migrations._tenancy import Isolate, LetLookUpsRead, LookUp


class Migration(migrations.Migration):
    dependencies = [
        ("adsapp_crm", "0012_schedules"),
    ]

    operations = [
        migrations.AddField(
            model_name="crmconnection",
            name="checked_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="health checked at"),
        ),
        migrations.AddField(
            model_name="crmconnection",
            name="schema_checked_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="fields checked at"),
        ),
        migrations.AddField(
            model_name="crmconnection",
            name="upkeep",
            field=models.JSONField(
                default=dict, editable=False, help_text="What looking after it cost today: day, spent, check, hourly."
            ),
        ),
        migrations.CreateModel(
            name="CrmAudit",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=adsapp_crm.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "scope",
                    models.TextField(
                        choices=[("sample", "A sample"), ("all", "Everything")], default="sample", verbose_name="scope"
                    ),
                ),
                (
                    "status",
                    models.TextField(
                        choices=[("running", "Running"), ("completed", "Completed"), ("failed", "Failed")],
                        default="running",
                        verbose_name="status",
                    ),
                ),
                ("pages_left", models.PositiveIntegerField(default=1, verbose_name="pages left")),
                ("position", models.JSONField(blank=True, default=dict, verbose_name="position")),
                ("compared", models.PositiveIntegerField(default=0, verbose_name="links compared")),
                ("causes", models.JSONField(blank=True, default=dict, verbose_name="causes")),
                ("conflicts_opened", models.PositiveIntegerField(default=0, verbose_name="conflicts opened")),
                ("conflicts_closed", models.PositiveIntegerField(default=0, verbose_name="conflicts closed")),
                ("contact_ids", models.JSONField(blank=True, default=list, verbose_name="contacts that drifted")),
                ("api_calls", models.PositiveIntegerField(default=0, verbose_name="API calls")),
                ("error_code", models.TextField(blank=True, default="", verbose_name="error code")),
                (
                    "started_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="started at"
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="updated at"
                    ),
                ),
                ("completed_at", models.DateTimeField(blank=True, null=True, verbose_name="completed at")),
                (
                    "connection",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="audits",
                        to="adsapp_crm.crmconnection",
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
                "verbose_name": "audit",
                "verbose_name_plural": "audits",
                "db_table": "crm_audits",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["organization", "connection", "started_at", "id"], name="crm_audits_started")
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("scope__in", ["sample", "all"])), name="crm_audits_scope"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["running", "completed", "failed"])), name="crm_audits_status"
                    ),
                ],
            },
        ),
        Isolate("CrmAudit"),
        LetLookUpsRead("crm_audits", "id", "organization_id"),
        LookUp(
            "crm_organization_of_audit(wanted uuid)",
            "organization_id uuid",
            "SELECT a.organization_id FROM crm_audits a WHERE a.id = wanted",
        ),
    ]
