# ruff: noqa: S608  the literals below
from django.db import migrations

from adsapp_crm.migrations._telling import TELL_CONNECTION as TELL_CONNECTION_BEFORE
from adsapp_crm.migrations._tenancy import DropLookUp, LetLookUpsRead, LetLookUpsReadMore, LookUp
from adsapp_crm.migrations._trouble import TELL_CONNECTION, TROUBLE

INTERVAL = """coalesce(c.last_success_at, c.first_sync_approved_at)
                  + make_interval(secs => c.sync_interval_seconds + grace_seconds)"""
LATE_AT = f"""CASE WHEN c.schedule <> '{{}}'::jsonb THEN coalesce(c.late_at, {INTERVAL}) ELSE {INTERVAL} END"""
WORD = f"""CASE WHEN c.status <> 'active' THEN c.health
                WHEN c.parked_until > clock_timestamp() THEN 'waiting_for_quota'
                WHEN c.health = 'healthy' AND {LATE_AT} < clock_timestamp() THEN 'late'
                ELSE c.health END"""
TROUBLED = "CASE WHEN b.word = 'healthy' THEN crm_trouble_of(b.organization_id, b.id) ELSE '' END"

FIGURES = (
    "crm_connection_figures(grace_seconds integer)",
    "crm_type text, health text, connections bigint, lag_seconds double precision",
)
BOARD = (
    "crm_connection_board(grace_seconds integer, most integer)",
    """connection_id uuid, organization_id uuid, crm_type text, health text, last_success_at timestamptz,
    last_error_code text, next_sync_at timestamptz, parked_until timestamptz, token_expires_at timestamptz""",
)
ORDER = """ORDER BY array_position(ARRAY['needs_reconnect', 'held', 'needs_attention', 'late', 'waiting_for_quota',
              'setting_up', 'first_sync', 'paused', 'healthy'], {word}), t.last_success_at NULLS FIRST, t.id"""
LAG = """max(extract(epoch FROM clock_timestamp() - coalesce({row}.last_success_at, {row}.first_sync_approved_at))::double precision)
                FILTER (WHERE {row}.status = 'active' AND {row}.first_sync_approved_at IS NOT NULL)"""
COLUMNS = """SELECT id, organization_id, crm_type, status, health, last_success_at, first_sync_approved_at, last_error_code,
              next_sync_at, parked_until, token_expires_at, sync_interval_seconds, schedule, late_at
              FROM crm_connections WHERE status <> 'disconnected'"""
WITH_WORD = f"SELECT c.*, {WORD} AS word FROM ({COLUMNS}) c"
WITH_TROUBLE = f"SELECT b.*, {TROUBLED} AS trouble FROM ({WITH_WORD}) b"
SHOWN_WORD = "CASE WHEN t.trouble <> '' THEN 'needs_attention' ELSE t.word END"

FIGURES_BEFORE = f"""
            SELECT t.crm_type, t.word, count(*), {LAG.format(row="t")} FROM ({WITH_WORD}) t GROUP BY 1, 2 ORDER BY 1, 2
            """
FIGURES_NOW = f"""
            SELECT t.crm_type, {SHOWN_WORD}, count(*), {LAG.format(row="t")} FROM ({WITH_TROUBLE}) t
            GROUP BY 1, 2 ORDER BY 1, 2
            """
BOARD_BEFORE = f"""
            SELECT t.id, t.organization_id, t.crm_type, t.word, t.last_success_at, t.last_error_code, t.next_sync_at,
              t.parked_until, t.token_expires_at
            FROM ({WITH_WORD}) t {ORDER.format(word="t.word")} LIMIT most
            """
BOARD_NOW = f"""
            SELECT t.id, t.organization_id, t.crm_type, {SHOWN_WORD}, t.last_success_at,
              coalesce(nullif(t.trouble, ''), t.last_error_code), t.next_sync_at, t.parked_until, t.token_expires_at
            FROM ({WITH_TROUBLE}) t {ORDER.format(word=SHOWN_WORD)} LIMIT most
            """


class Migration(migrations.Migration):
    """A connection of which records fail, or whose mapping is broken, needs attention: everywhere alike."""

    dependencies = [("adsapp_crm", "0023_ended_contacts")]

    operations = [
        migrations.RunSQL(TROUBLE, "DROP FUNCTION crm_trouble_of(uuid, uuid)"),
        LetLookUpsReadMore("crm_sync_state", "id", "troubles"),
        LetLookUpsReadMore("crm_conflicts", "link_id"),
        LetLookUpsRead("crm_field_mappings", "organization_id", "connection_id", "deleted_at", "broken_code"),
        DropLookUp(*FIGURES, FIGURES_BEFORE),
        LookUp(*FIGURES, FIGURES_NOW),
        DropLookUp(*BOARD, BOARD_BEFORE),
        LookUp(*BOARD, BOARD_NOW),
        migrations.RunSQL(
            TELL_CONNECTION, TELL_CONNECTION_BEFORE.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
        ),
    ]
