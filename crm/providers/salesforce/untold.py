"""What the answers to writes leave open, found out by one more look for all records that it concerns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from crm.errors import CrmError, DuplicateRecordError, OutcomeUnknownError, RecordGoneError, RejectedError
from crm.model import RemoteRecord, RemoteState, Value
from crm.ports import ItemResult
from crm.providers.salesforce import mapping, soql
from crm.providers.salesforce.client import SalesforceClient
from crm.providers.salesforce.drafts import Draft

_UNMARKED_WINDOW: Final = timedelta(minutes=10)
"""How old a record may be that is taken for the one whose creation was not answered."""
_EMAIL: Final = "Email"

Read = Callable[[Sequence[str]], Mapping[str, RemoteRecord]]
"""Ids -> what became of them."""


class Untold:
    """Of the writes of one record type. Each method changes ``results`` where it has learned something."""

    def __init__(self, client: SalesforceClient, record_type: str, read: Read, user_id: Callable[[], str]) -> None:
        self._client = client
        self._type = record_type
        self._read = read
        self._user_id = user_id

    def explain_gone(self, drafts: Mapping[str, Draft], results: dict[str, ItemResult]) -> None:
        """Merged, converted, deleted, or only not ours to write: one look at all that are said to be gone."""
        gone = {key: each for key, each in drafts.items() if isinstance(results[key].error, RecordGoneError)}
        if not gone:
            return
        try:
            found = self._read([each.remote_id for each in gone.values()])
        except CrmError:
            return
        for key, each in gone.items():
            record, error = found[each.remote_id], results[key].error
            message = error.provider_message if error is not None else ""
            if record.state is RemoteState.LIVE:
                told: CrmError = RejectedError(code="perm.record", provider_message=message)
            elif record.state is RemoteState.MERGED:
                code = "state.converted" if ":" in record.merged_into else ""
                told = RecordGoneError(merged_into=record.merged_into, code=code, provider_message=message)
            else:
                told = RecordGoneError(provider_message=message)
            results[key] = ItemResult(key, error=placed_error(told))

    def name_duplicates(self, drafts: Mapping[str, Draft], results: dict[str, ItemResult]) -> None:
        """A duplicate rule's refusal in a collection does not say whom it found: one look by e-mail address."""
        nameless = {
            key: email
            for key, each in drafts.items()
            if isinstance(error := results[key].error, DuplicateRecordError)
            and not error.remote_id
            and (email := _email(each.asked))
        }
        if not nameless:
            return
        rows = self._rows_with(list(nameless.values()), [mapping.ID, _EMAIL])
        for key, email in nameless.items():
            ids = [row["Id"] for row in rows[0] if _is_same(row.get(_EMAIL), email)]
            error = results[key].error
            if len(ids) == 1 and isinstance(error, DuplicateRecordError):
                error.remote_id, error.code = ids[0], "match.duplicate_in_crm"

    def find_unmarked(self, drafts: Mapping[str, Draft], results: dict[str, ItemResult]) -> None:
        """Creations without marker that were not answered: made if one new record of ours has the address."""
        lost = {
            key: email
            for key, each in drafts.items()
            if isinstance(results[key].error, OutcomeUnknownError) and (email := _email(each.asked))
        }
        user_id = self._user_id() if lost else ""
        if not user_id:
            return
        fields = [mapping.ID, _EMAIL, "CreatedDate", "CreatedById"]
        rows, server_time = self._rows_with(list(lost.values()), fields)
        for key, email in lost.items():
            ids = [
                row["Id"]
                for row in rows
                if _is_same(row.get(_EMAIL), email)
                and mapping.to18(str(row.get("CreatedById"))) == user_id
                and (made := mapping.moment(row.get("CreatedDate"))) is not None
                and server_time is not None
                and server_time - made < _UNMARKED_WINDOW
            ]
            if len(ids) == 1:
                results[key] = written(self._type, key, drafts[key], ids[0])

    def _rows_with(
        self, emails: Sequence[str], fields: Sequence[str]
    ) -> tuple[Sequence[Mapping[str, Any]], datetime | None]:
        """Live records with these addresses and the server's time; nothing when they cannot be read."""
        try:
            query = soql.select(fields, self._type, soql.is_in(_EMAIL, dict.fromkeys(emails)), limit=2_000)
            page = self._client.query(query, operation="find_by_email")
        except CrmError:
            return (), None
        return (page.rows, page.server_time) if page.is_last else ((), None)


def written(record_type: str, key: str, each: Draft, remote_id: str) -> ItemResult:
    """Without values: Salesforce does not say what it has made of them."""
    whole = mapping.to18(remote_id) or remote_id
    return ItemResult(key, RemoteRecord(record_type, whole, {}, marker=each.marker), refused=each.refused)


def placed_error(error: CrmError) -> CrmError:
    """The error, saying where it comes from."""
    error.provider, error.operation = "salesforce", "collection"
    return error


def _email(values: Mapping[str, Value]) -> str:
    value = values.get(_EMAIL)
    return value.strip() if isinstance(value, str) else ""


def _is_same(stored: object, email: str) -> bool:
    return isinstance(stored, str) and stored.strip().casefold() == email.casefold()
