"""Jobs that several schedulers fire at once, and schedules over years."""

from __future__ import annotations

import time
import zoneinfo
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from datetime import time as wall
from typing import Any

import requests

from crm.schedule import TICK_SECONDS, Cadence, Daily, Weekly, next_time
from tests.harness.endurance.world import StuckError, World

BEATS = 3
SLOT_SECONDS = 30.0
JOB = "retry-failed"
ZONES = ("Europe/Amsterdam", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu")
FROM, UNTIL = 2016, 2026
AT = wall(2, 30)
"""An hour that clocks skip and repeat."""


def slots(world: World, count: int) -> dict[str, int]:
    """Fire one job by ``BEATS`` messages, as so many beats send them, and by the cron route, in ``count`` slots.

    A slot that is over is made an old one in the table, since an hour is too long to wait for.
    """
    from adsapp_crm.models import CrmJobSlot
    from adsapp_crm.tasks import fire_job

    def cron() -> int:
        secret = world.stack.environment["CRON_SECRET"]
        answer = requests.post(
            f"{world.stack.url}/api/cron/crm-sync?job={JOB}", headers={"Authorization": f"Bearer {secret}"}, timeout=30
        )
        return answer.status_code

    CrmJobSlot.objects.filter(kind=JOB).delete()
    fired, statuses = 0, Counter[int]()
    with ThreadPoolExecutor(BEATS + 1) as pool:
        for number in range(count):
            doors = [pool.submit(fire_job.delay, JOB) for _ in range(BEATS)]
            asked = pool.submit(cron)
            for door in doors:
                door.result()
            statuses[asked.result()] += 1
            fired += BEATS + 1
            _wait_until_taken(world)
            CrmJobSlot.objects.filter(kind=JOB, slot__startswith="2").update(slot=f"endurance {number}")
    rows = CrmJobSlot.objects.filter(kind=JOB, slot__startswith="endurance")
    finished = rows.filter(finished_at__isnull=False).count()
    return {
        "slots": count,
        "fired": fired,
        "runs": finished,
        "claims": rows.count(),
        "refused": sum(many for status, many in statuses.items() if status not in (200, 202)),
    }


def _wait_until_taken(world: World) -> None:
    """Return when every message of the maintenance queue is worked off and no job is under way."""
    import redis

    from adsapp_crm.models import CrmJobSlot

    broker = redis.Redis.from_url(world.stack.environment["REDIS_URL"])
    end = time.monotonic() + SLOT_SECONDS
    try:
        while time.monotonic() < end:
            waiting = broker.llen("maintenance") + broker.hlen("unacked")
            open_slots = CrmJobSlot.objects.filter(kind=JOB, finished_at__isnull=True).exists()
            if not waiting and not open_slots:
                return
            time.sleep(0.01)
    finally:
        broker.close()
    message = f"a job was still under way after {SLOT_SECONDS:.0f} s"
    raise StuckError(message)


def years() -> dict[str, Any]:
    """Ten years of a daily and a weekly sync in four time zones, looked at every quarter of an hour as beat does."""
    found: dict[str, Any] = {"zones": len(ZONES), "years": UNTIL - FROM, "runs": 0, "notOnce": 0, "missed": 0}
    for name in ZONES:
        zone = zoneinfo.ZoneInfo(name)
        since, until = datetime(FROM, 1, 4, tzinfo=zone), datetime(UNTIL, 1, 5, tzinfo=zone)
        days = Counter(due.astimezone(zone).date() for due in _fires(Daily(AT), zone, since, until))
        weeks = Counter(due.astimezone(zone).isocalendar()[:2] for due in _fires(Weekly(6, AT), zone, since, until))
        found["runs"] += sum(days.values()) + sum(weeks.values())
        found["notOnce"] += sum(many != 1 for many in (*days.values(), *weeks.values()))
        expected = [since.date() + timedelta(days=number) for number in range((until.date() - since.date()).days)]
        found["missed"] += len(set(expected) - set(days)) + len({d.isocalendar()[:2] for d in expected} - set(weeks))
    return found


def _fires(cadence: Cadence, zone: zoneinfo.ZoneInfo, since: datetime, until: datetime) -> Iterator[datetime]:
    """When each run was due that a tick every quarter of an hour has fired."""
    due = next_time(cadence, None, zone, since)
    while due < until:
        yield due
        tick = datetime.fromtimestamp(-(-due.timestamp() // TICK_SECONDS) * TICK_SECONDS, UTC)
        following = next_time(cadence, None, zone, due)
        while following <= tick:
            following = next_time(cadence, None, zone, following)
        due = following
