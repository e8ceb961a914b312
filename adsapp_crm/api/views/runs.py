"""Runs: how far they are, stopping one, planning to take one back."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.urls import reverse
from rest_framework.request import Request

from adsapp_crm.api.access import OrganizationView, actor_of, organization_of
from adsapp_crm.api.lookups import check_named, find_run
from adsapp_crm.api.operations import Operation
from adsapp_crm.api.paging import listed, page_of
from adsapp_crm.api.shapes.runs import RunQuery, RunSerializer
from adsapp_crm.api.waiting import hand_over, wait_for
from adsapp_crm.models import CrmSyncLog
from adsapp_crm.models.choices import Role
from adsapp_crm.services.run_shapes import has_ended
from adsapp_crm.services.syncing import cancel_run, request_undo
from adsapp_crm.tasks import sync_page


class RunsView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(Role.VIEWER, "List runs, newest first", listed(RunSerializer), query=RunQuery)
    }

    def get(self, request: Request) -> Any:
        asked = self.query(request)
        with self.work(request):
            check_named(asked)
            rows = CrmSyncLog.objects.all()
            for key, column in (("connectionId", "connection_id"), ("status", "status"), ("trigger", "trigger")):
                rows = rows.filter(**{column: asked[key]}) if asked.get(key) else rows
            return self.answer(request, page_of(rows, asked))


class RunView(OrganizationView):
    operations: ClassVar = {"GET": Operation(Role.VIEWER, "Read a run", RunSerializer, problems=(404,))}

    def get(self, request: Request, run_id: uuid.UUID) -> Any:
        with self.work(request):
            return self.answer(request, find_run(run_id))


class RunCancelView(OrganizationView):
    operations: ClassVar = {
        "POST": Operation(Role.OPERATOR, "Stop a run at its next page", RunSerializer, problems=(404,))
    }

    def post(self, request: Request, run_id: uuid.UUID) -> Any:
        """What it did stays. Cancelling what has ended does nothing."""
        with self.work(request):
            cancel_run(find_run(run_id).pk, actor=actor_of(request))
            return self.answer(request, find_run(run_id))


class RunUndoView(OrganizationView):
    operations: ClassVar = {
        "POST": Operation(Role.ADMIN, "Plan to take a run back", RunSerializer, also=(202,), problems=(404, 409, 503))
    }

    def post(self, request: Request, run_id: uuid.UUID) -> Any:
        """Nothing is written to either side: approving the plan that ``planId`` names does it, dropping it does not.

        The plan's totals say what cannot be taken back. Answers with the run that plans: 200 when it has ended
        within the wait, 202 before.
        """
        with self.work(request):
            undo_id = request_undo(find_run(run_id).pk, actor=actor_of(request))
        return answer_run(self, request, undo_id)


def answer_run(view: OrganizationView, request: Request, run_id: uuid.UUID) -> Any:
    """Hand a stored run to the workers; its result when it ends within the wait, else 202 and where to look."""
    hand_over(sync_page, run_id)
    run = wait_for(request, organization_of(request), run_id)
    where = reverse("api:run", args=[run_id])
    return view.answer(request, run, status=200 if has_ended(run) else 202, headers={"Location": where})
