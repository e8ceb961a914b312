"""What the sync did to whom, and by which rule."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from rest_framework.request import Request

from adsapp_crm.api.access import OrganizationView
from adsapp_crm.api.lookups import check_named
from adsapp_crm.api.operations import Operation
from adsapp_crm.api.paging import listed, page_of
from adsapp_crm.api.shapes.changes import ChangeQuery, ChangeSerializer
from adsapp_crm.models import CrmLedgerEntry
from adsapp_crm.models.choices import Role
from adsapp_crm.services.changes import find_changes
from adsapp_crm.services.refusals import refuse


class ChangesView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(
            Role.VIEWER,
            "List changes by contact, run, connection or field",
            listed(ChangeSerializer),
            query=ChangeQuery,
        )
    }

    def get(self, request: Request) -> Any:
        asked = self.query(request)
        with self.work(request):
            check_named(asked)
            return self.answer(request, page_of(find_changes(asked), asked))


class ChangeView(OrganizationView):
    operations: ClassVar = {"GET": Operation(Role.VIEWER, "Read a change", ChangeSerializer, problems=(404,))}

    def get(self, request: Request, change_id: uuid.UUID) -> Any:
        with self.work(request):
            entry = CrmLedgerEntry.objects.filter(pk=change_id).first()
            if entry is None:
                raise refuse("change.unknown", "There is no change with this id.", field="id")
            return self.answer(request, entry)
