"""Edits by people, on a CRM's own page and in ADSapp, timed until every other place shows them; nobody syncs."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.harness.demo.crm_side import CrmAccount
from tests.harness.demo.scenario import Scenario

if TYPE_CHECKING:
    from tests.harness.demo.app_side import App

FIELD = "lastName"
POLL_SECONDS = 0.01
MOST_SECONDS = 20.0
HUBSPOT_EVENTS = ("creation", "deletion", "merge", "restore", "privacyDeletion")


def listen(app: App, accounts: Sequence[CrmAccount]) -> None:
    """From now on contacts are pushed within seconds, and each CRM delivers its webhooks."""
    from adsapp_crm.models import CrmConnection
    from adsapp_crm.services.subscriptions import keep_subscription, setup_of

    def push_at_once() -> dict[str, uuid.UUID]:
        for row in CrmConnection.objects.all():
            row.settings = {name: value for name, value in row.settings.items() if name != "realtime"}
            row.save(update_fields=["settings"])
        return {row.crm_type: row.pk for row in CrmConnection.objects.all()}

    ids = app._do(push_at_once)
    wanted: list[Any] = [f"contact.{event}" for event in HUBSPOT_EVENTS]
    wanted += [{"eventType": "contact.propertyChange", "propertyName": name} for name in ("lastname", "jobtitle")]
    for account in accounts:
        if account.key == "pipedrive":
            code = keep_subscription(app.organization_id, ids[account.key], now=True)
            if code:
                message = f"Pipedrive was not subscribed to: {code}"
                raise RuntimeError(message)
            continue
        address = setup_of(app.organization_id, ids[account.key], actor="demo").address
        if account.key == "hubspot":
            secret = app.stack.environment["HUBSPOT_CLIENT_SECRET"]
            account.tell("webhooks", {"targetUrl": address, "secret": secret, "subscriptions": wanted})
        else:
            account.tell("outbound", {"targetUrl": address})


@dataclass(slots=True)
class Live:
    """One edit in each CRM's page and one in ADSapp, each on a person of all three CRMs."""

    first: Scenario
    accounts: Sequence[CrmAccount]
    emails: Sequence[str]
    """One for each account and one for ADSapp's own edit."""

    def play(self) -> None:
        listen(self.first.app, self.accounts)
        for account, email in zip(self.accounts, self.emails, strict=False):
            value = f"Typed in {account.label}"
            remote_id = self.first.app.linked(email, account.key).remote_id
            others = [each for each in self.accounts if each is not account]
            with self.first.step(f"live: an edit on {account.label}'s page", {"arrived": len(others) + 1}) as step:
                began = time.monotonic()
                account.edit_on_page(remote_id, FIELD, value)
                here = {"ADSapp": lambda email=email: self.first.app.contact(email)["last_name"]}
                arrived = _follow({**here, **self._shown(email, others)}, value, began)
                step.actual["arrived"], step.notes = len(arrived), [_told(arrived)]
        email, value = self.emails[len(self.accounts)], "Typed in ADSapp"
        with self.first.step("live: an edit in ADSapp", {"arrived": len(self.accounts)}) as step:
            began = time.monotonic()
            self.first.app.patch(email, {FIELD: value})
            arrived = _follow(self._shown(email, self.accounts), value, began)
            step.actual["arrived"], step.notes = len(arrived), [_told(arrived)]

    def _shown(self, email: str, accounts: Sequence[CrmAccount]) -> dict[str, Callable[[], Any]]:
        """By CRM: what it holds of that person now."""
        found: dict[str, Callable[[], Any]] = {}
        for account in accounts:
            remote_id = self.first.app.linked(email, account.key).remote_id
            found[account.label] = lambda account=account, remote_id=remote_id: account.value(remote_id, FIELD)
        return found


def _follow(places: dict[str, Callable[[], Any]], value: str, began: float) -> dict[str, float]:
    """Seconds until each place showed the value; a place that never did within `MOST_SECONDS` is missing."""
    arrived: dict[str, float] = {}
    while len(arrived) < len(places) and time.monotonic() - began < MOST_SECONDS:
        for name, show in places.items():
            if name not in arrived and show() == value:
                arrived[name] = time.monotonic() - began
        time.sleep(POLL_SECONDS)
    return arrived


def _told(arrived: dict[str, float]) -> str:
    shown = ", ".join(f"{name} after {seconds:.2f} s" for name, seconds in sorted(arrived.items(), key=lambda x: x[1]))
    return f"arrived: {shown or 'nowhere'}"
