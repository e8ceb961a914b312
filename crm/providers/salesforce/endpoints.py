"""Salesforce's addresses, versions, sizes and limits: the provider's one table. Nothing here is decided twice.

Versions: https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/api_rest_eol.htm (checked 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from crm.errors import ConfigurationError
from crm.http.limits import DailyBudget, Reading, RollingWindow, Scope

LOGIN_BASE: Final = "https://login.salesforce.com"
SANDBOX_LOGIN_BASE: Final = "https://test.salesforce.com"
PRODUCTION: Final = "production"
SANDBOX: Final = "sandbox"
HOST_SUFFIXES: Final = ("salesforce.com", "force.com")
"""The data's address comes with the token: ``https://<domain>.my.salesforce.com``."""
PAGES_HOST: Final = "lightning.force.com"
"""Where people work; it answers no API call."""
DEFAULT_VERSION: Final = "59.0"
VERSION_SHAPE: Final = r"(?:4[1-9]|[5-9]\d)\.0"
_VERSION: Final = re.compile(VERSION_SHAPE)

AUTHORIZE_PATH: Final = "/services/oauth2/authorize"
TOKEN_PATH: Final = "/services/oauth2/token"  # noqa: S105 - an address
REVOKE_PATH: Final = "/services/oauth2/revoke"
USERINFO_PATH: Final = "/services/oauth2/userinfo"

QUERY_PAGE: Final = 2_000
READ_BATCH: Final = 2_000
WRITE_BATCH: Final = 200
NAME_BATCH: Final = 150
"""Account names in one query."""
MAX_QUERY_CHARACTERS: Final = 12_000
"""Of SOQL in an address, encoded: address and headers may hold 16,384 bytes. Longer ones go into a composite call."""
MAX_SOQL_CHARACTERS: Final = 100_000
MAX_LITERAL_CHARACTERS: Final = 4_000
OVERLAP_SECONDS: Final = 900.0
"""How long a transaction that is still open may hold back rows with an earlier stamp, with a margin."""

BULK_READS_FROM: Final = 50_000
"""Records from which on a first complete read is a bulk job; 25 requests read as many page by page."""
BULK_WRITES_FROM: Final = 2_000
BULK_WRITES: Final = 2_000
"""Records that one ingest job takes: what a worker can settle before its claims end. It takes half the requests of
collections, one after the other, where collections go side by side: it is for days on which requests are scarce."""
BULK_RESULTS: Final = 5_000
"""Rows of one request for a query job's results."""
BULK_QUERY_WAITS: Final = (0.5, 1.0, 2.0, 4.0)
"""Seconds between looks at a job in one call: the position is given back then, so that no worker sits out a job."""
BULK_INGEST_WAITS: Final = (0.25, 0.5, 1.0, 2.0, *(4.0,) * 12)
"""Then the job is aborted; its results tell which rows were written."""

IN_FLIGHT: Final = 10
"""Collections on their way at once: with ``WRITE_BATCH`` they fill ``READ_BATCH``. An organization lets 25 requests
last 20 seconds and longer (5 of a developer's or a trial); what is beyond is refused unread and sent again."""

REQUESTS: Final = "burst"
REQUESTS_PER_SECOND: Final = 100
CONCURRENCY_WAIT: Final = 5.0
DAILY_WAIT: Final = 900.0
"""The allowance is a rolling day, so some of it comes back all the time."""
REQUEST_ID_HEADER: Final = "x-sfdc-request-id"
LIMIT_HEADER: Final = "sforce-limit-info"
CLIENT_NAME: Final = "ADSapp"

_PATHS: Final[Mapping[str, str]] = {
    "describe": "/sobjects/{type}/describe",
    "record": "/sobjects/{type}/{id}",
    "note_body": "/sobjects/ContentNote/{id}/Content",
    "query": "/query",
    "queryAll": "/queryAll",
    "more": "/{resource}/{locator}",
    "composite": "/composite",
    "collection": "/composite/sobjects",
    "upsert": "/composite/sobjects/{type}/{field}",
    "jobs": "/jobs/{verb}",
    "job": "/jobs/{verb}/{job}",
    "job_part": "/jobs/{verb}/{job}/{part}",
}


@dataclass(frozen=True, slots=True)
class Paths:
    """The path templates of one version; raises ConfigurationError for what is no supported version."""

    version: str = DEFAULT_VERSION

    def __post_init__(self) -> None:
        if not _VERSION.fullmatch(self.version):
            raise ConfigurationError(
                "Salesforce's API version is none. Set CRM_SALESFORCE_API_VERSION to a number such as 59.0."
            )

    @property
    def root(self) -> str:
        return f"/services/data/v{self.version}"

    def of(self, resource: str) -> str:
        """``describe`` -> ``/services/data/v59.0/sobjects/{type}/describe``; the HTTP client fills the braces."""
        return self.root + _PATHS[resource]


_USAGE: Final = re.compile(r"(?<![\w-])api-usage=(\d{1,12})/(\d{1,12})")


def read_usage(headers: Mapping[str, str]) -> Reading | None:
    """``api-usage=18/15000``: used of the organization's rolling day. Many answers do not carry it."""
    found = _USAGE.search(headers.get(LIMIT_HEADER, ""))
    return Reading(limit=int(found[2]), used=int(found[1])) if found else None


BUDGETS: Final = (
    RollingWindow(REQUESTS, Scope.ACCOUNT, REQUESTS_PER_SECOND, 1.0, margin_seconds=0.022),
    DailyBudget(Scope.ACCOUNT, read=read_usage),
)
"""https://developer.salesforce.com/docs/atlas.en-us.salesforce_app_limits_cheatsheet.meta (checked 2026-11): there is
no limit a second; the window is politeness. The day's allowance belongs to all integrations of the organization."""
