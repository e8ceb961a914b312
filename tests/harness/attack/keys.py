"""Keys are rotated while values are read and written: none is lost, and it does not take long."""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any, Self

from tests.harness.attack import stage

ORGANIZATIONS = 100
READERS = 2
THE_FIGURE = 100_000
"""Values from which on the time counts: with few, it is the organizations' that is measured."""


def attack(values: int) -> dict[str, Any]:
    """``values`` app secrets in a hundred organizations, under an old key, move to a new one."""
    from django.conf import settings

    from adsapp_crm.services.keys import count_by_key, rotate_values

    kept = list(settings.FERNET_KEYS)
    old, new = "o" * 40, "n" * 40
    settings.FERNET_KEYS = [old, *kept]
    organizations = [stage.organization(f"Keys{number}")[0].pk for number in range(ORGANIZATIONS)]
    _store(organizations, values)
    settings.FERNET_KEYS = [new, old, *kept]
    with _Load(organizations) as load:
        started = time.monotonic()
        done = rotate_values()
        seconds = time.monotonic() - started
    use = count_by_key()
    settings.FERNET_KEYS = [new]
    readable = sum(count_by_key().by_key.values())
    settings.FERNET_KEYS = [*kept, new, old]
    return {
        "ok": done.rotated + done.current >= values
        and not (done.left or done.lost or use.retired or use.lost or load.failures)
        and readable == done.rotated + done.current
        and (values < THE_FIGURE or seconds < 60),
        "values": values,
        "organizations": ORGANIZATIONS,
        "rotated": done.rotated,
        "seconds": round(seconds, 2),
        "secondsFor100000": round(seconds * 100_000 / values, 1),
        "readsMeanwhile": load.reads,
        "failedDecrypts": load.failures,
        "leftUnderOldKey": use.retired,
    }


def _store(organizations: list[uuid.UUID], values: int) -> None:
    """As the application would have stored them, without its one statement a row."""
    import json

    from django.db import connection

    from adsapp_crm.fields import boxes
    from adsapp_crm.models import uuid7
    from adsapp_crm.tenancy import organization_context

    box = boxes()[0]
    each, more = divmod(values, len(organizations))
    for place, organization_id in enumerate(organizations):
        count = each + (place < more)
        ids = [uuid7() for _ in range(count)]
        sealed = [
            box.encrypt(
                json.dumps(
                    {
                        "organization": str(organization_id),
                        "registration": str(row_id),
                        "client_secret": f"secret of {row_id}",
                    }
                ).encode()
            )
            for row_id in ids
        ]
        with organization_context(organization_id), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO crm_app_registrations (id, organization_id, crm_type, client_id, secrets, updated_at)"
                " SELECT new.id, %s, 'hubspot', new.id::text, new.secrets, now()"
                " FROM unnest(%s::uuid[], %s::bytea[]) AS new(id, secrets)",
                (organization_id, ids, sealed),
            )


class _Load:
    """Two threads open values all the time, as workers do, and now and then write one."""

    def __init__(self, organizations: list[uuid.UUID]) -> None:
        self._organizations = organizations
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(READERS)]
        self.reads = 0
        self.failures = 0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        from django.db import connections

        from adsapp_crm.fields import DecryptionError
        from adsapp_crm.models import CrmAppRegistration
        from adsapp_crm.tenancy import organization_context

        place = number
        while not self._stop.is_set():
            place += READERS
            try:
                with organization_context(self._organizations[place % len(self._organizations)]):
                    for row in CrmAppRegistration.objects.order_by("?")[:3]:
                        is_sealed_for_itself = row.secrets["registration"] == str(row.pk)
                        self.failures += not is_sealed_for_itself
                        self.reads += 1
                    row.save(update_fields=["secrets"])
            except DecryptionError:
                self.failures += 1
            self._stop.wait(0.01)
        connections.close_all()
