"""What every admin page of organization data has in common.

People work in the organization chosen in their session; without one every list says so and is empty. What
they may do follows their role there, not Django's permissions. Actions that change something ask first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin

from adsapp_crm.catalogue import explain
from adsapp_crm.models.choices import Role
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.services.staff import log_staff_access
from adsapp_crm.tenancy import current_organization_or_none

RANK: Final[Mapping[str, int]] = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2, Role.OWNER: 3}


class OrganizationAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    """A list and a page for rows of the current organization."""

    show_full_result_count = False
    list_per_page = 50
    joined: ClassVar[Sequence[str]] = ("connection",)
    """References that lists show; the credentials of a joined connection stay in the database."""
    changed_by: ClassVar[str] = ""
    """The least role that may edit rows; empty: nobody edits them here."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        if current_organization_or_none() is None:
            return self.model.unscoped.none()  # type: ignore[no-any-return]
        found: QuerySet[Any] = super().get_queryset(request)
        if self.joined:
            found = found.select_related(*self.joined)
            deferred = [f"{name}__credentials" for name in self.joined if name.split("__")[-1] == "connection"]
            found = found.defer(*deferred) if deferred else found
        return found

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_staff)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        return bool(self.changed_by) and may(request, self.changed_by)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """For ``@admin.action(permissions=["operate"])``."""
        return may(request, Role.OPERATOR)

    def has_administer_permission(self, request: HttpRequest) -> bool:
        return may(request, Role.ADMIN)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if current_organization_or_none() is None:
            choose = reverse("admin:adsapp_crm_organization_changelist")
            text = _("No organization is chosen, so there is nothing to show.")
            link = format_html('{} <a href="{}">{}</a>', text, choose, _("Choose an organization."))
            self.message_user(request, link, messages.WARNING)
        _note_staff(request)
        answer: HttpResponse = super().changelist_view(request, extra_context)
        return answer

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        _note_staff(request)
        answer: HttpResponse = super().changeform_view(request, object_id, form_url, extra_context)
        return answer

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        _note_staff(request)
        answer: HttpResponse = super().history_view(request, object_id, extra_context)
        return answer

    def confirmed(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        *,
        question: str,
        act: Callable[[Any], object],
        done: str,
        choices: Sequence[tuple[str, str]] = (),
    ) -> HttpResponse | None:
        """Ask before an action, then do it row by row; a refused row is told and stops no other.

        ``done`` is the message with ``%d`` for the number of rows. ``choices`` are offered as radio buttons;
        the chosen one is ``request.POST["choice"]`` when ``act`` runs.
        """
        if "confirmed" not in request.POST:
            return self._ask(request, queryset, question, choices)
        count = 0
        for row in queryset:
            try:
                act(row)
            except RefusedError as error:
                first = error.refusals[0]
                text = f"{row}: {first.message} {first.fix or explain(first.code).fix}"
                self.message_user(request, text, messages.ERROR)
            else:
                count += 1
        if count:
            self.message_user(request, done % count, messages.SUCCESS)
        return None

    def _ask(
        self, request: HttpRequest, queryset: QuerySet[Any], question: str, choices: Sequence[tuple[str, str]]
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": _("Are you sure?"),
            "question": question,
            "rows": queryset,
            "action": request.POST.get("action", ""),
            "checkbox_name": helpers.ACTION_CHECKBOX_NAME,
            "choices": choices,
            "opts": self.model._meta,
        }
        return TemplateResponse(request, "adsapp_crm/admin/confirm_action.html", context)


def may(request: HttpRequest, role: str) -> bool:
    """Whether the person has at least this role in the current organization."""
    if current_organization_or_none() is None:
        return False
    return RANK.get(getattr(request, "organization_role", ""), -1) >= RANK[role]


def actor_of(request: HttpRequest) -> str:
    return f"user:{request.user.pk}"


def shown_json(value: Any) -> SafeString:
    """A JSON value as escaped, readable text."""
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False, default=str))


@admin.display(description=_("Why"))
def explained(code: str) -> str:
    """A code with its title, cause and fix; empty for no code."""
    if not code:
        return ""
    entry = explain(code)
    return f"{code}: {entry.title}. {entry.cause} {entry.fix}"


def _note_staff(request: HttpRequest) -> None:
    access_id = getattr(request, "staff_access_id", None)
    organization_id = current_organization_or_none()
    if access_id is not None and organization_id is not None:
        log_staff_access(organization_id, access_id, method=request.method or "", path=request.path)
