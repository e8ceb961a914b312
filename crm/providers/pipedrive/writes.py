"""Creates, updates and deletions: one request each, side by side, every item with its own outcome.

https://developers.pipedrive.com/docs/api/v1/Persons (checked 2026-09): there is no batch, no conditional write and no
idempotency key; a refusal names one field at least, and nothing of the request is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Final

from crm.errors import CrmError, FieldRefusal, MappingError, RecordGoneError, RecordInvalidError
from crm.http.crew import Crew
from crm.mapping.kinds import Kind
from crm.model import RemoteRecord, Value
from crm.ports import CreateItem, ItemResult, UpdateItem
from crm.providers.pipedrive import endpoints, mapping
from crm.providers.pipedrive.client import Records
from crm.providers.pipedrive.companies import Companies
from crm.providers.pipedrive.fields import COMPANY, MARKER_NAME
from crm.providers.pipedrive.objects import RecordType
from crm.providers.pipedrive.wire import WireRecord

MAX_OBSERVED: Final = 2_000
MAX_TRIES: Final = 8
"""Of one record: a refusal may name one field only, so the next one may name another."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One record as it is to be sent. ``refused`` grows while fields of it are left out."""

    values: Mapping[str, Value]
    remote_id: str = ""
    marker: str = ""
    current: WireRecord = field(default_factory=dict)
    refused: Mapping[str, FieldRefusal] = field(default_factory=dict)

    def without(self, fields: Mapping[str, FieldRefusal]) -> Draft:
        kept = {name: value for name, value in self.values.items() if name not in fields}
        left_out = {name: refusal for name, refusal in fields.items() if name in self.values}
        return replace(self, values=kept, refused={**self.refused, **left_out})


class Observed:
    """Records as they were read or written a moment ago, so that a write need not read them again."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._held: dict[str, tuple[float, WireRecord]] = {}

    def add(self, wires: Sequence[WireRecord]) -> None:
        now = self._monotonic()
        for wire in wires:
            self._held.pop(str(wire["id"]), None)
            self._held[str(wire["id"])] = (now, wire)
        while len(self._held) > MAX_OBSERVED:
            del self._held[next(iter(self._held))]

    def fresh(self, remote_id: str) -> WireRecord | None:
        at, wire = self._held.get(remote_id, (float("-inf"), None))
        return wire if self._monotonic() - at <= endpoints.OBSERVED_SECONDS else None

    def forget(self, remote_id: str) -> None:
        self._held.pop(remote_id, None)


@dataclass(frozen=True, slots=True)
class Names:
    """What the connection's names are, as far as a write has to know."""

    kinds: Mapping[str, Kind]
    refusals: Mapping[str, FieldRefusal]
    """Names that are not sent at all, and why."""
    mapped: AbstractSet[str]
    marker: str = ""


class RecordWriter:
    """Writes of one record type."""

    def __init__(
        self,
        kind: RecordType,
        records: Records,
        crew: Crew,
        companies: Companies,
        observed: Observed,
        *,
        whole_name: bool,
    ) -> None:
        """``whole_name``: the account knows no first and last names."""
        self._kind = kind
        self._records = records
        self._crew = crew
        self._companies = companies
        self._observed = observed
        self._whole_name = whole_name

    def create(self, items: Sequence[CreateItem], names: Names) -> dict[str, ItemResult]:
        drafts = {item.key: Draft(item.values, marker=item.marker if names.marker else "") for item in items}
        return self._write(drafts, names)

    def update(self, items: Sequence[UpdateItem], names: Names) -> dict[str, ItemResult]:
        results = {
            item.key: ItemResult(item.key, RemoteRecord(self._kind.key, item.remote_id, {}))
            for item in items
            if not item.values
        }
        drafts = {item.key: Draft(item.values, remote_id=item.remote_id) for item in items if item.values}
        return results | self._write(self._with_current(drafts), names)

    def delete(self, items: Sequence[UpdateItem]) -> dict[str, ItemResult]:
        """What is gone is deleted. An id that is none was never there."""
        numeric = {item.key: item.remote_id for item in items if item.remote_id.isdecimal()}
        outcomes = self._crew.each(numeric, lambda remote_id: self._records.delete(self._kind, remote_id))
        for remote_id in numeric.values():
            self._observed.forget(remote_id)
        return {item.key: _deleted(item.key, outcomes.get(item.key)) for item in items}

    def _with_current(self, drafts: Mapping[str, Draft]) -> dict[str, Draft]:
        """The check read: records of which a part is replaced, unless they were just observed. 100 a request."""
        needing = {
            draft.remote_id: self._observed.fresh(draft.remote_id)
            for draft in drafts.values()
            if mapping.needs_record(self._kind, draft.values) and draft.remote_id.isdecimal()
        }
        unknown = [remote_id for remote_id, wire in needing.items() if wire is None]
        for start in range(0, len(unknown), endpoints.IDS_BATCH):
            chunk = unknown[start : start + endpoints.IDS_BATCH]
            for wire in self._records.read_ids(self._kind, chunk):
                needing[str(wire["id"])] = wire
        return {key: replace(draft, current=needing.get(draft.remote_id) or {}) for key, draft in drafts.items()}

    def _write(self, drafts: Mapping[str, Draft], names: Names) -> dict[str, ItemResult]:
        companies, without = self._companies.resolve(
            str(draft.values[COMPANY]) for draft in drafts.values() if draft.values.get(COMPANY) is not None
        )
        waiting: dict[str, Draft] = {}
        results: dict[str, ItemResult] = {}
        for key, draft in drafts.items():
            refused = {name: names.refusals[name] for name in draft.values if name in names.refusals}
            if str(draft.values.get(COMPANY)) in without:
                refused[COMPANY] = without[str(draft.values[COMPANY])]
            self._keep(key, draft.without(refused), waiting, results)
        for key, draft in list(waiting.items()):
            if draft.remote_id and not draft.current and mapping.needs_record(self._kind, draft.values):
                results[key] = ItemResult(key, error=RecordGoneError(operation="update"))
                del waiting[key]
        for _ in range(MAX_TRIES):
            if not waiting:
                break
            outcomes = self._crew.each(waiting, lambda draft: self._send(draft, names, companies))
            sent, waiting = waiting, {}
            for key, outcome in outcomes.items():
                draft = sent[key]
                if isinstance(outcome, RecordInvalidError):
                    self._again(key, draft, outcome, names, waiting, results)
                elif isinstance(outcome, CrmError):
                    results[key] = ItemResult(key, error=outcome)
                else:
                    results[key] = self._written(key, draft, outcome, names)
        results |= {key: ItemResult(key, error=RecordInvalidError(), refused=waiting[key].refused) for key in waiting}
        return results

    def _keep(self, key: str, draft: Draft, waiting: dict[str, Draft], results: dict[str, ItemResult]) -> None:
        """A record of which nothing is left to send was refused."""
        if draft.values or not draft.refused:
            waiting[key] = draft
        else:
            code = next(iter(draft.refused.values())).code
            results[key] = ItemResult(key, error=RecordInvalidError(fields=draft.refused, code=code))

    def _send(self, draft: Draft, names: Names, companies: Mapping[str, int]) -> WireRecord:
        body = mapping.body_of(
            self._kind,
            draft.values,
            names.kinds,
            draft.current,
            mapped=names.mapped,
            companies=companies,
            whole_name=self._whole_name,
        )
        if draft.remote_id:
            return self._records.update(self._kind, draft.remote_id, body)
        if draft.marker:
            body["custom_fields"] = {**body.get("custom_fields", {}), names.marker: draft.marker}
        return self._records.create(self._kind, body)

    def _again(
        self,
        key: str,
        draft: Draft,
        error: RecordInvalidError,
        names: Names,
        waiting: dict[str, Draft],
        results: dict[str, ItemResult],
    ) -> None:
        """Once more without what was refused; the marker is never left out."""
        if names.marker and any(names.marker in refused for refused in error.fields):
            missing = MappingError(
                "The account lacks the field that marks our contacts",
                field=MARKER_NAME,
                fix="Run the connection's check again: it makes the field, or says that it may not.",
            )
            results[key] = ItemResult(key, error=missing)
            return
        halves = [each for name, each in error.fields.items() if name in mapping.NAMES]
        if not self._whole_name and any(each.code == "field.missing" for each in halves):
            self._whole_name = True
            waiting[key] = draft
            return
        if self._whole_name and "first_name" in error.fields and any(name in draft.values for name in mapping.NAMES):
            waiting[key] = draft
            return
        fields = {
            name: refusal
            for refused, refusal in error.fields.items()
            for name in mapping.names_of(refused, draft.values)
        }
        if fields:
            self._keep(key, draft.without(fields), waiting, results)
        else:
            unnamed = RecordInvalidError(provider_message=error.provider_message, request_id=error.request_id)
            results[key] = ItemResult(key, error=unnamed, refused=draft.refused)

    def _written(self, key: str, draft: Draft, wire: WireRecord, names: Names) -> ItemResult:
        self._observed.add([wire])
        kinds = {name: names.kinds.get(name, Kind.TEXT) for name in draft.values}
        reader = mapping.Reader(self._kind, kinds, names.marker, self._companies.names)
        record = reader.record(wire)
        return ItemResult(key, replace(record, marker=record.marker or draft.marker), refused=draft.refused)


def _deleted(key: str, outcome: CrmError | None) -> ItemResult:
    if isinstance(outcome, CrmError) and not isinstance(outcome, RecordGoneError):
        return ItemResult(key, error=outcome)
    return ItemResult(key)
