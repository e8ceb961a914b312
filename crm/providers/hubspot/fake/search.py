"""Search over what the index shows. Page: https://developers.hubspot.com/docs/api-reference/search/guide"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from crm.providers.hubspot.fake import answers
from crm.providers.hubspot.fake.answers import Json
from crm.providers.hubspot.fake.batch import string_list
from crm.providers.hubspot.fake.object_types import ObjectType, object_type
from crm.providers.hubspot.fake.objects_api import ObjectsApi, object_body
from crm.providers.hubspot.fake.properties import Definition
from crm.providers.hubspot.fake.state import Record
from crm.providers.hubspot.fake.versions import prefixes
from crm.testing.clock import iso_ms, parse_iso_ms
from crm.testing.wsgi import Request, Response, Router, json_response

MAX_LIMIT: Final = 200
MAX_REACHABLE: Final = 10_000
MAX_BODY_CHARACTERS: Final = 3_000
MAX_GROUPS, MAX_FILTERS_PER_GROUP, MAX_FILTERS = 5, 6, 18

Properties = dict[str, str]
Test = Callable[[Properties], bool]
_QUERIED: Final = ("firstname", "lastname", "email", "phone", "hs_additional_emails", "fax", "mobilephone", "company")
_QUERIED_ELSEWHERE: Final = ("name", "domain", "phone", "dealname", "hs_note_body", "hs_task_subject", "hs_call_title")
_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "EQ": lambda left, right: left == right,
    "LT": lambda left, right: left < right,
    "LTE": lambda left, right: left <= right,
    "GT": lambda left, right: left > right,
    "GTE": lambda left, right: left >= right,
}
_OPERATORS: Final = (
    *_COMPARISONS,
    "NEQ",
    "BETWEEN",
    "IN",
    "NOT_IN",
    "HAS_PROPERTY",
    "NOT_HAS_PROPERTY",
    "CONTAINS_TOKEN",
    "NOT_CONTAINS_TOKEN",
)


class SearchApi:
    def __init__(self, objects: ObjectsApi) -> None:
        self._objects = objects
        self._state = objects.state

    def mount(self, router: Router) -> None:
        for prefix in prefixes("objects"):
            router.add("POST", f"{prefix}/{{objectType}}/search", self.search)

    def search(self, request: Request) -> Response:
        kind = self._objects.kind_for(request, "read")
        if len(request.body.decode("utf-8", "replace")) > MAX_BODY_CHARACTERS:
            raise answers.invalid(f"Request body is too long: at most {MAX_BODY_CHARACTERS} characters are allowed")
        body = object_body(request)
        limit = _limit(body.get("limit", 10))
        offset = _offset(body.get("after"))
        if offset + limit > MAX_REACHABLE:
            raise answers.invalid(f"Paging past {MAX_REACHABLE} results of one query is not supported")
        test, first_id = self._compile(kind, body)
        names = self._objects.shown_names(kind, string_list(body, "properties"))
        self._state.refresh_index(self._state.clock.now_ms())
        matches = list(self._matching(kind, test, first_id))
        self._sort(kind, matches, body.get("sorts"))
        shown = [self._shown(record, properties, names) for record, properties in matches[offset : offset + limit]]
        page: Json = {"total": len(matches), "results": shown}
        if offset + limit < len(matches):
            page["paging"] = {"next": {"after": str(offset + limit)}}
        return json_response(page)

    def _matching(self, kind: ObjectType, test: Test, first_id: int) -> Iterator[tuple[Record, Properties]]:
        """Live records as the index has them: changes and new records show ``search_lag_seconds`` late."""
        for record in self._state.table(kind).from_id(first_id):
            properties = record.properties
            if record.awaiting_index:
                if record.indexed is None:
                    continue
                properties = record.indexed
            if test(properties):
                yield record, properties

    def _shown(self, record: Record, properties: Properties, names: list[str]) -> Json:
        updated = properties.get(record.kind.modified) or iso_ms(record.updated_ms)
        return {
            "id": str(record.record_id),
            "properties": {name: properties.get(name) for name in names},
            "createdAt": iso_ms(record.created_ms),
            "updatedAt": updated,
            "archived": False,
            "url": f"https://app.hubspot.com/contacts/{self._state.portal_id}/record/{record.kind.type_id}/{record.record_id}",
        }

    def _sort(self, kind: ObjectType, matches: list[tuple[Record, Properties]], sorts: Any) -> None:
        """One sort; by default the oldest first, which is id order. Equal keys stay in id order."""
        if not sorts:
            return
        if not isinstance(sorts, list) or len(sorts) > 1:
            raise answers.invalid("Only one sort is supported")
        sort = sorts[0]
        name = str(sort.get("propertyName") if isinstance(sort, dict) else sort).lower()
        descending = isinstance(sort, dict) and sort.get("direction") == "DESCENDING"
        if isinstance(sort, str) and sort.startswith("-"):
            name, descending = name[1:], True
        key = value_reader(self._definition(kind, name))
        if name == "hs_object_id":
            matches.sort(key=lambda match: match[0].record_id, reverse=descending)
            return
        with_value = [match for match in matches if name in match[1]]
        without = [match for match in matches if name not in match[1]]
        with_value.sort(key=lambda match: key(match[1][name]), reverse=descending)
        matches[:] = with_value + without

    def _definition(self, kind: ObjectType, name: str) -> Definition:
        found = self._state.registry.get(kind, name)
        if found is None:
            raise answers.invalid(f"Property '{name}' does not exist on {kind.plural}")
        return found

    # Filters -------------------------------------------------------------------------------------------------

    def _compile(self, kind: ObjectType, body: Json) -> tuple[Test, int]:
        """One test for the whole request, and the lowest id it can hold for (saves reading what cannot match)."""
        groups = body.get("filterGroups") or []
        if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
            raise answers.invalid_input("`filterGroups` must be a list of objects with `filters`")
        if body.get("filters"):
            groups = [*groups, {"filters": body["filters"]}]
        filters = [group.get("filters") or [] for group in groups]
        if not all(isinstance(group, list) for group in filters):
            raise answers.invalid_input("`filters` must be a list")
        if len(filters) > MAX_GROUPS or any(len(group) > MAX_FILTERS_PER_GROUP for group in filters):
            raise answers.invalid(
                f"Too many filters: at most {MAX_GROUPS} groups of {MAX_FILTERS_PER_GROUP} filters are allowed"
            )
        if sum(map(len, filters)) > MAX_FILTERS:
            raise answers.invalid(f"Too many filters: at most {MAX_FILTERS} are allowed in total")
        tests = [[self._filter(kind, item) for item in group] for group in filters if group]
        query_test = _query(kind, str(body.get("query") or ""))
        if not tests:
            return query_test, 0
        if len(tests) == 1:
            only = tests[0]
            return (lambda own: all(test(own) for test in only) and query_test(own)), _first_id(filters)
        return (lambda own: any(all(test(own) for test in group) for group in tests) and query_test(own)), 0

    def _filter(self, kind: ObjectType, item: Any) -> Test:
        if not isinstance(item, dict) or "propertyName" not in item:
            raise answers.invalid_input("a filter needs `propertyName` and `operator`")
        name, operator = str(item["propertyName"]).lower(), item.get("operator")
        if operator not in _OPERATORS:
            raise answers.invalid_input(f'Cannot deserialize value of type `Operator` from String "{operator}"')
        if name.startswith("associations."):
            return self._associated(kind, name.removeprefix("associations."), item)
        definition = self._definition(kind, name)
        if operator == "HAS_PROPERTY":
            return lambda own: bool(own.get(name))
        if operator == "NOT_HAS_PROPERTY":
            return lambda own: not own.get(name)
        if operator in ("CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"):
            pattern, wanted = str(item.get("value", "")).lower(), operator == "CONTAINS_TOKEN"
            return lambda own: name in own and has_token(own[name], pattern) == wanted
        return _comparison(name, operator, item, value_reader(definition))

    def _associated(self, kind: ObjectType, token: str, item: Json) -> Test:
        """The pseudo property ``associations.contact``: records linked to the given one."""
        other_type = object_type(token).type_id
        wanted = str(item.get("value", ""))
        other = self._state.tables[other_type].live_by_key(wanted)
        linked = {str(record_id) for record_id in (other.links.get(kind.type_id, {}) if other else {})}
        return lambda own: own.get("hs_object_id") in linked


def _comparison(name: str, operator: str, item: Json, read: Callable[[str], Any]) -> Test:
    if operator in ("IN", "NOT_IN"):
        values = item.get("values")
        if not isinstance(values, list) or not values:
            raise answers.invalid_input(f"operator {operator} needs `values`")
        wanted_in, several = operator == "IN", {_operand(read, value) for value in values}
        return lambda own: name in own and (read(own[name]) in several) == wanted_in
    if "value" not in item:
        raise answers.invalid_input(f"operator {operator} needs `value`")
    low = _operand(read, item["value"])
    if operator == "BETWEEN":
        if "highValue" not in item:
            raise answers.invalid_input("operator BETWEEN needs `highValue`")
        high = _operand(read, item["highValue"])
        return lambda own: name in own and low <= read(own[name]) <= high
    if operator == "NEQ":
        return lambda own: name in own and read(own[name]) != low
    compare = _COMPARISONS[operator]
    return lambda own: name in own and compare(read(own[name]), low)


def _operand(read: Callable[[str], Any], value: Any) -> Any:
    try:
        return read(str(value))
    except ValueError as error:
        raise answers.invalid_input(f'Cannot deserialize value of type `long` from String "{value}"') from error


def value_reader(definition: Definition) -> Callable[[str], Any]:
    """How values of a property compare: by number, by instant, by exact option, else without case."""
    if definition.type == "number":
        return _number
    if definition.type in ("date", "datetime"):
        return _instant
    return str if definition.type == "enumeration" else str.lower


def _number(text: str) -> float | int:
    return int(text) if re.fullmatch(r"-?\d{1,18}", text, re.ASCII) else float(text)


_KNOWN_INSTANTS: dict[str, int] = {}


def _instant(text: str) -> int:
    known = _KNOWN_INSTANTS.get(text)
    if known is not None:
        return known
    stamp_ms = int(text) if re.fullmatch(r"-?\d{1,18}", text, re.ASCII) else parse_iso_ms(text)
    if stamp_ms is None:
        raise ValueError(text)
    if len(_KNOWN_INSTANTS) > 200_000:
        _KNOWN_INSTANTS.clear()
    _KNOWN_INSTANTS[text] = stamp_ms
    return stamp_ms


def has_token(value: str, pattern: str) -> bool:
    """CONTAINS_TOKEN: the words of the value, whole or split at punctuation; ``*`` is a wildcard."""
    lowered = value.lower()
    words = re.split(r"[\s;,]+", lowered)
    if "*" in pattern:
        return any(fnmatch.fnmatchcase(word, pattern.replace("[", "[[]")) for word in [*words, *_parts(lowered)])
    wanted, parts = _parts(pattern), _parts(lowered)
    if not wanted:
        return False
    return pattern in words or any(
        parts[start : start + len(wanted)] == wanted for start in range(len(parts) - len(wanted) + 1)
    )


def _parts(text: str) -> list[str]:
    return [part for part in re.split(r"[\W_]+", text) if part]


def _query(kind: ObjectType, text: str) -> Test:
    """Full text over the default searchable properties; every word must occur in one of them."""
    words = [word for word in text.lower().split() if word]
    if not words:
        return lambda _own: True
    names = _QUERIED if kind.type_id == "0-1" else _QUERIED_ELSEWHERE

    def test(own: Properties) -> bool:
        haystack = " ".join(own[name] for name in names if name in own).lower()
        return all(word in haystack for word in words)

    return test


def _first_id(filters: list[list[Json]]) -> int:
    bounds = [
        bound + (item["operator"] == "GT")
        for group in filters
        for item in group
        if item.get("propertyName") == "hs_object_id"
        and item.get("operator") in ("GT", "GTE")
        and (bound := answers.whole_number(item.get("value"))) is not None
    ]
    return max(bounds, default=0)


def _limit(raw: Any) -> int:
    limit = answers.whole_number(raw)
    if limit is None or not 0 < limit <= MAX_LIMIT:
        raise answers.invalid(f"limit must be a number between 1 and {MAX_LIMIT}, was {raw}")
    return limit


def _offset(raw: Any) -> int:
    """An offset, not a record id: a list cursor is too large for it."""
    if raw in (None, ""):
        return 0
    offset = answers.whole_number(raw)
    if offset is None or offset > 2**31 - 1:
        raise answers.invalid_input(f'Cannot deserialize value of type `int` from String "{raw}"')
    return offset
