"""``python -m tests.harness.torture``: break the real stack while people edit, and judge what is left."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
import traceback
import uuid
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.harness import services
from tests.harness.binaries import ServicesError
from tests.harness.torture import stand as stands
from tests.harness.torture.app import App, StuckError
from tests.harness.torture.blows import Blow, all_blows
from tests.harness.torture.crm_side import CRMS
from tests.harness.torture.judge import Findings, judge, linked, marks
from tests.harness.torture.people import Town

RECOVERY_SECONDS = 30.0
PAGE = 200
RUNS_TO_QUIET = 4


@dataclass
class Round:
    name: str
    seconds: float = 0.0
    recovery_seconds: float | None = None
    sent_again: int = 0
    runs_to_quiet: int = 0
    findings: Findings = field(default_factory=Findings)

    @property
    def ok(self) -> bool:
        return not self.findings.accusations


@dataclass
class Torture:
    stand: stands.Stand
    app: App
    town: Town
    draw: random.Random
    rounds: list[Round] = field(default_factory=list)

    def first_sync(self) -> None:
        with self._round("first sync") as this:
            held = self.app.start("full")
            self.app.follow(held)
            self.app.follow(self.app.approve(held))
            self._judge(this)

    def suffer(self, blow: Blow) -> None:
        with self._round(blow.name) as this:
            try:
                self._suffer(this, blow)
            finally:
                self._heal()

    def _suffer(self, this: Round, blow: Blow) -> None:
        from django.db import connections

        self.town.begin_round()
        self.app.push_at_once(wanted=self.town.round % 2 == 0)
        self.stand.wait_for_workers()
        pairs = linked(self.town)
        blow.prepare(self.stand, self.draw)
        self.town.newcomers(6)
        self.town.edit_some(pairs, 24, contested=2)
        if self.town.round % 4 == 1:
            self.town.take_leave(pairs)
        run_id = self.app.start(blow.kind or self.draw.choice(("full", "delta")), messages=blow.messages)
        struck = blow.strike(self.stand, self.app, self.draw)
        self.stand.start_workers()  # as whoever watches them would; the other one lives
        if struck.victim is not None:
            self._await_recovery(this, struck.victim)
        connections.close_all()  # the blow may have cut ours as well
        self.town.edit_some(pairs, 6)
        self.app.follow(run_id)
        for deed in struck.after:
            deed()
        self.app.wait_until_idle()
        this.sent_again = self.app.sent_again(run_id)
        self._heal()
        self._judge(this)

    def _heal(self) -> None:
        """Also after a round that failed: the next one tells of its own blow alone."""
        self.stand.crm_proxy.heal()
        self.stand.crm.go_right()
        self.stand.take_order_back()

    def _await_recovery(self, this: Round, victim: dict[str, Any]) -> None:
        taken_at = self.app.wait_for_heir(victim["stream"], victim["fence"], seconds=RECOVERY_SECONDS + 10)
        if taken_at is not None:
            this.recovery_seconds = taken_at - victim["at"]

    def _judge(self, this: Round) -> None:
        """Run until a whole run does nothing, bounded; then look at both sides."""
        accused = this.findings.accusations
        before = marks(self.town)
        while True:
            this.runs_to_quiet += 1
            self.app.follow(self.app.start("full"))
            self.app.wait_until_idle()
            after = marks(self.town)
            if after == before:
                break
            if this.runs_to_quiet == RUNS_TO_QUIET:
                grown = {name: after[name] - before[name] for name in after if after[name] != before[name]}
                accused.setdefault("I2", []).append(f"run {RUNS_TO_QUIET} still did {grown}")
                break
            before = after
        this.findings = judge(self.town)
        for invariant, texts in accused.items():
            this.findings.accusations.setdefault(invariant, []).extend(texts)
        if this.recovery_seconds is not None and this.recovery_seconds > RECOVERY_SECONDS:
            this.findings.accuse("recovery", f"went on after {this.recovery_seconds:.1f} s")
        if this.sent_again > PAGE:
            this.findings.accuse("recovery", f"{this.sent_again} writes were sent again, more than a page")

    def _round(self, name: str) -> _Timed:
        this = Round(name)
        self.rounds.append(this)
        return _Timed(this)


class _Timed:
    def __init__(self, this: Round) -> None:
        self._this, self._began = this, time.monotonic()

    def __enter__(self) -> Round:
        return self._this

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> bool:
        self._this.seconds = time.monotonic() - self._began
        if isinstance(error, StuckError):
            self._this.findings.accuse("I12", str(error))
        _say(_row(self._this))
        return isinstance(error, StuckError)


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    began = time.monotonic()
    for variable in services.VARIABLES:
        os.environ.pop(variable, None)  # servers of its own: they are going to be restarted and flushed
    torture: Torture | None = None
    failure = ""
    try:
        with stands.opened(CRMS[options.crm]) as stand:
            torture = _prepare(stand, options)
            _say(f"everything runs after {time.monotonic() - began:.0f} s; seed {options.seed}\n{HEAD}")
            torture.first_sync()
            blows = all_blows(options.kills)
            torture.draw.shuffle(blows)
            for blow in blows:
                if options.only in blow.name:
                    torture.suffer(blow)
            stand.check()
    except (ServicesError, requests.RequestException, RuntimeError) as error:
        traceback.print_exc()
        failure = f"{type(error).__name__}: {error}"
    except KeyboardInterrupt:
        return 130
    result = {"crm": options.crm, **_result(torture, options.seed, failure, time.monotonic() - began)}
    _say(_verdict(result))
    if options.json:
        print(json.dumps(result))
    return 0 if result["ok"] else 1


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py torture", description=__doc__)
    parser.add_argument("--kills", type=int, default=3, metavar="N", help="kills at random, beside the named points")
    parser.add_argument("--seed", type=int, default=1, help="draws people, edits, points and the order of the blows")
    parser.add_argument("--people", type=int, default=300, metavar="N", help="on each side, at least 60")
    parser.add_argument("--crm", choices=sorted(CRMS), default="hubspot", help="which CRM's stand-in (default hubspot)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only blows whose name holds this text")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args(arguments)
    if options.people < 60:
        parser.error("--people: at least 60, so that every round finds people to edit")
    if options.kills < 0:
        parser.error("--kills: not negative")
    return options


def _prepare(stand: stands.Stand, options: argparse.Namespace) -> Torture:
    os.environ.update(stand.stack.environment)
    stand.start_workers()
    stand.start_beat()
    import django

    django.setup()
    from adsapp_crm.services.connections import connect_with_token
    from adsapp_crm.services.organizations import create_organization

    mark = uuid.uuid4().hex[:6]
    organization, _owner = create_organization(
        f"Torture {mark}", email=f"owner-{mark}@torture.example", password=str(uuid.uuid4()), region="NL"
    )
    stand.wait_for_workers()
    draw = random.Random(options.seed)
    town = Town(draw, organization.id, stand.crm)
    stand.crm.prepare()
    town.settle(options.people)
    connected = connect_with_token(organization.id, stand.crm.key, stand.crm.token, actor="user:torture")
    return Torture(stand, App(organization.id, connected.connection_id, town), town, draw)


HEAD = f"{'blow':<40} {'seconds':>7} {'recovery':>8} {'again':>6} {'runs':>5} {'edits':>6} {'named':>6}"


def _row(this: Round) -> str:
    recovery = "." if this.recovery_seconds is None else f"{this.recovery_seconds:.1f}"
    told = f"{this.name:<40} {this.seconds:>7.1f} {recovery:>8} {this.sent_again or '.':>6} {this.runs_to_quiet:>5}"
    lines = [f"{told} {this.findings.edits:>6} {this.findings.named:>6}{'' if this.ok else '  NOT OK'}"]
    for invariant, texts in sorted(this.findings.accusations.items()):
        lines += [f"    {invariant}: {text}" for text in texts[:5]]
        if len(texts) > 5:
            lines.append(f"    {invariant}: {len(texts) - 5} more")
    return "\n".join(lines)


def _result(torture: Torture | None, seed: int, failure: str, seconds: float) -> dict[str, Any]:
    rounds = torture.rounds if torture else []
    recoveries = [each.recovery_seconds for each in rounds if each.recovery_seconds is not None]
    accusations: dict[str, int] = {}
    for each in rounds:
        for invariant, texts in each.findings.accusations.items():
            accusations[invariant] = accusations.get(invariant, 0) + len(texts)
    return {
        "ok": bool(rounds) and not failure and all(each.ok for each in rounds),
        "seed": seed,
        "failure": failure,
        "rounds": [
            {
                "blow": each.name,
                "ok": each.ok,
                "seconds": round(each.seconds, 1),
                "recoverySeconds": None if each.recovery_seconds is None else round(each.recovery_seconds, 1),
                "sentAgain": each.sent_again,
                "runsToQuiet": each.runs_to_quiet,
                "accusations": each.findings.accusations,
            }
            for each in rounds
        ],
        "kills": torture.stand.kills if torture else 0,
        "lostMessages": torture.app.lost_messages if torture else 0,
        "edits": len(torture.town.edits) if torture else 0,
        "editsNamedAsOverruled": rounds[-1].findings.named if rounds else 0,
        "people": len(torture.town.everybody) if torture else 0,
        "lostEdits": accusations.get("I4", 0),
        "duplicates": accusations.get("I5", 0),
        "accusations": accusations,
        "slowestRecoverySeconds": round(max(recoveries), 1) if recoveries else None,
        "seconds": round(seconds, 1),
    }


def _verdict(result: dict[str, Any]) -> str:
    told = "Nothing lost, nothing double." if result["ok"] else "NOT as promised."
    return (
        f"\n{told} {len(result['rounds'])} rounds, {result['kills']} kills, {result['edits']} edits of"
        f" {result['people']} people, {result['lostEdits']} lost, {result['duplicates']} double,"
        f" slowest recovery {result['slowestRecoverySeconds']} s; {result['seconds']} s, seed {result['seed']}."
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
