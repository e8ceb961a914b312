"""A run in the guide's words: the same for the API, the commands and the tasks that wait for one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from adsapp_crm.catalogue import explain
from adsapp_crm.models import CrmSyncLog
from adsapp_crm.models.choices import RunState

ENDED: Final = frozenset({RunState.COMPLETED, RunState.FAILED, RunState.HELD, RunState.CANCELLED})
GOOD: Final = frozenset({RunState.COMPLETED, RunState.HELD})


def has_ended(run: CrmSyncLog) -> bool:
    return run.status in ENDED


def shape_result(run: CrmSyncLog) -> dict[str, Any]:
    """The guide's answer to a sync, and beside it what the guide does not know: held plans, counts, why."""
    return {
        "success": run.status in GOOD and not run.records_failed,
        "recordsProcessed": run.records_processed,
        "recordsSuccess": run.records_success,
        "recordsFailed": run.records_failed,
        "duration": _milliseconds(run),
        "errors": shape_errors(run),
        "runId": str(run.pk),
        "status": run.status,
        "syncType": run.sync_type,
        "planId": str(run.plan_id) if run.plan_id else None,
        "counts": run.counts,
        "progress": run.progress,
        "resumeAt": _iso(run.resume_at),
    }


def shape_history(run: CrmSyncLog) -> dict[str, Any]:
    """One line of the history."""
    return {
        "id": str(run.pk),
        "syncType": run.sync_type,
        "direction": run.direction,
        "status": run.status,
        "trigger": run.trigger,
        "dryRun": run.dry_run,
        "recordsProcessed": run.records_processed,
        "recordsSuccess": run.records_success,
        "recordsFailed": run.records_failed,
        "counts": run.counts,
        "errors": shape_errors(run),
        "startedAt": _iso(run.started_at),
        "completedAt": _iso(run.completed_at),
    }


def shape_errors(run: CrmSyncLog) -> list[Mapping[str, Any]]:
    """The run's own code first, with what to do, and what the CRM answered where nobody understood it; then what was
    noted about records.
    """
    own = []
    answers = [each for each in run.errors if "answer" in each]
    if run.error_code:
        entry = explain(run.error_code)
        own = [{"code": run.error_code, "title": str(entry.title), "detail": str(entry.cause), "fix": str(entry.fix)}]
        own[0].update(*({"answer": each["answer"]} for each in answers[:1]))
    return [*own, *(each for each in run.errors if "answer" not in each)]


def _milliseconds(run: CrmSyncLog) -> int:
    end = run.completed_at or run.updated_at
    return max(0, round((end - run.started_at).total_seconds() * 1000))


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
