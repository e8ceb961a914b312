"""Creates, updates and deletions by collections of 200, several at once: every record gets its own outcome.

https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_composite_sobjects_collections.htm
(checked 2026-11): a collection is answered in the order of its records, each with its own success or errors. What is
locked is sent again a few times, one collection after the other then, and what is refused for some fields once more
without them.
"""

from __future__ import annotations

import random as random_module
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crm.errors import (
    ConnectionBlockedError,
    CrmError,
    FieldRefusal,
    MappingError,
    RecordGoneError,
    RecordInvalidError,
    RecordLockedError,
    TransientError,
)
from crm.http.batches import send_in_batches
from crm.http.crew import Crew
from crm.model import FieldDefinition, RemoteRecord
from crm.ports import CreateItem, ItemResult, UpdateItem
from crm.providers.salesforce import bulk, mapping, soql
from crm.providers.salesforce.client import SalesforceClient
from crm.providers.salesforce.companies import Companies
from crm.providers.salesforce.drafts import Draft, account_name, by_account, draft, first_of_each, with_account
from crm.providers.salesforce.ingest import UPDATE, UPSERT, Ingest
from crm.providers.salesforce.untold import Read, Untold, placed_error, written
from crm.providers.salesforce.wire import WireRowResult, classify_row

MAX_ROUNDS: Final = 5
"""Of one call: the first and four more for what was locked or has to be lighter."""
LOCK_WAIT_SECONDS: Final = 0.5
_ABOUT_THE_FIELD: Final = frozenset({"field.missing", "field.readonly"})

Send = Callable[[Mapping[str, Draft]], dict[str, ItemResult | CrmError]]


@dataclass(frozen=True, slots=True)
class Means:
    """What the writes of one record type need."""

    client: SalesforceClient
    crew: Crew
    companies: Companies
    record_type: str
    batch_size: int
    listed: Mapping[str, FieldDefinition]
    read: Read
    user_id: Callable[[], str]
    sleep: Callable[[float], None]
    ingest: Ingest
    ingest_from: int
    """Records from which on they go by one job; 0: never."""
    random: Callable[[], float] = random_module.random


class Writer:
    """Writes of one record type."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._type = means.record_type
        self._can_mark = mapping.can_mark(means.listed)
        self._untold = Untold(means.client, means.record_type, means.read, means.user_id)

    def create(self, items: Sequence[CreateItem]) -> dict[str, ItemResult]:
        marker = {item.key: item.marker if self._can_mark else "" for item in items}
        drafts = {
            item.key: draft(self._type, item.values, self._means.listed, marker=marker[item.key]) for item in items
        }
        results = self._write(drafts, self._send_creates, self._ingest_creates if self._can_mark else None)
        self._untold.name_duplicates(drafts, results)
        if not self._can_mark:
            self._untold.find_unmarked(drafts, results)
        return results

    def update(self, items: Sequence[UpdateItem]) -> dict[str, ItemResult]:
        results: dict[str, ItemResult] = {}
        drafts: dict[str, Draft] = {}
        for item in items:
            remote_id = mapping.id_of_type(self._type, item.remote_id)
            if not item.values:
                results[item.key] = ItemResult(item.key, RemoteRecord(self._type, item.remote_id, {}))
            elif remote_id is None:
                results[item.key] = ItemResult(item.key, error=RecordGoneError())
            else:
                drafts[item.key] = draft(
                    self._type,
                    item.values,
                    self._means.listed,
                    remote_id=remote_id,
                    unchanged_since=item.unchanged_since,
                )
        results |= self._write(drafts, self._send_updates, self._ingest_updates)
        self._untold.explain_gone(drafts, results)
        return results

    def delete(self, items: Sequence[UpdateItem]) -> dict[str, ItemResult]:
        """What is gone already is deleted; an id that is none was never there."""
        ids = {item.key: mapping.id_of_type(self._type, item.remote_id) for item in items}

        def send(batch: Mapping[str, str]) -> dict[str, ItemResult | CrmError]:
            wanted = list(dict.fromkeys(batch.values()))
            answers = dict(zip(wanted, self._means.client.delete_rows(wanted), strict=True))
            return {key: _deleted(key, answers[remote_id]) for key, remote_id in batch.items()}

        waiting = {key: remote_id for key, remote_id in ids.items() if remote_id is not None}
        results = {item.key: ItemResult(item.key) for item in items}
        for turn in range(MAX_ROUNDS):
            in_batches = send_in_batches if turn else self._means.crew.in_batches
            results |= _as_results(in_batches(waiting, self._means.batch_size, send))
            waiting = {key: each for key, each in waiting.items() if isinstance(results[key].error, RecordLockedError)}
            if not waiting or turn == MAX_ROUNDS - 1:
                break
            self._wait(turn)
        return results

    # rounds

    def _write(self, drafts: Mapping[str, Draft], send: Send, ingest: Send | None) -> dict[str, ItemResult]:
        results: dict[str, ItemResult] = {}
        waiting: dict[str, Draft] = {}
        try:
            placed = self._under_accounts(drafts, results)
        except CrmError as error:
            return {key: ItemResult(key, error=_unsent(error)) for key in drafts}
        for key, each in placed.items():
            if each.asked and set(each.asked) == set(each.refused):
                results[key] = ItemResult(key, error=_all_refused(each.refused))
            elif each.values or each.marker:
                waiting[key] = each
            else:
                results[key] = ItemResult(key, RemoteRecord(self._type, each.remote_id, {}), refused=each.refused)
        for turn in range(MAX_ROUNDS):
            jobs = ingest if self._means.ingest_from and len(waiting) >= self._means.ingest_from else None
            by_job = {key: each for key, each in waiting.items() if jobs and bulk.holds(self._record(each))}
            results |= _as_results(jobs(by_job) if jobs and by_job else {})
            others = {key: each for key, each in waiting.items() if key not in by_job}
            results |= _as_results(self._collections(others, send, side_by_side=not turn))
            if turn == MAX_ROUNDS - 1:
                break
            again = {key: self._again(each, results[key].error) for key, each in waiting.items()}
            if any(isinstance(results[key].error, RecordLockedError) for key in waiting):
                self._wait(turn)
            waiting = {key: each for key, each in again.items() if each is not None}
            if not waiting:
                break
        return results

    def _again(self, sent: Draft, error: CrmError | None) -> Draft | None:
        """The draft to send once more, if the error leaves something to try. Errors then speak of asked names."""
        if isinstance(error, RecordLockedError):
            return sent
        if not isinstance(error, RecordInvalidError):
            return None
        fields = dict(error.fields)
        error.fields = {**sent.refused, **sent.asked_names(fields)}
        lighter = sent.without({name: refusal for name, refusal in fields.items() if name in sent.named})
        return lighter if len(lighter.values) < len(sent.values) and lighter.named.keys() & lighter.values else None

    def _wait(self, turn: int) -> None:
        self._means.sleep(LOCK_WAIT_SECONDS * float(1 << turn) * (0.5 + self._means.random()))

    # sending

    def _collections(
        self, drafts: Mapping[str, Draft], send: Send, *, side_by_side: bool = True
    ) -> dict[str, ItemResult | CrmError]:
        """Of one record only the first draft goes side by side with others; what comes twice follows in order."""
        if not side_by_side:
            return send_in_batches(drafts, self._means.batch_size, send)
        once, again = first_of_each(drafts)
        outcomes = self._means.crew.in_batches(by_account(once), self._means.batch_size, send)
        return outcomes | send_in_batches(again, self._means.batch_size, send)

    def _send_creates(self, batch: Mapping[str, Draft]) -> dict[str, ItemResult | CrmError]:
        def send(records: list[dict[str, Any]]) -> list[WireRowResult]:
            if self._can_mark:
                return self._means.client.upsert_rows(self._type, mapping.MARKER_FIELD, records)
            return self._means.client.create_rows(records)

        return self._send(batch, send)

    def _send_updates(self, batch: Mapping[str, Draft]) -> dict[str, ItemResult | CrmError]:
        if len(batch) == 1:
            ((key, only),) = batch.items()
            if only.unchanged_since is not None:
                self._means.client.update_row(self._type, only.remote_id, only.values, only.unchanged_since)
                return {key: written(self._type, key, only, only.remote_id)}
        return self._send(batch, self._means.client.update_rows)

    def _ingest_creates(self, drafts: Mapping[str, Draft]) -> dict[str, ItemResult | CrmError]:
        records = {key: {mapping.MARKER_FIELD: each.marker, **each.values} for key, each in drafts.items()}
        answers = self._means.ingest.write(UPSERT, mapping.MARKER_FIELD, records)
        if answers is None:
            return self._collections(drafts, self._send_creates)
        return self._ingested(drafts, answers)

    def _ingest_updates(self, drafts: Mapping[str, Draft]) -> dict[str, ItemResult | CrmError]:
        """One job for the first update of each record; what comes twice goes by collections, one after the other."""
        once, again = first_of_each(drafts)
        records = {key: {mapping.ID: each.remote_id, **each.values} for key, each in once.items()}
        answers = self._means.ingest.write(UPDATE, mapping.ID, records)
        if answers is None:
            return self._collections(drafts, self._send_updates)
        outcomes = self._ingested(once, answers)
        return outcomes | send_in_batches(again, self._means.batch_size, self._send_updates)

    def _ingested(
        self, drafts: Mapping[str, Draft], answers: Mapping[str, WireRowResult | CrmError]
    ) -> dict[str, ItemResult | CrmError]:
        return {key: self._outcome(key, each, answers[key]) for key, each in drafts.items()}

    def _outcome(self, key: str, each: Draft, answer: WireRowResult | CrmError) -> ItemResult | CrmError:
        if isinstance(answer, CrmError):
            return placed_error(answer)
        if not answer["success"]:
            return placed_error(classify_row(answer.get("errors") or []))
        return written(self._type, key, each, str(answer.get("id")))

    def _send(
        self, batch: Mapping[str, Draft], send: Callable[[list[dict[str, Any]]], list[WireRowResult]]
    ) -> dict[str, ItemResult | CrmError]:
        try:
            answers = send([self._record(each) for each in batch.values()])
        except RecordInvalidError as error:
            if mapping.MARKER_FIELD in error.fields:
                raise MappingError(
                    "The organization lacks the field that marks our contacts",
                    field=mapping.MARKER_FIELD,
                    fix="Run the connection's check again.",
                ) from error
            about = {name: refusal for name, refusal in error.fields.items() if refusal.code in _ABOUT_THE_FIELD}
            lighter = {key: each.without(about) for key, each in batch.items()}
            if len(batch) == 1 or lighter == batch or not all(each.values for each in lighter.values()):
                raise
            return self._send(lighter, send)
        outcomes: dict[str, ItemResult | CrmError] = {}
        for (key, each), answer in zip(batch.items(), answers, strict=True):
            remote_id = answer.get("id")
            if not answer["success"]:
                outcomes[key] = placed_error(classify_row(answer.get("errors") or []))
            elif isinstance(remote_id, str) and remote_id:
                outcomes[key] = written(self._type, key, each, remote_id)
        return outcomes

    def _record(self, each: Draft) -> dict[str, Any]:
        record: dict[str, Any] = {"attributes": {"type": self._type}}
        if each.remote_id:
            record["id"] = each.remote_id
        elif each.marker:
            record[mapping.MARKER_FIELD] = each.marker
        return record | dict(each.values)

    # accounts

    def _under_accounts(self, drafts: Mapping[str, Draft], results: dict[str, ItemResult]) -> dict[str, Draft]:
        names = {key: account_name(each) for key, each in drafts.items()}
        accounts = self._means.companies.find(name for name in names.values() if name)
        shared = {name for name, found in accounts.items() if isinstance(found, tuple) and len(found) > 1}
        at_home = self._accounts_now([drafts[key].remote_id for key, name in names.items() if name in shared])
        found: dict[str, Draft] = {}
        for key, each in drafts.items():
            name = names[key]
            account = accounts[name] if name else None
            if name is None:
                found[key] = each
            elif isinstance(account, TransientError):
                results[key] = ItemResult(key, error=account)
            elif isinstance(account, FieldRefusal) or account is None:
                found[key] = with_account(each, account)
            elif at_home.get(each.remote_id) in account:
                found[key] = each
            else:
                found[key] = with_account(each, account[0])
        return found

    def _accounts_now(self, remote_ids: Sequence[str]) -> dict[str, str]:
        """Asked for only where several accounts bear one name: a contact of any of them stays where it is."""
        ids = [each for each in remote_ids if each]
        if not ids:
            return {}
        query = soql.select([mapping.ID, mapping.ACCOUNT_ID], self._type, soql.is_in(mapping.ID, ids))
        rows = self._means.client.query_rows(query, operation="find_accounts")
        return {row["Id"]: str(row.get(mapping.ACCOUNT_ID)) for row in rows}


def _deleted(key: str, answer: WireRowResult) -> ItemResult | CrmError:
    if answer["success"]:
        return ItemResult(key)
    error = placed_error(classify_row(answer.get("errors") or []))
    return ItemResult(key) if isinstance(error, RecordGoneError) and error.code == "state.deleted" else error


def _all_refused(refused: Mapping[str, FieldRefusal]) -> RecordInvalidError:
    return RecordInvalidError(fields=refused, code=next(iter(refused.values())).code)


def _unsent(error: CrmError) -> CrmError:
    """What kept a batch from being sent: it waits, unless the whole connection does."""
    if isinstance(error, TransientError | ConnectionBlockedError):
        return error
    return TransientError("The accounts could not be looked up", code=error.code)


def _as_results(outcomes: Mapping[str, ItemResult | CrmError]) -> dict[str, ItemResult]:
    return {
        key: outcome if isinstance(outcome, ItemResult) else ItemResult(key, error=outcome)
        for key, outcome in outcomes.items()
    }
