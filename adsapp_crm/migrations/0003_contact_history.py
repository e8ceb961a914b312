"""Version and history of contacts, kept by triggers whatever writes the row; the ledger and the history are append-only."""

# ruff: noqa: S608  the SQL is put together from the literals of this file
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from adsapp_crm import conf

TEXTS = [
    "first_name",
    "last_name",
    "email",
    "phone",
    "whatsapp_number",
    "company",
    "job_title",
    "street",
    "city",
    "region",
    "postal_code",
    "country",
    "language",
    "notes",
    "owner",
]
OTHERS = [
    "birthday",
    "tags",
    "email_opt_out",
    "whatsapp_opt_out",
    "custom_fields",
    "deleted_at",
    "merged_into_id",
    "erased_at",
]
ATTRIBUTES = TEXTS + OTHERS


def _row(record: str) -> str:
    return ", ".join(f"{record}.{name}" for name in ATTRIBUTES)


def _object(record: str) -> str:
    """A JSON object of the content; custom fields lie beside the others as custom.<key>."""
    pairs = ", ".join(f"'{name}', {record}.{name}" for name in ATTRIBUTES if name != "custom_fields")
    return (
        f"jsonb_build_object({pairs}) || (SELECT coalesce(jsonb_object_agg('custom.' || key, value), '{{}}'::jsonb)"
        f" FROM jsonb_each({record}.custom_fields))"
    )


UUID7 = """
CREATE FUNCTION crm_uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  -- RFC 9562 section 5.7: 48 bits of milliseconds over a random UUID, version 4 turned into 7.
  SELECT encode(
    set_bit(set_bit(
      overlay(uuid_send(gen_random_uuid())
              PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
              FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$
"""

EMAIL_KEY = r"""
CREATE FUNCTION crm_email_key(email text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp AS $$
  -- crm.normalize.email_key for ASCII text; NULL for other text, whose domain only Python can put into IDNA form.
  SELECT CASE
    WHEN email !~ '^[\x01-\x7F]*$' THEN NULL
    WHEN length(key) <= 254 AND key ~ '^[^ ,;:<>()[\]"\\@]+@[^ ,;:<>()[\]"\\@.-]([^ ,;:<>()[\]"\\@]*[^ ,;:<>()[\]"\\@.-])?$'
      AND key ~ '@.*\.' AND key !~ '\.\.' THEN key
    ELSE ''
  END
  FROM (SELECT lower(btrim(regexp_replace(email, '[\x09-\x0D\x1C-\x20]+', ' ', 'g'), ' ')) AS key) AS one
$$
"""

STAMP = f"""
CREATE FUNCTION crm_stamp_contact() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    NEW.version := 1;
    NEW.created_at := now();
    NEW.updated_at := now();
  ELSE
    IF NEW.id <> OLD.id OR NEW.organization_id <> OLD.organization_id THEN
      RAISE EXCEPTION 'a contact keeps its id and its organization' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    NEW.created_at := OLD.created_at;
    IF ({_row("NEW")}) IS DISTINCT FROM ({_row("OLD")}) THEN
      NEW.version := OLD.version + 1;
      NEW.updated_at := now();
    ELSE
      NEW.version := OLD.version;
      NEW.updated_at := OLD.updated_at;
    END IF;
  END IF;
  -- A writer that brought keys says what it made them from. Of another text they would be wrong keys.
  IF NEW.keys_of IS DISTINCT FROM NEW.email || E'\\n' || NEW.phone THEN
    NEW.email_normalized := crm_email_key(NEW.email);
    NEW.phone_normalized := CASE WHEN NEW.phone = '' THEN '' END;
    NEW.keys_of := '';
  END IF;
  RETURN NEW;
END
$$
"""

RECORD_INSERT = f"""
CREATE FUNCTION crm_record_new_contacts() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  INSERT INTO contact_changes (id, organization_id, contact_id, version, changes, at, who, origin, evidence)
  SELECT crm_uuid7(), n.organization_id, n.id, n.version,
    (SELECT coalesce(jsonb_object_agg(key, jsonb_build_array(NULL, value)), '{{}}'::jsonb)
     FROM jsonb_each({_object("n")})
     WHERE value NOT IN ('null', '""', '[]', '{{}}', 'false')),
    now(), crm_who(), crm_origin(), crm_evidence() -> n.id::text
  FROM new_rows n;
  RETURN NULL;
END
$$
"""

RECORD_UPDATE = f"""
CREATE FUNCTION crm_record_contact_changes() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  INSERT INTO contact_changes (id, organization_id, contact_id, version, changes, at, who, origin, evidence)
  SELECT crm_uuid7(), n.organization_id, n.id, n.version,
    (SELECT jsonb_object_agg(coalesce(a.key, b.key), jsonb_build_array(b.value, a.value))
     FROM jsonb_each({_object("n")}) AS a FULL JOIN jsonb_each({_object("o")}) AS b ON a.key = b.key
     WHERE a.value IS DISTINCT FROM b.value),
    now(), crm_who(), crm_origin(), crm_evidence() -> n.id::text
  FROM new_rows n JOIN old_rows o ON o.id = n.id
  WHERE n.version <> o.version;
  RETURN NULL;
END
$$
"""

# What organization_context and change_evidence (adsapp_crm/tenancy.py) have said of this transaction.
CONTEXT = (
    """
CREATE FUNCTION crm_who() RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(nullif(current_setting('app.actor', true), ''), 'role:' || session_user)
$$
""",
    """
CREATE FUNCTION crm_origin() RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(nullif(current_setting('app.origin', true), ''), 'database')
$$
""",
    """
CREATE FUNCTION crm_evidence() RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT nullif(current_setting('app.evidence', true), '')::jsonb
$$
""",
)

TRIGGERS = (
    "CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION crm_stamp_contact()",
    """
CREATE TRIGGER record_new AFTER INSERT ON contacts REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION crm_record_new_contacts()
""",
    """
CREATE TRIGGER record_changes AFTER UPDATE ON contacts REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION crm_record_contact_changes()
""",
)

FUNCTIONS = (
    "crm_record_contact_changes()",
    "crm_record_new_contacts()",
    "crm_stamp_contact()",
    "crm_evidence()",
    "crm_origin()",
    "crm_who()",
    "crm_email_key(text)",
    "crm_uuid7()",
)

# Values may be removed (erasure) and old rows too (retention); nothing else of these is ever changed.
APPEND_ONLY = {"contact_changes": "changes, evidence", "crm_ledger": "effects, action"}


def keep_append_only(_apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for table, columns in APPEND_ONLY.items():
        schema_editor.execute(f'REVOKE UPDATE ON {table} FROM "{conf.app_role()}"')
        schema_editor.execute(f'GRANT UPDATE ({columns}) ON {table} TO "{conf.app_role()}"')


def allow_updates(_apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for table in APPEND_ONLY:
        schema_editor.execute(f'GRANT UPDATE ON {table} TO "{conf.app_role()}"')


class Migration(migrations.Migration):
    dependencies = [("adsapp_crm", "0002_isolation")]

    operations = [
        migrations.RunSQL(
            [UUID7, EMAIL_KEY, *CONTEXT, STAMP, RECORD_INSERT, RECORD_UPDATE, *TRIGGERS],
            [
                *(f"DROP TRIGGER {name} ON contacts" for name in ("record_changes", "record_new", "stamp")),
                *(f"DROP FUNCTION {name}" for name in FUNCTIONS),
            ],
        ),
        migrations.RunPython(keep_append_only, allow_updates),
    ]
