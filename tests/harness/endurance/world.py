"""One organization with three CRMs that deliver webhooks, on the real processes of a stack of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import requests

from tests.harness import services
from tests.harness import stack as stacks
from tests.harness.demo.__main__ import MINUTES_APART, Fakes, _start_fakes
from tests.harness.demo.crm_side import CrmAccount
from tests.harness.demo.live import listen
from tests.harness.proxy import FaultProxy
from tests.harness.torture.stand import in_front_of, lead

if TYPE_CHECKING:  # these import Django's models, which need the stack's environment first
    from tests.harness.demo.app_side import App

T = TypeVar("T")

PASSWORD = "endurance-Pa55word"
QUIET_SECONDS = 0.4
POLL_SECONDS = 0.01
MOST_SECONDS = 60.0
WEB_PROCESSES = "2"


class StuckError(RuntimeError):
    """Something did not happen in time."""


@dataclass(frozen=True)
class Person:
    contact_id: uuid.UUID
    remote_ids: dict[str, str]
    """By CRM."""


@dataclass
class World:
    stack: stacks.Stack
    database: FaultProxy
    fakes: Fakes
    app: App
    browsers: dict[str, App]
    """A session of its own for each CRM, so that three syncs can be asked for at once."""
    people: list[Person]
    address: str
    """HubSpot's, signed with ``secret``."""
    secret: str
    portal_id: int

    def account(self, key: str) -> CrmAccount:
        return next(account for account in self.fakes.all if account.key == key)

    def newcomer(self, name: str) -> App:
        """Another organization, with a session of its first user."""
        return _newcomer(self.stack, name)

    def contact(self, person: Person) -> dict[str, Any]:
        return self.app._call("GET", f"/api/crm/contacts/{person.contact_id}")

    def change(self, person: Person, values: dict[str, Any]) -> None:
        """As the front end does it, on the version that it has seen; nothing when the values are there already."""
        held = self.contact(person)
        if any(held[name] != value for name, value in values.items()):
            self.app.change(str(person.contact_id), values, held["version"])

    def asked_again(self, question: Callable[[], T]) -> T:
        """The answer, once the application and its database are there to give it."""
        end = time.monotonic() + MOST_SECONDS
        while True:
            try:
                return question()
            except (RuntimeError, requests.RequestException):
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def wait_until_quiet(self, seconds: float = MOST_SECONDS) -> None:
        """Return when nothing has been under way for a moment; raises StuckError."""
        from adsapp_crm.models import CrmSyncLog, CrmWebhookEvent
        from adsapp_crm.services import realtime

        end, quiet_since = time.monotonic() + seconds, 0.0
        while time.monotonic() < end:
            busy = self.app._do(
                lambda: (
                    CrmSyncLog.objects.filter(completed_at__isnull=True).exists()
                    or CrmWebhookEvent.objects.filter(status="received").exists()
                    or any(realtime.has_due(each) for each in realtime.connections_to_ask())
                )
            )
            now = time.monotonic()
            quiet_since = 0.0 if busy else quiet_since or now
            if quiet_since and now - quiet_since >= QUIET_SECONDS:
                return
            time.sleep(0.05)
        message = f"something is still under way after {seconds:.0f} s"
        raise StuckError(message)

    def marks(self) -> dict[str, int]:
        """What a write on either side would move."""
        from django.db.models import Sum

        from adsapp_crm.models import Contact, CrmLedgerEntry

        ours = self.app._do(
            lambda: {
                "versions": Contact.objects.aggregate(all=Sum("version"))["all"],
                "ledger": CrmLedgerEntry.objects.count(),
            }
        )
        return {**ours, **{f"writes at {a.key}": int(a.counters()["writes"]) for a in self.fakes.all}}


@contextlib.contextmanager
def opened(people: int, *, patient_crms: bool = True) -> Iterator[World]:
    """Everything on an empty folder of its own, which is deleted afterwards unless ENDURANCE_KEEP is set.

    Without ``patient_crms`` a CRM that could not deliver an event tries again after a second, not after its own wait.
    """
    folder = Path(tempfile.mkdtemp(prefix="adsapp-crm-endurance-"))
    for variable in services.VARIABLES:
        os.environ.pop(variable, None)
    try:
        with contextlib.ExitStack() as exits:
            stack = exits.enter_context(stacks.opened(folder=folder))
            database = exits.enter_context(in_front_of(stack, "DATABASE_URL"))
            lead(stack, "DATABASE_OWNER_URL", database)
            exits.callback(stack.close)  # before the proxy goes
            stack.environment["WEB_CONCURRENCY"] = WEB_PROCESSES
            fakes = _start_fakes(stack)
            fakes.hubspot.let_pass(MINUTES_APART)  # its clock signs: it has to be right
            stack.serve(stacks.AS_IN_PROCFILE)
            world = _settle(stack, database, fakes, people)
            if not patient_crms:
                salesforce = world.account("salesforce")
                address = salesforce._do("GET", "/_fake/outbound")["targetUrl"]
                salesforce.tell("outbound", {"targetUrl": address, "retrySeconds": 1})
                world.account("pipedrive").tell("webhooks", {"retryScale": 0.1})
            yield world
    finally:
        if "ENDURANCE_KEEP" not in os.environ:
            shutil.rmtree(folder, ignore_errors=True)


def _settle(stack: stacks.Stack, database: FaultProxy, fakes: Fakes, count: int) -> World:
    os.environ.update(stack.environment)
    os.environ.setdefault("LOG_LEVEL", "WARNING")  # of this process: what is printed is the result
    import django

    django.setup()
    app = _newcomer(stack, "Endurance")
    rows = [
        {"firstName": f"First{number}", "lastName": f"Last{number}", "email": f"person{number}@endurance.example"}
        for number in range(count)
    ]
    app.import_people(rows)
    browsers = {account.key: app.again() for account in fakes.all}
    for account in fakes.all:  # one after the other: a web process has one seat for whoever waits for a CRM
        browsers[account.key].connect(account)
    with ThreadPoolExecutor(len(fakes.all)) as pool:  # each waits for a worker most of the time
        for done in [pool.submit(_first_sync, browsers[account.key], account) for account in fakes.all]:
            done.result()
    listen(app, fakes.all)
    people = app._do(_people)
    if len(people) != count:
        message = f"{len(people)} of {count} people are linked with all three CRMs"
        raise StuckError(message)
    address, portal_id = app._do(_hubspot_account)
    secret = stack.environment["HUBSPOT_CLIENT_SECRET"]
    world = World(stack, database, fakes, app, browsers, people, address, secret, portal_id)
    world.wait_until_quiet()
    return world


def _first_sync(app: App, account: CrmAccount) -> None:
    app.approve(app.sync("full", account.key), account.key)


def _newcomer(stack: stacks.Stack, name: str) -> App:
    from adsapp_crm.services.organizations import create_organization
    from tests.harness.demo.app_side import App

    mark = uuid.uuid4().hex[:6]
    email = f"staff-{mark}@endurance.example"
    organization, _owner = create_organization(
        f"{name} {mark}", email=email, password=PASSWORD, staff=True, region="NL"
    )
    return App(stack, organization.id, email, PASSWORD)


def _people() -> list[Person]:
    from adsapp_crm.models import CrmSyncState

    found: dict[uuid.UUID, dict[str, str]] = {}
    for link in CrmSyncState.objects.filter(state="live").select_related("connection").order_by("id"):
        found.setdefault(link.contact_id, {})[link.connection.crm_type] = link.crm_record_id or ""
    return [Person(contact_id, ids) for contact_id, ids in found.items() if len(ids) == 3]


def _hubspot_account() -> tuple[str, int]:
    from adsapp_crm import conf
    from adsapp_crm.models import CrmConnection

    row = CrmConnection.objects.get(crm_type="hubspot")
    return f"{conf.public_url()}/api/crm/webhooks/hubspot/app", int(row.remote_account_id)
