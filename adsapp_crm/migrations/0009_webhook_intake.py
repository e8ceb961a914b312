from django.db import migrations, models

from adsapp_crm.migrations._tenancy import LetLookUpsRead, LookUp


class Migration(migrations.Migration):
    dependencies = [("adsapp_crm", "0008_statistics")]

    operations = [
        migrations.AddField(
            model_name="crmwebhook",
            name="checked_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="checked at"),
        ),
        migrations.CreateModel(
            name="CrmWebhookRefusal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("crm_type", models.TextField(verbose_name="CRM")),
                ("code", models.TextField(verbose_name="code")),
                ("day", models.DateField(verbose_name="day")),
                ("deliveries", models.BigIntegerField(default=0, verbose_name="deliveries")),
                ("last_at", models.DateTimeField(verbose_name="last at")),
            ],
            options={
                "verbose_name": "refused webhook deliveries",
                "verbose_name_plural": "refused webhook deliveries",
                "db_table": "crm_webhook_refusals",
            },
        ),
        migrations.AddConstraint(
            model_name="crmwebhookrefusal",
            constraint=models.UniqueConstraint(fields=("crm_type", "code", "day"), name="crm_webhook_refusals_reason"),
        ),
        LetLookUpsRead("crm_app_registrations", "id", "organization_id", "crm_type"),
        LetLookUpsRead("crm_webhook_events", "organization_id", "connection_id", "status"),
        LetLookUpsRead("contact_changes", "organization_id", "at"),
        LookUp(
            "crm_organization_of_app(wanted uuid, provider text)",
            "organization_id uuid",
            "SELECT a.organization_id FROM crm_app_registrations a WHERE a.id = wanted AND a.crm_type = provider",
        ),
        LookUp(
            "crm_waiting_inboxes(most integer)",
            "connection_id uuid",
            "SELECT DISTINCT e.connection_id FROM crm_webhook_events e WHERE e.status = 'received' LIMIT most",
        ),
        LookUp(
            "crm_connections_beside_changes(seconds integer, most integer)",
            "connection_id uuid",
            """
            SELECT c.id FROM crm_connections c
            WHERE c.status = 'active' AND c.first_sync_approved_at IS NOT NULL
              AND EXISTS (SELECT FROM contact_changes h WHERE h.organization_id = c.organization_id
                          AND h.at > now() - make_interval(secs => seconds))
            ORDER BY c.id LIMIT most
            """,
        ),
    ]
