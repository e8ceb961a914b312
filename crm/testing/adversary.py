"""A connector to a made-up CRM that behaves as badly as real ones do: see ``Faults``.

Everything happens in memory. ``AdversaryCrm`` keeps the truth, this module shows it through the
port, with the answers that get lost, the limits, the refusals and the delays of a seed.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, TypeVar

from crm.errors import (
    CrmError,
    DuplicateRecordError,
    FieldRefusal,
    OutcomeUnknownError,
    ProviderUnavailableError,
    RateLimitedError,
    RecordGoneError,
    RecordInvalidError,
    RecordLockedError,
    RejectedError,
    StaleWriteError,
    TransientError,
)
from crm.model import FieldDefinition, RemoteRecord, RemoteState, Value
from crm.ports import Account, Capabilities, CreateItem, FieldChange, ItemResult, Page, UpdateItem
from crm.testing.adversary_nature import FieldRule, Nature
from crm.testing.adversary_records import AdversaryCrm, CrmRecord
from crm.testing.clock import FakeClock

RECORD_TYPE: Final = "contact"
_NUMBERS: Final = itertools.count(1)
_BLANK: Final = (None, "", ())
Item = TypeVar("Item", CreateItem, UpdateItem)


@dataclass(slots=True)
class Faults:
    """Probabilities of each fault, at each request (or item, where so named)."""

    rate_limited: float = 0.0
    unavailable: float = 0.0
    """5xx or no connection: nothing was done; for a write this is said."""
    lost_before: float = 0.0
    """A write whose outcome is unknown, and nothing was done."""
    lost_after: float = 0.0
    """A write whose outcome is unknown, and all of it was done."""
    item_lost: float = 0.0
    """One item of a batch has no answer; it was done or not."""
    item_locked: float = 0.0
    batch_refused: float = 0.0
    """The CRM refuses a batch of several items as a whole; alone they would do."""
    given: Counter[str] = field(default_factory=Counter)

    def stop(self) -> None:
        for name in ("rate_limited", "unavailable", "lost_before", "lost_after"):
            setattr(self, name, 0.0)
        self.item_lost = self.item_locked = self.batch_refused = 0.0


def _quiet(_: str) -> None:
    """The default of ``at_call``: nothing else happens."""


class AdversaryConnector:
    """``Connector`` of one connection to an ``AdversaryCrm``; several connectors may share the account."""

    def __init__(
        self,
        crm: AdversaryCrm,
        *,
        draw: random.Random | None = None,
        faults: Faults | None = None,
        at_call: Callable[[str], None] = _quiet,
        heir_of: AdversaryConnector | None = None,
    ) -> None:
        """``at_call`` runs before and after each request ("scan", "scan/answered"): users act there,
        and raising there is a crash of the worker. ``heir_of``: of the worker whose run this one goes on with;
        what that one has read counts as read.
        """
        self.crm = crm
        self.faults = faults or Faults()
        self.at_call = at_call
        self._draw = draw or random.Random(0)  # noqa: S311 - reproducible, not secret
        self._calls = 0
        self._expected: tuple[tuple[str, tuple[str, ...], str | None], Page] | None = None
        self.name: str = heir_of.name if heir_of is not None else str(next(_NUMBERS))
        nature = crm.nature
        self._capabilities = Capabilities(
            record_types=(RECORD_TYPE,),
            create_type=RECORD_TYPE,
            read_batch=nature.read_batch,
            write_batch=nature.write_batch,
            overlap_seconds=nature.overlap_seconds,
            delta_shows_deletions=nature.delta_shows_deletions,
            returns_values=nature.returns_values,
            marker_lookup=nature.marker_lookup and nature.marker_allowed,
            field_history=nature.field_history,
            conditional_update=nature.conditional_update,
        )

    @classmethod
    def quiet(cls, nature: Nature, clock: FakeClock) -> AdversaryConnector:
        """A connector without faults, for tests of one behaviour."""
        return cls(AdversaryCrm(nature, clock, random.Random(0)))  # noqa: S311 - reproducible, not secret

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def calls(self) -> int:
        return self._calls

    # reading

    def account(self) -> Account:
        self._read("account")
        return Account("adversary-1", self.crm.nature.name)

    def describe(self, record_type: str) -> Sequence[FieldDefinition]:
        self._read("describe")
        self._must_exist(record_type)
        rules = self.crm.nature.fields.values()
        return [rule.definition for rule in rules if rule.name not in self.crm.hidden]

    def prepare(self, record_type: str) -> bool:
        self._read("prepare")
        self._must_exist(record_type)
        return self.crm.nature.marker_allowed

    def scan(self, record_type: str, fields: Sequence[str], after: str | None) -> Page:
        expected, self._expected = self._expected, None
        if expected is not None and expected[0] == (record_type, tuple(fields), after):
            return replace(expected[1], read_ahead=True)
        return self._scan(record_type, fields, after)

    def expect(self, record_type: str, fields: Sequence[str], after: str) -> None:
        """At once, so that what it shows is as old as it can be."""
        if self.crm.nature.reads_ahead:
            with contextlib.suppress(CrmError):
                page = self._scan(record_type, fields, after)
                self._expected = ((record_type, tuple(fields), after), page)

    def _scan(self, record_type: str, fields: Sequence[str], after: str | None) -> Page:
        self._read("scan")
        self._must_exist(record_type)
        size = self.crm.nature.page_size
        rows = sorted((row for row in self.crm.live() if row.remote_id > (after or "")), key=lambda row: row.remote_id)
        page = Page(
            tuple(self._show(row, fields) for row in rows[:size]),
            rows[size - 1].remote_id if len(rows) > size else None,
            self.crm.server_now(),
        )
        self.at_call("scan/answered")
        return page

    def changes(self, record_type: str, fields: Sequence[str], since: datetime, after: str | None) -> Page:
        self._read("changes")
        self._must_exist(record_type)
        size, shows_gone = self.crm.nature.page_size, self.crm.nature.delta_shows_deletions
        rows = sorted(
            (
                (f"{version.modified_at.isoformat()}|{row.remote_id}", row, version)
                for row, version in self.crm.indexed()
                if version.modified_at >= since and (version.state is RemoteState.LIVE or shows_gone)
            ),
            key=lambda entry: entry[0],
        )
        rows = [entry for entry in rows if entry[0] > (after or "")]
        for _, row, version in rows[:size]:
            row.shown = max(row.shown, row.versions.index(version) + 1)
        page = Page(
            tuple(
                self._record(row, version.values, version.modified_at, version.state, fields, by_us=version.by_us)
                for _, row, version in rows[:size]
            ),
            rows[size - 1][0] if len(rows) > size else None,
            self.crm.server_now(),
        )
        self.at_call("changes/answered")
        return page

    def fetch(self, record_type: str, remote_ids: Sequence[str], fields: Sequence[str]) -> Mapping[str, RemoteRecord]:
        self._read("fetch")
        self._must_exist(record_type)
        answer: dict[str, RemoteRecord] = {}
        for remote_id in remote_ids:
            row = self.crm.records.get(remote_id)
            hides = row is not None and row.state is RemoteState.ARCHIVED and not self.crm.nature.deleted_are_shown
            if row is not None:
                row.shown = len(row.versions)
            if row is None or hides:
                answer[remote_id] = RemoteRecord(record_type, remote_id, {}, state=RemoteState.MISSING)
            else:
                answer[remote_id] = self._show(row, fields)
        self.at_call("fetch/answered")
        return answer

    def find_by_markers(
        self, record_type: str, markers: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord]:
        self._read("find_by_markers")
        self._must_exist(record_type)
        found: dict[str, RemoteRecord] = {}
        for row in self.crm.live():
            if row.marker and row.marker in markers:
                found.setdefault(row.marker, self._show(row, fields))
        self.at_call("find_by_markers/answered")
        return found

    def field_history(
        self, record_type: str, remote_ids: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, Mapping[str, Sequence[FieldChange]]]:
        self._must_exist(record_type)
        if not self.crm.nature.field_history:
            return {}
        self._read("field_history")
        rows = (self.crm.records[remote_id] for remote_id in remote_ids if remote_id in self.crm.records)
        return {
            row.remote_id: {
                name: [FieldChange(value, at, by_us=by_us) for value, at, by_us in row.history.get(name, ())]
                for name in fields
                if name not in self.crm.hidden
            }
            for row in rows
        }

    # writing

    def create(self, record_type: str, items: Sequence[CreateItem]) -> Mapping[str, ItemResult]:
        return self._write("create", record_type, items, self._create_one)

    def update(self, record_type: str, items: Sequence[UpdateItem]) -> Mapping[str, ItemResult]:
        return self._write("update", record_type, items, self._update_one)

    def delete(self, record_type: str, items: Sequence[UpdateItem]) -> Mapping[str, ItemResult]:
        return self._write("delete", record_type, items, self._delete_one)

    def _create_one(self, item: CreateItem) -> ItemResult:
        crm, nature = self.crm, self.crm.nature
        if nature.marker_unique and nature.marker_allowed and item.marker:
            twin = next((row for row in crm.live() if row.marker == item.marker), None)
            if twin is not None:
                raise DuplicateRecordError(remote_id=twin.remote_id)
        values, refused = self._accept(item.values)
        self._check_required(values)
        self._check_email(values, "")
        row = crm.add(values, by="us", marker=item.marker)
        return ItemResult(item.key, self._reply(row, values), refused=refused)

    def _update_one(self, item: UpdateItem) -> ItemResult:
        row = self._writable(item.remote_id)
        since = item.unchanged_since
        if self.crm.nature.conditional_update and since is not None and row.modified_at > since:
            raise StaleWriteError
        values, refused = self._accept(item.values)
        self._check_email(values, row.remote_id)
        cleared = {name for name, value in values.items() if value in _BLANK and self._rule(name).required}
        if cleared:
            raise RecordInvalidError(fields={name: FieldRefusal("field.required") for name in cleared})
        self.crm.write(row, values, by="us")
        return ItemResult(item.key, self._reply(row, values), refused=refused)

    def _delete_one(self, item: UpdateItem) -> ItemResult:
        row = self.crm.records.get(item.remote_id)
        if row is not None and row.state is RemoteState.LIVE:
            self.crm.remove(row, by="us")
        return ItemResult(item.key, None)

    def _write(
        self, verb: str, record_type: str, items: Sequence[Item], one: Callable[[Item], ItemResult]
    ) -> Mapping[str, ItemResult]:
        size = self.crm.nature.write_batch
        if len(items) > size:
            return self._in_requests(verb, record_type, [items[:size], items[size:]], one)
        self._begin(verb)
        self._must_exist(record_type)
        if self._happens("lost_before"):
            raise OutcomeUnknownError
        if len(items) > 1 and self._happens("batch_refused"):
            middle = len(items) // 2  # as a connector does where the CRM refuses a batch whole
            return self._in_requests(verb, record_type, [items[:middle], items[middle:]], one)
        answer = {item.key: self._attempt(item, one) for item in items}
        self.at_call(f"{verb}/done")
        if self._happens("lost_after"):
            raise OutcomeUnknownError
        return answer

    def _in_requests(
        self, verb: str, record_type: str, parts: Sequence[Sequence[Item]], one: Callable[[Item], ItemResult]
    ) -> Mapping[str, ItemResult]:
        """Each part is a request of its own, with an outcome of its own."""
        answer: dict[str, ItemResult] = {}
        for part in parts:
            try:
                answer.update(self._write(verb, record_type, part, one))
            except (TransientError, OutcomeUnknownError) as error:
                answer.update({item.key: ItemResult(item.key, error=error) for item in part})
        return answer

    def _attempt(self, item: Item, one: Callable[[Item], ItemResult]) -> ItemResult:
        if self._happens("item_locked"):
            return ItemResult(item.key, error=RecordLockedError())
        lost = self._happens("item_lost")
        if lost and self._draw.random() < 0.5:
            return ItemResult(item.key, error=OutcomeUnknownError())
        try:
            result = one(item)
        except CrmError as error:
            result = ItemResult(item.key, error=error)
        return ItemResult(item.key, error=OutcomeUnknownError()) if lost else result

    # rules of the account

    def _accept(self, values: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, FieldRefusal]]:
        """The values that the CRM takes, and the fields that it leaves out; raises where it refuses the item."""
        refused = {name: code for name, value in values.items() if (code := self._refusal(name, value))}
        if not refused:
            return dict(values), {}
        named = {name: FieldRefusal(code, "no") for name, code in refused.items()}
        if self.crm.nature.drops_refused_fields:
            return {name: value for name, value in values.items() if name not in refused}, named
        raise RecordInvalidError(fields=named if self.crm.nature.names_refused_fields else {})

    def _refusal(self, name: str, value: Value) -> str:
        rule = self.crm.nature.fields.get(name)
        if rule is None:
            return "field.missing"
        if name in self.crm.hidden:
            return "field.not_writable"
        return "" if value in _BLANK else _misfit(rule, value)

    def _check_required(self, values: Mapping[str, Value]) -> None:
        missing = [
            rule.name for rule in self.crm.nature.fields.values() if rule.required and values.get(rule.name) in _BLANK
        ]
        if missing:
            raise RecordInvalidError(
                code="field.required", fields={name: FieldRefusal("field.required") for name in missing}
            )

    def _check_email(self, values: Mapping[str, Value], own_id: str) -> None:
        if not self.crm.nature.unique_email or values.get("email") in _BLANK:
            return
        wanted = self._rule("email").stores(values["email"])
        for row in self.crm.live():
            if row.remote_id != own_id and row.values.get("email") == wanted:
                raise DuplicateRecordError(remote_id=row.remote_id)

    def _writable(self, remote_id: str) -> CrmRecord:
        row = self.crm.records.get(remote_id)
        if row is None or row.state is not RemoteState.LIVE:
            raise RecordGoneError(merged_into=row.merged_into if row is not None else "")
        return row

    def _rule(self, name: str) -> FieldRule:
        return self.crm.nature.fields[name]

    # answers

    def _show(self, row: CrmRecord, fields: Sequence[str]) -> RemoteRecord:
        row.shown = len(row.versions)
        row.reads[self.crm.connector] = (self.crm.world_now(), len(self.crm.journal))
        return self._record(row, row.values, row.modified_at, row.state, fields, by_us=row.by_us)

    def _record(
        self,
        row: CrmRecord,
        values: Mapping[str, Value],
        modified_at: datetime,
        state: RemoteState,
        fields: Iterable[str],
        *,
        by_us: bool,
    ) -> RemoteRecord:
        nature = self.crm.nature
        visible = [name for name in fields if name in nature.fields and name not in self.crm.hidden]
        return RemoteRecord(
            record_type=RECORD_TYPE,
            remote_id=row.remote_id,
            values={name: values.get(name) for name in visible},
            modified_at=modified_at,
            created_at=row.created_at,
            state=state,
            merged_into=row.merged_into if state is RemoteState.MERGED else "",
            former_ids=row.former_ids if nature.survivor_lists_former else (),
            marker=row.marker,
            by_us=by_us if nature.tells_by_us else None,
        )

    def _reply(self, row: CrmRecord, sent: Mapping[str, Value]) -> RemoteRecord:
        """What the answer of a write carries: the id, and the values as stored where the CRM tells them."""
        if not self.crm.nature.returns_values:
            return RemoteRecord(RECORD_TYPE, row.remote_id, {}, marker=row.marker)
        return self._record(row, row.values, row.modified_at, row.state, sent, by_us=True)

    # requests

    def _read(self, verb: str) -> None:
        self._begin(verb)
        if self._happens("unavailable"):
            raise ProviderUnavailableError

    def _begin(self, verb: str) -> None:
        self._calls += 1
        self.at_call(verb)
        self.crm.connector = self.name
        self.crm.run_automations()
        if self._happens("rate_limited"):
            raise RateLimitedError(retry_after_seconds=float(self._draw.choice((1, 10, 60))))

    def _happens(self, name: str) -> bool:
        if self._draw.random() >= getattr(self.faults, name):
            return False
        self.faults.given[name] += 1
        return True

    @staticmethod
    def _must_exist(record_type: str) -> None:
        if record_type != RECORD_TYPE:
            raise RejectedError(code="field.missing")


def _misfit(rule: FieldRule, value: Value) -> str:
    """The code of the rule that the value breaks, if any."""
    text = value if isinstance(value, str) else ""
    broken = {
        "field.picklist": bool(rule.options) and value not in rule.options,
        "field.too_long": rule.max_length is not None and len(text) > rule.max_length,
        "rule.validation": bool(rule.refuses) and rule.refuses in text,
        "field.type": not _fits(rule, value),
    }
    return next((code for code, is_broken in broken.items() if is_broken), "")


def _fits(rule: FieldRule, value: Value) -> bool:
    match rule.kind:
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "tags":
            return isinstance(value, tuple)
    return isinstance(value, str)
