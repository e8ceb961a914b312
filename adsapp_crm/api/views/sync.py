"""Start a sync and wait for it a while; say how the connection and its runs are doing."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from django.urls import reverse
from kombu.exceptions import OperationalError
from rest_framework.request import Request
from rest_framework.response import Response

from adsapp_crm import conf
from adsapp_crm.api.access import OrganizationView, actor_of, organization_of
from adsapp_crm.api.serializers import CrmTypeSerializer, SyncSerializer
from adsapp_crm.models import Contact, CrmConnection, CrmSyncLog
from adsapp_crm.models.choices import ConnectionStatus, LinkStatus, Role, RunTrigger
from adsapp_crm.services.connections import find_connection
from adsapp_crm.services.refusals import refuse
from adsapp_crm.services.run_shapes import has_ended, shape_history, shape_result
from adsapp_crm.services.syncing import RunBusyError, start_run
from adsapp_crm.tasks import sync_now, sync_page
from adsapp_crm.tenancy import organization_context
from crm.model import RunKind

LOOK_EVERY_SECONDS: Final = 0.2
HISTORY_RUNS: Final = 20


class SyncView(OrganizationView):
    roles: ClassVar[Mapping[str, str]] = {"GET": Role.VIEWER, "POST": Role.OPERATOR}

    def post(self, request: Request) -> Response:
        """The result when the run ends within the wait, else 202 with the address where it is told later.

        While a run is on its way a second request is answered with that one.
        """
        body = SyncSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        organization_id, asked = organization_of(request), body.validated_data
        with organization_context(organization_id):
            connection = find_connection(asked["crmType"])
            contact_id = asked.get("contactId")
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
        try:
            (sync_now if contact_id else sync_page).delay(str(run_id))
        except OperationalError as error:
            raise refuse("internal.queue", "The task queue cannot be reached; the run waits for it.") from error
        waits = "respond-async" not in request.headers.get("Prefer", "")
        run = _await(organization_id, run_id, conf.sync_wait_seconds() if waits else 0)
        return self._told(run, connection)

    def get(self, request: Request) -> Response:
        query = CrmTypeSerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        with organization_context(organization_of(request)):
            connection = find_connection(query.validated_data["crm_type"])
            runs = CrmSyncLog.objects.filter(connection=connection)
            answer: dict[str, Any] = {
                "connection": {
                    "id": str(connection.pk),
                    "crmType": connection.crm_type,
                    "status": connection.status,
                    "lastSync": connection.last_sync_at,
                    "health": connection.health,
                    "account": connection.remote_account_name,
                    "lastError": connection.last_error_code or None,
                },
                "status": {
                    "connected": connection.status == ConnectionStatus.ACTIVE,
                    "recordCount": connection.links.filter(state=LinkStatus.LIVE).count(),
                },
                "history": [shape_history(run) for run in runs.order_by("-started_at", "-id")[:HISTORY_RUNS]],
            }
            if wanted := query.validated_data.get("run"):
                run = runs.filter(pk=wanted).first()
                if run is None:
                    raise refuse("run.unknown", "This connection has no such run.", field="run")
                answer["run"] = shape_result(run)
        return Response(answer)

    @staticmethod
    def _told(run: CrmSyncLog, connection: CrmConnection) -> Response:
        if has_ended(run):
            return Response(shape_result(run))
        where = f"{reverse('api:sync')}?crm_type={connection.crm_type}&run={run.pk}"
        return Response(shape_result(run), status=202, headers={"Location": where})


def _await(organization_id: uuid.UUID, run_id: uuid.UUID, seconds: float) -> CrmSyncLog:
    """The run when it has ended, or as it stands after ``seconds``; no transaction is open while this waits."""
    end = time.monotonic() + seconds
    while True:
        with organization_context(organization_id):
            run = CrmSyncLog.objects.get(pk=run_id)
        if has_ended(run) or run.resume_at is not None or time.monotonic() >= end:
            return run
        time.sleep(LOOK_EVERY_SECONDS)
