"""Field mappings, changed in place: choices from the CRM's own description, tried on real contacts before a save.

A file of them is read only after a look at what it would change.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from unfold.decorators import display

from adsapp_crm.admin.acts import Act
from adsapp_crm.admin.base import OrganizationAdmin, actor_of, may, note_staff
from adsapp_crm.admin.mapping_forms import OF_POINTER, FileForm, MappingForm, initial_of
from adsapp_crm.admin.wording import connection_label, crm_label, explained
from adsapp_crm.catalogue import explain
from adsapp_crm.middleware import opens_own_transactions
from adsapp_crm.models import CrmConnection, CrmFieldMapping
from adsapp_crm.models.choices import (
    ConnectionStatus,
    Role,
)
from adsapp_crm.services.conflict_rules import wanted_of
from adsapp_crm.services.describing import refresh_fields
from adsapp_crm.services.field_labels import labels_of
from adsapp_crm.services.mapping_changes import MappingQuestion, question_of, reach_said
from adsapp_crm.services.mapping_files import (
    MappingImport,
    apply_import,
    export_csv,
    export_json,
    preview_import,
)
from adsapp_crm.services.mapping_preview import preview_of
from adsapp_crm.services.mappings import (
    MappingsRefusedError,
    WantedMapping,
    current_mappings,
    judge_mappings,
    replace_mappings,
)
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.services.seats import asking_outside
from adsapp_crm.transform_forms import EDITS, context_of, posted_rule
from adsapp_crm.wiring import definitions_of
from crm.errors import CrmError
from crm.mapping.app_fields import APP_FIELDS


def _remove(request: HttpRequest, row: CrmFieldMapping) -> None:
    connection = CrmConnection.objects.get(pk=row.connection_id)
    kept = [wanted_of(each) for each in current_mappings(connection) if each.pk != row.pk]
    replace_mappings(connection, kept, actor=actor_of(request))


@admin.register(CrmFieldMapping)
class FieldMappingAdmin(OrganizationAdmin):
    list_display = ("pair", "crm", "direction", "has_steps", "strategy", "broken")
    list_filter = ("connection", "direction", "is_custom", ("broken_since", admin.EmptyFieldListFilter))
    ordering = ("connection", "record_type", "position", "-id")
    searched_texts = ("adsapp_field", "crm_field")
    search_help_text = lazy("The name of a field, of ADSapp or of the CRM")
    list_before_template = "adsapp_crm/admin/_mapping_tools.html"
    acts: ClassVar[Sequence[Act]] = (
        Act(
            "remove",
            lazy("Remove"),
            lazy(
                "Both sides keep the values they have and no longer follow each other in this field."
                " The earlier version can be brought back."
            ),
            lazy("Removed %d mappings."),
            _remove,
            role=Role.ADMIN,
            harmful=True,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[CrmFieldMapping]:
        return super().get_queryset(request).filter(deleted_at__isnull=True)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("import/", wrap(self.import_view), name=self.url_name("import")),
            path("export/<str:connection_id>.<str:form>", wrap(self.export_view), name=self.url_name("export")),
            path("describe/<str:connection_id>/", wrap(self.describe_view), name=self.url_name("describe")),
            path("new/<str:connection_id>/", wrap(self.new_view), name=self.url_name("new")),
        ]
        return [*own, *super().get_urls()]

    @display(description=lazy("fields"))  # type: ignore[untyped-decorator]
    def pair(self, row: CrmFieldMapping) -> str:
        return str(row)

    @admin.display(description=lazy("steps"))
    def has_steps(self, row: CrmFieldMapping) -> str:
        return ", ".join(str(each.get("step", "?")) for each in (row.transform_rule or {}).get("steps", [])) or "–"

    @display(description=lazy("broken"), label={"broken": "danger"})  # type: ignore[untyped-decorator]
    def broken(self, row: CrmFieldMapping) -> tuple[str, str] | None:
        return ("broken", f"{row.broken_code}: {explain(row.broken_code).title}") if row.broken_code else None

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        tools = {"mapping_tools": self._tools(request), "may_administer": may(request, Role.ADMIN)}
        return super().changelist_view(request, {**(extra_context or {}), **tools})

    def _tools(self, request: HttpRequest) -> list[tuple[CrmConnection, str]]:
        if getattr(request, "organization_id", None) is None:
            return []
        rows = CrmConnection.objects.exclude(status=ConnectionStatus.DISCONNECTED).order_by("crm_type")
        return [(row, connection_label(row)) for row in rows]

    # One pair --------------------------------------------------------------------------------------------------

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        del form_url, extra_context
        note_staff(request)
        stored: CrmFieldMapping = self.row_of(request, object_id or "")
        return self._edit(request, CrmConnection.objects.get(pk=stored.connection_id), stored)

    def new_view(self, request: HttpRequest, connection_id: str) -> HttpResponse:
        note_staff(request)
        return self._edit(request, self._connection(connection_id), None)

    def _edit(self, request: HttpRequest, connection: CrmConnection, stored: CrmFieldMapping | None) -> HttpResponse:
        """``_save`` saves; every other button only changes the form, or shows what the pair would do."""
        posted = request.POST if request.method == "POST" else None
        if posted is not None and not may(request, Role.ADMIN):
            raise PermissionDenied
        rule, unreadable = (stored.transform_rule if stored else None, "") if posted is None else posted_rule(posted)
        step_errors = [unreadable] if unreadable else []
        form = MappingForm(posted, initial=initial_of(stored), connection=connection)
        edits = posted is not None and any(each in posted for each in (*EDITS, "preview"))
        rows = current_mappings(connection)
        asks: MappingQuestion | None = None
        others = [wanted_of(each) for each in rows if stored is None or each.pk != stored.pk]
        wanted = wanted_of(stored) if stored is not None else None
        if form.is_valid():
            wanted = form.wanted(rule)
            place = next((number for number, row in enumerate(rows) if stored and row.pk == stored.pk), len(others))
            everything = [*others[:place], wanted, *others[place:]]
            saves = "_save" in request.POST and not edits
            if saves and reach_said(request.POST.get("applies_to", "")) is None:
                asks = question_of(connection, rows, everything)
            if saves and self._saved(request, form, step_errors, connection, everything, place, judge=bool(asks)):
                return HttpResponseRedirect(reverse("admin:adsapp_crm_crmfieldmapping_changelist"))
        elif edits:  # a pair that is not complete yet is no fault while its steps are chosen
            form = MappingForm(initial=request.POST.dict(), connection=connection)
        context = {
            **self.admin_site.each_context(request),
            "title": str(stored) if stored else _("New mapping"),
            "opts": self.model._meta,
            "form": form,
            "stored": stored,
            "connection": connection,
            "account": connection_label(connection),
            "crm": crm_label(connection.crm_type),
            "app_fields": list(APP_FIELDS),
            "preview": preview_of(connection, wanted, others) if wanted else None,
            "definition": definitions_of(connection, wanted.record_type).get(wanted.remote_field) if wanted else None,
            "described_at": _described_at(connection),
            "broken": explained(stored.broken_code) if stored else "",
            "asks": None if form.errors or step_errors else asks,
            "step_errors": step_errors,
            **context_of(rule),
            "may_administer": may(request, Role.ADMIN),
            "crm_acts": self.acts_for(request, str(stored.pk)) if stored else [],
        }
        if posted is not None and "preview" in posted:
            return TemplateResponse(request, "adsapp_crm/admin/_preview.html", context)
        status = 422 if form.errors or step_errors else 200
        return TemplateResponse(request, "adsapp_crm/admin/mapping.html", context, status=status)

    def _saved(
        self,
        request: HttpRequest,
        form: MappingForm,
        step_errors: list[str],
        connection: CrmConnection,
        everything: Sequence[WantedMapping],
        place: int,
        *,
        judge: bool,
    ) -> bool:
        """``judge``: only say what is wrong; a question comes before the save."""
        try:
            if judge:
                judge_mappings(connection, everything)
                return False
            version = replace_mappings(
                connection,
                everything,
                actor=actor_of(request),
                applies_to=reach_said(request.POST.get("applies_to", "")),
            )
        except MappingsRefusedError as error:
            for each in error.refusals:
                number, _slash, column = each.field.removeprefix("/mappings/").partition("/")
                own = number == str(place)
                name = OF_POINTER.get(column.partition("/")[0]) if own else None
                example = error.examples.get(each.field, "")
                shown = _(" Example: %s") % example if example else ""
                prefix = "" if own or not number.isdecimal() else f"{everything[int(number)].app_field}: "
                text = f"{prefix}{each.message} {each.fix}{shown}"
                if own and column.partition("/")[0] == "transformRule":
                    step_errors.append(text)
                else:
                    form.add_error(name, text)
            return False
        text = _("Saved as version %(n)d of the mappings. The next run goes by it.") % {"n": version}
        self.message_user(request, text, messages.SUCCESS)
        return True

    # The CRM's description, files --------------------------------------------------------------------------------

    @opens_own_transactions
    def describe_view(self, request: HttpRequest, connection_id: str) -> HttpResponse:
        """Ask the CRM anew. It waits for the CRM, so no transaction is open round it."""
        note_staff(request)
        back = reverse("admin:adsapp_crm_crmfieldmapping_changelist")
        organization_id = getattr(request, "organization_id", None)
        if request.method != "POST" or organization_id is None or not may(request, Role.ADMIN):
            raise PermissionDenied
        try:
            with asking_outside():
                refresh_fields(organization_id, _as_uuid(connection_id), actor=actor_of(request))
        except RefusedError as error:
            first = error.refusals[0]
            self.message_user(request, f"{first.message} {first.fix}", messages.ERROR)
        except CrmError as error:
            text = _("The CRM did not answer; the fields are those that it described before.")
            self.message_user(request, f"{text} {explained(error.code)}", messages.ERROR)
        else:
            self.message_user(request, _("The CRM has described its fields."), messages.SUCCESS)
        return HttpResponseRedirect(back)

    def export_view(self, request: HttpRequest, connection_id: str, form: str) -> HttpResponse:
        note_staff(request)
        exports = {"json": (export_json, "application/json"), "csv": (export_csv, "text/csv; charset=utf-8")}
        if form not in exports:
            raise Http404
        connection = self._connection(connection_id)
        export, content_type = exports[form]
        name = f"{connection.crm_type}-mappings-{connection.mapping_version}.{form}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return HttpResponse(export(connection), content_type=content_type, headers=headers)

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """First the file and what it would change; then, with the same content and version, the yes."""
        note_staff(request)
        if not may(request, Role.ADMIN):
            raise PermissionDenied
        posted = request.method == "POST"
        if posted and "content" in request.POST:
            return self._import(request)
        form = FileForm(request.POST, request.FILES) if posted else FileForm()
        context: dict[str, Any] = {}
        if posted and form.is_valid():
            said = form.cleaned_data
            content = said["file"].read()
            try:
                found = preview_import(said["connection"], content, keep_others=said["keep_others"])
            except RefusedError as error:
                for each in error.refusals[:20]:
                    form.add_error("file", f"{each.message} {each.fix}")
            else:
                context = {
                    "found": found,
                    "content": content.decode("utf-8-sig"),
                    "chosen": said["connection"],
                    "labels": labels_of([said["connection"].pk])[said["connection"].pk],
                    "keep_others": said["keep_others"],
                }
        return self._file_page(request, form, context, 422 if form.errors else 200)

    def _import(self, request: HttpRequest) -> HttpResponse:
        said = request.POST
        connection = self._connection(said.get("connection", ""))
        here = reverse("admin:adsapp_crm_crmfieldmapping_import")
        keep = said.get("keep_others") == "True"
        try:
            found = preview_import(connection, said.get("content", "").encode(), keep_others=keep)
            shown = int(said.get("version", "0")) if said.get("version", "0").isdecimal() else 0
            version = apply_import(
                connection,
                MappingImport(found.wanted, found.difference, found.refusals, shown),
                actor=actor_of(request),
                applies_to=reach_said(request.POST.get("applies_to", "")),
            )
        except RefusedError as error:
            for each in error.refusals[:20]:
                self.message_user(request, f"{each.message} {each.fix}", messages.ERROR)
            return HttpResponseRedirect(here)
        text = _("Saved as version %(n)d of the mappings. The next run goes by it.") % {"n": version}
        self.message_user(request, text, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:adsapp_crm_crmfieldmapping_changelist"))

    def _file_page(self, request: HttpRequest, form: FileForm, extra: Mapping[str, Any], status: int) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": _("Import mappings"),
            "opts": self.model._meta,
            "form": form,
            **extra,
        }
        return TemplateResponse(request, "adsapp_crm/admin/mapping_import.html", context, status=status)

    def _connection(self, connection_id: str) -> CrmConnection:
        """Raises Http404 for what is not an open connection of the organization."""
        open_ones = CrmConnection.objects.exclude(status=ConnectionStatus.DISCONNECTED)
        found = open_ones.filter(pk=_as_uuid(connection_id)).first()
        if found is None:
            raise Http404
        return found


def _described_at(connection: CrmConnection) -> Any:
    told = [each.get("fetchedAt", "") for each in connection.schema.values()]
    return parse_datetime(min(told)) if told and all(told) else None


def _as_uuid(text: str) -> Any:
    """Raises Http404 for what is no id."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise Http404 from None
