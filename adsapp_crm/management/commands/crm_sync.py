"""Sync a connection in this process, page by page: ``manage.py crm_sync ORG hubspot --delta``."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from django.core.management.base import CommandParser
from django.db import models
from django.db.models import Count

from adsapp_crm.catalogue import explain
from adsapp_crm.management.command import OK, WRONG, CrmCommand, organization_argument, organization_named, uuid_of
from adsapp_crm.management.progress import Progress
from adsapp_crm.models import CrmConnection, CrmPlan, CrmPlanLine, CrmSyncLog, CrmSyncState
from adsapp_crm.models.choices import LinkStatus, PlanStatus, RunPurpose, RunState, RunTrigger
from adsapp_crm.services.connections import find_connection
from adsapp_crm.services.forecasts import forecast_of, spend_said
from adsapp_crm.services.refusals import refuse
from adsapp_crm.services.run_shapes import has_ended, shape_result
from adsapp_crm.services.stepping import Left, step_run
from adsapp_crm.services.syncing import RunBusyError, approve_plan, cancel_run, start_run
from adsapp_crm.tenancy import organization_context
from crm.model import RunKind

ACTOR: Final = "command:crm_sync"
STEP_SECONDS: Final = 1.0
"""After each the progress is shown; a page that has begun is finished."""
LONGEST_WAIT_SECONDS: Final = 120.0
"""A run that the CRM keeps waiting for longer is left to the workers."""
MOST_BUSY_TRIES: Final = 150
"""Seconds that another worker may hold the stream: longer than the lease of one that died."""
_COUNTS: Final[Mapping[str, str]] = {
    "created_in_app": "created here",
    "created_in_crm": "created in the CRM",
    "updated_in_app": "updated here",
    "updated_in_crm": "updated in the CRM",
    "linked": "linked",
    "unlinked": "unlinked",
    "deleted_in_app": "deleted here",
    "deleted_in_crm": "deleted in the CRM",
    "unchanged": "unchanged",
    "conflicts": "conflicts",
    "held": "held",
    "failed": "failing",
    "unknown": "outcome unknown",
}


class Command(CrmCommand):
    help = (
        "Sync a connection in this process, under the same leases as the workers and without a broker. An interrupted"
        " run goes on where it stopped; Ctrl-C ends it at its next page. A first sync is held: look, then approve."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        organization_argument(parser)
        parser.add_argument("provider", metavar="PROVIDER", help="the CRM's key, such as hubspot")
        kind = parser.add_mutually_exclusive_group()
        kind.add_argument("--full", action="store_true", help="observe everything again")
        kind.add_argument("--delta", action="store_true", help="only what changed (the default)")
        kind.add_argument("--contact", metavar="ID", help="only this contact")
        kind.add_argument("--approve", metavar="PLAN", help="carry out a plan that was held or shown by a dry run")
        parser.add_argument("--limit", type=int, metavar="N", help="apply N contacts at most; all are read")
        parser.add_argument("--dry-run", action="store_true", help="plan and show, write nothing")

    def work(self, options: Mapping[str, Any]) -> int:
        with _interruptible() as interrupted:
            organization_id = organization_named(options["organization"])
            with organization_context(organization_id):
                connection = find_connection(options["provider"])
                # Before a run is begun, which would end and stop the connection: here the key may be wrong, not there.
                CrmConnection.objects.defer(None).get(pk=connection.pk).open_credentials()
                links = CrmSyncState.objects.filter(connection=connection, state=LinkStatus.LIVE).count()
            if interrupted:
                raise KeyboardInterrupt
            run_id = self._begin(organization_id, connection.pk, options)
            progress = Progress(self.stderr)
            try:
                run = self._go(organization_id, run_id, progress, interrupted, links)
            finally:
                progress.end()
        return self._tell(organization_id, run, options)

    def _begin(self, organization_id: uuid.UUID, connection_id: uuid.UUID, options: Mapping[str, Any]) -> uuid.UUID:
        if options["approve"]:
            if options["limit"] is not None or options["dry_run"]:
                raise refuse(
                    "request.invalid",
                    "An approved plan is carried out as it was shown.",
                    field="--approve",
                    fix="Leave --limit and --dry-run out.",
                )
            plan_id = uuid_of(options["approve"], "PLAN", "plan.unknown")
            with organization_context(organization_id, actor=ACTOR):
                if not CrmPlan.objects.filter(pk=plan_id, connection_id=connection_id).exists():
                    raise refuse("plan.unknown", "This connection has no such plan.", field="PLAN")
                begun = CrmSyncLog.objects.filter(plan_id=plan_id, completed_at__isnull=True, dry_run=False)
                under_way = begun.filter(purpose=RunPurpose.APPLY_PLAN).values_list("pk", flat=True).first()
                if under_way is not None:
                    self.progress(f"going on with run {under_way}, which carries this plan out")
                    return uuid.UUID(str(under_way))
                return approve_plan(plan_id, actor=ACTOR).pk
        kind = RunKind.MANUAL if options["contact"] else RunKind.FULL if options["full"] else RunKind.DELTA
        try:
            return start_run(
                organization_id,
                connection_id,
                kind,
                trigger=RunTrigger.USER,
                actor=ACTOR,
                contact_ids=(options["contact"],) if options["contact"] else (),
                limit=options["limit"],
                dry_run=options["dry_run"],
            )
        except RunBusyError as busy:
            self._check_same(organization_id, busy, options)
            self.progress(f"going on with run {busy.run_id}, which has not ended")
            return busy.run_id

    @staticmethod
    def _check_same(organization_id: uuid.UUID, busy: RunBusyError, options: Mapping[str, Any]) -> None:
        """An unfinished run is resumed only by a command that asks for no less care than it was started with."""
        with organization_context(organization_id):
            run = CrmSyncLog.objects.get(pk=busy.run_id)
        if (run.dry_run, run.contact_limit) != (options["dry_run"], options["limit"]):
            raise busy

    def _go(
        self,
        organization_id: uuid.UUID,
        run_id: uuid.UUID,
        progress: Progress,
        interrupted: list[bool],
        links: int,
    ) -> CrmSyncLog:
        """Step until the run has ended, or waits longer than anybody would sit here."""
        cancelled = False
        busy = 0
        with organization_context(organization_id):
            plan_id = CrmSyncLog.objects.values_list("plan_id", flat=True).get(pk=run_id)
            approved = CrmPlanLine.objects.filter(plan_id=plan_id, approved=True, status="planned").count()
        while True:
            if interrupted and not cancelled:
                with organization_context(organization_id, actor=ACTOR):
                    cancel_run(run_id, actor=ACTOR)
                cancelled = True
            step = step_run(organization_id, run_id, seconds=STEP_SECONDS)
            with organization_context(organization_id):
                run = CrmSyncLog.objects.select_related("plan").get(pk=run_id)
            _show(progress, run, links, approved)
            if has_ended(run):
                return run
            if step.left is Left.PARKED:
                if cancelled or not self._sat_out(run, interrupted):
                    return run
            elif step.left is Left.BUSY:
                busy += 1
                if busy > MOST_BUSY_TRIES:
                    raise refuse(
                        "run.busy",
                        "Another worker has this run, or one that is in its way.",
                        field="PROVIDER",
                        fix="Wait until it has ended; crm_status shows how it is doing.",
                    )
                time.sleep(1)
            else:
                busy = 0

    def _sat_out(self, run: CrmSyncLog, interrupted: list[bool]) -> bool:
        """Wait until the CRM lets us go on; False when that is too long."""
        began = time.monotonic()
        wait_seconds = (run.resume_at - run.updated_at).total_seconds() if run.resume_at else 0.0
        if wait_seconds > LONGEST_WAIT_SECONDS:
            return False
        self.progress(f"waiting {wait_seconds:.0f} s: {explain(run.error_code).title}")
        while time.monotonic() < began + wait_seconds and not interrupted:
            time.sleep(0.2)
        return True

    def _tell(self, organization_id: uuid.UUID, run: CrmSyncLog, options: Mapping[str, Any]) -> int:
        code = OK if run.status in (RunState.COMPLETED, RunState.HELD) else WRONG
        result = {"ok": code == OK, **shape_result(run), "apiCalls": run.api_calls}
        with organization_context(organization_id):
            if run.dry_run or run.status == RunState.HELD:
                result["plan"] = _planned(run)
                result["forecast"] = _forecast(run)
            waiting = _waiting(run)
        result["waitingPlans"] = [str(each) for each in waiting]
        self.give(result)
        self.say(f"run        {run.pk} ({run.sync_type}{', dry run' if run.dry_run else ''}): {run.status}")
        told = [f"{run.counts[key]:,} {text}" for key, text in _COUNTS.items() if run.counts.get(key)]
        self.say(f"records    {run.records_processed:,} looked at; {', '.join(told) or 'nothing to do'}")
        self.say(f"requests   {run.api_calls:,}")
        for kind, number in result.get("plan", {}).items():
            self.say(f"planned    {number:,} {kind.replace('_', ' ')}")
        if result.get("forecast"):
            self.say(f"forecast   {result['forecast']}")
        for each in result["errors"]:
            records = f" ({each['records']} records)" if "records" in each else ""
            self.say(f"{each['code']}{records}: {each['title']}. {each['fix']}")
        if run.status == RunState.PARKED:
            self.say(f"waits      until {run.resume_at:%Y-%m-%d %H:%M:%S} UTC; the workers go on with it")
        for plan_id in waiting:
            self.say("approve    " + self._approval(options, plan_id))
        return code

    @staticmethod
    def _approval(options: Mapping[str, Any], plan_id: uuid.UUID) -> str:
        return f'manage.py crm_sync "{options["organization"]}" {options["provider"]} --approve {plan_id}'


def _forecast(run: CrmSyncLog) -> str:
    """What carrying the plan out costs, in words; empty when the run has none."""
    if run.plan_id is None:
        return ""
    plan = CrmPlan.objects.select_related("run").get(pk=run.plan_id)
    return spend_said(forecast_of(plan, CrmConnection.objects.get(pk=run.connection_id)).spend)


def _planned(run: CrmSyncLog) -> dict[str, int]:
    """Lines that wait for somebody, by kind of action; in the run's organization."""
    lines = CrmPlanLine.objects.filter(plan_id=run.plan_id, status__in=["planned", "held"])
    return dict(lines.values_list("kind").annotate(records=Count("pk")).order_by("kind"))


def _waiting(run: CrmSyncLog) -> list[uuid.UUID]:
    """Plans of the connection that wait for a yes: held ones, and what this run showed; in its organization."""
    held = models.Q(status=PlanStatus.HELD) | models.Q(pk=run.plan_id, status=PlanStatus.PLANNED)
    lines = CrmPlanLine.objects.filter(plan=models.OuterRef("pk"), status__in=["planned", "held"])
    plans = CrmPlan.objects.filter(held, models.Exists(lines), connection_id=run.connection_id)
    return list(plans.order_by("created_at", "id").values_list("pk", flat=True))


def _show(progress: Progress, run: CrmSyncLog, links: int, approved: int) -> None:
    phase = str(run.progress.get("phase", run.phase))
    if phase == "apply":
        progress.show(phase, int(run.progress.get("done", 0)), int(run.progress.get("planned", 0)) or approved or None)
    elif phase == "observe":
        seen = int(run.progress.get("observed", 0))
        progress.show(phase, seen, links if run.sync_type == RunKind.FULL and links > seen else None)
    elif phase != "done":
        progress.show(phase, int(run.progress.get("planned", 0)), None)


@contextmanager
def _interruptible() -> Iterator[list[bool]]:
    """A list that the first Ctrl-C (or SIGTERM) fills; the second one stops the process, and the run can be resumed."""
    interrupted: list[bool] = []

    def note(number: int, _frame: FrameType | None) -> None:
        if interrupted:
            raise KeyboardInterrupt
        interrupted.append(True)
        del number

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            before[number] = signal.signal(number, note)
        except ValueError:  # not the main thread: whoever calls us there has no Ctrl-C
            break
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
