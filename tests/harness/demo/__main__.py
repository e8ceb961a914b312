"""``python -m tests.harness.demo``: set up everything, play the scenario, show the result, stay up."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests

from crm.providers.hubspot.fake.oauth import OAuthApp as HubSpotApp
from crm.providers.pipedrive.fake.oauth import OAuthApp as PipedriveApp
from crm.providers.salesforce.fake.grants import ConnectedApp
from tests.harness import stack as stacks
from tests.harness.binaries import ServicesError
from tests.harness.demo.crm_side import CrmAccount, HubSpotAccount, PipedriveCompany, SalesforceOrg
from tests.harness.demo.people import People, draw, draw_beside, is_unusual, scaled
from tests.harness.demo.report import Step, as_json, as_table
from tests.harness.ports import free_port

if TYPE_CHECKING:  # these import Django's models, which need the stack's environment first
    from tests.harness.demo.app_side import App

PASSWORD = "demo-Pa55word-please"
TOKEN = "pat-na1-demo-0000-0000"


MINUTES_APART = 600.0
KNOWN = 100
"""People of Salesforce and Pipedrive who are in ADSapp already, for each 300."""


@dataclass(frozen=True, slots=True)
class Fakes:
    hubspot: HubSpotAccount
    salesforce: SalesforceOrg
    pipedrive: PipedriveCompany

    @property
    def all(self) -> tuple[CrmAccount, ...]:
        return (self.hubspot, self.salesforce, self.pipedrive)


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    began = time.monotonic()
    try:
        _say("starting PostgreSQL, Valkey, three CRMs' stand-ins, the web server, a worker and beat")
        with stacks.opened(port=options.port) as stack:
            fakes = _start_fakes(stack)
            stack.serve()
            _say(f"web server, worker and beat run after {time.monotonic() - began:.0f} s")
            mark = uuid.uuid4().hex[:6]
            steps, failure = _play(stack, fakes, options, mark)
            pages = {"dashboard": f"{stack.url}/dashboard/settings/crm", "admin": f"{stack.url}/admin/"}
            addresses = {**pages, **{each.key: f"{each.url}/_fake/" for each in fakes.all}}
            log_in = {"email": f"staff-{mark}@demo.example", "password": PASSWORD}
            result = as_json(steps, seed=options.seed, addresses=addresses, log_in=log_in, failure=failure)
            result["ok"] = result["ok"] and not failure
            result["total_seconds"] = round(time.monotonic() - began, 1)
            _show(steps, result, failure)
            if not options.once:
                _show_addresses(result["addresses"], log_in["email"], stack.environment["CRON_SECRET"])
            if options.once:
                if options.json:
                    print(json.dumps(result))
                return 0 if result["ok"] else 1
            _say("Ctrl-C ends it.")
            stack.wait()
    except ServicesError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dev.py demo", description="A two-way sync of an organization with three CRMs' stand-ins, start to end."
    )
    parser.add_argument("--once", action="store_true", help="end after the result; exit 0 only if all was as expected")
    parser.add_argument("--json", action="store_true", help="with --once: one JSON object as the last line")
    parser.add_argument("--seed", type=int, default=1, help="draws the people (default 1)")
    parser.add_argument("--people", type=int, default=300, metavar="N", help="on each side, at least 100 (default 300)")
    parser.add_argument("--only", choices=("hubspot",), help="leave Salesforce and Pipedrive out")
    parser.add_argument("--port", type=int, default=0, help="the web server's port; a free one when left out")
    options = parser.parse_args(arguments)
    if options.people < 100:
        parser.error("--people: at least 100, so that every kind of person is there")
    return options


def _start_fakes(stack: stacks.Stack) -> Fakes:
    """The three stand-ins, with their CRM's own limits; HubSpot's search lags as HubSpot's does."""
    urls = {key: f"http://127.0.0.1:{free_port()}" for key in ("hubspot", "salesforce", "pipedrive")}
    apps = {"hubspot": HubSpotApp(), "salesforce": ConnectedApp(), "pipedrive": PipedriveApp()}
    stack.environment.update(
        {
            "CRM_HUBSPOT_API_BASE": urls["hubspot"],
            "CRM_HUBSPOT_AUTH_BASE": urls["hubspot"],
            "CRM_SALESFORCE_LOGIN_BASE": urls["salesforce"],
            "CRM_PIPEDRIVE_AUTH_BASE": urls["pipedrive"],
            "CRM_EXTRA_HOSTS": ",".join(url.removeprefix("http://") for url in urls.values()),
        }
    )
    for key, app in apps.items():
        stack.environment[f"{key.upper()}_CLIENT_ID"] = app.client_id
        stack.environment[f"{key.upper()}_CLIENT_SECRET"] = app.client_secret
    for key, url in urls.items():
        port = url.rpartition(":")[2]
        serve = ("manage.py", "crm_fake", key, "--port", port, "--search-lag", "2" if key == "hubspot" else "0")
        token = ("--token", TOKEN) if key == "hubspot" else ()
        stack.spawn(key, *serve, *token, "--pidfile", "{pid_file}")
    for key, url in urls.items():
        stack.wait_for_port(int(url.rpartition(":")[2]), key)
    fakes = Fakes(
        HubSpotAccount(urls["hubspot"], TOKEN),
        SalesforceOrg(urls["salesforce"]),
        PipedriveCompany(urls["pipedrive"]),
    )
    fakes.salesforce.prepare(f"{stack.url}/api/crm/connect/callback")
    # Behind the real time until the scenario lets minutes pass: what was edited before is older by them.
    fakes.hubspot.let_pass(-MINUTES_APART)
    return fakes


def _play(stack: stacks.Stack, fakes: Fakes, options: argparse.Namespace, mark: str) -> tuple[list[Step], str]:
    """Make the organization and the people, connect, and run the scenario; what went wrong comes back as text."""
    os.environ.update(stack.environment | {"LOG_LEVEL": "WARNING"})  # what it does is told below, in words
    import django

    django.setup()
    from tests.harness.demo.scenario import Scenario
    from tests.harness.demo.three import Travel

    people = draw(options.seed, scaled(options.people) if options.people != 2000 else None)
    steps: list[Step] = []
    try:
        app = _prepare(stack, fakes.hubspot, people, mark)
        scenario = Scenario(people, app, fakes.hubspot, steps=steps)
        scenario.play()
        if options.only != "hubspot":
            beside = [fakes.salesforce, fakes.pipedrive]
            plain = [row for row in people.app if row["email"].startswith("app-") and not is_unusual(row)]
            known = plain[: KNOWN * options.people // 300]
            others = {each.key: draw_beside(options.seed, each.key, known, options.people) for each in beside}
            for account in beside:
                account.import_people(others[account.key])
                _say(f"{account.label}: {len(others[account.key])} people; connecting by its consent page")
                app.connect(account)
            Travel(scenario, beside, others, known).play()
        app.keep_jobs(going=True)
    except (RuntimeError, ServicesError, requests.RequestException) as error:
        return steps, str(error)
    return steps, ""


def _prepare(stack: stacks.Stack, hubspot: HubSpotAccount, people: People, mark: str) -> App:
    from adsapp_crm.services.organizations import create_organization
    from tests.harness.demo.app_side import App

    hubspot.make_tier()
    hubspot.make_segment()
    hubspot.import_records(people.crm)
    organization, _owner = create_organization(
        f"Demo {mark}", email=f"staff-{mark}@demo.example", password=PASSWORD, staff=True, region="NL"
    )
    app = App(stack, organization.id, f"staff-{mark}@demo.example", PASSWORD)
    app.keep_jobs(going=False)
    app.import_people(people.app)
    _say(f"{len(people.app)} contacts and {len(people.crm)} records are there; connecting by HubSpot's consent page")
    app.connect(hubspot)
    custom = {"direction": "bidirectional", "transformRule": None}
    app.map_fields(
        [
            {"adsappField": "custom.tier", "crmField": "tier", **custom},
            {"adsappField": "custom.segment", "crmField": "segment", **custom},
        ]
    )
    return app


def _show(steps: list[Step], result: dict[str, Any], failure: str) -> None:
    _say("")
    if steps:
        _say(as_table(steps))
    if failure:
        _say(f"\nIt stopped: {failure}")
    verdict = "Everything came as expected." if result["ok"] else "NOT everything came as expected."
    _say(f"\n{verdict} {result['requests']} requests, {result['total_seconds']} s in all, seed {result['seed']}.")


def _show_addresses(addresses: dict[str, str], email: str, cron_secret: str) -> None:
    """Where to look while it runs."""
    _say(f"\nLog-in: {email}  password {PASSWORD}")
    _say(f"CRON_SECRET: {cron_secret}")
    for key, address in addresses.items():
        named = {"dashboard": "Dashboard", "admin": "Admin"}.get(key, f"{key}'s records")
        _say(f"{named}: {address}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
