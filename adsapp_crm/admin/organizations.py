"""Choosing the organization to work in. Staff enter a customer's only under a grant (``StaffAccess``)."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin

from adsapp_crm.models import Organization
from adsapp_crm.selectors import Place, organization_name, places_of
from adsapp_crm.services.staff import log_staff_access

SESSION_KEY: Final = "organization_id"
"""Where the middleware looks for the choice."""


@admin.register(Organization)
class SwitcherAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    """Where other admins have a list of rows, this has the places a person may enter."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "POST":
            return self._choose(request)
        current = getattr(request, "organization_id", None)
        places = [
            {
                "id": place.organization_id,
                "name": organization_name(place.organization_id),
                "role": place.role,
                "granted": place.staff_access_id is not None,
                "current": place.organization_id == current,
            }
            for place in _places(request)
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": _("Choose an organization"),
            "places": places,
            "opts": self.model._meta,
            **(extra_context or {}),
        }
        return TemplateResponse(request, "adsapp_crm/admin/choose_organization.html", context)

    changelist_view.opens_own_transactions = True  # type: ignore[attr-defined]
    """It names several organizations, so none's transaction is opened round it (``adsapp_crm.middleware``)."""

    def _choose(self, request: HttpRequest) -> HttpResponse:
        here = reverse("admin:adsapp_crm_organization_changelist")
        try:
            wanted = uuid.UUID(request.POST.get("organization", ""))
        except ValueError:
            wanted = None
        place = next((each for each in _places(request) if each.organization_id == wanted), None)
        if wanted is None or place is None:
            self.message_user(request, _("You may not enter this organization."), messages.ERROR)
            return HttpResponseRedirect(here)
        if place.staff_access_id is not None:
            log_staff_access(wanted, place.staff_access_id, method="POST", path=here)
        request.session[SESSION_KEY] = str(wanted)
        text = _("You now work in %(name)s.") % {"name": organization_name(wanted)}
        self.message_user(request, text, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:index"))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_staff)

    def has_view_permission(self, request: HttpRequest, obj: Organization | None = None) -> bool:  # noqa: ARG002
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Organization | None = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Organization | None = None) -> bool:  # noqa: ARG002
        return False


def _places(request: HttpRequest) -> list[Place]:
    return places_of(request.user.pk) if request.user.pk is not None else []


def organization_label(request: HttpRequest) -> list[str]:
    """Unfold's label beside the title: whose data is shown."""
    name = current_name(request)
    return [name, "info"] if name else [_("No organization chosen"), "warning"]


def current_name(request: HttpRequest) -> str | None:
    """The chosen organization's name, read once for a page; None without one."""
    if not hasattr(request, "organization_name"):
        organization_id = getattr(request, "organization_id", None)
        name = organization_name(organization_id) if organization_id is not None else None
        request.organization_name = name  # type: ignore[attr-defined]
    return request.organization_name  # type: ignore[attr-defined,no-any-return]
