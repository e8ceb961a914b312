"""HubSpot's addresses, versions, sizes and limits: the provider's one table. Nothing here is decided twice.

Versions: https://developers.hubspot.com/docs/developer-tooling/platform/versioning (checked 2026-11). The numbered
form is answered until September 2027; the dated ones hold the same bodies under other paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from crm.errors import ConfigurationError
from crm.http.limits import DailyBudget, RollingWindow, Scope, headers_reader

API_BASE: Final = "https://api.hubapi.com"
"""One address for every data region; the token endpoint lives here too."""
AUTH_BASE: Final = "https://app.hubspot.com"
"""Where a person grants access."""
HOST_SUFFIXES: Final = ("hubapi.com", "hubspot.com")

NUMBERED: Final = "v3"
DATED: Final = ("2026-03", "2026-09")
VERSIONS: Final = (NUMBERED, *DATED)
OAUTH_VERSION: Final = "2026-03"
"""``/oauth/v1`` is switched off on 2027-02-16, so tokens come from a dated path whatever the objects use."""

READ_BATCH: Final = 100
WRITE_BATCH: Final = 100
IN_FLIGHT: Final = 10
"""Batches under way at once, which are a page: at 250 ms each that is 40 a second, four times what a plan allows, so
that they make up for the time between two pages, which is the database's. HubSpot's windows hold a multiple of it (100,
110 or 190 in ten seconds): a page of another number leaves a part of each window unused, a tenth at 8 of 20."""
HISTORY_BATCH: Final = 50
LIST_PAGE: Final = 100
SEARCH_PAGE: Final = 200
OWNER_PAGE: Final = 100
LINK_READ_BATCH: Final = 1_000
LINK_BATCH: Final = 2_000
MAX_QUERY_CHARACTERS: Final = 6_000
"""For a list of properties in an address: refusals (414) are reported from about 8,000 characters up."""
MAX_SEARCH_CHARACTERS: Final = 3_000
"""HubSpot refuses a longer search body."""
SEARCH_LAG_SECONDS: Final = 120.0
"""How long a change may stay out of the search index ("a few moments"), with a margin."""
MAX_TEXT_CHARACTERS: Final = 65_536

BURST: Final = "burst"
SEARCH: Final = "search"
TEN_SECONDS_WAIT: Final = 10.0
SECOND_WAIT: Final = 1.0
REQUEST_ID_HEADER: Final = "x-hubspot-correlation-id"

_NUMBERED_PATHS: Final[Mapping[str, str]] = {
    "objects": "/crm/v3/objects",
    "associations": "/crm/v4/associations",
    "properties": "/crm/v3/properties",
    "owners": "/crm/v3/owners",
    "preferences": "/communication-preferences/v4",
    "account": "/account-info/v3",
}
_DATED_PATHS: Final[Mapping[str, str]] = {
    "objects": "/crm/objects/{version}",
    "associations": "/crm/associations/{version}",
    "properties": "/crm/properties/{version}",
    "owners": "/crm/owners/{version}",
    "preferences": "/communication-preferences/{version}",
    "account": "/account-info/{version}",
}
_RESOURCES: Final[Mapping[str, tuple[str, str]]] = {
    "list": ("objects", "/{type}"),
    "record": ("objects", "/{type}/{id}"),
    "search": ("objects", "/{type}/search"),
    "batch_read": ("objects", "/{type}/batch/read"),
    "batch_create": ("objects", "/{type}/batch/create"),
    "batch_update": ("objects", "/{type}/batch/update"),
    "batch_archive": ("objects", "/{type}/batch/archive"),
    "links_read": ("associations", "/{type}/contacts/batch/read"),
    "links_create": ("associations", "/{type}/contacts/batch/associate/default"),
    "links_archive": ("associations", "/{type}/contacts/batch/archive"),
    "properties": ("properties", "/{type}"),
    "property": ("properties", "/{type}/{name}"),
    "property_groups": ("properties", "/{type}/groups"),
    "owners": ("owners", ""),
    "unsubscribe_all": ("preferences", "/statuses/{email}/unsubscribe-all"),
    "account": ("account", "/details"),
}

AUTHORIZE_PATH: Final = "/oauth/authorize"
TOKEN_PATH: Final = f"/oauth/{OAUTH_VERSION}/token"
INTROSPECT_PATH: Final = f"/oauth/{OAUTH_VERSION}/token/introspect"
REVOKE_PATH: Final = f"/oauth/{OAUTH_VERSION}/token/revoke"


@dataclass(frozen=True, slots=True)
class Paths:
    """The path templates of one version; raises ConfigurationError for a version that is not in ``VERSIONS``."""

    version: str = NUMBERED

    def __post_init__(self) -> None:
        if self.version not in VERSIONS:
            raise ConfigurationError(f"HubSpot's API version is unknown. Set it to one of: {', '.join(VERSIONS)}.")

    def of(self, resource: str) -> str:
        """``search`` -> ``/crm/v3/objects/{type}/search``; the names in braces are filled by the HTTP client."""
        family, rest = _RESOURCES[resource]
        if self.version == NUMBERED:
            return _NUMBERED_PATHS[family] + rest
        return _DATED_PATHS[family].replace("{version}", self.version) + rest


BUDGETS: Final = (
    RollingWindow(
        BURST,
        Scope.APP,
        110,
        10.0,
        read=headers_reader(
            limit="x-hubspot-ratelimit-max",
            remaining="x-hubspot-ratelimit-remaining",
            interval_milliseconds="x-hubspot-ratelimit-interval-milliseconds",
        ),
    ),
    RollingWindow(SEARCH, Scope.ACCOUNT, 5, 1.0, margin_seconds=0.1),
    DailyBudget(
        Scope.ACCOUNT,
        read=headers_reader(limit="x-hubspot-ratelimit-daily", remaining="x-hubspot-ratelimit-daily-remaining"),
    ),
)
"""https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines (checked 2026-11). A private app's
burst (100 or 190) and daily figures come from the headers; an OAuth app has no daily limit. Searches do not count
against the burst and their answers carry no rate headers."""
