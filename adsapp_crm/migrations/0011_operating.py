from django.db import migrations, models

from adsapp_crm.migrations._tenancy import LetLookUpsRead, LetLookUpsReadMore, LookUp


class Migration(migrations.Migration):
    """Figures of the whole installation: counts and times by CRM, never whose."""

    dependencies = [("adsapp_crm", "0010_contact_search")]

    operations = [
        migrations.CreateModel(
            name="CrmHeartbeat",
            fields=[
                ("name", models.TextField(primary_key=True, serialize=False, verbose_name="name")),
                ("at", models.DateTimeField(verbose_name="at")),
            ],
            options={"verbose_name": "heartbeat", "verbose_name_plural": "heartbeats", "db_table": "crm_heartbeats"},
        ),
        migrations.AddField(
            model_name="crmconnection",
            name="debug_until",
            field=models.DateTimeField(
                blank=True,
                help_text="Until then each request to the CRM is logged.",
                null=True,
                verbose_name="debug mode until",
            ),
        ),
        LetLookUpsReadMore("crm_connections", "sync_interval_seconds"),
        LetLookUpsReadMore("crm_sync_logs", "sync_type", "started_at", "completed_at", "api_calls"),
        LetLookUpsReadMore("crm_webhook_events", "received_at"),
        LetLookUpsRead("crm_conflicts", "organization_id", "connection_id", "kind", "status"),
        LetLookUpsRead("crm_sync_state", "organization_id", "connection_id", "state", "error_code", "excluded_at"),
        LookUp(
            "crm_connection_figures(grace_seconds integer)",
            "crm_type text, health text, connections bigint, lag_seconds double precision",
            """
            SELECT c.crm_type,
              CASE WHEN c.status <> 'active' THEN c.health
                WHEN c.parked_until > clock_timestamp() THEN 'waiting_for_quota'
                WHEN c.health = 'healthy' AND coalesce(c.last_success_at, c.first_sync_approved_at)
                  + make_interval(secs => c.sync_interval_seconds + grace_seconds) < clock_timestamp() THEN 'late'
                ELSE c.health END,
              count(*),
              max(extract(epoch FROM clock_timestamp() - coalesce(c.last_success_at, c.first_sync_approved_at))::double precision)
                FILTER (WHERE c.status = 'active' AND c.first_sync_approved_at IS NOT NULL)
            FROM crm_connections c WHERE c.status <> 'disconnected' GROUP BY 1, 2 ORDER BY 1, 2
            """,
        ),
        LookUp(
            "crm_recent_run_figures(since uuid, seconds integer)",
            "crm_type text, sync_type text, status text, runs bigint, api_calls bigint",
            """
            SELECT c.crm_type, r.sync_type, r.status, count(*), sum(r.api_calls)::bigint
            FROM crm_sync_logs r JOIN crm_connections c ON c.organization_id = r.organization_id AND c.id = r.connection_id
            WHERE r.id >= since AND r.started_at > clock_timestamp() - make_interval(secs => seconds)
            GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
            """,
        ),
        LookUp(
            "crm_open_run_figures()",
            "crm_type text, status text, runs bigint, age_seconds double precision",
            """
            SELECT c.crm_type, r.status, count(*),
              max(extract(epoch FROM clock_timestamp() - r.started_at))::double precision
            FROM crm_sync_logs r JOIN crm_connections c ON c.organization_id = r.organization_id AND c.id = r.connection_id
            WHERE r.completed_at IS NULL GROUP BY 1, 2 ORDER BY 1, 2
            """,
        ),
        LookUp(
            "crm_question_figures()",
            "crm_type text, kind text, conflicts bigint",
            """
            SELECT c.crm_type, q.kind, count(*)
            FROM crm_conflicts q JOIN crm_connections c ON c.organization_id = q.organization_id AND c.id = q.connection_id
            WHERE q.status IN ('open', 'answered') GROUP BY 1, 2 ORDER BY 1, 2
            """,
        ),
        LookUp(
            "crm_failing_figures()",
            "crm_type text, code text, records bigint",
            """
            SELECT c.crm_type, s.error_code, count(*)
            FROM crm_sync_state s JOIN crm_connections c ON c.organization_id = s.organization_id AND c.id = s.connection_id
            WHERE NOT (s.error_code = '') AND s.state IN ('live', 'pending') AND s.excluded_at IS NULL
            GROUP BY 1, 2 ORDER BY 1, 2
            """,
        ),
        LookUp(
            "crm_inbox_figures()",
            "crm_type text, events bigint, age_seconds double precision",
            """
            SELECT c.crm_type, count(*), max(extract(epoch FROM clock_timestamp() - e.received_at))::double precision
            FROM crm_webhook_events e JOIN crm_connections c ON c.organization_id = e.organization_id AND c.id = e.connection_id
            WHERE e.status = 'received' GROUP BY 1 ORDER BY 1
            """,
        ),
    ]
