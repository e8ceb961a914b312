"""When a connection is synced by itself: cadences on a local clock, quiet hours, safe across changes of the clock.

Pure: the caller says what time it is. A wall time that a change of the clock skips happens at the first moment after
it; one that happens twice counts the first time. So a daily cadence runs once on every local day, a weekly one once
in every local week.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

TICK_SECONDS: Final = 900
"""How often schedules are looked at: nothing runs more often than that."""
LONGEST_SECONDS: Final = 7 * 86_400
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
EVERY_DAY: Final = "every_day"


class ScheduleError(ValueError):
    """A schedule that cannot be kept. ``field`` is a key of ``parse_schedule``; ``rule`` and ``fix`` are sentences."""

    def __init__(self, field: str, rule: str, fix: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field, self.rule, self.fix = field, rule, fix


@dataclass(frozen=True, slots=True)
class Every:
    seconds: int


@dataclass(frozen=True, slots=True)
class Daily:
    at: time


@dataclass(frozen=True, slots=True)
class Weekly:
    weekday: int
    """0 is Monday."""
    at: time


Cadence = Every | Daily | Weekly


@dataclass(frozen=True, slots=True)
class Quiet:
    """Local wall times from ``start`` up to, not including, ``end``; over midnight when ``end`` is earlier."""

    start: time
    end: time

    def covers(self, wall: time) -> bool:
        if self.start < self.end:
            return self.start <= wall < self.end
        return wall >= self.start or wall < self.end


@dataclass(frozen=True, slots=True)
class Schedule:
    zone: zoneinfo.ZoneInfo
    delta: Cadence
    full: Cadence
    quiet: Quiet | None = None

    def next_delta(self, after: datetime) -> datetime:
        return next_time(self.delta, self.quiet, self.zone, after)

    def next_full(self, after: datetime) -> datetime:
        return next_time(self.full, self.quiet, self.zone, after)

    def after_quiet(self, moment: datetime) -> datetime:
        """The end of the quiet hours that ``moment`` lies in, else the moment itself."""
        return next_time(Every(0), self.quiet, self.zone, moment)

    def is_quiet(self, moment: datetime) -> bool:
        return self.quiet is not None and self.quiet.covers(moment.astimezone(self.zone).time())


def default_schedule(seed: int, interval_seconds: int = TICK_SECONDS, zone: str = "UTC") -> Schedule:
    """Deltas at the interval and a full sync in one night a week, spread over the nights and hours by ``seed``."""
    at = time(1 + seed // 7 % 4, seed // 28 % 4 * 15)
    return Schedule(zone_named(zone), Every(max(interval_seconds, TICK_SECONDS)), Weekly(seed % 7, at))


def parse_schedule(said: Mapping[str, Any], fallback: Schedule) -> Schedule:
    """A schedule from ``timeZone``, ``intervalSeconds``, ``dailyAt``, ``quietFrom``, ``quietUntil``, ``fullDay`` and
    ``fullAt``; what is missing or None is as in ``fallback`` (quiet hours: none).

    Raises ScheduleError for what is no time or zone, and for a schedule that would never fire.
    """
    zone = zone_named(said["timeZone"]) if said.get("timeZone") else fallback.zone
    delta = fallback.delta
    if said.get("dailyAt"):
        delta = Daily(_wall(said, "dailyAt"))
    elif said.get("intervalSeconds") is not None:
        delta = Every(_interval(said["intervalSeconds"]))
    full = _full(said, fallback.full)
    quiet = _quiet(said)
    if quiet is not None and isinstance(delta, Daily) and quiet.covers(delta.at):
        raise ScheduleError(
            "dailyAt", "The daily sync lies in the quiet hours and would never run.", "Move one of them."
        )
    if quiet is not None and not isinstance(full, Every) and quiet.covers(full.at):
        raise ScheduleError("fullAt", "The full sync lies in the quiet hours and would never run.", "Move one of them.")
    return Schedule(zone, delta, full, quiet)


def said_of(schedule: Schedule) -> dict[str, Any]:
    """The keys of ``parse_schedule``, each with its value or None."""
    delta, full, quiet = schedule.delta, schedule.full, schedule.quiet
    return {
        "timeZone": schedule.zone.key,
        "intervalSeconds": delta.seconds if isinstance(delta, Every) else None,
        "dailyAt": f"{delta.at:%H:%M}" if isinstance(delta, Daily) else None,
        "quietFrom": f"{quiet.start:%H:%M}" if quiet else None,
        "quietUntil": f"{quiet.end:%H:%M}" if quiet else None,
        "fullDay": WEEKDAYS[full.weekday] if isinstance(full, Weekly) else EVERY_DAY,
        "fullAt": f"{full.at:%H:%M}" if not isinstance(full, Every) else None,
    }


def next_time(cadence: Cadence, quiet: Quiet | None, zone: zoneinfo.ZoneInfo, after: datetime) -> datetime:
    """The first moment later than ``after`` (aware) at which the cadence is due, in UTC.

    An interval that ends in the quiet hours is due when they end. Times of the day are kept whatever the quiet hours:
    ``parse_schedule`` takes none that lies in them.
    """
    if isinstance(cadence, Every):
        due = after.astimezone(UTC) + timedelta(seconds=cadence.seconds)
        if quiet is None or not quiet.covers(due.astimezone(zone).time()):
            return due
        return next(moment for moment in _occurrences(quiet.end, zone, due) if moment > due)
    moments = _occurrences(cadence.at, zone, after, None if isinstance(cadence, Daily) else cadence.weekday)
    return next(moment for moment in moments if moment > after)


def zone_named(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError, TypeError):
        raise ScheduleError("timeZone", "There is no such time zone.", "Name one like Europe/Amsterdam.") from None


def _occurrences(at: time, zone: zoneinfo.ZoneInfo, near: datetime, weekday: int | None = None) -> Iterator[datetime]:
    """The moments at which local clocks show ``at``, from the day before ``near`` on, one a local day or week."""
    day = near.astimezone(zone).date() - timedelta(days=1)
    while True:
        if weekday is None or day.weekday() == weekday:
            moment = _resolve(day, at, zone)
            # A day that the zone skipped as a whole has no moment of its own; a week always has one.
            if weekday is not None or moment.astimezone(zone).date() == day:
                yield moment
        day += timedelta(days=1)


def _resolve(day: date, at: time, zone: zoneinfo.ZoneInfo) -> datetime:
    wall = datetime.combine(day, at)
    first = wall.replace(tzinfo=zone).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None, fold=0) == wall:
        return first
    # In a gap: read with the offset after it the wall time lies before the gap, with the one before it behind.
    low, high = wall.replace(tzinfo=zone, fold=1).astimezone(UTC), first
    ahead = high.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        if middle.astimezone(zone).utcoffset() == ahead:
            high = middle
        else:
            low = middle
    return high.replace(microsecond=0)


def _wall(said: Mapping[str, Any], field: str) -> time:
    text = said[field]
    if isinstance(text, time):
        return text.replace(second=0, microsecond=0, tzinfo=None)
    try:
        hour, minute = str(text).split(":")[:2]
        return time(int(hour), int(minute))
    except ValueError:
        raise ScheduleError(field, "This is no time of day.", "Write hours and minutes, such as 02:30.") from None


def _interval(seconds: object) -> int:
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not TICK_SECONDS <= seconds <= LONGEST_SECONDS:
        raise ScheduleError(
            "intervalSeconds",
            "The interval is not between 15 minutes and 7 days.",
            "Choose 900 seconds or more; webhooks bring single changes sooner.",
        )
    return seconds


def _full(said: Mapping[str, Any], fallback: Cadence) -> Cadence:
    if not said.get("fullDay") and not said.get("fullAt"):
        return fallback
    at = _wall(said, "fullAt") if said.get("fullAt") else _at_of(fallback)
    day = said.get("fullDay") or (WEEKDAYS[fallback.weekday] if isinstance(fallback, Weekly) else EVERY_DAY)
    if day == EVERY_DAY:
        return Daily(at)
    if day not in WEEKDAYS:
        raise ScheduleError("fullDay", "There is no such day.", f"Choose one of {', '.join(WEEKDAYS)}, {EVERY_DAY}.")
    return Weekly(WEEKDAYS.index(day), at)


def _at_of(cadence: Cadence) -> time:
    return time(3) if isinstance(cadence, Every) else cadence.at


def _quiet(said: Mapping[str, Any]) -> Quiet | None:
    if not said.get("quietFrom") and not said.get("quietUntil"):
        return None
    for field in ("quietFrom", "quietUntil"):
        if not said.get(field):
            raise ScheduleError(field, "Quiet hours have a beginning and an end.", "Give both, or neither.")
    start, end = _wall(said, "quietFrom"), _wall(said, "quietUntil")
    if start == end:
        raise ScheduleError("quietUntil", "The quiet hours cover the whole day: nothing would ever run.", "End sooner.")
    return Quiet(start, end)
