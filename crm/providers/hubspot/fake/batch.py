"""Batch read, create, update, upsert and archive.

Pages: https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide (batch limits, upsert) and
https://developers.hubspot.com/docs/api-reference/error-handling ("Multi-status errors")
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from crm.providers.hubspot.fake import answers, writes
from crm.providers.hubspot.fake.answers import AnswerError, Json, Problem
from crm.providers.hubspot.fake.associations import NewLink, parse_specs
from crm.providers.hubspot.fake.caller import actor_of
from crm.providers.hubspot.fake.object_types import ObjectType
from crm.providers.hubspot.fake.objects_api import ObjectsApi, flag, is_email_key, object_body, property_map
from crm.providers.hubspot.fake.state import Record
from crm.providers.hubspot.fake.versions import prefixes
from crm.providers.hubspot.fake.writes import Prepared, object_json
from crm.testing.clock import iso_ms
from crm.testing.wsgi import Request, Response, Router, json_response, no_content

MAX_INPUTS: Final = 100


class BatchApi:
    def __init__(self, objects: ObjectsApi, seed: int) -> None:
        self._objects = objects
        self._state = objects.state
        self._random = random.Random(f"batch/{seed}")  # noqa: S311 - reproducible, not secret

    def mount(self, router: Router) -> None:
        routes: dict[str, Callable[[Request], Response]] = {
            "read": self.read,
            "create": self.create,
            "update": self.update,
            "upsert": self.upsert,
            "archive": self.archive,
        }
        for prefix in prefixes("objects"):
            for action, handler in routes.items():
                router.add("POST", f"{prefix}/{{objectType}}/batch/{action}", handler)

    # Handlers ------------------------------------------------------------------------------------------

    def read(self, request: Request) -> Response:
        kind = self._objects.kind_for(request, "read")
        body = object_body(request)
        id_property = str(body.get("idProperty") or "")
        inputs = batch_inputs(body)
        keys = [key_of(item) for item in inputs]
        refuse_repeats(keys)
        archived = flag(request, "archived")
        names = self._objects.shown_names(kind, string_list(body, "properties"))
        with_history = self._objects.known_names(kind, string_list(body, "propertiesWithHistory"))
        results, missing = [], []
        for key in keys:
            record = self._lookup(kind, key, id_property, archived=archived)
            if record is None:
                missing.append(key)
            else:
                results.append(object_json(record, names, with_history, portal_id=self._state.portal_id))
        return self._answer(results, self._missing(kind, missing, "OBJECT_NOT_FOUND"), 200)

    def create(self, request: Request) -> Response:
        kind = self._objects.kind_for(request, "write")
        inputs = batch_inputs(object_body(request))
        partial = has_trace_ids(inputs)
        rules = self._objects.rules(request, kind)
        checked: list[tuple[Json, Prepared, list[NewLink]]] = []
        errors: list[Json] = []
        problems: list[Problem] = []
        taken: dict[tuple[str, str], int] = {}
        for item in inputs:
            prepared, found = writes.prepare(self._state, kind, property_map(item), None, rules)
            try:
                wanted = self._objects.associations.check_new(kind, parse_specs(item.get("associations")))
                if found:
                    raise answers.invalid_properties(found)
                self._refuse_taken(prepared, taken, partial=partial)
            except AnswerError as error:
                if not partial and not found:
                    raise
                problems.extend(found)
                errors.append(item_error(error, item))
                continue
            checked.append((item, prepared, wanted))
            self._claim(prepared, taken)
        if problems and not partial:
            raise answers.invalid_properties(problems)
        results = []
        for item, prepared, wanted in checked:
            record = writes.create(self._state, prepared, actor_of(request))
            self._objects.associations.link_new(record, wanted, actor_of(request))
            results.append(self._written(record, prepared, item))
        return self._answer(results, errors, 201)

    def update(self, request: Request) -> Response:
        kind = self._objects.kind_for(request, "write")
        inputs = batch_inputs(object_body(request))
        refuse_repeats(
            [f"{item.get('idProperty') or ''}{key_of(item)}" for item in inputs], [key_of(i) for i in inputs]
        )
        partial = has_trace_ids(inputs)
        found: list[tuple[Json, Record]] = []
        missing: list[str] = []
        for item in inputs:
            record = self._lookup(kind, key_of(item), str(item.get("idProperty") or ""))
            if record is None:
                missing.append(key_of(item))
            else:
                found.append((item, record))
        checked, errors = self._check_updates(request, kind, found, partial=partial)
        results = []
        for item, prepared in checked:
            writes.update(self._state, prepared, actor_of(request))
            if prepared.record is not None:
                results.append(self._written(prepared.record, prepared, item))
        told = (
            f"Could not get some {kind.singular.upper()} objects, they may be deleted or not exist. "
            "Check that ids are valid."
        )
        return self._answer(results, [*errors, *self._missing(kind, missing, "OBJECT_NOT_FOUND", told)], 200)

    def upsert(self, request: Request) -> Response:
        """By ``email`` all or nothing; by an own unique property partial success with trace ids."""
        kind = self._objects.kind_for(request, "write")
        inputs = batch_inputs(object_body(request))
        names = {str(item.get("idProperty") or "") for item in inputs}
        if len(names) != 1:
            raise answers.invalid("All inputs of an upsert must have the same idProperty")
        id_property = names.pop()
        if id_property and id_property != "hs_object_id":
            self._objects.check_id_property(kind, id_property)
        keys = [key_of(item).strip().lower() for item in inputs]
        refuse_repeats(keys)
        partial = has_trace_ids(inputs) and not is_email_key(kind, id_property)
        rules = self._objects.rules(request, kind)
        checked: list[tuple[Json, Prepared]] = []
        errors: list[Json] = []
        problems: list[Problem] = []
        taken: dict[tuple[str, str], int] = {}
        for item in inputs:
            record = self._lookup(kind, key_of(item), id_property)
            raw = property_map(item)
            if id_property and id_property != "hs_object_id" and record is None:
                raw = {**raw, id_property: key_of(item)}
            prepared, found = writes.prepare(self._state, kind, raw, record, rules)
            try:
                if record is None and id_property in ("", "hs_object_id"):
                    raise answers.not_found()
                if found:
                    raise answers.invalid_properties(found)
                self._refuse_taken(prepared, taken, partial=partial)
            except AnswerError as error:
                if not partial and not found:
                    raise
                problems.extend(found)
                errors.append(item_error(error, item))
                continue
            checked.append((item, prepared))
            self._claim(prepared, taken)
        if problems and not partial:
            raise answers.invalid_properties(problems)
        results = []
        for item, prepared in checked:
            is_new = prepared.record is None
            if prepared.record is None:
                record = writes.create(self._state, prepared, actor_of(request))
            else:
                record = prepared.record
                writes.update(self._state, prepared, actor_of(request))
            results.append({**self._written(record, prepared, item), "new": is_new})
        return self._answer(results, errors, 200)

    def archive(self, request: Request) -> Response:
        kind = self._objects.kind_for(request, "write")
        inputs = batch_inputs(object_body(request))
        for item in inputs:
            record = self._lookup(kind, key_of(item), "")
            if record is not None:
                writes.archive(self._state, record, actor_of(request))
        return no_content()

    # Steps -----------------------------------------------------------------------------------------------

    def _lookup(self, kind: ObjectType, key: str, id_property: str, *, archived: bool = False) -> Record | None:
        """As it is: merged-away ids are not followed in batches."""
        table = self._state.table(kind)
        if id_property and id_property != "hs_object_id":
            self._objects.check_id_property(kind, id_property)
            holder = self._state.holder(kind, id_property, key)
            return None if holder is None else table.records.get(holder)
        record_id = answers.whole_number(key)
        record = None if record_id is None else table.records.get(record_id)
        return None if record is None or (record.archived_ms is not None) != archived else record

    def _check_updates(
        self, request: Request, kind: ObjectType, found: list[tuple[Json, Record]], *, partial: bool
    ) -> tuple[list[tuple[Json, Prepared]], list[Json]]:
        checked: list[tuple[Json, Prepared]] = []
        errors: list[Json] = []
        problems: list[Problem] = []
        taken: dict[tuple[str, str], int] = {}
        rules = self._objects.rules(request, kind)
        for item, record in found:
            prepared, bad = writes.prepare(self._state, kind, property_map(item), record, rules)
            try:
                if bad:
                    raise answers.invalid_properties(bad)
                self._refuse_taken(prepared, taken, partial=partial)
            except AnswerError as error:
                if not partial and not bad:
                    raise
                problems.extend(bad)
                errors.append(item_error(error, item))
                continue
            checked.append((item, prepared))
            self._claim(prepared, taken)
        if problems and not partial:
            raise answers.invalid_properties(problems)
        return checked, errors

    def _refuse_taken(self, prepared: Prepared, taken: dict[tuple[str, str], int], *, partial: bool) -> None:
        """All-or-nothing batches do not say which id is in the way (error handling guide)."""
        try:
            writes.refuse_taken(self._state, prepared, taken=taken)
        except AnswerError as error:
            if error.status == 409 and not partial:
                raise answers.conflict(prepared.kind.label, None) from error
            raise

    def _claim(self, prepared: Prepared, taken: dict[tuple[str, str], int]) -> None:
        own_id = prepared.record.record_id if prepared.record else 0
        for name in self._state.table(prepared.kind).unique:
            if value := prepared.values.get(name, "").lower():
                taken[name, value] = own_id

    def _written(self, record: Record, prepared: Prepared, item: Json) -> Json:
        shown = writes.written_json(record, prepared, self._state.portal_id)
        if "objectWriteTraceId" in item:
            shown["objectWriteTraceId"] = item["objectWriteTraceId"]
        return shown

    def _missing(self, kind: ObjectType, keys: list[str], category: str, message: str = "") -> list[Json]:
        if not keys:
            return []
        told = message or f"Could not get some {kind.singular.upper()} objects, they may be deleted or not exist."
        return [{"status": "error", "category": category, "message": told, "context": {"ids": keys}}]

    def _answer(self, results: list[Json], errors: list[Json], status: int) -> Response:
        """Results in no promised order; any error makes it a 207."""
        self._random.shuffle(results)
        now = iso_ms(self._state.clock.now_ms())
        body: Json = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
        if errors:
            body |= {"numErrors": len(errors), "errors": errors}
        return json_response(body, 207 if errors else status)


def batch_inputs(body: Json, most: int = MAX_INPUTS) -> list[Json]:
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(item, dict) for item in inputs):
        raise answers.invalid_input("`inputs` must be a list of objects")
    if not inputs:
        raise answers.invalid("Batch input must not be empty")
    if len(inputs) > most:
        raise answers.invalid(f"The maximum number of inputs in a batch is {most}, {len(inputs)} were given")
    return inputs


def key_of(item: Json) -> str:
    key = item.get("id")
    if not isinstance(key, str | int) or isinstance(key, bool) or key == "":
        raise answers.invalid("Some required fields were not set: [id]")
    return str(key)


def string_list(body: Json, name: str) -> list[str]:
    values = body.get(name) or []
    if not isinstance(values, list):
        raise answers.invalid_input(f"`{name}` must be a list")
    return [str(value) for value in values]


def refuse_repeats(keys: list[str], shown: list[str] | None = None) -> None:
    seen: set[str] = set()
    repeated: dict[str, None] = {}
    for key, told in zip(keys, shown or keys, strict=True):
        if key in seen:
            repeated[told] = None
        seen.add(key)
    if repeated:
        ids = list(repeated)
        raise answers.invalid(
            f"Duplicate IDs found in batch input: [{', '.join(ids)}]. IDs must be unique", context={"ids": ids}
        )


def has_trace_ids(inputs: list[Json]) -> bool:
    """Partial success is given only when every input has its own ``objectWriteTraceId``."""
    trace_ids = [item.get("objectWriteTraceId") for item in inputs]
    return all(isinstance(trace_id, str) and trace_id for trace_id in trace_ids) and len(set(trace_ids)) == len(inputs)


def item_error(error: AnswerError, item: Json) -> Json:
    """One refused input inside a 207."""
    trace_id = item.get("objectWriteTraceId")
    context: dict[str, list[str]] = {**error.body.get("context", {}), "objectWriteTraceId": [str(trace_id)]}
    _, found, existing = error.body["message"].partition("Existing ID: ")
    if found:
        context["existingId"] = [existing]
    return {**error.body, "context": context}
