"""Trouble is told when it stands: not of a record that fails for a moment, and no end of what nobody was told of."""

from __future__ import annotations

STANDING_TROUBLE = """
CREATE FUNCTION crm_standing_trouble_of(organization uuid, connection uuid) RETURNS text
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  SELECT CASE crm_trouble_of(organization, connection) WHEN '' THEN '' WHEN 'record.failing' THEN coalesce(
    (SELECT 'record.failing' WHERE EXISTS (
       SELECT FROM crm_sync_state s
       WHERE s.organization_id = organization AND s.connection_id = connection
         AND (s.error_code <> '' OR s.troubles <> '{}'::jsonb)
         AND s.excluded_at IS NULL AND s.state IN ('live', 'pending')
         AND NOT (s.troubles = '{}'::jsonb AND s.attempts < 2 AND s.next_attempt_at IS NOT NULL
           AND (split_part(s.error_code, '.', 1) IN ('net', 'quota', 'internal')
             OR s.error_code IN ('state.locked', 'state.changed')))
         AND NOT EXISTS (
           SELECT FROM crm_conflicts q
           WHERE q.organization_id = s.organization_id AND q.link_id = s.id AND q.status IN ('open', 'answered')))),
    '') ELSE crm_trouble_of(organization, connection) END
$$
"""
"""As ``crm_trouble_of``, without records that failed once by what passes by itself, and are tried again."""

TELL_STATE = """
CREATE OR REPLACE FUNCTION crm_tell_state(organization uuid, connection uuid, word text, why text) RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE said text;
BEGIN
  DELETE FROM crm_notices
  WHERE organization_id = organization AND connection_id = connection AND kind = 'connection.state'
    AND sent_at IS NULL AND tell_at IS NOT NULL;
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
"""The open notice is the state that was told last; the caller holds the connection's row. True: there is news.

What waits to be told is dropped: the state changed before anybody heard of it.
"""

TELL_CONNECTION = """
CREATE OR REPLACE FUNCTION crm_tell_connection() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE trouble text := ''; said text;
BEGIN
  IF NEW.health = 'healthy' AND NEW.status = 'active' THEN
    trouble := crm_trouble_of(NEW.organization_id, NEW.id);
  END IF;
  SELECT code INTO said FROM crm_notices
  WHERE organization_id = NEW.organization_id AND connection_id = NEW.id AND kind = 'connection.state'
    AND resolved_at IS NULL AND (sent_at IS NOT NULL OR tell_at IS NULL);
  IF trouble <> '' THEN
    IF said = 'needs_attention' THEN
      RETURN NULL;
    END IF;
    trouble := crm_standing_trouble_of(NEW.organization_id, NEW.id);
  END IF;
  IF said IS NULL AND (NEW.health <> OLD.health OR trouble <> '') THEN
    INSERT INTO crm_notices (id, organization_id, connection_id, kind, code, details, sent_at)
    VALUES (crm_uuid7(), NEW.organization_id, NEW.id, 'connection.state', OLD.health,
            jsonb_build_object('state', OLD.health), clock_timestamp());
    said := OLD.health;
  END IF;
  IF trouble = '' AND said IS NOT NULL THEN
    PERFORM crm_tell_state(NEW.organization_id, NEW.id, NEW.health, NEW.last_error_code);
  ELSIF trouble <> '' THEN
    INSERT INTO crm_notices (id, organization_id, connection_id, kind, code, details, tell_at)
    VALUES (crm_uuid7(), NEW.organization_id, NEW.id, 'connection.state', 'needs_attention',
            jsonb_build_object('state', 'needs_attention', 'before', said, 'code', trouble),
            clock_timestamp() + interval '15 minutes')
    ON CONFLICT DO NOTHING;
  END IF;
  RETURN NULL;
END $$
"""
"""The state before the first change was told to nobody: who connected the CRM saw it.

Told when the stored word changes, and when a run has succeeded: only then is it known what became of its records.
Records that fail beside others that do not, and a broken mapping, wait for ``tell_at``: whoever tells looks again.
"""
