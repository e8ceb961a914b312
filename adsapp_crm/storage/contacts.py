"""ADSapp's own side: contacts as the engine sees them, when their fields changed, and writes to them."""

# ruff: noqa: S608  statements are put together from the literals of this package
from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final

from adsapp_crm.models.contact import TEXT_ATTRIBUTES
from adsapp_crm.storage import codec
from adsapp_crm.storage.scope import Scope
from crm.mapping.app_fields import APP_FIELDS, CUSTOM_PREFIX
from crm.model import AppContact, ContactState, ContactWrite, Interval, Value
from crm.normalize import email_key, phone_key

_NAMES: Final = {field.attribute: field.name for field in APP_FIELDS.values()}
_BOOLEANS: Final = ("email_opt_out", "whatsapp_opt_out")
_NAMED: Final = (*TEXT_ATTRIBUTES, "birthday", "tags", *_BOOLEANS)
assert set(_NAMED) == set(_NAMES), "a contact field has no column, or a column no field"  # noqa: S101

CONTACT_COLUMNS: Final = ", ".join(
    (
        "c.id::text, c.version, c.erased_at IS NOT NULL, c.merged_into_id::text, c.deleted_at IS NOT NULL",
        "c.custom_fields, c.birthday::text, c.tags",
        *(f"c.{name}" for name in (*_BOOLEANS, *TEXT_ATTRIBUTES)),
    )
)
"""What ``contact_of`` reads, of the contacts under the alias ``c``."""

CONTACT_WIDTH: Final = 8 + len(_BOOLEANS) + len(TEXT_ATTRIBUTES)


def contact_of(row: Sequence[Any]) -> AppContact:
    """A row of ``CONTACT_COLUMNS``. Blank text is None, as everywhere in the core."""
    contact_id, version, erased, merged_into, deleted, custom, birthday, tags, *rest = row
    values: dict[str, Value] = {"birthday": birthday, "tags": tuple(tags)}
    for attribute, value in zip((*_BOOLEANS, *TEXT_ATTRIBUTES), rest, strict=True):
        values[_NAMES[attribute]] = None if value == "" else value
    for key, value in codec.decode_values(codec.parse(custom)).items():
        values[CUSTOM_PREFIX + key] = value
    if erased:
        state = ContactState.ERASED
    elif merged_into:
        state = ContactState.MERGED
    else:
        state = ContactState.DELETED if deleted else ContactState.LIVE
    return AppContact(contact_id, version, values, state, merged_into or "")


_CONTACTS: Final = f"""
SELECT {CONTACT_COLUMNS} FROM contacts c
WHERE c.organization_id = %(organization)s AND c.id = ANY(%(contacts)s::uuid[])
"""

_LAST_CHANGES: Final = """
SELECT DISTINCT ON (h.contact_id, changed.name)
       h.contact_id::text, changed.name, h.at, h.origin, h.evidence -> changed.name
FROM contact_changes h CROSS JOIN LATERAL jsonb_object_keys(h.changes) AS changed(name)
WHERE h.organization_id = %(organization)s AND h.contact_id = ANY(%(contacts)s::uuid[])
ORDER BY h.contact_id, changed.name, h.version DESC
"""


def _set_clauses() -> str:
    """Assignments that leave what the write does not name as it is."""

    def assign(attribute: str, given: str) -> str:
        return f"{attribute} = CASE WHEN d.given ? '{attribute}' THEN {given} ELSE c.{attribute} END"

    return ",\n".join(
        (
            *(assign(name, f"d.given ->> '{name}'") for name in TEXT_ATTRIBUTES),
            *(assign(name, f"(d.given ->> '{name}')::boolean") for name in _BOOLEANS),
            assign("birthday", "(d.given ->> 'birthday')::date"),
        )
    )


_TAGS: Final = "ARRAY(SELECT jsonb_array_elements_text(d.given -> 'tags'))"
_EMAIL: Final = "CASE WHEN d.given ? 'email' THEN d.given ->> 'email' ELSE c.email END"
_PHONE: Final = "CASE WHEN d.given ? 'phone' THEN d.given ->> 'phone' ELSE c.phone END"

# The evidence is set before the rows are touched (the given rows depend on it): the history trigger reads it.
_WRITE: Final = f"""
WITH evidence AS MATERIALIZED (SELECT set_config('app.evidence', %(evidence)s, true) AS text),
given AS MATERIALIZED (
  SELECT d.* FROM evidence CROSS JOIN LATERAL jsonb_to_recordset(
    CASE WHEN evidence.text IS NOT NULL THEN %(writes)s::jsonb END
  ) AS d(id uuid, expected bigint, life text, tag text, given jsonb, custom jsonb, cleared jsonb,
         email_key text, phone_key text)
),
updated AS (
  UPDATE contacts c SET
    {_set_clauses()},
    tags = (SELECT CASE WHEN d.tag = '' OR d.tag = ANY(t.tags) THEN t.tags ELSE t.tags || d.tag END
            FROM (SELECT CASE WHEN d.given ? 'tags' THEN {_TAGS} ELSE c.tags END) AS t(tags)),
    custom_fields = (c.custom_fields || d.custom) - ARRAY(SELECT jsonb_array_elements_text(d.cleared)),
    deleted_at = CASE d.life WHEN 'delete' THEN coalesce(c.deleted_at, now()) WHEN 'restore' THEN NULL
                 ELSE c.deleted_at END,
    email_normalized = CASE WHEN d.given ? 'email' THEN d.email_key ELSE c.email_normalized END,
    phone_normalized = CASE WHEN d.given ? 'phone' THEN d.phone_key ELSE c.phone_normalized END,
    keys_of = CASE WHEN d.given ?| '{{email,phone}}' THEN ({_EMAIL}) || E'\\n' || ({_PHONE}) ELSE c.keys_of END
  FROM given d
  WHERE c.organization_id = %(organization)s AND c.id = d.id AND c.version = d.expected AND c.erased_at IS NULL
  RETURNING c.id, c.version
),
created AS (
  INSERT INTO contacts (id, organization_id, {", ".join(TEXT_ATTRIBUTES)}, {", ".join(_BOOLEANS)}, birthday, tags,
                        custom_fields, email_normalized, phone_normalized, keys_of)
  SELECT d.id, %(organization)s, {", ".join(f"coalesce(d.given ->> '{name}', '')" for name in TEXT_ATTRIBUTES)},
         {", ".join(f"coalesce((d.given ->> '{name}')::boolean, false)" for name in _BOOLEANS)},
         (d.given ->> 'birthday')::date,
         {_TAGS} || CASE WHEN d.tag <> '' AND NOT coalesce(d.given -> 'tags' ? d.tag, false)
                         THEN ARRAY[d.tag] ELSE ARRAY[]::text[] END,
         d.custom, d.email_key, d.phone_key,
         coalesce(d.given ->> 'email', '') || E'\\n' || coalesce(d.given ->> 'phone', '')
  FROM given d WHERE d.expected IS NULL
  ON CONFLICT (id) DO NOTHING
  RETURNING id, version
)
SELECT id::text, version FROM updated UNION ALL SELECT id::text, version FROM created
"""


class Contacts:
    """The contact verbs of ``crm.ports.Unit``."""

    _scope: Scope

    def contacts(self, contact_ids: Sequence[str]) -> dict[str, AppContact]:
        found = map(contact_of, self._scope.rows_beside(_CONTACTS, contacts=list(contact_ids)))
        return {contact.contact_id: contact for contact in found}

    def app_changes(self, contact_ids: Sequence[str]) -> dict[str, dict[str, Interval]]:
        changes: dict[str, dict[str, Interval]] = {contact_id: {} for contact_id in contact_ids}
        for contact_id, attribute, at, origin, evidence in self._scope.rows_beside(
            _LAST_CHANGES, contacts=list(contact_ids)
        ):
            name = attribute if attribute.startswith(CUSTOM_PREFIX) else _NAMES.get(attribute)
            if name is None:
                continue  # life of the contact (deleted, merged), no field
            if evidence is not None:
                changes[contact_id][name] = codec.decode(Interval, json.loads(evidence))
            elif origin == "import" or origin.startswith("pull:"):
                changes[contact_id][name] = Interval(None, at, imported=origin == "import")
            else:
                changes[contact_id][name] = Interval(at, at)
        return changes

    def write_contacts(self, writes: Sequence[ContactWrite]) -> dict[str, int]:
        if not writes:
            return {}
        region = self._scope.region
        documents = [_document(write, region) for write in writes]
        evidence = {write.contact_id: _intervals(write.changed_at) for write in writes if write.changed_at}
        rows = self._scope.rows(_WRITE, writes=codec.dump(documents), evidence=codec.dump(evidence))
        return dict(rows)


def _document(write: ContactWrite, region: str) -> dict[str, Any]:
    """A write in column terms. Raises ValueError for a value its column cannot hold: mappings never make one."""
    given: dict[str, Any] = {}
    custom: dict[str, Any] = {}
    cleared: list[str] = []
    for name, value in write.values.items():
        attribute = _attribute(name)
        if not attribute.startswith(CUSTOM_PREFIX):
            given[attribute] = _column_value(attribute, value)
        elif value in (None, "", ()):
            cleared.append(attribute.removeprefix(CUSTOM_PREFIX))
        else:
            custom[attribute.removeprefix(CUSTOM_PREFIX)] = codec.encode_value(value)
    return {
        "id": write.contact_id,
        "expected": write.expected_version,
        "life": "delete" if write.delete else "restore" if write.restore else "",
        "tag": write.add_tag,
        "given": given,
        "custom": custom,
        "cleared": cleared,
        "email_key": email_key(codec.storable_text(given.get("email", ""))) or "",
        "phone_key": phone_key(codec.storable_text(given.get("phone", "")), region) or "",
    }


def _intervals(changed_at: Mapping[str, Interval]) -> dict[str, Any]:
    """By attribute. The fields of one record mostly share one interval, which is encoded once."""
    encoded = {id(interval): codec.encode(interval) for interval in changed_at.values()}
    return {_attribute(name): encoded[id(interval)] for name, interval in changed_at.items()}


def _attribute(name: str) -> str:
    return name if name.startswith(CUSTOM_PREFIX) else APP_FIELDS[name].attribute


def _column_value(attribute: str, value: Value) -> Any:
    if attribute == "tags":
        return list(_words(value))
    if attribute in _BOOLEANS:
        return bool(value)
    if attribute == "birthday":
        return date.fromisoformat(str(value)).isoformat() if value not in (None, "") else None
    return "" if value is None else value if isinstance(value, str) else str(value)


def _words(value: Value) -> Iterable[str]:
    if isinstance(value, tuple):
        return dict.fromkeys(value)
    return () if value in (None, "") else (str(value),)
