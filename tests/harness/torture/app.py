"""The app's side: runs started as the product's doors start them, and followed in the database."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
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
    first_fence: int = 0
    """Of the grant under which the run that was started last begins: a greater one means that another worker has it."""

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
        self.first_fence = self.fence() + 1
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
        """The run's row once it has ended. A wait of minutes that it is in is cut short."""
        end = time.monotonic() + seconds
        while True:
            row = self.row(run_id)
            if row["completed_at"] is not None:
                return row
            if row["status"] == "parked":
                self._hurry(run_id)
            if time.monotonic() > end:
                message = f"run {run_id} is {row['status']} in {row['phase']} {row['position']} after {seconds} s"
                raise StuckError(message)
            time.sleep(POLL_SECONDS)

    def row(self, run_id: str) -> dict[str, Any]:
        from adsapp_crm.models import CrmSyncLog

        return dict(self._ask(lambda: CrmSyncLog.objects.filter(pk=run_id).values().get()))

    def fence(self) -> int:
        """Of the scan's lease: it grows when a worker takes it."""
        from adsapp_crm.models import CrmLease

        rows = self._ask(lambda: list(CrmLease.objects.filter(stream="scan").values_list("fence", flat=True)))
        return int(rows[0]) if rows else 0

    def wait_for_worker(self, *, seconds: float = 20.0) -> None:
        """Return when a worker has begun with the run that was started last."""
        end = time.monotonic() + seconds
        while self.fence() < self.first_fence and time.monotonic() < end:
            time.sleep(0.02)

    def is_idle(self) -> bool:
        """No run is under way."""
        from adsapp_crm.models import CrmSyncLog

        return not self._ask(lambda: CrmSyncLog.objects.filter(completed_at__isnull=True).exists())

    def wait_for_heir(self, *, seconds: float) -> float | None:
        """When another worker went on with the run that was started last; None when none did in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.fence() > self.first_fence:
                return time.time()
            time.sleep(POLL_SECONDS)
        return None

    def sent_again(self, run_id: str) -> int:
        """Lines of the run whose write was sent more than once."""
        from django.db.models import Count

        from adsapp_crm.models import CrmIntent

        def count() -> int:
            lines = CrmIntent.objects.filter(run_id=run_id).values("line_id").annotate(sent=Count("id"))
            return lines.filter(sent__gt=1).count()

        return self._ask(count)

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
