"""Contacts: list, read, write, merge, forget, and everything that ever changed in one."""

from __future__ import annotations

import io
import uuid
from typing import Any, ClassVar, Final

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.urls import reverse
from rest_framework.request import Request

from adsapp_crm.api.access import OrganizationView, organization_of
from adsapp_crm.api.caller import hides_values
from adsapp_crm.api.conditions import etag, wanted_version
from adsapp_crm.api.json_bodies import CsvParser
from adsapp_crm.api.operations import Operation
from adsapp_crm.api.paging import PageQuery, listed, page_of
from adsapp_crm.api.shapes.contacts import (
    ContactBodySerializer,
    ContactChangeSerializer,
    ContactQuery,
    ContactSerializer,
    ErasureSerializer,
    ExportQuery,
    ImportReportSerializer,
    MergeSerializer,
    contact_values,
    pointing_into_body,
)
from adsapp_crm.models import Contact, ContactChange
from adsapp_crm.models.choices import Role
from adsapp_crm.services.contact_import import import_contacts
from adsapp_crm.services.contact_search import find_contacts, in_order, is_search
from adsapp_crm.services.contacts import (
    create_contact,
    delete_contact,
    merge_contacts,
    restore_contact,
    update_contact,
)
from adsapp_crm.services.erasure import erase_contact
from adsapp_crm.services.exports import export_contacts
from adsapp_crm.services.refusals import refuse

_EXAMPLE = {"firstName": "Ann", "lastName": "Bakker", "email": "ann@example.com", "customFields": {"tier": "gold"}}


MOST_IMPORTED_LINES: Final = 50_000
"""Of a file by API; each is judged before the answer."""


class ContactsView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(Role.VIEWER, "List contacts", listed(ContactSerializer), query=ContactQuery),
        "POST": Operation(
            Role.OPERATOR,
            "Create a contact",
            ContactSerializer,
            body=ContactBodySerializer,
            status=201,
            example=_EXAMPLE,
        ),
    }

    def get(self, request: Request) -> Any:
        asked = self.query(request)
        with self.work(request):
            put = in_order if is_search(asked) else QuerySet.order_by
            return self.answer(request, page_of(find_contacts(asked), asked, put=put))

    def post(self, request: Request) -> Any:
        values = contact_values(self.body(request))
        with pointing_into_body(), self.work(request):
            made = create_contact(values)
        headers = {"Location": reverse("api:contact", args=[made.pk]), **etag(made.version)}
        return self.answer(request, made, headers=headers)


class ContactView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(Role.VIEWER, "Read a contact", ContactSerializer, problems=(404,)),
        "PATCH": Operation(
            Role.OPERATOR,
            "Change fields of a contact",
            ContactSerializer,
            body=ContactBodySerializer,
            problems=(404, 412),
            conditional=True,
            example={"phone": "+31612345678", "notes": None},
        ),
        "DELETE": Operation(Role.OPERATOR, "Mark a contact deleted", status=204, problems=(404, 412), conditional=True),
    }

    def get(self, request: Request, contact_id: uuid.UUID) -> Any:
        with self.work(request):
            contact = find_contact(contact_id)
        return self.answer(request, contact, headers=etag(contact.version))

    def patch(self, request: Request, contact_id: uuid.UUID) -> Any:
        values, version = contact_values(self.body(request)), self._version(request, contact_id)
        with pointing_into_body(), self.work(request):
            contact = update_contact(contact_id, values, version=version)
        return self.answer(request, contact, headers=etag(contact.version))

    def delete(self, request: Request, contact_id: uuid.UUID) -> Any:
        """Each CRM follows by its connection's deletion rule."""
        version = self._version(request, contact_id)
        with self.work(request):
            return self.answer(request, delete_contact(contact_id, version=version))

    def _version(self, request: Request, contact_id: uuid.UUID) -> int | None:
        def current() -> int:
            with self.work(request):
                return find_contact(contact_id).version

        return wanted_version(request, current)


class ContactRestoreView(OrganizationView):
    operations: ClassVar = {
        "POST": Operation(Role.OPERATOR, "Take a deletion back", ContactSerializer, problems=(404,))
    }

    def post(self, request: Request, contact_id: uuid.UUID) -> Any:
        with self.work(request):
            return self.answer(request, restore_contact(contact_id))


class ContactMergeView(OrganizationView):
    operations: ClassVar = {
        "POST": Operation(
            Role.OPERATOR,
            "Merge another contact into this one",
            ContactSerializer,
            body=MergeSerializer,
            problems=(404,),
            example={"otherId": "0198b1f0-0000-7000-8000-000000000002"},
        )
    }

    def post(self, request: Request, contact_id: uuid.UUID) -> Any:
        other_id = self.body(request)["otherId"]
        with self.work(request):
            find_contact(contact_id)
            find_contact(other_id, field="otherId")
            return self.answer(request, merge_contacts(contact_id, other_id))


class ContactEraseView(OrganizationView):
    operations: ClassVar = {
        "POST": Operation(Role.ADMIN, "Forget a person who asked for it", ErasureSerializer, problems=(404,))
    }

    def post(self, request: Request, contact_id: uuid.UUID) -> Any:
        """Every value of the person goes, also from history and ledger. It cannot be taken back."""
        with self.work(request):
            return self.answer(request, erase_contact(contact_id))


class ContactHistoryView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(
            Role.VIEWER,
            "List what changed in a contact",
            listed(ContactChangeSerializer),
            query=PageQuery,
            problems=(404,),
        )
    }

    def get(self, request: Request, contact_id: uuid.UUID) -> Any:
        asked = self.query(request)
        with self.work(request):
            find_contact(contact_id)
            rows = ContactChange.objects.filter(contact_id=contact_id)
            return self.answer(request, page_of(rows, asked, order="-version"))


class ContactImportView(OrganizationView):
    parser_classes = [CsvParser]
    operations: ClassVar = {
        "POST": Operation(
            Role.OPERATOR,
            "Create a contact for each row of a CSV file",
            ImportReportSerializer,
            takes="text/csv",
        )
    }

    def post(self, request: Request) -> Any:
        """The form of the export, in UTF-8. A row that cannot be taken is told with its line and stops no other."""
        given: Any = request.data
        body = given if isinstance(given, bytes) else b""
        if body.count(b"\n") > MOST_IMPORTED_LINES:
            raise refuse(
                "request.too_large", f"A file has at most {MOST_IMPORTED_LINES} lines.", fix="Send it in parts."
            )
        lines = io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", newline="")
        with self.work(request):
            return self.answer(request, import_contacts(lines))


class ContactExportView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(Role.VIEWER, "Export contacts as CSV", query=ExportQuery, media_type="text/csv")
    }

    def get(self, request: Request) -> StreamingHttpResponse:
        """Live contacts in the form that the import reads; no cell of it runs as a formula."""
        lines = export_contacts(organization_of(request), self.query(request), hides=hides_values(request))
        answer = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = 'attachment; filename="contacts.csv"'
        return answer


def find_contact(contact_id: uuid.UUID, *, field: str = "id") -> Contact:
    """In any state, of the current organization; raises RefusedError (``contact.unknown``)."""
    contact = Contact.objects.filter(pk=contact_id).first()
    if contact is None:
        raise refuse("contact.unknown", "There is no contact with this id.", field=field)
    return contact
