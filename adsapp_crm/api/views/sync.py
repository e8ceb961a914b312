"""Start a sync and wait for it a while; say how the connection and its runs are doing."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.urls import reverse
from rest_framework.request import Request

from adsapp_crm.api.access import OrganizationView, actor_of, organization_of
from adsapp_crm.api.operations import Operation
from adsapp_crm.api.serializers import StatusQuery, SyncSerializer
from adsapp_crm.api.shapes.sync import SyncResultSerializer, SyncStatusSerializer
from adsapp_crm.api.waiting import hand_over, wait_for
from adsapp_crm.models import Contact, CrmSyncLog
from adsapp_crm.models.choices import ConnectionStatus, LinkStatus, Role, RunTrigger
from adsapp_crm.selectors import database_now
from adsapp_crm.services.connections import find_connection
from adsapp_crm.services.counting import counted
from adsapp_crm.services.refusals import refuse
from adsapp_crm.services.run_shapes import has_ended, shape_history, shape_result
from adsapp_crm.services.standing import health_of
from adsapp_crm.services.syncing import RunBusyError, start_run
from adsapp_crm.tasks import sync_now, sync_page
from crm.model import RunKind

HISTORY_RUNS: Final = 20


class SyncView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(
            Role.VIEWER,
            "Say how the connection and its runs are doing",
            SyncStatusSerializer,
            query=StatusQuery,
            problems=(404,),
        ),
        "POST": Operation(
            Role.OPERATOR,
            "Start a sync",
            SyncResultSerializer,
            body=SyncSerializer,
            also=(202,),
            problems=(404, 409, 503),
            example={"crmType": "hubspot", "syncType": "delta"},
        ),
    }

    def post(self, request: Request) -> Any:
        """The result when the run ends within the wait, else 202 with the address where it is told later.

        While a run is on its way a second request is answered with that one.
        """
        organization_id, asked = organization_of(request), self.body(request)
        contact_id = asked.get("contactId")
        with self.work(request):
            connection = find_connection(asked["crmType"])
            if contact_id is not None and not Contact.objects.live().filter(pk=contact_id).exists():
                raise refuse(
                    "contact.unknown",
                    "There is no live contact with this id.",
                    field="contactId",
                    fix="Use the id of a contact of this organization.",
                )
        kind = RunKind.MANUAL if contact_id else RunKind(asked["syncType"])
        try:
            run_id = start_run(
                organization_id,
                connection.pk,
                kind,
                trigger=RunTrigger.USER,
                actor=actor_of(request),
                contact_ids=(str(contact_id),) if contact_id else (),
            )
        except RunBusyError as busy:
            run_id = busy.run_id
        hand_over(sync_now if contact_id else sync_page, run_id)
        run = wait_for(request, organization_id, run_id)
        if has_ended(run):
            return self.told(shape_result(run))
        where = f"{reverse('api:sync')}?crm_type={connection.crm_type}&run={run.pk}"
        return self.told(shape_result(run), status=202, headers={"Location": where})

    def get(self, request: Request) -> Any:
        asked = self.query(request)
        with self.work(request):
            connection = find_connection(asked["crm_type"])
            runs = CrmSyncLog.objects.filter(connection=connection)
            answer: dict[str, Any] = {
                "connection": {
                    "id": str(connection.pk),
                    "crmType": connection.crm_type,
                    "status": connection.status,
                    "lastSync": connection.last_sync_at,
                    "health": health_of(connection, database_now()),
                    "account": connection.remote_account_name,
                    "lastError": connection.last_error_code or None,
                },
                "status": {
                    "connected": connection.status == ConnectionStatus.ACTIVE,
                    "recordCount": counted("live", connection.pk, connection.links.filter(state=LinkStatus.LIVE).count),
                },
                "history": [shape_history(run) for run in runs.order_by("-started_at", "-id")[:HISTORY_RUNS]],
            }
            if wanted := asked.get("run"):
                run = runs.filter(pk=wanted).first()
                if run is None:
                    raise refuse("run.unknown", "This connection has no such run.", field="run")
                answer["run"] = shape_result(run)
        return self.told(answer)
