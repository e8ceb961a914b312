"""How v2 shows a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crm.providers.pipedrive.fake.answers import Json
from crm.providers.pipedrive.fake.entities import NOTE, PERSON
from crm.providers.pipedrive.fake.stamps import v2_stamp
from crm.providers.pipedrive.fake.state import Record, State


def v2_record(
    state: State,
    record: Record,
    *,
    include: Sequence[str] = (),
    custom: Sequence[str] = (),
    option_labels: bool = False,
    labels: bool = False,
) -> Json:
    """The object of v2: ``update_time`` null until the first change, every custom field, most of them null."""
    answer: Json = {"id": record.record_id, **record.values}
    if record.entity is PERSON and "job_title" in state.fields.of(PERSON).definitions:
        lacking: Json = {"postal_address": None, "notes": None, "im": [], "birthday": None, "job_title": None}
        answer = {**answer, **{name: value for name, value in lacking.items() if name not in answer}}
    answer["add_time"] = v2_stamp(record.added_s)
    answer["update_time"] = v2_stamp(record.updated_s)
    answer["is_deleted"] = record.is_deleted
    if labels and "label_ids" in answer:
        answer["labels"] = _labels(state, record)
    if record.entity.has_custom_fields:
        answer["custom_fields"] = _custom_fields(state, record, custom, option_labels=option_labels)
    for name in include:
        answer[name] = _included(state, record, name)
    return answer


def _custom_fields(state: State, record: Record, wanted: Sequence[str], *, option_labels: bool) -> Json | None:
    known = state.fields.of(record.entity).custom()
    if not known:
        return None
    answer: Json = {}
    for code, definition in known.items():
        if wanted and code not in wanted:
            continue
        value = record.custom.get(code)
        if option_labels and value is not None and definition.options is not None:
            titles = {option["id"]: option["label"] for option in definition.options}
            ids = value if isinstance(value, list) else [value]
            shown = [{"id": item, "label": titles.get(item)} for item in ids]
            value = shown if isinstance(value, list) else shown[0]
        answer[code] = value
    return answer


def _labels(state: State, record: Record) -> list[Json]:
    options = state.fields.of(record.entity).definitions["label_ids"].options or []
    return [option for option in options if option["id"] in record.values["label_ids"]]


def _included(state: State, record: Record, name: str) -> Any:
    if name == "smart_bcc_email":
        return f"{state.company_domain}+{record.entity.key}{record.record_id}@pipedrivemail.com"
    if name == "notes_count":
        return sum(note.values.get(f"{record.entity.key}_id") == record.record_id for note in state.all_live(NOTE))
    if name == "attendees":
        return []
    return 0 if name.endswith("_count") else None
