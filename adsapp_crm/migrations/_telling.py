"""What the database itself writes down of changes that people are told of, in the transaction of the change.

Whatever changes a connection's state, a run's end or a conflict's beginning, by whatever way: its notice stands or falls
with it.
"""

from __future__ import annotations

TELL_STATE = """
CREATE FUNCTION crm_tell_state(organization uuid, connection uuid, word text, why text) RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE said text;
BEGIN
  UPDATE crm_notices SET resolved_at = clock_timestamp()
  WHERE organization_id = organization AND connection_id = connection AND kind = 'connection.state'
    AND resolved_at IS NULL AND code <> word
  RETURNING code INTO said;
  IF EXISTS (
    SELECT FROM crm_notices WHERE organization_id = organization AND connection_id = connection
      AND kind = 'connection.state' AND resolved_at IS NULL
  ) THEN
    RETURN false;
  END IF;
  INSERT INTO crm_notices (id, organization_id, connection_id, kind, code, details)
  VALUES (crm_uuid7(), organization, connection, 'connection.state', word,
          jsonb_build_object('state', word, 'before', coalesce(said, ''), 'code', why));
  RETURN true;
END $$
"""
"""The open notice is the state that was told last; the caller holds the connection's row. True: there is news."""

TELL_CONNECTION = """
CREATE FUNCTION crm_tell_connection() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF NEW.health <> OLD.health THEN
    IF NOT EXISTS (
      SELECT FROM crm_notices WHERE organization_id = NEW.organization_id AND connection_id = NEW.id
        AND kind = 'connection.state' AND resolved_at IS NULL
    ) THEN
      INSERT INTO crm_notices (id, organization_id, connection_id, kind, code, details, sent_at)
      VALUES (crm_uuid7(), NEW.organization_id, NEW.id, 'connection.state', OLD.health,
              jsonb_build_object('state', OLD.health), clock_timestamp());
    END IF;
    PERFORM crm_tell_state(NEW.organization_id, NEW.id, NEW.health, NEW.last_error_code);
  ELSIF NEW.last_success_at IS DISTINCT FROM OLD.last_success_at AND EXISTS (
    SELECT FROM crm_notices WHERE organization_id = NEW.organization_id AND connection_id = NEW.id
      AND kind = 'connection.state' AND code = 'late' AND resolved_at IS NULL
  ) THEN
    PERFORM crm_tell_state(NEW.organization_id, NEW.id, NEW.health, NEW.last_error_code);
  END IF;
  RETURN NULL;
END $$
"""
"""The state before the first change was told to nobody: who connected the CRM saw it."""

TELL_RUN = """
CREATE FUNCTION crm_tell_run() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF NEW.status = 'held' THEN
    INSERT INTO crm_notices (id, organization_id, connection_id, kind, code, details, resolved_at)
    VALUES (crm_uuid7(), NEW.organization_id, NEW.connection_id, 'brake.pulled', NEW.error_code,
            jsonb_build_object('runId', NEW.id, 'planId', NEW.plan_id), clock_timestamp());
  END IF;
  IF NEW.sync_type IN ('full', 'delta') OR NEW.trigger IN ('user', 'undo', 'plan') THEN
    INSERT INTO crm_notices (id, organization_id, connection_id, kind, code, details, resolved_at)
    VALUES (crm_uuid7(), NEW.organization_id, NEW.connection_id, 'run.finished', NEW.error_code,
            jsonb_build_object('runId', NEW.id, 'syncType', NEW.sync_type, 'trigger', NEW.trigger,
              'status', NEW.status, 'dryRun', NEW.dry_run, 'code', NEW.error_code,
              'recordsProcessed', NEW.records_processed, 'recordsSuccess', NEW.records_success,
              'recordsFailed', NEW.records_failed), clock_timestamp());
  END IF;
  RETURN NULL;
END $$
"""
"""Runs over single records, a few each minute of a busy day, are nobody's news."""

TELL_CONFLICTS = """
CREATE FUNCTION crm_tell_conflicts() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  INSERT INTO crm_notices (id, organization_id, connection_id, kind, code, details, resolved_at)
  SELECT crm_uuid7(), organization_id, connection_id, 'conflict.opened', '',
         jsonb_build_object('conflicts', count(*), 'conflictId', min(id::text)), clock_timestamp()
  FROM new_rows GROUP BY organization_id, connection_id;
  RETURN NULL;
END $$
"""
"""One for each statement that opens some: a page of a run."""

TRIGGERS = (
    """
CREATE TRIGGER tell AFTER UPDATE ON crm_connections FOR EACH ROW
WHEN (OLD.health IS DISTINCT FROM NEW.health OR OLD.last_success_at IS DISTINCT FROM NEW.last_success_at)
EXECUTE FUNCTION crm_tell_connection()
""",
    """
CREATE TRIGGER tell AFTER UPDATE ON crm_sync_logs FOR EACH ROW
WHEN (OLD.completed_at IS NULL AND NEW.completed_at IS NOT NULL) EXECUTE FUNCTION crm_tell_run()
""",
    """
CREATE TRIGGER tell AFTER INSERT ON crm_conflicts REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION crm_tell_conflicts()
""",
)

FORWARDS = [TELL_STATE, TELL_CONNECTION, TELL_RUN, TELL_CONFLICTS, *TRIGGERS]
BACKWARDS = [
    *(f"DROP TRIGGER tell ON {table}" for table in ("crm_conflicts", "crm_sync_logs", "crm_connections")),
    *(f"DROP FUNCTION {name}" for name in ("crm_tell_conflicts()", "crm_tell_run()", "crm_tell_connection()")),
    "DROP FUNCTION crm_tell_state(uuid, uuid, text, text)",
]
