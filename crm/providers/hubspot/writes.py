"""Creates, updates and deletions by the batch: every item gets its own outcome, by key, never by position.

https://developers.hubspot.com/docs/api-reference/error-handling ("Multi-status errors", checked 2026-11): with a
distinct ``objectWriteTraceId`` on each input a batch can succeed in part (207); otherwise one bad input refuses all
of it, with nothing done, and the batch is halved until the bad ones stand alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from crm.errors import CrmError, FieldRefusal, MappingError, RecordGoneError, RecordInvalidError
from crm.http.crew import Crew
from crm.mapping.kinds import Kind
from crm.model import RemoteRecord, Value
from crm.ports import CreateItem, ItemResult, UpdateItem
from crm.providers.hubspot import mapping
from crm.providers.hubspot.client import BatchAnswer, HubSpotClient
from crm.providers.hubspot.links import CONTACT_LINKS, contact_ids, new_associations
from crm.providers.hubspot.wire import WireRecord, classify_item, subjects

_ABOUT_THE_FIELD: Final = frozenset({"field.missing", "field.readonly"})
"""Refusals that no other value would change: the field is left out for the whole batch."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One record as it is to be sent. ``refused`` grows while fields of it are left out."""

    values: Mapping[str, Value]
    remote_id: str = ""
    marker: str = ""
    associations: Sequence[Mapping[str, Any]] = ()
    """Those that a new record takes along."""
    refused: Mapping[str, FieldRefusal] = field(default_factory=dict)

    def without(self, fields: Mapping[str, FieldRefusal]) -> Draft:
        kept = {name: value for name, value in self.values.items() if name not in fields}
        left_out = {name: refusal for name, refusal in fields.items() if name in self.values}
        return replace(self, values=kept, refused={**self.refused, **left_out})


Send = Callable[[Sequence[Mapping[str, Any]]], BatchAnswer]
KindOf = Callable[[str, Value], Kind]
"""(property, value sent) -> the kind by which the answer is read."""


class BatchWriter:
    """Writes of one record type."""

    def __init__(self, client: HubSpotClient, crew: Crew, record_type: str, batch_size: int, kind_of: KindOf) -> None:
        self._client = client
        self._crew = crew
        self._record_type = record_type
        self._batch_size = batch_size
        self._kind_of = kind_of

    def create(self, items: Sequence[CreateItem]) -> dict[str, ItemResult]:
        drafts = {
            item.key: Draft(
                {name: value for name, value in item.values.items() if name != CONTACT_LINKS},
                marker=item.marker,
                associations=new_associations(self._record_type, contact_ids(item.values.get(CONTACT_LINKS))),
            )
            for item in items
        }
        return self._write(drafts, lambda inputs: self._client.create_batch(self._record_type, inputs))

    def update(self, items: Sequence[UpdateItem]) -> dict[str, ItemResult]:
        drafts = {item.key: Draft(item.values, remote_id=item.remote_id) for item in items if item.values}
        results = self._write(drafts, lambda inputs: self._client.update_batch(self._record_type, inputs))
        for item in items:
            if not item.values:
                results[item.key] = ItemResult(item.key, RemoteRecord(self._record_type, item.remote_id, {}))
            elif isinstance(results[item.key].error, RecordGoneError):
                results[item.key] = ItemResult(item.key, error=self._why_gone(item.remote_id))
        return results

    def delete(self, items: Sequence[UpdateItem]) -> dict[str, ItemResult]:
        """A 404 is success: what is gone is deleted. An id that is none was never there."""

        def send(batch: Mapping[str, str]) -> Mapping[str, str | CrmError]:
            self._client.archive_batch(self._record_type, list(dict.fromkeys(batch.values())))
            return batch

        numeric = {item.key: item.remote_id for item in items if item.remote_id.isdecimal()}
        outcomes = self._crew.in_batches(numeric, self._batch_size, send)
        return {item.key: _deleted(item.key, outcomes.get(item.key)) for item in items}

    def _write(self, drafts: Mapping[str, Draft], send: Send) -> dict[str, ItemResult]:
        """Once as given, then once more what HubSpot took offence at, without the fields it named."""
        results = self._send(drafts, send)
        again = {
            key: drafts[key].without(error.fields)
            for key, result in results.items()
            if isinstance(error := result.error, RecordInvalidError) and _may_leave_out(drafts[key], error.fields)
        }
        if again:
            results |= self._send(again, send)
        return results

    def _send(self, drafts: Mapping[str, Draft], send: Send) -> dict[str, ItemResult]:
        def send_batch(batch: Mapping[str, Draft]) -> Mapping[str, ItemResult | CrmError]:
            try:
                answer = send([_input(key, draft) for key, draft in batch.items()])
            except RecordInvalidError as error:
                if mapping.MARKER_FIELD in error.fields:
                    raise MappingError(
                        "The account lacks the field that marks our contacts",
                        field=mapping.MARKER_FIELD,
                        fix="Run the connection's check again: it makes the field, or says that it may not.",
                    ) from error
                about_fields = {
                    name: refusal for name, refusal in error.fields.items() if refusal.code in _ABOUT_THE_FIELD
                }
                lighter = {key: draft.without(about_fields) for key, draft in batch.items()}
                if len(batch) == 1 or lighter == batch or not all(draft.values for draft in lighter.values()):
                    raise
                return send_batch(lighter)
            return self._matched(batch, answer)

        outcomes = self._crew.in_batches(drafts, self._batch_size, send_batch)
        return {
            key: outcome if isinstance(outcome, ItemResult) else ItemResult(key, error=outcome)
            for key, outcome in outcomes.items()
        }

    def _matched(self, batch: Mapping[str, Draft], answer: BatchAnswer) -> dict[str, ItemResult | CrmError]:
        """By trace id, else by record id, else by our marker. A key that nothing speaks of is left out: unknown."""
        by_id = {draft.remote_id: key for key, draft in batch.items() if draft.remote_id}
        by_marker = {draft.marker: key for key, draft in batch.items() if draft.marker}
        outcomes: dict[str, ItemResult | CrmError] = {}
        for error in answer.errors:
            traces, ids = subjects(error)
            keys = [trace for trace in traces if trace in batch] or [by_id[each] for each in ids if each in by_id]
            refusal = classify_item(error)
            refusal.provider, refusal.operation = "hubspot", "batch"
            refusal.request_id = refusal.request_id or answer.request_id
            outcomes.update(dict.fromkeys(keys, refusal))
        for wire in answer.records:
            trace = wire.get("objectWriteTraceId") or ""
            marker = wire["properties"].get(mapping.MARKER_FIELD) or ""
            key = trace if trace in batch else by_id.get(wire["id"]) or by_marker.get(marker) or ""
            if key:
                outcomes[key] = self._written(key, batch[key], wire)
        return outcomes

    def _written(self, key: str, draft: Draft, wire: WireRecord) -> ItemResult:
        kinds = {name: self._kind_of(name, value) for name, value in draft.values.items()}
        record = mapping.read_record(self._record_type, wire, kinds)
        return ItemResult(key, replace(record, marker=record.marker or draft.marker), refused=draft.refused)

    def _why_gone(self, remote_id: str) -> CrmError:
        """Merged or deleted: batches do not follow a merged-away id, the single read does."""
        try:
            found = self._client.read_one(self._record_type, remote_id, [mapping.OBJECT_ID])
        except CrmError as error:
            return error
        merged_into = found["id"] if found and found["id"] != remote_id else ""
        return RecordGoneError(merged_into=merged_into, operation="batch_update")


def _input(key: str, draft: Draft) -> dict[str, Any]:
    properties = {name: mapping.wire_text(value) for name, value in draft.values.items()}
    if draft.marker:
        properties[mapping.MARKER_FIELD] = draft.marker
    entry: dict[str, Any] = {"properties": properties, "objectWriteTraceId": key}
    if draft.remote_id:
        entry["id"] = draft.remote_id
    if draft.associations:
        entry["associations"] = list(draft.associations)
    return entry


def _may_leave_out(draft: Draft, fields: Mapping[str, FieldRefusal]) -> bool:
    """Some refused field is ours to leave out, something else remains, and the marker is not what was refused."""
    kept = [name for name in draft.values if name not in fields]
    return bool(kept) and len(kept) < len(draft.values) and mapping.MARKER_FIELD not in fields


def _deleted(key: str, outcome: str | CrmError | None) -> ItemResult:
    if isinstance(outcome, CrmError) and not isinstance(outcome, RecordGoneError):
        return ItemResult(key, error=outcome)
    return ItemResult(key)
