"""Plans: what a run would do, line by line; approving one carries out what was shown."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from rest_framework.request import Request

from adsapp_crm.api.access import OrganizationView, actor_of, organization_of
from adsapp_crm.api.lookups import check_named, find_connection, find_plan
from adsapp_crm.api.operations import Operation
from adsapp_crm.api.paging import listed, page_of
from adsapp_crm.api.shapes.runs import (
    DryRunSerializer,
    ForecastSerializer,
    PlanLineQuery,
    PlanLineSerializer,
    PlanQuery,
    PlanSerializer,
    RunSerializer,
)
from adsapp_crm.api.views.runs import answer_run
from adsapp_crm.models import CrmPlan, CrmPlanLine
from adsapp_crm.models.choices import Role, RunTrigger
from adsapp_crm.services.forecasts import forecast_of
from adsapp_crm.services.syncing import approve_plan, drop_plan, start_run
from crm.model import RunKind

_CONNECTION = "0198b1f0-0000-7000-8000-000000000001"


class PlansView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(Role.VIEWER, "List plans, newest first", listed(PlanSerializer), query=PlanQuery),
        "POST": Operation(
            Role.OPERATOR,
            "Make a plan by a dry run",
            RunSerializer,
            body=DryRunSerializer,
            also=(202,),
            problems=(404, 409, 503),
            example={"connectionId": _CONNECTION, "syncType": "full"},
        ),
    }

    def get(self, request: Request) -> Any:
        asked = self.query(request)
        with self.work(request):
            check_named(asked)
            rows = CrmPlan.objects.all()
            for key, column in (("connectionId", "connection_id"), ("status", "status")):
                rows = rows.filter(**{column: asked[key]}) if asked.get(key) else rows
            return self.answer(request, page_of(rows, asked))

    def post(self, request: Request) -> Any:
        """Reads both sides and writes to neither. The run's ``planId`` names the plan."""
        asked = self.body(request)
        run_id = start_run(
            organization_of(request),
            asked["connectionId"],
            RunKind(asked["syncType"]),
            trigger=RunTrigger.USER,
            actor=actor_of(request),
            limit=asked.get("limit"),
            dry_run=True,
        )
        return answer_run(self, request, run_id)


class PlanView(OrganizationView):
    operations: ClassVar = {"GET": Operation(Role.VIEWER, "Read a plan", PlanSerializer, problems=(404,))}

    def get(self, request: Request, plan_id: uuid.UUID) -> Any:
        with self.work(request):
            return self.answer(request, find_plan(plan_id))


class PlanLinesView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(
            Role.VIEWER, "List the lines of a plan", listed(PlanLineSerializer), query=PlanLineQuery, problems=(404,)
        )
    }

    def get(self, request: Request, plan_id: uuid.UUID) -> Any:
        """In the order in which they are carried out."""
        asked = self.query(request)
        with self.work(request):
            find_plan(plan_id)
            check_named(asked)
            rows = CrmPlanLine.objects.filter(plan_id=plan_id)
            for key, column in (("kind", "kind"), ("status", "status"), ("contactId", "contact_id")):
                rows = rows.filter(**{column: asked[key]}) if asked.get(key) else rows
            for key in ("deletes", "blanks"):
                rows = rows.filter(**{key: asked[key]}) if asked.get(key) is not None else rows
            return self.answer(request, page_of(rows, asked, order="seq"))


class PlanForecastView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(Role.VIEWER, "Say what carrying out a plan costs", ForecastSerializer, problems=(404,))
    }

    def get(self, request: Request, plan_id: uuid.UUID) -> Any:
        """Calls, time, and its part of the CRM account's allowance of today."""
        with self.work(request):
            plan = find_plan(plan_id)
            return self.answer(request, forecast_of(plan, find_connection(plan.connection_id)))


class PlanApproveView(OrganizationView):
    operations: ClassVar = {
        "POST": Operation(
            Role.ADMIN, "Carry out the lines of a plan", RunSerializer, also=(202,), problems=(404, 409, 503)
        )
    }

    def post(self, request: Request, plan_id: uuid.UUID) -> Any:
        """Each line is done if what it was computed from still holds, and looked at again if not."""
        with self.work(request):
            run = approve_plan(find_plan(plan_id).pk, actor=actor_of(request))
        return answer_run(self, request, run.pk)


class PlanDropView(OrganizationView):
    operations: ClassVar = {
        "POST": Operation(Role.ADMIN, "Carry out nothing of a plan", PlanSerializer, problems=(404, 409))
    }

    def post(self, request: Request, plan_id: uuid.UUID) -> Any:
        """The next run plans anew."""
        with self.work(request):
            drop_plan(find_plan(plan_id).pk, actor=actor_of(request))
            return self.answer(request, find_plan(plan_id))
