"""A complete read by a query job: one statement over a whole object, its rows fetched by thousands.

Positions name the job, so that a worker that takes over goes on with it. The rows are of the moment the job read
them; changes since then are the next delta's. Whatever keeps a job from ending well, the pages of ``scan`` do it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from crm.errors import ConnectionBlockedError, CrmError, PermissionMissingError, TransientError
from crm.providers.salesforce import bulk, endpoints
from crm.providers.salesforce.bulk import BulkClient, JobState, ResultPage
from crm.providers.salesforce.wire import WireRow

START: Final = "bulk"


@dataclass(frozen=True, slots=True)
class Rows:
    """``following``: the next position; ``None``: the walk is complete."""

    rows: tuple[WireRow, ...]
    following: str | None
    server_time: datetime | None = None


class BulkScan:
    """Holds the results that it fetched last: they are served in pages."""

    def __init__(self, client: BulkClient, sleep: Callable[[float], None], page_size: int) -> None:
        self._client = client
        self._sleep = sleep
        self._page_size = page_size
        self._held: tuple[str, str, ResultPage] | None = None

    def begin(self, soql: str) -> Rows | None:
        """An empty page that leads to the job; ``None`` when Salesforce makes none for this user."""
        try:
            job, server_time = self._client.create_query(soql)
        except (TransientError, ConnectionBlockedError) as error:
            if isinstance(error, PermissionMissingError):
                return None
            raise
        except CrmError:
            return None
        return Rows((), f"{START}|{job}||0", server_time)

    def page(self, position: str, remote_types: Mapping[str, str]) -> Rows | None:
        """Rows of a position that ``begin`` or a page gave; ``None`` when the job came to nothing, or is gone."""
        _, job, locator, start = position.split("|")
        if self._held is None or self._held[:2] != (job, locator):
            found = self._results(job, locator)
            if not isinstance(found, ResultPage):
                return Rows((), position) if found is not None and not found.is_over else None
            self._held = (job, locator, found)
        held, first = self._held[2], int(start)
        rows = tuple(bulk.typed_row(row, remote_types) for row in held.rows[first : first + self._page_size])
        if first + self._page_size < len(held.rows):
            return Rows(rows, f"{START}|{job}|{locator}|{first + self._page_size}", held.server_time)
        if held.locator:
            return Rows(rows, f"{START}|{job}|{held.locator}|0", held.server_time)
        self._held = None
        with contextlib.suppress(CrmError):
            self._client.delete("query", job)
        return Rows(rows, None, held.server_time)

    def _results(self, job: str, locator: str) -> ResultPage | JobState | None:
        """The results, or the state of a job that has none (yet); ``None``: Salesforce knows no such job."""
        try:
            state = JobState.COMPLETE if locator else self._waited_for(job)
            return self._client.query_page(job, locator) if state is JobState.COMPLETE else state
        except (TransientError, ConnectionBlockedError):
            raise
        except CrmError:
            return None

    def _waited_for(self, job: str) -> JobState:
        state = self._client.state("query", job).state
        for seconds in endpoints.BULK_QUERY_WAITS:
            if state.is_over:
                break
            self._sleep(seconds)
            state = self._client.state("query", job).state
        return state


def is_position(after: str | None) -> bool:
    return after is not None and (after == START or after.startswith(f"{START}|"))


def is_whole(position: str) -> bool:
    """Whether ``page`` can read it."""
    parts = position.split("|")
    return len(parts) == 4 and parts[1].isalnum() and (not parts[2] or parts[2].isalnum()) and parts[3].isdecimal()


def types_of(definitions: Mapping[str, Any]) -> dict[str, str]:
    """Field -> Salesforce's type; a related field (``Account.Name``) is text."""
    return {name: each.remote_type for name, each in definitions.items() if "." not in name}
