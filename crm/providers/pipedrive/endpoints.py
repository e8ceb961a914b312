"""Pipedrive's addresses, versions, sizes, costs and limits: the provider's one table. Nothing here is decided twice.

Costs and burst limits: https://pipedrive.readme.io/docs/core-api-concepts-rate-limiting; the cost of each endpoint is
``x-token-cost`` in https://developers.pipedrive.com/docs/api/v1/openapi-v2.yaml (checked 2026-09).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from crm.errors import ConfigurationError
from crm.http.limits import DailyBudget, RollingWindow, Scope, headers_reader

API_BASE: Final = "https://api.pipedrive.com"
"""For a connection whose company domain is not known yet; the company's own host is routed faster."""
AUTH_BASE: Final = "https://oauth.pipedrive.com"
HOST_SUFFIXES: Final = ("pipedrive.com",)
_DOMAIN: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")

V1: Final = "v1"
V2: Final = "v2"
VERSIONS: Final = (V2, V1)
_PREFIXES: Final[Mapping[str, str]] = {V1: "/v1", V2: "/api/v2"}

PAGE: Final = 500
IDS_BATCH: Final = 100
"""Most ids that one list request takes; with v1 every id is a request of its own."""
WRITERS: Final = 16
"""Calls under way at once: at 250 ms each that is 64 a second, the burst of the largest plan."""
OBSERVED_SECONDS: Final = 30.0
"""How long a record that was read counts as just observed, so that a write need not read it again."""
LOOK_BACK_DAYS: Final = 30
"""How far back by creation time a look-up by marker goes."""
RECENTS_DAYS: Final = 30
"""v1's feed of changes reaches back one month."""
OVERLAP_SECONDS: Final = 120.0
"""Stamps are whole seconds and a list may show a write late: the watermark is held back by this."""

BURST: Final = "burst"
BURST_SECONDS: Final = 2.0
BLOCKED_SECONDS: Final = 1_800.0
"""After the edge's own 403 the connection is left alone: going on makes the block longer."""
DAY_WAIT_SECONDS: Final = 3_600.0
"""The day ends at an unnamed midnight, so an exhausted budget is looked at again each hour."""
REQUEST_ID_HEADER: Final = "x-correlation-id"
BURST_REMAINING_HEADER: Final = "x-ratelimit-remaining"
BURST_RESET_HEADER: Final = "x-ratelimit-reset"
DAY_REMAINING_HEADER: Final = "x-daily-ratelimit-token-remaining"


@dataclass(frozen=True, slots=True)
class Costs:
    """Tokens of the company's day, for each call and whatever its size."""

    one: int
    page: int
    write: int
    delete: int


COSTS: Final[Mapping[str, Costs]] = {V2: Costs(one=1, page=10, write=5, delete=3), V1: Costs(2, 20, 10, 6)}
ME_COST: Final = 2
USERS_COST: Final = 20
RECENTS_COST: Final = 20
CHANGELOG_COST: Final = 20
WEBHOOKS_COST: Final = 10
WEBHOOK_DELETE_COST: Final = 6

BUDGETS: Final = (
    RollingWindow(
        BURST,
        Scope.APP,
        20,
        BURST_SECONDS,
        read=headers_reader(limit="x-ratelimit-limit", remaining=BURST_REMAINING_HEADER),
    ),
    DailyBudget(
        Scope.ACCOUNT,
        limit=30_000,
        read=headers_reader(limit="x-daily-ratelimit-token-limit", remaining=DAY_REMAINING_HEADER),
    ),
)
"""The entry plan's figures for an API token until headers tell the account's own (20 to 480 per two seconds; 30,000
tokens by plan and seats). The separate limit of searches is not declared, since nothing here searches."""


def base_address(api_base: str, company_domain: str) -> str:
    """The operator's address, else the company's. Raises ConfigurationError for a domain that is no single label:
    anything else could lead the token to a foreign host.
    """
    if api_base:
        return api_base
    if not company_domain:
        return API_BASE
    if not _DOMAIN.fullmatch(company_domain):
        raise ConfigurationError(
            "The company domain is not one word. Give the part before .pipedrive.com only.", code="config.host"
        )
    return f"https://{company_domain}.pipedrive.com"


def path(version: str, resource: str) -> str:
    """``(v2, "persons/{id}")`` -> ``/api/v2/persons/{id}``."""
    return f"{_PREFIXES[version]}/{resource}"


def checked_version(word: str) -> str:
    if word not in VERSIONS:
        raise ConfigurationError(f"Pipedrive's API version is unknown. Set it to one of: {', '.join(VERSIONS)}.")
    return word
