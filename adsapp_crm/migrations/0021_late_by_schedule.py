from django.db import migrations, models

from adsapp_crm.migrations._tenancy import DropLookUp, LetLookUpsReadMore, LookUp

INTERVAL = """coalesce(c.last_success_at, c.first_sync_approved_at)
                  + make_interval(secs => c.sync_interval_seconds + grace_seconds)"""
SCHEDULE = f"""CASE WHEN c.schedule <> '{{}}'::jsonb THEN coalesce(c.late_at, {INTERVAL}) ELSE {INTERVAL} END"""

FIGURES = (
    "crm_connection_figures(grace_seconds integer)",
    "crm_type text, health text, connections bigint, lag_seconds double precision",
)
BOARD = (
    "crm_connection_board(grace_seconds integer, most integer)",
    """connection_id uuid, organization_id uuid, crm_type text, health text, last_success_at timestamptz,
    last_error_code text, next_sync_at timestamptz, parked_until timestamptz, token_expires_at timestamptz""",
)


def figures(late_at: str) -> str:
    return f"""
            SELECT c.crm_type,
              CASE WHEN c.status <> 'active' THEN c.health
                WHEN c.parked_until > clock_timestamp() THEN 'waiting_for_quota'
                WHEN c.health = 'healthy' AND {late_at} < clock_timestamp() THEN 'late'
                ELSE c.health END,
              count(*),
              max(extract(epoch FROM clock_timestamp() - coalesce(c.last_success_at, c.first_sync_approved_at))::double precision)
                FILTER (WHERE c.status = 'active' AND c.first_sync_approved_at IS NOT NULL)
            FROM crm_connections c WHERE c.status <> 'disconnected' GROUP BY 1, 2 ORDER BY 1, 2
            """  # noqa: S608  the literals above


def board(late_at: str) -> str:
    return f"""
            SELECT b.id, b.organization_id, b.crm_type, b.word, b.last_success_at, b.last_error_code, b.next_sync_at,
              b.parked_until, b.token_expires_at
            FROM (
              SELECT c.id, c.organization_id, c.crm_type, c.last_success_at, c.last_error_code, c.next_sync_at,
                c.parked_until, c.token_expires_at,
                CASE WHEN c.status <> 'active' THEN c.health
                WHEN c.parked_until > clock_timestamp() THEN 'waiting_for_quota'
                WHEN c.health = 'healthy' AND {late_at} < clock_timestamp() THEN 'late'
                ELSE c.health END AS word
              FROM crm_connections c WHERE c.status <> 'disconnected'
            ) b
            ORDER BY array_position(ARRAY['needs_reconnect', 'held', 'needs_attention', 'late', 'waiting_for_quota',
              'setting_up', 'first_sync', 'paused', 'healthy'], b.word), b.last_success_at NULLS FIRST, b.id
            LIMIT most
            """  # noqa: S608  the literals above


class Migration(migrations.Migration):
    """A connection is late by its own schedule, on the board and in the metrics too."""

    dependencies = [("adsapp_crm", "0020_telling")]

    operations = [
        migrations.AddField(
            model_name="crmconnection",
            name="late_at",
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name="late at"),
        ),
        LetLookUpsReadMore("crm_connections", "late_at", "schedule"),
        DropLookUp(*FIGURES, figures(INTERVAL)),
        LookUp(*FIGURES, figures(SCHEDULE)),
        DropLookUp(*BOARD, board(INTERVAL)),
        LookUp(*BOARD, board(SCHEDULE)),
    ]
