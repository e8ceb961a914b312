"""Creating, changing and deleting one record: every rule it must pass, in Salesforce's order and words.

Page: SOAP API Developer Guide, "Core Data Types Used in API Calls: StatusCode"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from crm.providers.salesforce.fake import answers, countries, rules, values
from crm.providers.salesforce.fake.answers import RowError, several
from crm.providers.salesforce.fake.derived import defaults, derived
from crm.providers.salesforce.fake.fields import Field, ObjectType
from crm.providers.salesforce.fake.persons import ON_CONTACT
from crm.providers.salesforce.fake.rules import OrgRules
from crm.providers.salesforce.fake.schema import ADDRESSES, Schema
from crm.providers.salesforce.fake.stamps import whole_second
from crm.providers.salesforce.fake.state import Actor, Record, Shadow, State, Values

CHILDREN: Final = {
    "Account": (("Contact", "AccountId"), ("Opportunity", "AccountId"), ("Note", "ParentId")),
    "Contact": (("Note", "ParentId"), ("Task", "WhoId"), ("ContentDocumentLink", "LinkedEntityId")),
    "Lead": (("Note", "ParentId"), ("Task", "WhoId"), ("ContentDocumentLink", "LinkedEntityId")),
    "Opportunity": (("OpportunityContactRole", "OpportunityId"), ("Note", "ParentId")),
    "ContentNote": (("ContentDocumentLink", "ContentDocumentId"),),
}
"""Deleting the one puts the others into the recycle bin too."""


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """``at_ms`` gives the change another time; others see it only after ``visible_after_seconds``."""

    actor: Actor
    allow_save: bool = False
    auto_assign: bool = True
    version: str = "v59.0"
    at_ms: int | None = None
    visible_after_seconds: float = 0.0

    @property
    def is_api(self) -> bool:
        return self.actor.source == "api"


class Writer:
    def __init__(self, state: State, org_rules: OrgRules) -> None:
        self.state = state
        self.schema: Schema = state.schema
        self.rules = org_rules

    # Doors -------------------------------------------------------------------------------------------------

    def create(self, kind: ObjectType, raw: Mapping[str, Any], options: WriteOptions) -> Record:
        given = self._parsed(kind, raw, None, options)
        if kind.name == "Account" and self.schema.has_person_accounts and given.get("LastName"):
            given["IsPersonAccount"] = True
        self._refuse_missing(kind, given)
        found = self._defaulted(kind, given, options)
        self._checked(kind, found, given, {}, None, options)
        self._refuse_locked(found, None, options)
        with self.state.transaction():
            record = Record(kind.name, self.state.new_id(kind.prefix), {})
            stamp_ms = whole_second(self._now(options))
            found |= {
                "Id": record.record_id,
                "IsDeleted": False,
                "CreatedDate": stamp_ms,
                "CreatedById": options.actor.user_id,
                "LastModifiedDate": stamp_ms,
                "LastModifiedById": options.actor.user_id,
                "SystemModstamp": stamp_ms,
            }
            found |= derived(self.state, kind.name, found)
            record.values = {name: value for name, value in found.items() if value is not None}
            self._hold_back(record, None, options)
            self.state.insert(record)
            changes = {name: (None, value) for name, value in record.values.items() if name in given}
            self.state.note("create", record, options.actor, changes)
            self._automate(kind, record, given, options)
            if record.values.get("IsPersonAccount") and kind.name == "Account":
                self._make_person_contact(record, options)
        return record

    def update(self, record: Record, raw: Mapping[str, Any], options: WriteOptions, op: str = "update") -> None:
        kind = self.schema.types[record.kind]
        given = self._parsed(kind, raw, record, options)
        self._refuse_locked(record.values, record, options)
        if record.is_deleted:
            raise answers.deleted_record()
        if record.values.get("IsConverted") and options.is_api:
            raise RowError("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
        if kind.name == "Contact" and record.values.get("IsPersonAccount") and options.is_api:
            message = "cannot reference person contact: write to its person account"
            raise RowError("INVALID_PERSON_ACCOUNT_OPERATION", message)
        self._refuse_missing(kind, {**record.values, **given}, given)
        if kind.name == "Lead" and options.auto_assign and options.is_api and self.rules.assignment_owner_id:
            given.setdefault("OwnerId", self.rules.assignment_owner_id)
        self._checked(kind, {**record.values, **given}, given, record.values, record, options)
        with self.state.transaction():
            changes = self.store(record, given, options)
            self.state.note(op, record, options.actor, changes)
            self._automate(kind, record, given, options)
            if kind.name == "Account" and record.values.get("IsPersonAccount"):
                self._update_person_contact(record, given, options)

    def delete(self, record: Record, options: WriteOptions, *, cascade: bool = True) -> None:
        """Into the recycle bin, with what hangs on it."""
        if record.is_deleted:
            raise answers.deleted_record()
        if self.schema.types[record.kind].is_setup:
            message = "insufficient access rights on object id"
            raise RowError("INSUFFICIENT_ACCESS_OR_READONLY", message, ())
        self._refuse_locked(record.values, record, options)
        with self.state.transaction():
            self.store(record, {"IsDeleted": True}, options)
            self.state.note("delete", record, options.actor, {})
            for child_kind, name in CHILDREN.get(record.kind, ()) if cascade else ():
                for child in list(self.state.table(child_kind).records.values()):
                    if child.values.get(name) == record.record_id and not child.is_deleted:
                        self.store(child, {"IsDeleted": True}, options)
                        self.state.note("cascade", child, options.actor, {})

    def undelete(self, record: Record, options: WriteOptions) -> None:
        with self.state.transaction():
            self.store(record, {"IsDeleted": False, "MasterRecordId": None}, options)
            self.state.note("undelete", record, options.actor, {})

    def store(self, record: Record, given: Values, options: WriteOptions) -> dict[str, tuple[Any, Any]]:
        """Put values in with the stamps of a change; gives what changed beside them."""
        before = record.values
        after = {**before, **given}
        changes = self.state.put(record, {**given, **derived(self.state, record.kind, after)})
        self.stamp(record, options)
        self._hold_back(record, before, options)
        return changes

    def stamp(self, record: Record, options: WriteOptions) -> None:
        stamp_ms = whole_second(self._now(options))
        stamps = {"LastModifiedDate": stamp_ms, "LastModifiedById": options.actor.user_id, "SystemModstamp": stamp_ms}
        self.state.put(record, stamps)

    # Steps -------------------------------------------------------------------------------------------------

    def _now(self, options: WriteOptions) -> int:
        return self.state.clock.now_ms() if options.at_ms is None else options.at_ms

    def _hold_back(self, record: Record, before: Values | None, options: WriteOptions) -> None:
        if options.visible_after_seconds > 0:
            until_ms = self.state.clock.now_ms() + round(options.visible_after_seconds * 1000)
            if record.shadow is not None:
                before = record.shadow.values
            record.shadow = Shadow(until_ms, before)
        else:
            record.shadow = None

    def _parsed(
        self, kind: ObjectType, raw: Mapping[str, Any], record: Record | None, options: WriteOptions
    ) -> dict[str, Any]:
        """The values by canonical name, of the right types, none of them read-only."""
        if kind.is_setup and options.is_api:
            raise RowError("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", ())
        given: dict[str, Any] = {}
        closed: list[str] = []
        for name, value in raw.items():
            if name == "attributes":
                continue
            field = self.schema.field(kind, name) if options.is_api else self.schema.any_field(kind, name)
            if field is None:
                raise answers.no_such_column(name, kind.name)
            if field.type == "id":
                message = "The Id field should not be specified in the sobject data."
                raise RowError("INVALID_FIELD", message, None)
            if not self._is_open(kind, field, record, options):
                closed.append(field.name)
                continue
            given[field.name] = values.parse(field, value)
        if closed:
            verb = f"Unable to create/update fields: {', '.join(closed)}. "
            message = (
                f"{verb}Please check the security settings of this field and verify that it is read/write for your "
                "profile or permission set."
            )
            raise RowError("INVALID_FIELD_FOR_INSERT_UPDATE", message, closed)
        return given

    def _is_open(self, kind: ObjectType, field: Field, record: Record | None, options: WriteOptions) -> bool:
        if options.is_api and self.schema.is_read_only(kind, field):
            return False
        return field.createable if record is None else field.updateable

    def _refuse_missing(
        self, kind: ObjectType, found: Mapping[str, Any], given: Mapping[str, Any] | None = None
    ) -> None:
        """Required fields: on create those without a default, on update those that the call clears."""
        missing = [
            field.name
            for field in kind.fields.values()
            if not field.nillable
            and (field.createable if given is None else field.name in given)
            and (field.default is None or given is not None)
            and field.name != "OwnerId"
            and found.get(field.name) is None
        ]
        if kind.name == "Account" and found.get("IsPersonAccount"):
            missing = ["LastName"] if found.get("LastName") is None else []
        if missing:
            message = f"Required fields are missing: [{', '.join(missing)}]"
            raise RowError("REQUIRED_FIELD_MISSING", message, missing)

    def _defaulted(self, kind: ObjectType, given: dict[str, Any], options: WriteOptions) -> Values:
        found: Values = {field.name: field.default for field in kind.fields.values() if field.default is not None}
        found |= {name: value for name, value in given.items() if value is not None or name not in found}
        if "OwnerId" in kind.fields and found.get("OwnerId") is None:
            found["OwnerId"] = options.actor.user_id
        if kind.name == "Lead" and options.auto_assign and options.is_api and self.rules.assignment_owner_id:
            found["OwnerId"] = self.rules.assignment_owner_id
        return {**found, **defaults(kind.name, found)}

    def _checked(
        self,
        kind: ObjectType,
        found: Values,
        given: dict[str, Any],
        before: Values,
        record: Record | None,
        options: WriteOptions,
    ) -> None:
        """Raise what is wrong with the record as it would be; address codes and texts are settled in both."""
        problems = [
            problem for name, value in given.items() if (problem := values.check(kind.fields[name], value)) is not None
        ]
        if problems:
            raise several(problems)
        if self.schema.has_state_country_picklists:
            for prefix in ADDRESSES.get(kind.name, ()):
                countries.settle(prefix, given, before)
            found.update(given)
        self._refuse_references(kind, given)
        self._refuse_taken(kind, found, given, record)
        if broken := rules.refuse_invalid(self.rules, kind.name, found):
            raise several(broken)
        if record is None or any(given.get(name) != before.get(name) for name in given):
            rules.refuse_duplicate(
                self.rules,
                self.state,
                kind.name,
                found,
                record.record_id if record else None,
                allow_save=options.allow_save or not options.is_api,
                version=options.version,
            )

    def _refuse_references(self, kind: ObjectType, given: Mapping[str, Any]) -> None:
        for name, value in given.items():
            field = kind.fields[name]
            if field.type != "reference" or value is None:
                continue
            if not any(value.startswith(self.schema.types[target].prefix) for target in field.reference_to):
                message = f"{field.shown_label()}: id value of incorrect type: {value}"
                raise RowError("MALFORMED_ID", message, [name])
            target = self.state.find(value)
            if target is None:
                raise RowError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
            if target.is_deleted:
                raise RowError("ENTITY_IS_DELETED", "entity is deleted")
            if name == "OwnerId" and target.values.get("IsActive") is False:
                message = f"operation performed with inactive user [{value}] as owner of {kind.label.lower()}"
                raise RowError("INACTIVE_OWNER_OR_USER", message, [name])
        if kind.name == "Task" and (given.get("WhoId") or "").startswith("00Q") and given.get("WhatId"):
            message = "If the WhoId is a lead, the WhatId must be empty"
            raise RowError("FIELD_INTEGRITY_EXCEPTION", message, ["WhatId"])

    def _refuse_taken(self, kind: ObjectType, found: Values, given: Mapping[str, Any], record: Record | None) -> None:
        for name in given:
            field, value = kind.fields[name], found.get(name)
            if not field.unique or value is None:
                continue
            for other in self.state.table(kind.name).holders(name, value):
                is_other = record is None or other.record_id != record.record_id
                if is_other and (not field.case_sensitive or other.values.get(name) == value):
                    message = f"duplicate value found: {name} duplicates value on record with id: {other.record_id}"
                    raise RowError("DUPLICATE_VALUE", message)

    def _refuse_locked(self, found: Mapping[str, Any], record: Record | None, options: WriteOptions) -> None:
        """A row, or the account that a contact hangs on, is held by someone else."""
        if not options.is_api:
            return
        for key in (record.record_id if record else None, found.get("AccountId")):
            if key not in self.state.row_locks:
                continue
            left = self.state.row_locks[key]
            if left is not None:
                self.state.row_locks[key] = left - 1
                if left <= 1:
                    del self.state.row_locks[key]
            raise answers.locked(key)

    def _automate(self, kind: ObjectType, record: Record, given: Mapping[str, Any], options: WriteOptions) -> None:
        """A flow that runs after the save and changes the record once more."""
        found = rules.rewritten(self.rules, kind.name, record.values, given)
        if not found:
            return
        user_id = self.rules.automation_user_id or options.actor.user_id
        changes = self.store(record, found, replace(options, actor=Actor("automation", user_id)))
        self.state.note("automation", record, Actor("automation", user_id), changes)

    # Person accounts ---------------------------------------------------------------------------------------

    def _make_person_contact(self, account: Record, options: WriteOptions) -> None:
        contact_kind = self.schema.types["Contact"]
        raw = {
            name: account.values[source]
            for source, name in ON_CONTACT.items()
            if account.values.get(source) is not None
        }
        inner = replace(options, actor=Actor("automation", options.actor.user_id), allow_save=True)
        contact = self.create(contact_kind, raw, inner)
        self.state.put(contact, {"AccountId": account.record_id, "IsPersonAccount": True})
        self.state.put(account, {"PersonContactId": contact.record_id})

    def _update_person_contact(self, account: Record, given: Mapping[str, Any], options: WriteOptions) -> None:
        contact = self.state.find(account.values.get("PersonContactId") or "")
        if contact is None:
            return
        changed = {ON_CONTACT[name]: value for name, value in given.items() if name in ON_CONTACT}
        if changed:
            inner = replace(options, actor=Actor("automation", options.actor.user_id))
            changes = self.store(contact, changed, inner)
            self.state.note("automation", contact, inner.actor, changes)
