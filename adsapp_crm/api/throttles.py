"""How many requests a minute: of one person or key, and of an organization. Redis counts; without it nobody is held."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from django.core.cache import cache
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from adsapp_crm import conf
from adsapp_crm.api.caller import actor_of

WINDOW_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of one limit in this minute."""

    name: str
    most: int
    left: int


class _MinuteThrottle(BaseThrottle):
    name = ""

    def allow_request(self, request: Request, view: APIView) -> bool:  # noqa: ARG002
        who = self.who(request)
        if who is None:
            return True
        key = f"throttle:{who}:{int(time.time() // WINDOW_SECONDS)}"
        try:
            cache.add(key, 0, timeout=2 * WINDOW_SECONDS)
            used = int(cache.incr(key))
        except (RedisError, ValueError):
            # ValueError: the counter ran out between the two calls.
            return True
        most = self.most()
        request.allowances = [*getattr(request, "allowances", ()), Allowance(self.name, most, max(0, most - used))]  # type: ignore[attr-defined]
        return used <= most

    def wait(self) -> float:
        return WINDOW_SECONDS - time.time() % WINDOW_SECONDS

    def who(self, request: Request) -> str | None:
        raise NotImplementedError

    def most(self) -> int:
        raise NotImplementedError


class ActorThrottle(_MinuteThrottle):
    name = "actor"

    def who(self, request: Request) -> str | None:
        organization_id = getattr(request, "organization_id", None)
        return f"{organization_id}:{actor_of(request)}"

    def most(self) -> int:
        return conf.requests_per_minute()


class OrganizationThrottle(_MinuteThrottle):
    name = "organization"

    def who(self, request: Request) -> str | None:
        organization_id = getattr(request, "organization_id", None)
        return str(organization_id) if organization_id else None

    def most(self) -> int:
        return conf.organization_requests_per_minute()


def rate_headers(allowances: Iterable[Allowance]) -> dict[str, str]:
    """``RateLimit-Policy`` and ``RateLimit`` (draft-ietf-httpapi-ratelimit-headers); none where nothing was counted."""
    found = list(allowances)
    if not found:
        return {}
    ends = max(1, math.ceil(WINDOW_SECONDS - time.time() % WINDOW_SECONDS))
    return {
        "RateLimit-Policy": ", ".join(f'"{each.name}";q={each.most};w={WINDOW_SECONDS}' for each in found),
        "RateLimit": ", ".join(f'"{each.name}";r={each.left};t={ends}' for each in found),
    }
