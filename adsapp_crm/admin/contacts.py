"""Contacts: found by e-mail address, name or id; edited through the same service as everywhere."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from adsapp_crm.admin.base import OrganizationAdmin, actor_of, may
from adsapp_crm.models import Contact
from adsapp_crm.models.choices import Role
from adsapp_crm.services.contact_values import read_contact_values
from adsapp_crm.services.contacts import create_contact, delete_contact, restore_contact, update_contact
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.tenancy import current_organization, organization_context
from crm.mapping.app_fields import APP_FIELDS
from crm.normalize import email_key

_EDITED = tuple(field.attribute for field in APP_FIELDS.values())
_NAMES = {field.attribute: field.name for field in APP_FIELDS.values()}
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
    list_filter = ("email_opt_out", "whatsapp_opt_out")
    search_fields = ("email",)
    search_help_text = _("A whole e-mail address, the beginning of a name, or an id")
    ordering = ("-updated_at", "-id")
    fieldsets = ((None, {"fields": _EDITED}), (_("Record"), {"fields": _SHOWN}))
    readonly_fields = _SHOWN
    actions: ClassVar[list[str]] = ["mark_deleted", "restore"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may(request, Role.OPERATOR)

    @admin.display(description=_("deleted"), boolean=True)
    def deleted(self, contact: Contact) -> bool:
        return contact.deleted_at is not None

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Contact], search_term: str
    ) -> tuple[QuerySet[Contact], bool]:
        """By the columns that have an index under row-level security."""
        del request
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return queryset.filter(pk=uuid.UUID(term)), False
        except ValueError:
            key = email_key(term)
        if key:
            return queryset.filter(email_normalized=key), False
        return queryset.filter(Q(first_name__istartswith=term) | Q(last_name__istartswith=term)), False

    def save_model(self, request: HttpRequest, obj: Contact, form: ContactForm, change: bool) -> None:
        values = form.values()
        with organization_context(current_organization(), actor=actor_of(request), origin="user"):
            if change:
                update_contact(obj.pk, values, version=None)
            else:
                made = create_contact(values)
                obj.pk = made.pk

    @admin.action(description=_("Delete"), permissions=["operate"])
    def mark_deleted(self, request: HttpRequest, queryset: QuerySet[Contact]) -> HttpResponse | None:
        return self.confirmed(
            request,
            queryset,
            question=str(_("The contacts are marked deleted here; each CRM follows by its connection's rule.")),
            act=lambda row: delete_contact(row.pk),
            done=str(_("Deleted %d contacts.")),
        )

    @admin.action(description=_("Restore"), permissions=["operate"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Contact]) -> HttpResponse | None:
        return self.confirmed(
            request,
            queryset,
            question=str(_("The contacts are taken back from deletion.")),
            act=lambda row: restore_contact(row.pk),
            done=str(_("Restored %d contacts.")),
        )
