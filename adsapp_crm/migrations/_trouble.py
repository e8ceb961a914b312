"""What keeps a connection from being well though its runs succeed: one function, for pages, probes, board and notices."""

from __future__ import annotations

TROUBLE = """
CREATE FUNCTION crm_trouble_of(organization uuid, connection uuid) RETURNS text
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  SELECT coalesce(
    (SELECT min(m.broken_code) FROM crm_field_mappings m
     WHERE m.organization_id = organization AND m.connection_id = connection AND m.deleted_at IS NULL
       AND m.broken_code <> ''),
    (SELECT 'record.failing' WHERE EXISTS (
       SELECT FROM crm_sync_state s
       WHERE s.organization_id = organization AND s.connection_id = connection
         AND (s.error_code <> '' OR s.troubles <> '{}'::jsonb)
         AND s.excluded_at IS NULL AND s.state IN ('live', 'pending')
         AND NOT EXISTS (
           SELECT FROM crm_conflicts q
           WHERE q.organization_id = s.organization_id AND q.link_id = s.id AND q.status IN ('open', 'answered')))),
    '')
$$
"""
"""The code of a broken mapping, else ``record.failing``, else nothing. Failing as ``count_links`` counts it.

It runs as whoever asks: the application sees its organization's rows, the look-ups those columns that they may read.
"""

TELL_CONNECTION = """
CREATE OR REPLACE FUNCTION crm_tell_connection() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE word text := NEW.health; why text := NEW.last_error_code; trouble text;
BEGIN
  IF word = 'healthy' AND NEW.status = 'active' THEN
    trouble := crm_trouble_of(NEW.organization_id, NEW.id);
    IF trouble <> '' THEN
      word := 'needs_attention';
      why := trouble;
    END IF;
  END IF;
  IF word <> OLD.health AND NOT EXISTS (
    SELECT FROM crm_notices WHERE organization_id = NEW.organization_id AND connection_id = NEW.id
      AND kind = 'connection.state' AND resolved_at IS NULL
  ) THEN
    INSERT INTO crm_notices (id, organization_id, connection_id, kind, code, details, sent_at)
    VALUES (crm_uuid7(), NEW.organization_id, NEW.id, 'connection.state', OLD.health,
            jsonb_build_object('state', OLD.health), clock_timestamp());
  END IF;
  IF EXISTS (
    SELECT FROM crm_notices WHERE organization_id = NEW.organization_id AND connection_id = NEW.id
      AND kind = 'connection.state' AND resolved_at IS NULL
  ) THEN
    PERFORM crm_tell_state(NEW.organization_id, NEW.id, word, why);
  END IF;
  RETURN NULL;
END $$
"""
"""The state before the first change was told to nobody: who connected the CRM saw it.

Told when the stored word changes, and when a run has succeeded: only then is it known what became of its records.
"""
