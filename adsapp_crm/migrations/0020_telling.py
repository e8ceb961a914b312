import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import adsapp_crm.fields
import adsapp_crm.models.base
import adsapp_crm.tenancy
from adsapp_crm.migrations import _telling
from adsapp_crm.migrations._tenancy import Isolate, LetLookUpsRead, LookUp


class Migration(migrations.Migration):
    dependencies = [
        ("adsapp_crm", "0019_mapping_life"),
    ]

    operations = [
        migrations.CreateModel(
            name="CrmMessage",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=adsapp_crm.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("connection_id", models.UUIDField(null=True, verbose_name="connection")),
                (
                    "kind",
                    models.TextField(
                        choices=[
                            ("connection.state", "The state of a connection changed"),
                            ("run.finished", "A run finished"),
                            ("conflict.opened", "A conflict was opened"),
                            ("brake.pulled", "The mass-change brake was pulled"),
                            ("drift.found", "An audit found drift"),
                            ("webhook.off", "An outgoing webhook was switched off"),
                            ("test", "A test"),
                        ],
                        verbose_name="kind",
                    ),
                ),
                ("payload", models.JSONField(default=dict, verbose_name="payload")),
                (
                    "status",
                    models.TextField(
                        choices=[("waiting", "On its way"), ("delivered", "Delivered"), ("given_up", "Given up")],
                        default="waiting",
                        verbose_name="status",
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0, verbose_name="attempts")),
                (
                    "next_attempt_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="next attempt at"
                    ),
                ),
                ("code", models.TextField(blank=True, default="", verbose_name="code")),
                ("http_status", models.PositiveSmallIntegerField(blank=True, null=True, verbose_name="HTTP status")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                ("settled_at", models.DateTimeField(blank=True, null=True, verbose_name="settled at")),
            ],
            options={
                "verbose_name": "message",
                "verbose_name_plural": "messages",
                "db_table": "crm_messages",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="CrmOutgoingWebhook",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=adsapp_crm.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("url", models.TextField(verbose_name="address")),
                ("secret", adsapp_crm.fields.EncryptedJSONField(editable=False, null=True, verbose_name="secret")),
                ("kinds", models.JSONField(blank=True, default=list, verbose_name="what is told")),
                ("active", models.BooleanField(default=True, verbose_name="active")),
                ("off_code", models.TextField(blank=True, default="", verbose_name="why it is off")),
                ("last_success_at", models.DateTimeField(blank=True, null=True, verbose_name="last success at")),
                ("created_by", models.TextField(blank=True, default="", verbose_name="created by")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
            ],
            options={
                "verbose_name": "outgoing webhook",
                "verbose_name_plural": "outgoing webhooks",
                "db_table": "crm_outgoing_webhooks",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
            },
        ),
        migrations.AddField(
            model_name="membership",
            name="email_notices",
            field=models.BooleanField(
                db_default=True,
                default=True,
                help_text="Whether an owner or administrator is told by e-mail when a connection needs somebody.",
                verbose_name="e-mail notices",
            ),
        ),
        migrations.AddIndex(
            model_name="crmnotice",
            index=models.Index(
                condition=models.Q(("sent_at__isnull", True)), fields=["organization", "id"], name="crm_notices_unsent"
            ),
        ),
        migrations.AddField(
            model_name="crmmessage",
            name="organization",
            field=models.ForeignKey(
                db_index=False,
                default=adsapp_crm.tenancy.current_organization_or_none,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="adsapp_crm.organization",
            ),
        ),
        migrations.AddField(
            model_name="crmmessage",
            name="user",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="crmoutgoingwebhook",
            name="organization",
            field=models.ForeignKey(
                db_index=False,
                default=adsapp_crm.tenancy.current_organization_or_none,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="adsapp_crm.organization",
            ),
        ),
        migrations.AddField(
            model_name="crmmessage",
            name="webhook",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="messages",
                to="adsapp_crm.crmoutgoingwebhook",
            ),
        ),
        migrations.AddIndex(
            model_name="crmoutgoingwebhook",
            index=models.Index(fields=["organization", "created_at", "id"], name="crm_outgoing_webhooks_created"),
        ),
        migrations.AddIndex(
            model_name="crmmessage",
            index=models.Index(fields=["organization", "created_at", "id"], name="crm_messages_created"),
        ),
        migrations.AddIndex(
            model_name="crmmessage",
            index=models.Index(fields=["organization", "webhook", "created_at", "id"], name="crm_messages_webhook"),
        ),
        migrations.AddIndex(
            model_name="crmmessage",
            index=models.Index(
                condition=models.Q(("status", "waiting")),
                fields=["organization", "next_attempt_at", "id"],
                name="crm_messages_waiting",
            ),
        ),
        migrations.AddConstraint(
            model_name="crmmessage",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "kind__in",
                        [
                            "connection.state",
                            "run.finished",
                            "conflict.opened",
                            "brake.pulled",
                            "drift.found",
                            "webhook.off",
                            "test",
                        ],
                    )
                ),
                name="crm_messages_kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="crmmessage",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["waiting", "delivered", "given_up"])), name="crm_messages_status"
            ),
        ),
        migrations.AddConstraint(
            model_name="crmmessage",
            constraint=models.CheckConstraint(
                condition=models.Q(("webhook__isnull", True), ("user__isnull", True), _connector="XOR"),
                name="crm_messages_to",
            ),
        ),
        Isolate("CrmOutgoingWebhook", "CrmMessage"),
        migrations.RunSQL(_telling.FORWARDS, _telling.BACKWARDS),
        LetLookUpsRead("crm_notices", "organization_id", "kind", "sent_at"),
        LetLookUpsRead("crm_messages", "organization_id", "status", "next_attempt_at"),
        LookUp(
            "crm_organizations_to_tell(most integer)",
            "organization_id uuid",
            """
            SELECT n.organization_id FROM crm_notices n
            WHERE n.sent_at IS NULL AND n.kind IN ('connection.state', 'run.finished', 'conflict.opened', 'brake.pulled',
              'drift.found', 'webhook.off')
            UNION
            SELECT m.organization_id FROM crm_messages m
            WHERE m.status = 'waiting' AND m.next_attempt_at <= clock_timestamp()
            LIMIT most
            """,
        ),
    ]
