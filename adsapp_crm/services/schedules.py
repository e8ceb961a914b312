"""When a connection syncs by itself: its schedule, and what of it has come due.

Due times are columns of the connection, written by the database's clock; taking one moves it on in the same
statement's transaction, so that whoever asks second finds nothing due.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from adsapp_crm.models import CrmConnection, Organization
from adsapp_crm.models.choices import ConnectionStatus
from adsapp_crm.selectors import database_now
from adsapp_crm.services.refusals import refuse
from crm.model import RunKind
from crm.schedule import Every, Schedule, ScheduleError, default_schedule, parse_schedule, said_of

EARLY: Final = timedelta(seconds=30)
"""A tick may come a little before its time: what is due within it runs now, not a tick later."""
DAY_SECONDS: Final = 86_400
GRACE: Final = timedelta(minutes=15)
"""After the time of a sync, before a connection without success is late."""


def schedule_of(row: CrmConnection, zone: str | None = None) -> Schedule:
    """The connection's schedule; ``zone`` is its organization's, read when it is not given."""
    zone = zone or row.schedule.get("timeZone") or Organization.objects.values_list("time_zone", flat=True).get()
    fallback = default_schedule(row.pk.int, row.sync_interval_seconds, zone)
    try:
        return parse_schedule({key: value for key, value in row.schedule.items() if key != "intervalSeconds"}, fallback)
    except ScheduleError:  # of an earlier release's rules, or a zone that this machine lacks
        return fallback


def change_schedule(connection_id: uuid.UUID, wanted: Mapping[str, Any]) -> CrmConnection:
    """Set what is named and keep the rest, in the current organization's context; None takes a value back.

    ``intervalSeconds`` and ``dailyAt`` exclude each other: naming one ends the other. Raises RefusedError:
    ``connection.unknown``, ``schedule.invalid`` with the field, above all for a schedule that never fires.
    """
    row = CrmConnection.objects.select_for_update(no_key=True).filter(pk=connection_id).first()
    if row is None or row.status == ConnectionStatus.DISCONNECTED:
        raise refuse("connection.unknown", "There is no open connection with this id.", field="id")
    if wanted.get("intervalSeconds") is not None and wanted.get("dailyAt"):
        raise refuse(
            "schedule.invalid",
            "A sync runs at an interval or at a time of the day, not both.",
            field="dailyAt",
            fix="Give one of them.",
        )
    zone = Organization.objects.values_list("time_zone", flat=True).get()
    said = {**row.schedule, **wanted}
    if wanted.get("intervalSeconds") is not None:
        said["dailyAt"] = None
    try:
        made = parse_schedule(said, default_schedule(row.pk.int, row.sync_interval_seconds, zone))
    except ScheduleError as error:
        raise refuse("schedule.invalid", error.rule, field=error.field, fix=error.fix) from error
    row.sync_interval_seconds = made.delta.seconds if isinstance(made.delta, Every) else DAY_SECONDS
    row.schedule = {key: value for key, value in said.items() if value is not None and key != "intervalSeconds"}
    now = database_now()
    row.next_sync_at, row.next_full_at = made.next_delta(now), made.next_full(now)
    since = row.last_success_at or row.first_sync_approved_at
    row.late_at = late_after(row, since) if since is not None else None
    row.save(
        update_fields=["schedule", "sync_interval_seconds", "next_sync_at", "next_full_at", "late_at", "updated_at"]
    )
    return row


def shape_schedule(row: CrmConnection) -> dict[str, Any]:
    """The schedule in the API's words, with what comes next."""
    return {**said_of(schedule_of(row)), "nextSync": row.next_sync_at, "nextFull": row.next_full_at}


def take_due(connection_id: uuid.UUID, now: datetime) -> RunKind | None:
    """The scan whose time has come, taken; None: nothing is due, or it is quiet. In the organization's context.

    A full sync that is due together with a delta takes its place: it reads everything. In quiet hours a delta waits.
    """
    row = CrmConnection.objects.select_for_update(no_key=True).filter(pk=connection_id).first()
    if row is None:
        return None
    schedule = schedule_of(row)
    horizon = now + EARLY
    due = None
    if row.next_full_at is None:
        row.next_full_at = schedule.next_full(now)
    elif row.next_full_at <= horizon:
        due, row.next_full_at = RunKind.FULL, schedule.next_full(max(now, row.next_full_at))
    interval = isinstance(schedule.delta, Every)
    if row.next_sync_at is None and not interval:
        row.next_sync_at = schedule.next_delta(now)
    if row.next_sync_at is None or row.next_sync_at <= horizon:
        if due is None and interval and schedule.is_quiet(now):
            row.next_sync_at = schedule.after_quiet(now)
        else:
            due = due or RunKind.DELTA
            row.next_sync_at = schedule.next_delta(now if interval else max(now, row.next_sync_at or now))
    row.save(update_fields=["next_sync_at", "next_full_at"])
    return due


def put_back(connection_id: uuid.UUID, kind: RunKind, now: datetime) -> None:
    """What was taken could not start: a full sync is due again at the next tick. In the organization's context."""
    if kind is RunKind.FULL:
        CrmConnection.objects.filter(pk=connection_id).update(next_full_at=now)


def late_after(row: CrmConnection, since: datetime) -> datetime:
    """Until when a connection whose last success was at ``since`` is not late: its next sync and a grace."""
    if not row.schedule:
        return since + timedelta(seconds=row.sync_interval_seconds) + GRACE
    return schedule_of(row, row.schedule.get("timeZone")).next_delta(since) + GRACE
