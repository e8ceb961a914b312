"""Contacts: found by e-mail address, name or id; edited through the same service as everywhere."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from adsapp_crm.admin.acts import Act
from adsapp_crm.admin.base import OrganizationAdmin, actor_of, may, told_once
from adsapp_crm.admin.wording import crm_label
from adsapp_crm.models import Contact
from adsapp_crm.models.choices import Role
from adsapp_crm.services.contact_search import anything, in_order
from adsapp_crm.services.contact_values import read_contact_values
from adsapp_crm.services.contacts import create_contact, delete_contact, restore_contact, update_contact
from adsapp_crm.services.explain import explain_contacts
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.tenancy import current_organization, current_organization_or_none, organization_context
from crm.mapping.app_fields import APP_FIELDS

_EDITED = tuple(field.attribute for field in APP_FIELDS.values())
_NAMES = {field.attribute: field.name for field in APP_FIELDS.values()}
_TOLD = ("state", "code", "last_synced_at", "conflict_ids", "link_id")
_SHOWN = ("id", "version", "created_at", "updated_at", "deleted_at", "custom_fields")


class ContactForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """Only what was changed is judged and written: two people editing different fields lose nothing."""

    class Meta:
        model = Contact
        fields = _EDITED

    def values(self) -> dict[str, Any]:
        """The changed fields by ADSapp's names."""
        return {_NAMES[name]: self.cleaned_data.get(name) for name in self.changed_data if name in _NAMES}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        try:
            read_contact_values(self.values())
        except RefusedError as error:
            attributes = {name: attribute for attribute, name in _NAMES.items()}
            for refusal in error.refusals:
                self.add_error(attributes.get(refusal.field), f"{refusal.message} {refusal.fix}")
        return cleaned


@admin.register(Contact)
class ContactAdmin(OrganizationAdmin):
    joined = ()
    changed_by = Role.OPERATOR
    form = ContactForm
    list_display = ("email", "first_name", "last_name", "company", "phone", "updated_at", "deleted")
    search_fields = ("email",)
    search_help_text = _("The beginning of a name, an e-mail address or a phone number, or an id")
    ordering = ("-updated_at", "-id")
    list_filter = (("deleted_at", admin.EmptyFieldListFilter), "email_opt_out", "whatsapp_opt_out")
    fieldsets = (
        (_("Where it stands"), {"fields": ("stands",)}),
        (_("Values"), {"fields": _EDITED}),
        (_("Record"), {"fields": _SHOWN}),
    )
    readonly_fields = ("stands", *_SHOWN)
    acts: ClassVar = (
        Act(
            "delete",
            _("Delete"),
            _("They are marked deleted here; each CRM follows by the rule of its connection."),
            _("Deleted %d contacts."),
            lambda _request, row: delete_contact(row.pk),
            applies=lambda row: row.deleted_at is None and row.erased_at is None,
            harmful=True,
        ),
        Act(
            "restore",
            _("Restore"),
            _("They are taken back from deletion; the next run tells the CRMs."),
            _("Restored %d contacts."),
            lambda _request, row: restore_contact(row.pk),
            applies=lambda row: row.deleted_at is not None and row.erased_at is None,
        ),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may(request, Role.OPERATOR)

    @admin.display(description=_("in each CRM"))
    @told_once
    def stands(self, contact: Contact) -> SafeString | str:
        """Why it is, or is not, in each CRM; of one that is being made there is nothing to say yet."""
        try:
            stands = explain_contacts(str(contact.pk))[0].stands
        except RefusedError:
            return "–"
        told = [{"label": crm_label(each.crm_type), **{name: getattr(each, name) for name in _TOLD}} for each in stands]
        return render_to_string("adsapp_crm/admin/_stands.html", {"stands": told})

    @admin.display(description=_("deleted"), boolean=True)
    def deleted(self, contact: Contact) -> bool:
        return contact.deleted_at is not None

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Contact], search_term: str
    ) -> tuple[QuerySet[Contact], bool]:
        """By columns that have an index under row-level security."""
        del request
        term = search_term.strip()
        if not term or current_organization_or_none() is None:
            return queryset, False
        try:
            return queryset.filter(pk=uuid.UUID(term)), False
        except ValueError:
            return in_order(queryset.filter(anything(term)), *queryset.query.order_by), False

    def save_model(self, request: HttpRequest, obj: Contact, form: ContactForm, change: bool) -> None:
        values = form.values()
        with organization_context(current_organization(), actor=actor_of(request), origin="user"):
            if change:
                update_contact(obj.pk, values, version=None)
            else:
                made = create_contact(values)
                obj.pk = made.pk
