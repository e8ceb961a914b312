"""Audits: listed, read, and what they name looked at again."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from rest_framework.request import Request

from adsapp_crm.api.access import OrganizationView, actor_of
from adsapp_crm.api.lookups import check_named
from adsapp_crm.api.operations import Operation
from adsapp_crm.api.paging import listed, page_of
from adsapp_crm.api.shapes.audits import AuditQuery, AuditSerializer
from adsapp_crm.api.shapes.runs import RunSerializer
from adsapp_crm.api.views.runs import answer_run
from adsapp_crm.models import CrmAudit
from adsapp_crm.models.choices import Role
from adsapp_crm.services.audits import find_audit, repair


class AuditsView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(Role.VIEWER, "List audits, newest first", listed(AuditSerializer), query=AuditQuery)
    }

    def get(self, request: Request) -> Any:
        asked = self.query(request)
        with self.work(request):
            check_named(asked)
            wanted = asked.get("connectionId")
            rows = CrmAudit.objects.filter(connection=wanted) if wanted else CrmAudit.objects.all()
            return self.answer(request, page_of(rows, asked))


class AuditView(OrganizationView):
    operations: ClassVar = {"GET": Operation(Role.VIEWER, "Read an audit", AuditSerializer, problems=(404,))}

    def get(self, request: Request, audit_id: uuid.UUID) -> Any:
        with self.work(request):
            return self.answer(request, find_audit(audit_id))


class AuditRepairView(OrganizationView):
    operations: ClassVar = {
        "POST": Operation(
            Role.OPERATOR,
            "Sync the contacts that an audit found drifted",
            RunSerializer,
            also=(202,),
            problems=(404, 409, 503),
        )
    }

    def post(self, request: Request, audit_id: uuid.UUID) -> Any:
        """Up to 200 contacts, by the planner and its rules; what agrees by then is not written."""
        with self.work(request):
            run_id = repair(audit_id, actor=actor_of(request))
        return answer_run(self, request, run_id)
