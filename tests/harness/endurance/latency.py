"""From an edit on one side to its arrival on the other, through HTTP at both ends."""

from __future__ import annotations

import time

from tests.harness.endurance.world import MOST_SECONDS, POLL_SECONDS, StuckError, World

FIELD = "lastName"


def pulls(world: World, samples: int) -> dict[str, list[float]]:
    """Seconds from the moment a record was edited in its CRM until the contact API shows it, by CRM.

    Includes the CRM's own sending of the event. What the other CRMs are told of it is waited for between samples.
    """
    found: dict[str, list[float]] = {account.key: [] for account in world.fakes.all}
    for number in range(samples):
        account = world.fakes.all[number % 3]
        person = world.people[number % len(world.people)]
        value = f"Pulled{number}"
        began = time.monotonic()
        account.edit_field(person.remote_ids[account.key], FIELD, value)
        while world.contact(person)[FIELD] != value:
            if time.monotonic() - began > MOST_SECONDS:
                message = f"an edit in {account.key} did not arrive"
                raise StuckError(message)
            time.sleep(POLL_SECONDS)
        found[account.key].append(time.monotonic() - began)
        world.wait_until_quiet()
    return found


def pushes(world: World, samples: int) -> dict[str, list[float]]:
    """Seconds from the call that changed a contact until each CRM shows it, by CRM."""
    found: dict[str, list[float]] = {account.key: [] for account in world.fakes.all}
    for number in range(samples):
        person = world.people[-1 - number % len(world.people)]
        value = f"Pushed{number}"
        version = world.contact(person)["version"]
        began = time.monotonic()
        world.app.change(str(person.contact_id), {FIELD: value}, version)
        waiting = set(found)
        while waiting:
            for key in sorted(waiting):
                if world.account(key).value(person.remote_ids[key], FIELD) == value:
                    found[key].append(time.monotonic() - began)
                    waiting.discard(key)
            if time.monotonic() - began > MOST_SECONDS:
                message = f"an edit did not reach {', '.join(sorted(waiting))}"
                raise StuckError(message)
            time.sleep(POLL_SECONDS)
        world.wait_until_quiet()
    return found
