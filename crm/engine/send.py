"""Remote writes of one page: intents first, then the calls, then what came of each.

Every item ends as exactly one ``Sent``: written, refused, gone, locked, unknown, or not sent. A
field the CRM refuses is left out and the rest of the record is sent once more; what the answer
does not carry is read back. Nothing here decides what to write, and nothing here stores more
than intents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from crm.engine.context import Ports
from crm.engine.rulebook import Rulebook
from crm.errors import (
    ConnectionBlockedError,
    CrmError,
    FieldRefusal,
    OutcomeUnknownError,
    RecordInvalidError,
    TransientError,
)
from crm.mapping.field_map import FieldMap, is_blank
from crm.model import (
    UNKNOWN,
    Action,
    ActionKind,
    Effect,
    Intent,
    IntentKind,
    IntentStatus,
    RemoteRecord,
    RemoteState,
    Seen,
    Side,
    Value,
)
from crm.ports import CreateItem, ItemResult, UpdateItem


@dataclass(slots=True)
class Sent:
    """One record's write and its outcome."""

    line_id: str
    action: Action
    app_version: int
    unchanged_since: datetime | None = None
    intent_id: str = ""
    record: RemoteRecord | None = None
    returned: dict[str, Seen] = field(default_factory=dict)
    """Remote field -> value that the CRM holds after the write; UNKNOWN where nobody could tell."""
    refused: dict[str, FieldRefusal] = field(default_factory=dict)
    error: CrmError | None = None

    @property
    def written(self) -> bool:
        return self.error is None and self.record is not None

    @property
    def intent_status(self) -> IntentStatus:
        if self.error is None:
            return IntentStatus.CONFIRMED
        if isinstance(self.error, OutcomeUnknownError):
            return IntentStatus.UNKNOWN
        if isinstance(self.error, TransientError | ConnectionBlockedError):
            return IntentStatus.RESOLVED
        return IntentStatus.REJECTED

    @property
    def values(self) -> dict[str, Value]:
        return {
            effect.remote_field: effect.after
            for effect in self.action.pushes
            if effect.remote_field not in self.refused
        }


def send_page(items: Sequence[Sent], run_id: str, book: Rulebook, ports: Ports) -> None:
    """Fill in the outcome of each. Raises only what concerns nobody's record (a lost lease)."""
    _send_wave(items, run_id, book, ports)
    again = [item for item in items if isinstance(item.error, RecordInvalidError) and _newly_refused(item)]
    for item in again:
        item.error = None
    rest = [item for item in again if item.values]
    for item in again:
        if not item.values:
            item.error = RecordInvalidError(code=next(iter(item.refused.values())).code)
    if rest:
        _send_wave(rest, run_id, book, ports)
    _read_back(
        [item for item in items if item.written and item.action.kind is not ActionKind.DELETE_IN_CRM], book, ports
    )


def _send_wave(items: Sequence[Sent], run_id: str, book: Rulebook, ports: Ports) -> None:
    kind = _intent_kind(items[0].action)
    settled = [(item.intent_id, IntentStatus.REJECTED, "") for item in items if item.intent_id]
    intents = []
    for item in items:
        item.intent_id = ports.store.new_id()
        intents.append(
            Intent(
                intent_id=item.intent_id,
                kind=kind,
                action=item.action,
                values=item.values,
                app_version=item.app_version,
                marker=marker_of(item.action, ports) if kind is IntentKind.CREATE else "",
                line_id=item.line_id,
                run_id=run_id,
            )
        )
    with ports.store.unit() as unit:
        if settled:
            unit.settle_intents(settled)
        unit.record_intents(intents)
    try:
        results = _call(kind, items, book, ports)
    except (TransientError, ConnectionBlockedError, OutcomeUnknownError) as error:
        results = {item.line_id: ItemResult(item.line_id, error=error) for item in items}
    for item in items:
        _take(item, results.get(item.line_id))


def _call(kind: IntentKind, items: Sequence[Sent], book: Rulebook, ports: Ports) -> Mapping[str, ItemResult]:
    connector = ports.connector
    if kind is IntentKind.CREATE:
        creates = [CreateItem(item.line_id, marker_of(item.action, ports), item.values) for item in items]
        return connector.create(book.record_type, creates)
    updates = [UpdateItem(item.line_id, item.action.remote_id, item.values, item.unchanged_since) for item in items]
    if kind is IntentKind.DELETE:
        return connector.delete(book.record_type, [replace(update, values={}) for update in updates])
    return connector.update(book.record_type, updates)


def _take(item: Sent, result: ItemResult | None) -> None:
    """A result that is missing is an answer that was lost, never a success."""
    if result is None:
        item.error = OutcomeUnknownError(operation="write")
        return
    item.error = result.error
    item.refused.update(result.refused)
    if isinstance(result.error, RecordInvalidError):
        item.refused.update({name: refusal for name, refusal in result.error.fields.items() if name in item.values})
    item.record = result.record
    if result.error is None:
        if item.record is None:
            item.record = RemoteRecord(item.action.record_type, item.action.remote_id, {})
        for name in item.values:
            item.returned[name] = item.record.values.get(name, UNKNOWN)


def _newly_refused(item: Sent) -> bool:
    error = item.error
    return isinstance(error, RecordInvalidError) and bool(set(error.fields) & set(item.refused))


def _read_back(items: Sequence[Sent], book: Rulebook, ports: Ports) -> None:
    """Ask for what the answers did not carry. A re-read is evidence, not an answer: a value that is
    not the one sent counts only when the record says that nobody but us wrote since.
    """
    lacking = [item for item in items if any(value is UNKNOWN for value in item.returned.values())]
    if not lacking:
        return
    ids = [item.record.remote_id for item in lacking if item.record is not None]
    try:
        records = ports.connector.fetch(book.record_type, ids, book.remote_fields)
    except CrmError:
        # Written all the same. With nothing known of it the base stays as it was, and should the app return to that
        # meanwhile, our own write would look like an edit: what stands there is looked up before anything is decided.
        for item in lacking:
            if item.action.kind is not ActionKind.CREATE_IN_CRM:
                item.error = OutcomeUnknownError(operation="read back")
        return
    maps = {field_map.remote_field: field_map for field_map in book.maps}
    for item in lacking:
        record = records.get(item.record.remote_id) if item.record is not None else None
        if record is None or record.state is not RemoteState.LIVE:
            continue
        trust_record(item.returned, item.values, record, maps)
        item.record = record


def trust_record(
    returned: dict[str, Seen], sent: Mapping[str, Value], record: RemoteRecord, maps: Mapping[str, FieldMap]
) -> None:
    """Overlay ``returned`` with what a re-read shows, where that can be our own write's result."""
    for name, value in sent.items():
        if returned.get(name, UNKNOWN) is not UNKNOWN or name not in record.values:
            continue
        read = record.values[name]
        field_map = maps.get(name)
        same = field_map is not None and field_map.canonical_crm(read) == field_map.canonical_crm(value)
        if same or (record.by_us and not is_blank(read)):  # a field left out altogether is no normalisation
            returned[name] = read


def marker_of(action: Action, ports: Ports) -> str:
    return f"{ports.organization_id}:{action.contact_id}"


def confirmed_effects(effects: Sequence[Effect], returned: Mapping[str, Seen]) -> tuple[Effect, ...]:
    """Pushed effects with the value the CRM holds now; those whose value nobody could tell are left out."""
    confirmed: list[Effect] = []
    for effect in effects:
        if effect.side is not Side.CRM:
            confirmed.append(effect)
            continue
        value = returned.get(effect.remote_field, UNKNOWN)
        if value is not UNKNOWN:
            as_sent = value == effect.crm_value and type(value) is type(effect.crm_value)
            confirmed.append(effect if as_sent else replace(effect, crm_value=value))
    return tuple(confirmed)


def unconfirmed_fields(pushes: Sequence[Effect], returned: Mapping[str, Seen]) -> set[str]:
    """Mapping ids of the pushed effects that ``confirmed_effects`` leaves out."""
    known = {effect.mapping_id for effect in pushes if returned.get(effect.remote_field, UNKNOWN) is not UNKNOWN}
    return {effect.mapping_id for effect in pushes} - known


def _intent_kind(action: Action) -> IntentKind:
    if action.kind is ActionKind.CREATE_IN_CRM:
        return IntentKind.CREATE
    return IntentKind.DELETE if action.kind is ActionKind.DELETE_IN_CRM else IntentKind.UPDATE
