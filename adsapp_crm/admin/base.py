"""What every admin page of organization data has in common.

People work in the organization chosen in their session; without one every list says so and is empty. What
they may do follows their role there, not Django's permissions. Acts that change something ask first. What
our own staff look at under a grant is written down.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ClassVar, Final, TypeVar

from django.contrib import admin
from django.contrib.admin import helpers
from django.contrib.admin.utils import unquote
from django.contrib.messages import WARNING
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from unfold.admin import ModelAdmin
from unfold.decorators import display

from adsapp_crm.admin.acts import MOST_AT_ONCE, Act, Choice, choice_of, perform
from adsapp_crm.admin.paging import BoundedChangeList, BoundedPaginator
from adsapp_crm.admin.wording import TONES, connection_label, linked
from adsapp_crm.models import Contact
from adsapp_crm.models.choices import Role
from adsapp_crm.services.actor_names import names_of
from adsapp_crm.services.contact_names import name_of
from adsapp_crm.services.staff import log_staff_access
from adsapp_crm.tenancy import current_organization_or_none
from crm.normalize import email_key

Told = TypeVar("Told")
Row = TypeVar("Row", bound=Model)


def told_once(method: Callable[[Any, Row], Told]) -> Callable[[Any, Row], Told]:
    """For a read-only field that asks the database: a page asks it several times, and its answer stays with the row."""

    @wraps(method)
    def asked(page: Any, row: Row) -> Told:
        kept = row.__dict__.setdefault("_told_once", {})
        if method.__name__ not in kept:
            kept[method.__name__] = method(page, row)
        answer: Told = kept[method.__name__]
        return answer

    return asked


def named(column: str, text: Any) -> Callable[[Any, Any], str]:
    """A read-only field with the name of the person, or of what else it was, that a column holds."""

    def shown(_page: Any, row: Any) -> str:
        actor = getattr(row, column)
        return names_of([actor]).get(actor, "–")

    shown.__name__ = f"{column}_named"
    return admin.display(description=text)(told_once(shown))


RANK: Final[Mapping[str, int]] = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2, Role.OWNER: 3}
MOST_NAMESAKES: Final = 100
"""Contacts with one e-mail address whose rows a search finds."""


class OrganizationAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    """A list and a page for rows of the current organization."""

    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 0
    paginator = BoundedPaginator
    list_filter_sheet = True
    list_filter_submit = False
    ordering: ClassVar[Sequence[str]] = ("-id",)
    """Ids grow with time, and every table has its index by organization and id."""
    joined: ClassVar[Sequence[str]] = ("connection",)
    """References that lists show; the credentials of a joined connection stay in the database."""
    changed_by: ClassVar[str] = ""
    """The least role that may edit rows; empty: nobody edits them here."""
    acts: ClassVar[Sequence[Act]] = ()
    searched_ids: ClassVar[Sequence[str]] = ("pk",)
    """Columns that a search for an id looks in."""
    searched_texts: ClassVar[Sequence[str]] = ()
    """Columns that a search for anything else looks in, for exactly that."""
    searched_contact: ClassVar[str] = ""
    """The column with a contact's id, found by that contact's e-mail address."""
    linked_by: ClassVar[Sequence[str]] = ()
    """Columns that links of ours filter by, besides those of ``list_filter``."""
    change_form_outer_before_template = "adsapp_crm/admin/_acts.html"
    search_fields: ClassVar[Sequence[str]] = ("pk",)

    # Columns -------------------------------------------------------------------------------------------------

    @display(description=lazy("CRM"))  # type: ignore[untyped-decorator]
    def crm(self, row: Any) -> str:
        return connection_label(row.connection)

    @display(description=lazy("contact"))  # type: ignore[untyped-decorator]
    def who(self, row: Any) -> str:
        return linked("contact", row.contact_id, name_of(row.contact)) if row.contact_id else "–"

    @display(description=lazy("status"), label=dict(TONES))  # type: ignore[untyped-decorator]
    def state_word(self, row: Any) -> tuple[str, str]:
        return row.status, row.get_status_display()

    # Rows ----------------------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        if current_organization_or_none() is None:
            return self.model.unscoped.none()  # type: ignore[no-any-return]
        found: QuerySet[Any] = super().get_queryset(request)
        if self.joined:
            found = found.select_related(*self.joined)
            deferred = [f"{name}__credentials" for name in self.joined if name.split("__")[-1] == "connection"]
            found = found.defer(*deferred) if deferred else found
        return found

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BoundedChangeList]:  # noqa: ARG002
        return BoundedChangeList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Read once for a page that only shows it: its form and its buttons are about the same row."""
        if request.method != "GET":
            return super().get_object(request, object_id, from_field)
        kept: dict[Any, Any] = request.__dict__.setdefault("_rows_shown", {})
        key = (self.model, object_id, from_field)
        if key not in kept:
            kept[key] = super().get_object(request, object_id, from_field)
        return kept[key]

    def get_list_filter(self, request: HttpRequest) -> Sequence[Any]:
        """None without an organization: a filter by connection would read the connections."""
        return super().get_list_filter(request) if current_organization_or_none() is not None else ()

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only what a filter of the list or a link of ours asks for.

        Django takes any column of the table, those that no page shows too: asked for by its beginning, a hash or a
        stored answer would be read out letter by letter.
        """
        named = {"id", "pk", *self.linked_by}
        for each in self.list_filter:
            by_itself = isinstance(each, type) and issubclass(each, admin.SimpleListFilter)
            named.add(each.parameter_name if by_itself else each if isinstance(each, str) else each[0])
        asked = lookup.partition(LOOKUP_SEP)[0]
        return asked in named and bool(super().lookup_allowed(lookup, value, request))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """By columns that have an index: ids, exact texts, and the e-mail address of the contact."""
        del request
        term = search_term.strip()
        if not term or current_organization_or_none() is None:
            return queryset, False
        wanted = Q(pk=None)
        for column in self.searched_texts:
            wanted |= Q(**{column: term})
        for column in self.searched_ids if _uuid(term) else ():
            wanted |= Q(**{column: _uuid(term)})
        key = email_key(term) if self.searched_contact else None
        if key:
            people = Contact.objects.filter(email_normalized=key).order_by().values_list("pk", flat=True)
            wanted |= Q(**{f"{self.searched_contact}__in": list(people[:MOST_NAMESAKES])})
        return queryset.filter(wanted), False

    # Who may what --------------------------------------------------------------------------------------------

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

    # Pages ---------------------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if current_organization_or_none() is None:
            choose = reverse("admin:adsapp_crm_organization_changelist")
            text = _("No organization is chosen, so there is nothing to show.")
            link = format_html('{} <a href="{}">{}</a>', text, choose, _("Choose an organization."))
            self.message_user(request, link, WARNING)
        note_staff(request)
        answer: HttpResponse = super().changelist_view(request, extra_context)
        return answer

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        note_staff(request)
        context = {**(extra_context or {}), "crm_acts": self.acts_for(request, object_id)}
        answer: HttpResponse = super().changeform_view(request, object_id, form_url, context)
        return answer

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        note_staff(request)
        answer: HttpResponse = super().history_view(request, object_id, extra_context)
        return answer

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "<str:object_id>/act/<str:name>/", self.admin_site.admin_view(self.act_view), name=self.url_name("act")
        )
        return [own, *super().get_urls()]

    def url_name(self, page: str) -> str:
        return f"adsapp_crm_{self.model._meta.model_name}_{page}"

    def row_of(self, request: HttpRequest, object_id: str) -> Any:
        """Raises Http404 for what the organization does not have."""
        row = self.get_object(request, unquote(object_id)) if current_organization_or_none() is not None else None
        if row is None:
            raise Http404
        return row

    # Acts ----------------------------------------------------------------------------------------------------

    def get_actions(self, request: HttpRequest) -> dict[str, tuple[Callable[..., Any], str, str]]:
        """The acts that the person's role allows, as actions of the list."""
        return {act.name: (_action(act), act.name, str(act.label)) for act in self.acts if may(request, act.role)}

    def acts_for(self, request: HttpRequest, object_id: str | None) -> list[dict[str, Any]]:
        """The buttons of one row's page: what its state and the person's role allow."""
        allowed = [act for act in self.acts if may(request, act.role)]
        row = self.get_object(request, unquote(object_id)) if allowed and object_id else None
        if row is None:
            return []
        return [
            {
                "label": act.label,
                "harmful": act.harmful,
                "url": reverse(f"admin:{self.url_name('act')}", args=[row.pk, act.name]),
            }
            for act in allowed
            if act.applies(row)
        ]

    def act_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """One act for one row: a GET asks, a POST does."""
        note_staff(request)
        act = next((each for each in self.acts if each.name == name), None)
        if act is None:
            raise Http404
        if not may(request, act.role):
            raise PermissionDenied
        row = self.row_of(request, object_id)
        choice = choice_of(act, self.get_queryset(request).filter(pk=row.pk))
        here = reverse(f"admin:{self.url_name('change')}", args=[row.pk])
        if request.method != "POST":
            return self.ask(request, act, choice, {"back": here})
        number, given = perform(act, request, choice)
        return HttpResponseRedirect(act.follows(given) if number and act.follows else here)

    def act_on_many(self, request: HttpRequest, rows: QuerySet[Any], act: Act) -> HttpResponse | None:
        choice = choice_of(act, rows)
        if "confirmed" in request.POST:
            perform(act, request, choice)
            return None
        across = request.POST.get("select_across", "0") == "1"
        hidden = {"action": act.name, "select_across": "1" if across else "0"}
        chosen = [str(row.pk) for row in (choice.rows[:1] if across else choice.rows)]
        context = {"hidden": hidden, "chosen": chosen, "checkbox_name": helpers.ACTION_CHECKBOX_NAME}
        return self.ask(request, act, choice, {**context, "back": request.get_full_path()})

    def ask(self, request: HttpRequest, act: Act, choice: Choice, extra: Mapping[str, Any]) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": act.label,
            "act": act,
            "choice": choice,
            "most": MOST_AT_ONCE,
            "parts": self.parts_of(choice.applying),
            "opts": self.model._meta,
            **extra,
        }
        return TemplateResponse(request, "adsapp_crm/admin/confirm_act.html", context)

    def parts_of(self, rows: Sequence[Any]) -> Sequence[tuple[str, int]]:  # noqa: ARG002
        """Of what kinds the rows are, each with its number; for the question."""
        return ()


def _action(act: Act) -> Callable[[OrganizationAdmin, HttpRequest, QuerySet[Any]], HttpResponse | None]:
    def run(model_admin: OrganizationAdmin, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        return model_admin.act_on_many(request, rows, act)

    return run


def may(request: HttpRequest, role: str) -> bool:
    """Whether the person has at least this role in the current organization."""
    if getattr(request, "organization_id", None) is None:
        return False
    return RANK.get(getattr(request, "organization_role", ""), -1) >= RANK[role]


def actor_of(request: HttpRequest) -> str:
    return f"user:{request.user.pk}"


def note_staff(request: HttpRequest) -> None:
    """Write down a look or an act under a grant; members of the organization leave no such trace."""
    access_id = getattr(request, "staff_access_id", None)
    organization_id = getattr(request, "organization_id", None)
    if access_id is not None and organization_id is not None:
        log_staff_access(organization_id, access_id, method=request.method or "", path=request.path)


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
