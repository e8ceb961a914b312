"""ADSapp as the demo uses it: its API over HTTP for syncs, its services for what people do to contacts.

Syncs go the whole way: a request to the web server, a message to the worker, and the run's row as
the place where both meet.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import requests

from tests.harness.stack import Stack

if TYPE_CHECKING:
    from tests.harness.demo.crm_side import CrmAccount

RUN_SECONDS = 600
SEARCH_LAG_SECONDS = 2.0
BEAT_SECONDS = 60
JOBS = ("delta-sync", "detect-conflicts", "retry-failed")


@dataclass(frozen=True, slots=True)
class Pair:
    """A linked contact and record that the scenario may edit."""

    link_id: str
    contact_id: str
    remote_id: str
    complete: bool
    """Nothing is blank that a merge in HubSpot would fill from the other record."""


class App:
    """One organization of the running stack. Needs Django set up with the stack's environment."""

    def __init__(self, stack: Stack, organization_id: uuid.UUID, email: str, password: str) -> None:
        self.stack = stack
        self.organization_id = organization_id
        self._session = requests.Session()
        self._who = (email, password)
        self._log_in(email, password)

    def again(self) -> App:
        """The same user with a session of its own, for calls at the same time."""
        return App(self.stack, self.organization_id, *self._who)

    # syncs, over HTTP and the worker

    def sync(self, sync_type: str, provider: str = "hubspot") -> dict[str, Any]:
        """Start a sync as the front end does and follow it to its end; returns the run in the guide's words."""
        answer = self._call("POST", "/api/crm/sync", {"crmType": provider, "syncType": sync_type})
        return self._follow(answer, provider)

    def begin(self, sync_type: str, provider: str = "hubspot") -> dict[str, Any]:
        """Start a sync and return at once, with the run as far as it has come."""
        wanted = {"crmType": provider, "syncType": sync_type}
        return self._call("POST", "/api/crm/sync", wanted, Prefer="respond-async")

    def approve(self, held: Mapping[str, Any], provider: str = "hubspot") -> dict[str, Any]:
        """Approve a held plan and follow the run that applies it."""
        return self._follow(self._run(self.approve_only(held), provider), provider)

    def approve_only(self, held: Mapping[str, Any]) -> str:
        """Approve a held plan; returns the id of the run that applies it."""
        from adsapp_crm.services.syncing import approve_plan
        from adsapp_crm.tasks import sync_page
        from adsapp_crm.tenancy import organization_context

        with organization_context(self.organization_id, actor="demo"):
            run = approve_plan(held["planId"], actor="demo")
        sync_page.delay(str(run.pk))
        return str(run.pk)

    def undo(self, run_id: str) -> dict[str, Any]:
        """The command an operator types, which shows counts first and then does it."""
        printed = self.stack.manage("crm_undo", run_id, "--yes", "--json")
        told = json.loads(printed.strip().splitlines()[-1])
        if not told.get("applied"):
            message = f"nothing was undone: {told}"
            raise RuntimeError(message)
        return {"run": told["result"], "notUndoable": told["notUndoable"]}

    def _follow(self, run: Mapping[str, Any], provider: str) -> dict[str, Any]:
        end, shown = time.monotonic() + RUN_SECONDS, ""
        while run["status"] in ("running", "parked"):
            progress = _progress(run)
            if progress != shown:
                print(f"   {progress}", file=sys.stderr, flush=True)
                shown = progress
            if time.monotonic() > end:
                message = f"the run did not end within {RUN_SECONDS} s: {progress}"
                raise RuntimeError(message)
            time.sleep(0.5)
            run = self._run(run["runId"], provider)
        if run["status"] not in ("completed", "held"):
            message = f"the run ended as {run['status']}: {run['errors']}"
            raise RuntimeError(message)
        return {**run, "id": run["runId"]}

    def _run(self, run_id: str, provider: str) -> dict[str, Any]:
        return dict(self._call("GET", f"/api/crm/sync?crm_type={provider}&run={run_id}")["run"])

    def map_fields(self, more: Sequence[Mapping[str, Any]]) -> None:
        """Add mappings as the front end does: read all, put all."""
        held = self._call("GET", "/api/crm/mapping?crm_type=hubspot")["mappings"]
        names = ("adsappField", "crmField", "direction", "transformRule")
        rows = [{name: row[name] for name in names} for row in held]
        self._call("PUT", "/api/crm/mapping", {"crmType": "hubspot", "mappings": [*rows, *more]})

    def connect(self, account: CrmAccount) -> None:
        """The three clicks of a person: connect, allow at the CRM, confirm the account found."""
        begun = self._call("POST", "/api/crm/connect", {"crmType": account.key})
        back = account.allow(begun["authUrl"])
        page = self._session.get(back, headers={"Accept": "text/html"}, allow_redirects=False, timeout=60)
        if page.status_code != 303:
            message = f"the callback answered {page.status_code}: {page.text[:300]}"
            raise RuntimeError(message)
        address = urljoin(self.stack.url, page.headers["Location"])
        shown = self._session.get(address, headers={"Accept": "text/html"}, timeout=60)
        form = {"decision": "connect", "csrfmiddlewaretoken": self._session.cookies["csrftoken"]}
        done = self._session.post(address, form, headers={"Accept": "text/html", "Referer": address}, timeout=60)
        if not shown.ok or not done.ok:
            message = f"confirming {account.key} answered {shown.status_code} and {done.status_code}: {done.text[:300]}"
            raise RuntimeError(message)
        self.leave_to_the_delta(account.key)

    def leave_to_the_delta(self, provider: str) -> None:
        """No push within seconds: the scenario counts what each delta finds."""
        from adsapp_crm.models import CrmConnection

        def turn_off() -> None:
            row = CrmConnection.objects.get(crm_type=provider)
            row.settings = {**row.settings, "realtime": False}
            row.save(update_fields=["settings"])

        self._do(turn_off)

    def keep_jobs(self, *, going: bool) -> None:
        """Stop or resume the jobs by the clock: one that fires in between takes what the next delta is to find."""
        from django_celery_beat.models import PeriodicTask, PeriodicTasks

        jobs = PeriodicTask.objects.filter(name__in=JOBS)
        end = time.monotonic() + BEAT_SECONDS
        while jobs.count() < len(JOBS):
            if time.monotonic() > end:
                message = f"beat wrote no schedule within {BEAT_SECONDS} s"
                raise RuntimeError(message)
            time.sleep(0.1)
        jobs.update(enabled=going)
        PeriodicTasks.update_changed()

    # what people do to contacts

    def import_people(self, rows: Sequence[Mapping[str, str]]) -> None:
        import csv
        import io

        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        self._do(lambda: self._import(text.getvalue().splitlines(keepends=True)), origin="import")

    def edit(self, pair: Pair, **values: Any) -> None:
        from adsapp_crm.services.contacts import update_contact

        self._do(lambda: update_contact(uuid.UUID(pair.contact_id), values, version=None))

    def patch(self, email: str, values: Mapping[str, Any]) -> None:
        """As the front end does it: over HTTP, on the version that it has seen."""
        held = self.contact(email)
        self.change(str(held["id"]), values, held["version"])

    def change(self, contact_id: str, values: Mapping[str, Any], version: int) -> None:
        self._call("PATCH", f"/api/crm/contacts/{contact_id}", values, **{"If-Match": f'"{version}"'})

    def delete(self, pair: Pair) -> None:
        from adsapp_crm.services.contacts import delete_contact

        self._do(lambda: delete_contact(uuid.UUID(pair.contact_id)))

    # looking

    def resting_links(self, least: int, most: int) -> list[Pair]:
        """Links without an open question or a refused field, with an e-mail address on both sides."""
        from adsapp_crm.models import CrmSyncState

        def find() -> list[Pair]:
            found = CrmSyncState.objects.filter(
                state="live", error_code="", conflict_detected=False, contact__email__startswith="both-"
            ).order_by("id")
            return [
                Pair(
                    str(link.pk),
                    str(link.contact_id),
                    link.crm_record_id,
                    bool(link.contact.company and link.contact.job_title and link.contact.custom_fields.get("tier")),
                )
                for link in found.select_related("contact")[:most]
            ]

        pairs: list[Pair] = self._do(find)
        if len(pairs) < least:
            message = f"only {len(pairs)} links are at rest, {least} are needed"
            raise RuntimeError(message)
        return pairs

    def linked(self, email: str, provider: str) -> Pair:
        """The pair of the contact with this address at that CRM."""
        from adsapp_crm.models import CrmSyncState

        def find() -> Pair:
            link = CrmSyncState.objects.get(
                state="live", contact__email_normalized=email, connection__crm_type=provider
            )
            return Pair(str(link.pk), str(link.contact_id), link.crm_record_id, complete=True)

        pair: Pair = self._do(find)
        return pair

    def contact(self, email: str) -> dict[str, Any]:
        """The contact's columns by attribute."""
        from adsapp_crm.models import Contact

        found: dict[str, Any] = self._do(
            lambda: Contact.objects.filter(email_normalized=email, deleted_at__isnull=True).values().get()
        )
        return found

    def failing(self) -> Counter[str]:
        """Failing records by code."""
        from adsapp_crm.models import CrmSyncState

        return self._do(
            lambda: Counter(
                CrmSyncState.objects.exclude(error_code="")
                .exclude(error_code__startswith="match.")
                .values_list("error_code", flat=True)
            )
        )

    @staticmethod
    def wait_for_search() -> None:
        """HubSpot's search shows a change after some seconds; a delta would find it at its next turn."""
        time.sleep(SEARCH_LAG_SECONDS + 0.5)

    # inside

    def _import(self, lines: list[str]) -> None:
        from adsapp_crm.services.contact_import import import_contacts

        report = import_contacts(lines)
        if report.refused:
            message = f"{len(report.refused)} rows were refused, the first: {report.refused[0]}"
            raise RuntimeError(message)

    def _do(self, work: Callable[[], Any], *, origin: str = "user") -> Any:
        from django.db import close_old_connections

        from adsapp_crm.tenancy import organization_context

        close_old_connections()  # the database may have been restarted meanwhile
        with organization_context(self.organization_id, actor="demo", origin=origin):
            return work()

    def _log_in(self, email: str, password: str) -> None:
        address = f"{self.stack.url}/admin/login/"
        self._session.get(address, timeout=30)
        form = {
            "username": email,
            "password": password,
            "csrfmiddlewaretoken": self._session.cookies["csrftoken"],
            "next": "/admin/",
        }
        answer = self._session.post(address, form, headers={"Referer": address}, allow_redirects=False, timeout=30)
        if answer.status_code != 302:
            message = f"the log-in answered {answer.status_code}"
            raise RuntimeError(message)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None, **more: str) -> dict[str, Any]:
        headers = {"X-CSRFToken": self._session.cookies["csrftoken"], "Referer": self.stack.url, **more}
        answer = self._session.request(method, self.stack.url + path, json=body, headers=headers, timeout=60)
        if not answer.ok:
            message = f"{method} {path} answered {answer.status_code}: {answer.text[:500]}"
            raise RuntimeError(message)
        return dict(answer.json())


def _progress(run: Mapping[str, Any]) -> str:
    counts = run["counts"]
    told = run.get("progress") or {}
    return (
        f"{told.get('phase', run['status'])}: {counts.get('observed', 0)} seen, {counts.get('planned', 0)} planned, "
        f"{counts.get('applied', 0)} applied"
    )
