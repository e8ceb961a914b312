"""The app's side: runs started as the product's doors start them, and followed in the database."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.harness.torture.people import Town

T = TypeVar("T")
RUN_SECONDS = 60.0
POLL_SECONDS = 0.05


class StuckError(RuntimeError):
    """A run did not end within its bound."""


@dataclass
class App:
    """One organization and its connection."""

    organization_id: uuid.UUID
    connection_id: uuid.UUID
    town: Town
    lost_messages: int = 0
    """Runs that stood still because their message was gone, until the sweep looked for such."""
    fence_before: int = 0
    """Of the scan's lease when the last run was started."""

    def start(self, kind: str, *, messages: int = 1) -> str:
        """Store a run and send its message so many times; returns its id. Waits while another scan runs."""
        from adsapp_crm.services.syncing import RunBusyError, start_run
        from adsapp_crm.tasks import sync_page
        from crm.model import RunKind

        end = time.monotonic() + RUN_SECONDS
        while True:
            try:
                run_id = str(start_run(self.organization_id, self.connection_id, RunKind(kind), actor="user:torture"))
                break
            except RunBusyError as busy:
                if time.monotonic() > end:
                    raise StuckError("another run does not end") from busy
                self.follow(str(busy.run_id))
        self.fence_before = self.grant("scan")[0]
        for _ in range(messages):
            sync_page.delay(run_id)
        return run_id

    def approve(self, run_id: str) -> str:
        from adsapp_crm.services.syncing import approve_plan
        from adsapp_crm.tasks import sync_page

        plan_id = self.row(run_id)["plan_id"]
        run = str(self._ask(lambda: approve_plan(plan_id, actor="user:torture").pk))
        sync_page.delay(run)
        return run

    def follow(self, run_id: str, *, seconds: float = RUN_SECONDS) -> dict[str, Any]:
        """The run's row once it has ended.

        The waits of a parked run, and of one whose message was lost, are rows with a time: they are cut short.
        """
        end = time.monotonic() + seconds
        last_seen, stood_since = None, time.monotonic()
        while True:
            row = self.row(run_id)
            if row["completed_at"] is not None:
                return row
            if row["status"] == "parked":
                self._hurry(run_id)
            elif time.monotonic() - stood_since > 4 and self._waits_for_a_message(run_id, row):
                self._let_the_sweep_look(run_id)
                stood_since = time.monotonic()
            if row["updated_at"] != last_seen:
                last_seen, stood_since = row["updated_at"], time.monotonic()
            if time.monotonic() > end:
                message = f"run {run_id} is {row['status']} in {row['phase']} {row['position']} after {seconds} s"
                raise StuckError(message)
            time.sleep(POLL_SECONDS)

    def row(self, run_id: str) -> dict[str, Any]:
        from adsapp_crm.models import CrmSyncLog

        return dict(self._ask(lambda: CrmSyncLog.objects.filter(pk=run_id).values().get()))

    def grant(self, stream: str) -> tuple[int, bool]:
        """(fence, held): how often the stream's lease was granted, and whether the last owner has not given it back."""
        from adsapp_crm.models import CrmLease

        rows = self._ask(lambda: list(CrmLease.objects.filter(stream=stream).values_list("fence", "owner")))
        return (int(rows[0][0]), bool(rows[0][1])) if rows else (0, False)

    def wait_for_worker(self, *, seconds: float = 20.0) -> None:
        """Return when a worker has begun with the run that was started last."""
        end = time.monotonic() + seconds
        while self.grant("scan")[0] <= self.fence_before and time.monotonic() < end:
            time.sleep(0.02)

    def wait_for_heir(self, stream: str, fence: int, *, seconds: float) -> float | None:
        """When another worker took over after that grant; None where nothing was left to do.

        Raises StuckError when nobody did in time.
        """
        end = time.monotonic() + seconds
        while self.grant(stream)[0] <= fence:
            if not self._ask(self._unfinished):
                return None
            if time.monotonic() > end:
                message = f"nobody went on with {stream}"
                raise StuckError(message)
            time.sleep(POLL_SECONDS)
        return time.time()

    def wait_until_idle(self, *, seconds: float = RUN_SECONDS) -> None:
        """Return when no run of any kind is under way."""
        end = time.monotonic() + seconds
        while runs := self._ask(self._unfinished):
            for run_id in runs:
                self.follow(run_id, seconds=max(0.0, end - time.monotonic()))

    @staticmethod
    def _unfinished() -> list[str]:
        from adsapp_crm.models import CrmSyncLog

        found = CrmSyncLog.objects.filter(completed_at__isnull=True).values_list("pk", flat=True)
        return [str(each) for each in found]

    def push_at_once(self, *, wanted: bool) -> None:
        """Whether contacts that change here are pushed within seconds, beside the scans, or wait for a scan."""
        from adsapp_crm.models import CrmConnection
        from adsapp_crm.services.realtime import REALTIME_SETTING

        def store() -> None:
            row = CrmConnection.objects.get(pk=self.connection_id)
            CrmConnection.objects.filter(pk=row.pk).update(settings={**row.settings, REALTIME_SETTING: wanted})

        self._ask(store)

    def sent_again(self, run_id: str) -> int:
        """Lines of the run whose write was sent more than once."""
        from django.db.models import Count

        from adsapp_crm.models import CrmIntent

        def count() -> int:
            lines = CrmIntent.objects.filter(run_id=run_id).values("line_id").annotate(sent=Count("id"))
            return lines.filter(sent__gt=1).count()

        return self._ask(count)

    def _waits_for_a_message(self, run_id: str, row: Mapping[str, Any]) -> bool:
        """Nobody has it, nor died with it: a message that Redis had handed out went down with a connection, say."""
        manual = row["sync_type"] not in ("full", "delta") and not row["approved"]
        return not self.grant(f"run:{run_id}" if manual else "scan")[1]

    def _let_the_sweep_look(self, run_id: str) -> None:
        from django.db.models import F

        from adsapp_crm.models import CrmSyncLog
        from adsapp_crm.services.jobs import QUIET_FOR

        def age() -> None:
            run = CrmSyncLog.objects.filter(pk=run_id, completed_at=None)
            run.update(updated_at=F("updated_at") - QUIET_FOR)

        self._ask(age)
        self.lost_messages += 1

    def _hurry(self, run_id: str) -> None:
        from django.db.models.functions import Now

        from adsapp_crm.models import CrmSyncLog

        self._ask(lambda: CrmSyncLog.objects.filter(pk=run_id, status="parked").update(resume_at=Now()))
        from adsapp_crm.tasks import sync_page

        sync_page.delay(run_id)
        time.sleep(0.5)

    def _ask(self, question: Callable[[], T]) -> T:
        """Ask the database, which may be away for a while."""
        from django.db import Error, connections

        end = time.monotonic() + 30
        while True:
            try:
                with self.town.inside():
                    return question()
            except Error:
                connections.close_all()
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
