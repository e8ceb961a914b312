"""Many records by one bulk job, with an outcome for each: what became of every row is known, or known to be unknown.

A job is never sent again. One whose making or data was not answered is left unclosed, so that nothing happened; one
whose closing was not answered is asked by its id; one that takes too long is aborted, and its results tell the rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from crm.errors import (
    ConnectionBlockedError,
    CrmError,
    OutcomeUnknownError,
    PermissionMissingError,
    RejectedError,
    TransientError,
    UnexpectedAnswerError,
)
from crm.providers.salesforce import bulk, endpoints
from crm.providers.salesforce.bulk import BulkClient, JobState, JobStatus
from crm.providers.salesforce.wire import WireRowResult

UPDATE: Final = "update"
UPSERT: Final = "upsert"


class Ingest:
    """Jobs of one record type."""

    def __init__(self, client: BulkClient, record_type: str, sleep: Callable[[float], None]) -> None:
        self._client = client
        self._type = record_type
        self._sleep = sleep

    def write(self, operation: str, key: str, records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
        """``records`` by the caller's key; each bears its own value in the column ``key``.

        Gives each a ``WireRowResult`` or a CrmError: TransientError for a row that was not done. ``None``: Salesforce
        makes no job (the day's batches are used up, or the user may not), and nothing was done.
        """
        try:
            job = self._client.create_ingest(self._type, operation, "" if key == "Id" else key)
        except (RejectedError, PermissionMissingError):
            return None
        except CrmError as error:
            return dict.fromkeys(records, unsent(error))
        try:
            self._client.upload(job, bulk.to_csv(list(records.values())))
        except CrmError as error:
            return dict.fromkeys(records, unsent(error))
        try:
            status = self._closed(job)
            for seconds in endpoints.BULK_INGEST_WAITS:
                if status.state.is_over:
                    break
                self._sleep(seconds)
                status = self._client.state("ingest", job)
            if not status.state.is_over:
                status = self._aborted(job)
            outcomes = self._outcomes(job, key, records, status) if status.state.is_over else {}
        except CrmError as error:
            return dict.fromkeys(records, unknown(error))
        undone: CrmError = (
            TransientError("A bulk job ended before it came to this record", code="net.batch_refused")
            if status.state.is_over
            else unknown(None)
        )
        with contextlib.suppress(CrmError):
            self._client.delete("ingest", job)
        return {record: outcomes.get(record, undone) for record in records}

    def _closed(self, job: str) -> JobStatus:
        """The state after closing it. Where that was not answered the job is asked, and closed if it still is open."""
        for _ in range(2):
            try:
                self._client.close(job)
            except (OutcomeUnknownError, UnexpectedAnswerError):
                status = self._client.state("ingest", job)
                if status.state is not JobState.OPEN:
                    return status
            else:
                break
        return self._client.state("ingest", job)

    def _aborted(self, job: str) -> JobStatus:
        with contextlib.suppress(CrmError):
            self._client.abort(job)
        return self._client.state("ingest", job)

    def _outcomes(
        self, job: str, key: str, records: Mapping[str, Mapping[str, Any]], status: JobStatus
    ) -> dict[str, WireRowResult]:
        owners = {str(record[key]): name for name, record in records.items()}
        found: dict[str, WireRowResult] = {}
        for row in self._client.ingest_rows(job, "failedResults") if status.has_failed_rows else ():
            if row.get(key) in owners:
                found[owners[row[key]]] = {"success": False, "errors": bulk.row_errors(row.get(bulk.ROW_ERROR, ""))}
        for row in self._client.ingest_rows(job, "successfulResults"):
            if row.get(key) in owners and row.get(bulk.ROW_ID):
                found[owners[row[key]]] = {"success": True, "id": row[bulk.ROW_ID]}
        return found


def unsent(error: CrmError) -> CrmError:
    """What kept a job from being closed: nothing of it happened."""
    if isinstance(error, TransientError | ConnectionBlockedError):
        return error
    return TransientError("A bulk job could not be made", code=error.code, provider_message=error.provider_message)


def unknown(error: CrmError | None) -> OutcomeUnknownError:
    message = error.provider_message if error is not None else ""
    return OutcomeUnknownError("Nobody knows yet what became of a bulk job", provider_message=message)
