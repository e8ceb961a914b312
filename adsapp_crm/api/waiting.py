"""Handing a run to the workers, and waiting a while for its end.

Who waits holds a thread of the web server, so only some of a process's requests may; the others are told at once where
to look.
"""

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
from adsapp_crm.services.seats import WAITERS
from adsapp_crm.tenancy import organization_context

LOOK_EVERY_SECONDS: Final = 0.2


def hand_over(task: Task[Any, Any], row_id: uuid.UUID) -> None:
    """Send a task about a committed row; raises RefusedError (``internal.queue``) when the broker is away."""
    try:
        task.delay(str(row_id))
    except OperationalError as error:
        raise refuse("internal.queue", "The task queue cannot be reached; the run waits for it.") from error


def wait_for(request: Request, organization_id: uuid.UUID, run_id: uuid.UUID) -> CrmSyncLog:
    """The run when it has ended, or as it stands when the wait is over.

    ``Prefer: respond-async`` skips the wait, and so do ``CRM_SYNC_WAITERS`` others that wait in this process.
    """
    if "respond-async" in request.headers.get("Prefer", ""):
        return _look(organization_id, run_id)
    with WAITERS.one() as is_mine:
        end = time.monotonic() + (conf.sync_wait_seconds() if is_mine else 0)
        while True:
            run = _look(organization_id, run_id)
            if has_ended(run) or run.resume_at is not None or time.monotonic() >= end:
                return run
            time.sleep(LOOK_EVERY_SECONDS)


def _look(organization_id: uuid.UUID, run_id: uuid.UUID) -> CrmSyncLog:
    """No transaction is open after it: who waits sleeps outside."""
    with organization_context(organization_id):
        return CrmSyncLog.objects.get(pk=run_id)
