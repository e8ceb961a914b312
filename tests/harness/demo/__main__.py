"""``python -m tests.harness.demo``: set up everything, play the scenario, show the result, stay up."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

import requests

from tests.harness import stack as stacks
from tests.harness.binaries import ServicesError
from tests.harness.demo.crm_side import HubSpotAccount
from tests.harness.demo.people import People, draw, scaled
from tests.harness.demo.report import Step, as_json, as_table
from tests.harness.ports import free_port

if TYPE_CHECKING:  # these import Django's models, which need the stack's environment first
    from tests.harness.demo.app_side import App

PASSWORD = "demo-Pa55word-please"
TOKEN = "pat-na1-demo-0000-0000"


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    began = time.monotonic()
    try:
        with stacks.opened(port=options.port) as stack:
            fake = _start_fake(stack)
            stack.serve()
            _say(f"web server, worker and beat run after {time.monotonic() - began:.0f} s")
            mark = uuid.uuid4().hex[:6]
            steps, failure = _play(stack, fake, options, mark)
            addresses = {"admin": f"{stack.url}/admin/", "hubspot": f"{fake.url}/_fake/"}
            log_in = {"email": f"staff-{mark}@demo.example", "password": PASSWORD}
            result = as_json(steps, seed=options.seed, addresses=addresses, log_in=log_in, failure=failure)
            result["ok"] = result["ok"] and not failure
            result["total_seconds"] = round(time.monotonic() - began, 1)
            _show(steps, result, failure)
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
        prog="dev.py demo", description="A two-way sync of an organization with HubSpot's stand-in, start to end."
    )
    parser.add_argument("--once", action="store_true", help="end after the result; exit 0 only if all was as expected")
    parser.add_argument("--json", action="store_true", help="with --once: one JSON object as the last line")
    parser.add_argument("--seed", type=int, default=1, help="draws the people (default 1)")
    parser.add_argument("--people", type=int, default=2000, metavar="N", help="on each side, at least 100")
    parser.add_argument("--port", type=int, default=0, help="the web server's port; a free one when left out")
    options = parser.parse_args(arguments)
    if options.people < 100:
        parser.error("--people: at least 100, so that every kind of person is there")
    return options


def _start_fake(stack: stacks.Stack) -> HubSpotAccount:
    """HubSpot's stand-in, with HubSpot's own limits and a search that lags as HubSpot's does."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    stack.environment.update(
        {"CRM_HUBSPOT_API_BASE": url, "CRM_HUBSPOT_AUTH_BASE": url, "CRM_EXTRA_HOSTS": f"127.0.0.1:{port}"}
    )
    serve = ("manage.py", "crm_fake", "hubspot", "--port", str(port), "--token", TOKEN, "--search-lag", "2")
    stack.spawn("hubspot", *serve, "--pidfile", "{pid_file}")
    stack.wait_for_port(port, "hubspot")
    account = HubSpotAccount(url, TOKEN)
    # Behind the real time until the scenario lets minutes pass: what was edited before is older by them.
    account.let_pass(-MINUTES_BEHIND)
    return account


MINUTES_BEHIND = 600.0


def _play(stack: stacks.Stack, fake: HubSpotAccount, options: argparse.Namespace, mark: str) -> tuple[list[Step], str]:
    """Make the organization and the people, connect, and run the scenario; what went wrong comes back as text."""
    os.environ.update(stack.environment)
    import django

    django.setup()
    from tests.harness.demo.scenario import Scenario

    people = draw(options.seed, scaled(options.people) if options.people != 2000 else None)
    scenario = None
    try:
        app = _prepare(stack, fake, people, mark)
        scenario = Scenario(people, app, fake)
        scenario.play()
    except (RuntimeError, ServicesError, requests.RequestException) as error:
        return (scenario.steps if scenario else []), str(error)
    return scenario.steps, ""


def _prepare(stack: stacks.Stack, fake: HubSpotAccount, people: People, mark: str) -> App:
    from adsapp_crm.services.connections import connect_with_token
    from adsapp_crm.services.organizations import create_organization
    from tests.harness.demo.app_side import App

    fake.make_tier()
    fake.make_segment()
    fake.import_records(people.crm)
    organization, _owner = create_organization(
        f"Demo {mark}", email=f"staff-{mark}@demo.example", password=PASSWORD, staff=True, region="NL"
    )
    app = App(stack, organization.id, f"staff-{mark}@demo.example", PASSWORD)
    app.import_people(people.app)
    _say(f"{len(people.app)} contacts and {len(people.crm)} records are there")
    connect_with_token(organization.id, "hubspot", TOKEN, actor="demo")
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
    _say(f"Admin: {result['addresses']['admin']}  log-in {result['log_in']['email']}  password {PASSWORD}")
    _say(f"HubSpot's records: {result['addresses']['hubspot']}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
