"""Handing a run to the workers, and waiting a while for its end."""

from __future__ import annotations

import time
import uuid
from typing import Any, Final

from celery.app.task import Task
from kombu.exceptions import OperationalError
from rest_framework.request import Request

from adsapp_crm import conf
from adsapp_crm.models import CrmSyncLog
from adsapp_crm.services.refusals import refuse
from adsapp_crm.services.run_shapes import has_ended
from adsapp_crm.tenancy import organization_context

LOOK_EVERY_SECONDS: Final = 0.2


def hand_over(task: Task[Any, Any], row_id: uuid.UUID) -> None:
    """Send a task about a committed row; raises RefusedError (``internal.queue``) when the broker is away."""
    try:
        task.delay(str(row_id))
    except OperationalError as error:
        raise refuse("internal.queue", "The task queue cannot be reached; the run waits for it.") from error


def wait_for(request: Request, organization_id: uuid.UUID, run_id: uuid.UUID) -> CrmSyncLog:
    """The run when it has ended, or as it stands when the wait is over; ``Prefer: respond-async`` skips the wait."""
    waits = "respond-async" not in request.headers.get("Prefer", "")
    end = time.monotonic() + (conf.sync_wait_seconds() if waits else 0)
    while True:
        # No transaction is open while this sleeps.
        with organization_context(organization_id):
            run = CrmSyncLog.objects.get(pk=run_id)
        if has_ended(run) or run.resume_at is not None or time.monotonic() >= end:
            return run
        time.sleep(LOOK_EVERY_SECONDS)
