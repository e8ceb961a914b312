"""The jobs, started by an outside scheduler: by GET or POST, once per slot of time."""

from __future__ import annotations

import hmac
from typing import ClassVar

from kombu.exceptions import OperationalError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from adsapp_crm import conf
from adsapp_crm.services.jobs import claim_slot, give_slot_back, job_named
from adsapp_crm.services.refusals import refuse
from adsapp_crm.tasks import work_job


class CronView(APIView):
    """Open to whoever has a secret of CRON_SECRET in the Authorization header; nobody logs in here."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    opens_own_transactions: ClassVar[bool] = True

    def get(self, request: Request) -> Response:
        return self._fire(request)

    def post(self, request: Request) -> Response:
        return self._fire(request)

    def _fire(self, request: Request) -> Response:
        _check_secret(request.headers.get("Authorization", ""))
        job = job_named(request.query_params.get("job", ""))
        slot_id = claim_slot(job)
        if slot_id is None:
            return Response({"success": True, "job": job.value, "started": False})
        try:
            work_job.delay(str(slot_id))
        except OperationalError as error:
            give_slot_back(slot_id)
            raise refuse("internal.queue", "The task queue cannot be reached.") from error
        return Response({"success": True, "job": job.value, "started": True}, status=202)


def _check_secret(header: str) -> None:
    """Every secret is compared, in constant time; a missing and a wrong one get the same answer."""
    secrets = [secret for secret in conf.cron_secrets() if len(secret.encode()) >= conf.MINIMUM_SECRET_BYTES]
    if not secrets:
        raise refuse("job.unset", "This installation has no CRON_SECRET of at least 32 bytes.")
    scheme, _, given = header.partition(" ")
    offered = given.strip().encode() if scheme.lower() == "bearer" else b""
    fits = [hmac.compare_digest(offered, secret.encode()) for secret in secrets]
    if not any(fits):
        raise refuse("job.refused", "The secret is missing or wrong.")
