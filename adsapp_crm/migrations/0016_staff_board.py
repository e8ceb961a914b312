from django.db import migrations

from adsapp_crm.migrations._tenancy import LookUp


class Migration(migrations.Migration):
    """The board of all connections for staff: health columns and counts of runs, never contents."""

    dependencies = [("adsapp_crm", "0015_idempotency_secrets")]

    operations = [
        LookUp(
            "crm_connection_board(grace_seconds integer, most integer)",
            "connection_id uuid, organization_id uuid, crm_type text, health text, last_success_at timestamptz,"
            " last_error_code text, next_sync_at timestamptz, parked_until timestamptz, token_expires_at timestamptz",
            """
            SELECT b.id, b.organization_id, b.crm_type, b.word, b.last_success_at, b.last_error_code, b.next_sync_at,
              b.parked_until, b.token_expires_at
            FROM (
              SELECT c.*, CASE WHEN c.status <> 'active' THEN c.health
                WHEN c.parked_until > clock_timestamp() THEN 'waiting_for_quota'
                WHEN c.health = 'healthy' AND coalesce(c.last_success_at, c.first_sync_approved_at)
                  + make_interval(secs => c.sync_interval_seconds + grace_seconds) < clock_timestamp() THEN 'late'
                ELSE c.health END AS word
              FROM (SELECT id, organization_id, crm_type, status, health, last_success_at, first_sync_approved_at,
                last_error_code, next_sync_at, parked_until, token_expires_at, sync_interval_seconds
                FROM crm_connections WHERE status <> 'disconnected') c
            ) b
            ORDER BY array_position(ARRAY['needs_reconnect', 'held', 'needs_attention', 'late', 'waiting_for_quota',
              'setting_up', 'first_sync', 'paused', 'healthy'], b.word), b.last_success_at NULLS FIRST, b.id
            LIMIT most
            """,
        ),
        LookUp(
            "crm_runs_by_day(since uuid, days integer)",
            "day date, status text, runs bigint",
            """
            SELECT (r.started_at AT TIME ZONE 'UTC')::date, r.status, count(*) FROM crm_sync_logs r
            WHERE r.id >= since
              AND (r.started_at AT TIME ZONE 'UTC')::date > (clock_timestamp() AT TIME ZONE 'UTC')::date - days
            GROUP BY 1, 2 ORDER BY 1, 2
            """,
        ),
    ]
