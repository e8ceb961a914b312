"""A line for each thing that happens to a connection apart from its runs."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import adsapp_crm.models.base
import adsapp_crm.tenancy
from adsapp_crm.migrations._tenancy import Isolate


class Migration(migrations.Migration):
    dependencies = [
        ("adsapp_crm", "0013_audits"),
    ]

    operations = [
        migrations.CreateModel(
            name="CrmConnectionEvent",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=adsapp_crm.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "kind",
                    models.TextField(
                        choices=[
                            ("connected", "Connected"),
                            ("reconnected", "Connected again"),
                            ("disconnected", "Disconnected"),
                            ("paused", "Paused"),
                            ("resumed", "Resumed"),
                            ("blocked", "Stopped by an error"),
                            ("healed", "Works again"),
                            ("settings", "Settings changed"),
                            ("schema", "Fields changed in the CRM"),
                            ("round_trip", "Round trip tested"),
                        ],
                        verbose_name="kind",
                    ),
                ),
                ("code", models.TextField(blank=True, default="", verbose_name="code")),
                ("details", models.JSONField(blank=True, default=dict, verbose_name="details")),
                ("actor", models.TextField(blank=True, default="", verbose_name="by")),
                (
                    "at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="at"
                    ),
                ),
                (
                    "connection",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="history",
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
                "verbose_name": "connection event",
                "verbose_name_plural": "connection events",
                "db_table": "crm_connection_events",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["organization", "at", "id"], name="crm_connection_events_at"),
                    models.Index(fields=["organization", "connection", "at", "id"], name="crm_connection_events_conn"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "kind__in",
                                [
                                    "connected",
                                    "reconnected",
                                    "disconnected",
                                    "paused",
                                    "resumed",
                                    "blocked",
                                    "healed",
                                    "settings",
                                    "schema",
                                    "round_trip",
                                ],
                            )
                        ),
                        name="crm_connection_events_kind",
                    )
                ],
            },
        ),
        Isolate("CrmConnectionEvent"),
    ]
