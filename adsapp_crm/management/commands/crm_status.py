"""How every connection is doing: ``manage.py crm_status --fail-on late`` for probes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.core.management.base import CommandParser

from adsapp_crm.management.command import OK, WRONG, CrmCommand, organization_named
from adsapp_crm.models.choices import ConnectionStatus, Health
from adsapp_crm.services.standing import ConnectionStanding, standings

BAD: Final[Mapping[str, frozenset[str]]] = {
    "never": frozenset(),
    "reconnect": frozenset({"needs_reconnect"}),
    "attention": frozenset({"needs_reconnect", "needs_attention", "held"}),
    "late": frozenset({"needs_reconnect", "needs_attention", "held", "late"}),
}
"""What each word of ``--fail-on`` takes for a failure: itself and everything worse.

``late`` is about connections that stand still: one that syncs while some of its records fail is none of them.
"""


class Command(CrmCommand):
    help = "List the connections with their health and counts; exit 1 when one is as bad as --fail-on says, or worse."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--org", default="", metavar="ORG", help="only this organization (id or exact name)")
        parser.add_argument("--fail-on", choices=tuple(BAD), default="never", help="when to exit 1 (default never)")

    def work(self, options: Mapping[str, Any]) -> int:
        only = organization_named(options["org"]) if options["org"] else None
        found = list(standings(only))
        bad = [each for each in found if _is_bad(each, options["fail_on"])]
        for each in found:
            self.say(_line(each))
        if not found:
            self.say("no connections")
        self.give({"ok": not bad, "connections": [each.as_json() for each in found]})
        return WRONG if bad else OK


def _is_bad(each: ConnectionStanding, word: str) -> bool:
    syncs = each.health == Health.NEEDS_ATTENTION and each.status == ConnectionStatus.ACTIVE
    return each.health in BAD[word] and not (word == "late" and syncs)


def _line(each: ConnectionStanding) -> str:
    counts = " ".join(f"{word.replace('_', ' ')} {number}" for word, number in each.counts.items())
    last = f"{each.last_success_at:%Y-%m-%d %H:%M}" if each.last_success_at else "never"
    why = f" [{each.code}]" if each.code else ""
    return (
        f"{each.organization_name} {each.crm_type}: {each.health.replace('_', ' ')}{why}; last success {last}; {counts}"
    )
