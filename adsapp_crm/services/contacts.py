"""Writing contacts as people and programs do. All of it runs in the current organization's context."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db.models.functions import Now

from adsapp_crm.models import Contact, Organization
from adsapp_crm.models.contact import TEXT_ATTRIBUTES, match_keys
from adsapp_crm.services.contact_values import ContactValues, read_contact_values
from adsapp_crm.services.realtime import announce_changes
from adsapp_crm.services.refusals import RefusedError, refuse
from adsapp_crm.tenancy import current_organization, organization_context

NAMING = ("first_name", "last_name", "email", "phone", "whatsapp_number", "company")
"""A contact says at least one of these."""


def create_contact(values: Mapping[str, Any]) -> Contact:
    """A new contact from ``values`` keyed by ADSapp's field names (``firstName``, ``custom.tier``)."""
    return save_new_contacts([new_contact(read_contact_values(values))])[0]


def new_contact(accepted: ContactValues) -> Contact:
    """A contact that is not stored yet; raises RefusedError when it would say nothing."""
    contact = Contact(**accepted.columns, custom_fields=_without_blanks(accepted.custom))
    if not any(getattr(contact, attribute) for attribute in NAMING):
        raise refuse(
            "contact.empty", "A contact needs a name, an e-mail address, a phone number or a company.", fix="Fill one."
        )
    return contact


def save_new_contacts(contacts: list[Contact]) -> list[Contact]:
    """Store new contacts with their match keys, in one statement; version and times are the database's."""
    region = _region()
    for contact in contacts:
        for column, key in match_keys(contact.email, contact.phone, region).items():
            setattr(contact, column, key)
    stored = Contact.objects.bulk_create(contacts)
    announce_changes()
    return stored


def update_contact(contact_id: uuid.UUID, values: Mapping[str, Any], *, version: int | None) -> Contact:
    """Change the named fields; ``None`` clears one.

    ``version`` is the one the change was made from: any other stored version refuses it with
    ``contact.changed``. None changes whatever version there is.
    """
    accepted = read_contact_values(values)
    with organization_context(current_organization()):
        contact = _locked(contact_id, version)
        for column, value in accepted.columns.items():
            setattr(contact, column, value)
        contact.custom_fields = _without_blanks({**contact.custom_fields, **accepted.custom})
        return _store(contact, *accepted.columns, "custom_fields")


def delete_contact(contact_id: uuid.UUID, *, version: int | None = None) -> Contact:
    """Mark the contact deleted; the next run carries it to each CRM by the connection's policy."""
    with organization_context(current_organization()):
        _locked(contact_id, version)
        Contact.objects.filter(pk=contact_id).update(deleted_at=Now())
        announce_changes()
        return Contact.objects.get(pk=contact_id)


def restore_contact(contact_id: uuid.UUID) -> Contact:
    """Take a deletion back; refused for a contact that was merged or erased."""
    with organization_context(current_organization()):
        contact = _existing(contact_id)
        if contact.merged_into_id is not None or contact.erased_at is not None:
            raise _unknown()
        Contact.objects.filter(pk=contact_id).update(deleted_at=None)
        announce_changes()
        return Contact.objects.get(pk=contact_id)


def merge_contacts(survivor_id: uuid.UUID, other_id: uuid.UUID) -> Contact:
    """Make two contacts one: the survivor keeps its values, takes the other's where it has none, and both tags.

    Opted out wins: who opted out with one of them has opted out. The other stays as a pointer, and what
    was merged into it before points to the survivor.
    """
    if survivor_id == other_id:
        raise refuse("contact.merge", "A contact cannot be merged with itself.", fix="Choose two contacts.")
    with organization_context(current_organization()):
        # Always in the order of ids, so that two merges the other way round cannot block each other.
        found = {
            each.pk: each
            for each in Contact.objects.select_for_update().filter(pk__in=[survivor_id, other_id]).order_by("pk")
        }
        if len(found) != 2 or any(each.state != "live" for each in found.values()):
            raise refuse("contact.merge", "Both contacts must exist and be live.", fix="Choose two live contacts.")
        survivor, other = found[survivor_id], found[other_id]
        for attribute in (*TEXT_ATTRIBUTES, "birthday"):
            if not getattr(survivor, attribute):
                setattr(survivor, attribute, getattr(other, attribute))
        survivor.tags = list(dict.fromkeys([*survivor.tags, *other.tags]))
        survivor.custom_fields = {**other.custom_fields, **survivor.custom_fields}
        survivor.email_opt_out = survivor.email_opt_out or other.email_opt_out
        survivor.whatsapp_opt_out = survivor.whatsapp_opt_out or other.whatsapp_opt_out
        Contact.objects.filter(merged_into=other).update(merged_into=survivor)
        Contact.objects.filter(pk=other.pk).update(merged_into=survivor)
        columns = (*TEXT_ATTRIBUTES, "birthday", "tags", "custom_fields", "email_opt_out", "whatsapp_opt_out")
        return _store(survivor, *columns)


def _store(contact: Contact, *columns: str) -> Contact:
    for column, key in match_keys(contact.email, contact.phone, _region()).items():
        setattr(contact, column, key)
    contact.save(update_fields=[*columns, "email_normalized", "phone_normalized", "keys_of"])
    announce_changes()
    return Contact.objects.get(pk=contact.pk)


def _locked(contact_id: uuid.UUID, version: int | None) -> Contact:
    contact = _existing(contact_id)
    if contact.state != "live":
        code = "contact.erased" if contact.erased_at is not None else "contact.unknown"
        raise refuse(code, "The contact is deleted, merged or erased.", fix="Use the id of a live contact.")
    if version is not None and contact.version != version:
        raise refuse(
            "contact.changed",
            f"The contact is at version {contact.version} and not {version}.",
            field="version",
            fix="Read it again and repeat the change.",
        )
    return contact


def _existing(contact_id: uuid.UUID) -> Contact:
    contact = Contact.objects.select_for_update().filter(pk=contact_id).first()
    if contact is None:
        raise _unknown()
    return contact


def _unknown() -> RefusedError:
    return refuse(
        "contact.unknown", "There is no contact with this id.", field="id", fix="Use the id of a live contact."
    )


def _region() -> str:
    region: str = Organization.objects.values_list("region", flat=True).get()
    return region


def _without_blanks(custom: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in custom.items() if value not in (None, "", [])}
