"""A circuit breaker for each host: a CRM that is down is left alone, and asked by one call now and then.

After ``FAILURES`` calls in a row, of all workers, that found no server or an error of its own (5xx), the host rests.
When the pause is over, one call goes through: its success closes the circuit, its failure doubles the pause. Whatever
else the host answers, a refusal too, is a success: it is there.

What all workers know of a host is kept by ``adsapp_crm.circuit``.
"""

from __future__ import annotations

from typing import Final, Protocol

from crm.errors import RateLimitedError

FAILURES: Final = 8
"""More than two calls with all their tries: one record at which a server stumbles stops nobody."""
WITHIN_SECONDS: Final = 60.0
"""Failures with longer pauses between them do not add up."""
PAUSE_SECONDS: Final = 10.0
LONGEST_PAUSE_SECONDS: Final = 60.0
"""Each pause is twice the one before, up to this."""
PROBE_SECONDS: Final = 60.0
"""For so long the one call is waited for; its worker may have died."""


class Circuit(Protocol):
    """One host's, as one connection uses it."""

    def rest_seconds(self) -> float:
        """How long to leave the host alone; 0: call it, and tell ``settle`` what came of it."""
        ...

    def settle(self, *, reached: bool) -> None:
        """Whether the host answered with something other than an error of its own."""
        ...


def resting(seconds: float) -> RateLimitedError:
    """What is raised instead of a call; nothing was sent."""
    return RateLimitedError(
        "The CRM failed again and again; it is left alone", retry_after_seconds=seconds, code="net.resting"
    )
