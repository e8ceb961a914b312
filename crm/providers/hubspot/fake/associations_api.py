"""The calls that read and write associations, numbered (v4) and dated.

Page: https://developers.hubspot.com/docs/api-reference/crm-associations-v4/guide
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from crm.providers.hubspot.fake import answers
from crm.providers.hubspot.fake.answers import AnswerError, Json
from crm.providers.hubspot.fake.associations import PRIMARY, TYPE_IDS, AssociationStore, type_ids_of
from crm.providers.hubspot.fake.batch import batch_inputs, key_of
from crm.providers.hubspot.fake.caller import actor_of, require
from crm.providers.hubspot.fake.object_types import ObjectType, object_type
from crm.providers.hubspot.fake.objects_api import object_body, page_limit
from crm.providers.hubspot.fake.state import Record
from crm.providers.hubspot.fake.versions import is_dated, prefixes
from crm.testing.clock import iso_ms
from crm.testing.wsgi import Request, Response, Router, json_response, no_content

MAX_READ, MAX_CREATED = 1_000, 2_000
_CATEGORY: Final = "HUBSPOT_DEFINED"


class AssociationsApi:
    def __init__(self, store: AssociationStore) -> None:
        self._store = store
        self._state = store.state

    def mount(self, router: Router) -> None:
        for prefix in prefixes("record_associations"):
            of = f"{prefix}/{{objectType}}/{{id}}/associations"
            router.add("GET", f"{of}/{{toType}}", self.list_page)
            router.add("PUT", f"{of}/default/{{toType}}/{{toId}}", self.put_default)
            router.add("PUT", f"{of}/{{toType}}/{{toId}}", self.put_labels)
            router.add("DELETE", f"{of}/{{toType}}/{{toId}}", self.remove)
        for prefix in prefixes("associations"):
            between = f"{prefix}/{{objectType}}/{{toType}}"
            routes: list[tuple[str, str, Callable[[Request], Response]]] = [
                ("GET", "labels", self.list_labels),
                ("POST", "batch/read", self.batch_read),
                ("POST", "batch/create", self.batch_create),
                ("POST", "batch/associate/default", self.batch_default),
                ("POST", "batch/archive", self.batch_archive),
                ("POST", "batch/labels/archive", self.batch_archive_labels),
            ]
            for method, path, handler in routes:
                router.add(method, f"{between}/{path}", handler)

    # One record -----------------------------------------------------------------------------------------

    def list_page(self, request: Request) -> Response:
        kind, other = self._kinds(request, "read")
        limit, after = page_limit(request, 500, 500), request.first("after", "0")
        record = self._record(kind, request.params["id"])
        rows = [
            self._row(other_id, type_ids)
            for other_id, type_ids in self._store.of(record, other).items()
            if other_id >= (answers.whole_number(after) or 0)
        ]
        page: Json = {"results": rows[:limit]}
        if len(rows) > limit:
            page["paging"] = {"next": {"after": str(rows[limit]["toObjectId"])}}
        return json_response(page)

    def put_default(self, request: Request) -> Response:
        record, other = self._ends(request)
        self._store.link(record, other, (), actor_of(request))
        return self._answer(self._default_rows(record, other), [], 200)

    def put_labels(self, request: Request) -> Response:
        """Replaces the labels between the two; the unlabelled default stays."""
        record, other = self._ends(request)
        raw = request.json()
        type_ids = self._checked(record.kind, other.kind, type_ids_of(raw))
        self._store.link(record, other, type_ids, actor_of(request), replace=True)
        shown = {
            "fromObjectTypeId": record.kind.type_id,
            "fromObjectId": record.record_id,
            "toObjectTypeId": other.kind.type_id,
            "toObjectId": other.record_id,
            "labels": [label for type_id in type_ids if (label := _label(type_id))],
        }
        return json_response(shown, 201)

    def remove(self, request: Request) -> Response:
        record, other = self._ends(request)
        self._store.unlink(record, other, actor_of(request))
        return no_content()

    # Batches ---------------------------------------------------------------------------------------------

    def list_labels(self, request: Request) -> Response:
        kind, other = self._kinds(request, "read")
        type_ids = TYPE_IDS.get((kind.type_id, other.type_id), ())
        rows = [{"category": _CATEGORY, "typeId": type_id, "label": _label(type_id)} for type_id in type_ids]
        return json_response({"results": rows})

    def batch_read(self, request: Request) -> Response:
        kind, other = self._kinds(request, "read")
        results, errors = [], []
        for item in batch_inputs(object_body(request), MAX_READ):
            key = key_of(item)
            record = self._state.table(kind).live_by_key(key)
            linked = self._store.of(record, other) if record else {}
            if not linked:
                errors.append(
                    {
                        "status": "error",
                        "category": "OBJECT_NOT_FOUND",
                        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
                        "message": f"No {other.singular} is associated with {kind.singular} {key}.",
                        "context": {"fromObjectId": [key]},
                    }
                )
                continue
            rows = [self._row(other_id, type_ids) for other_id, type_ids in linked.items()]
            results.append({"from": {"id": key}, "to": rows})
        return self._answer(results, errors, 200)

    def batch_create(self, request: Request) -> Response:
        def link(record: Record, other: Record, item: Json) -> list[Json]:
            type_ids = self._checked(record.kind, other.kind, type_ids_of(item.get("types")))
            self._store.link(record, other, type_ids, actor_of(request), replace=True)
            shown: Json = {
                "fromObjectTypeId": record.kind.type_id,
                "fromObjectId": record.record_id,
                "toObjectTypeId": other.kind.type_id,
                "toObjectId": other.record_id,
                "labels": [label for type_id in type_ids if (label := _label(type_id))],
            }
            return [shown]

        return self._each_pair(request, link, 201)

    def batch_default(self, request: Request) -> Response:
        def link(record: Record, other: Record, _item: Json) -> list[Json]:
            self._store.link(record, other, (), actor_of(request))
            return self._default_rows(record, other)

        return self._each_pair(request, link, 200)

    def batch_archive(self, request: Request) -> Response:
        kind, other = self._kinds(request, "write")
        for item in batch_inputs(object_body(request), MAX_CREATED):
            for target in _listed(item.get("to")):
                ends = self._maybe(kind, item.get("from")), self._maybe(other, target)
                if ends[0] is not None and ends[1] is not None:
                    self._store.unlink(ends[0], ends[1], actor_of(request))
        return self._archived(request)

    def batch_archive_labels(self, request: Request) -> Response:
        kind, other = self._kinds(request, "write")
        for item in batch_inputs(object_body(request), MAX_CREATED):
            record, target = self._maybe(kind, item.get("from")), self._maybe(other, item.get("to"))
            if record is not None and target is not None:
                self._store.unlink(record, target, actor_of(request), type_ids_of(item.get("types")))
        return self._archived(request)

    # Steps -------------------------------------------------------------------------------------------------

    def _kinds(self, request: Request, right: str) -> tuple[ObjectType, ObjectType]:
        kind, other = object_type(request.params["objectType"]), object_type(request.params["toType"])
        require(request, f"{kind.scope}.{right}")
        return kind, other

    def _ends(self, request: Request) -> tuple[Record, Record]:
        kind, other = self._kinds(request, "write")
        ends = self._record(kind, request.params["id"]), self._record(other, request.params["toId"])
        self._checked(kind, other, ())
        return ends

    def _record(self, kind: ObjectType, key: str) -> Record:
        record = self._state.table(kind).live_by_key(key)
        if record is None:
            raise answers.not_found()
        return record

    def _maybe(self, kind: ObjectType, raw: Any) -> Record | None:
        key = str(raw.get("id", "")) if isinstance(raw, dict) else ""
        return self._state.table(kind).live_by_key(key)

    def _checked(self, kind: ObjectType, other: ObjectType, type_ids: tuple[int, ...]) -> tuple[int, ...]:
        known = TYPE_IDS.get((kind.type_id, other.type_id))
        if known is None or not set(type_ids) <= set(known):
            raise answers.invalid("One or more associations are invalid")
        return type_ids

    def _each_pair(self, request: Request, link: Callable[[Record, Record, Json], list[Json]], status: int) -> Response:
        kind, other = self._kinds(request, "write")
        results: list[Json] = []
        errors: list[Json] = []
        for item in batch_inputs(object_body(request), MAX_CREATED):
            record, target = self._maybe(kind, item.get("from")), self._maybe(other, item.get("to"))
            try:
                if record is None or target is None:
                    raise answers.not_found()
                results.extend(link(record, target, item))
            except AnswerError as error:
                errors.append(error.body)
        return self._answer(results, errors, status)

    def _row(self, other_id: int, type_ids: set[int]) -> Json:
        types = [{"category": _CATEGORY, "typeId": type_id, "label": _label(type_id)} for type_id in sorted(type_ids)]
        return {"toObjectId": other_id, "associationTypes": types}

    def _default_rows(self, record: Record, other: Record) -> list[Json]:
        pairs = ((record, other), (other, record))
        return [
            {
                "from": {"id": str(one.record_id)},
                "to": {"id": str(two.record_id)},
                "associationSpec": {
                    "associationCategory": _CATEGORY,
                    "associationTypeId": TYPE_IDS[one.kind.type_id, two.kind.type_id][0],
                },
            }
            for one, two in pairs
        ]

    def _archived(self, request: Request) -> Response:
        """204 on the numbered path, 200 on the dated ones."""
        return self._answer([], [], 200) if is_dated(request.path) else no_content()

    def _answer(self, results: list[Json], errors: list[Json], status: int) -> Response:
        now = iso_ms(self._state.clock.now_ms())
        body: Json = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
        if errors:
            body |= {"numErrors": len(errors), "errors": errors}
        return json_response(body, 207 if errors else status)


def _label(type_id: int) -> str | None:
    return "Primary" if type_id in PRIMARY else None


def _listed(raw: Any) -> list[Any]:
    return raw if isinstance(raw, list) else [raw]
