"""Running a query: names checked against what the API user may see, conditions compiled to functions.

Text compares without regard to case; ``!= 'x'`` finds empty fields too; nulls sort first unless asked.
Pages: SOQL and SOSL Reference, "Comparison Operators", "ORDER BY", "Null Values"
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from crm.providers.salesforce.fake import ids, values
from crm.providers.salesforce.fake.answers import NO_COLUMN_HINT, Json, plain
from crm.providers.salesforce.fake.fields import TEXT_TYPES, Field, ObjectType
from crm.providers.salesforce.fake.soql_parser import Both, Compare, Condition, Not, Query
from crm.providers.salesforce.fake.soql_tests import DAY_MS, Reader, Test, compare, folded, operand
from crm.providers.salesforce.fake.soql_words import pointed
from crm.providers.salesforce.fake.state import Record, State, Values

MAX_OFFSET: Final = 2_000


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the answer: ``steps`` are the references to follow, with the names to show them by."""

    steps: tuple[tuple[str, Field], ...]
    field: Field
    kind: ObjectType


@dataclass(slots=True)
class Result:
    """``total`` counts before paging; aggregates come as ready rows."""

    kind: ObjectType
    columns: list[Column]
    records: list[tuple[Record, Values]]
    total: int
    aggregates: list[Json] | None = None

    @property
    def has_long_text(self) -> bool:
        return any(column.field.is_long_text for column in self.columns)


class QueryRunner:
    def __init__(self, state: State) -> None:
        self._state = state
        self._schema = state.schema

    def run(self, query: Query, *, with_deleted: bool) -> Result:
        """Raises 400 in Salesforce's words for what does not exist or cannot be compared."""
        kind = self._schema.find_type(query.type_name)
        if kind is None:
            message = (
                (f"sObject type '{query.type_name}' is not supported. {NO_COLUMN_HINT}")
                .replace("the custom field name", "the entity name")
                .replace("a custom field", "a custom object")
            )
            raise plain(400, "INVALID_TYPE", pointed(query.text, query.type_at, message))
        if query.offset > MAX_OFFSET:
            raise plain(400, "NUMBER_OUTSIDE_VALID_RANGE", f"maximum SOQL offset allowed is {MAX_OFFSET}")
        self._require_filter(kind, query)
        columns = self._columns(query, kind)
        test = self._test(query, kind, query.where, with_deleted=with_deleted)
        rows = self._narrowed(query, kind, with_deleted=with_deleted)
        found = [(record, seen) for record, seen in rows if test is None or test(seen)]
        for order in reversed(query.order):
            column = self._column(query, kind, order.path, order.at)
            if not column.field.sortable:
                message = f"field '{order.path}' can not be sorted in a query call"
                raise plain(400, "MALFORMED_QUERY", pointed(query.text, order.at, message))
            _sort(found, self._reader(column), column.field, descending=order.descending, nulls_last=order.nulls_last)
        if not query.order:
            found.sort(key=lambda pair: pair[0].record_id)
        if any(column.function for column in query.columns):
            return Result(kind, [], [], 1, [self._aggregate(query, kind, found)])
        found = found[query.offset :]
        if query.limit is not None:
            found = found[: query.limit]
        return Result(kind, columns, [] if query.is_count else found, len(found))

    def row(self, result: Result, seen: Values, version: str) -> Json:
        """One record as the answer shows it."""
        shown: Json = {"attributes": attributes(result.kind.name, seen["Id"], version)}
        for column in result.columns:
            target, at, values_at = shown, result.kind, seen
            for name, reference in column.steps:
                parent = self._parent(values_at, reference)
                if parent is None:
                    target.setdefault(name, None)
                    break
                at, values_at = self._schema.types[parent.kind], parent.values
                if target.get(name) is None:
                    target[name] = {"attributes": attributes(at.name, values_at["Id"], version)}
                target = target[name]
            else:
                target[column.field.name] = values.rendered(column.field, values_at)
        return shown

    def csv_row(self, result: Result, seen: Values) -> list[str]:
        return [self._csv_cell(column, seen) for column in result.columns]

    def csv_header(self, result: Result) -> list[str]:
        return [".".join([*(name for name, _ in each.steps), each.field.name]) for each in result.columns]

    def _csv_cell(self, column: Column, seen: Values) -> str:
        for _, reference in column.steps:
            parent = self._parent(seen, reference)
            if parent is None:
                return ""
            seen = parent.values
        return values.csv_text(column.field, seen)

    # Names -------------------------------------------------------------------------------------------------

    def _columns(self, query: Query, kind: ObjectType) -> list[Column]:
        found: dict[str, Column] = {}
        for each in query.columns:
            column = self._column(query, kind, each.path, each.at)
            if each.function:
                continue
            path = ".".join([*(name for name, _ in column.steps), column.field.name])
            if path in found:
                message = f"duplicate field selected: {each.path}"
                raise plain(400, "INVALID_FIELD", pointed(query.text, each.at, message))
            found[path] = column
        return list(found.values())

    def _column(self, query: Query, kind: ObjectType, path: str, at: int) -> Column:
        parts = path.split(".")
        if len(parts) > 1 and parts[0].lower() in (kind.name.lower(), query.alias.lower()):
            parts = parts[1:]
        steps: list[tuple[str, Field]] = []
        found = kind
        for part in parts[:-1]:
            reference = self._schema.relationship(found, part)
            if reference is None:
                message = (
                    f"Didn't understand relationship '{part}' in field path. If you are attempting to use a custom "
                    "relationship, be sure to append the '__r' after the custom relationship name. Please reference "
                    "your WSDL or the describe call for the appropriate names."
                )
                raise plain(400, "INVALID_FIELD", pointed(query.text, at, message))
            steps.append((reference.relationship or part, reference))
            found = self._schema.types[reference.reference_to[-1 if len(reference.reference_to) > 1 else 0]]
        field = self._schema.field(found, parts[-1])
        if field is None:
            message = f"No such column '{parts[-1]}' on entity '{found.name}'. {NO_COLUMN_HINT}"
            raise plain(400, "INVALID_FIELD", pointed(query.text, at, message))
        return Column(tuple(steps), field, found)

    def _parent(self, seen: Values, reference: Field) -> Record | None:
        return self._state.find(seen.get(reference.name) or "")

    def _reader(self, column: Column) -> Reader:
        name = column.field.name
        if not column.steps:
            return lambda seen: seen.get(name)

        def read(seen: Values) -> Any:
            for _, reference in column.steps:
                parent = self._parent(seen, reference)
                if parent is None:
                    return None
                seen = parent.values
            return seen.get(name)

        return read

    # Conditions --------------------------------------------------------------------------------------------

    def _narrowed(self, query: Query, kind: ObjectType, *, with_deleted: bool) -> list[tuple[Record, Values]]:
        """All rows, or only those that an index or an id in the top-level conditions leaves."""
        state, now_ms = self._state, self._state.clock.now_ms()
        table = state.table(kind.name)
        parts = query.where.parts if isinstance(query.where, Both) and query.where.word == "AND" else (query.where,)
        for part in parts:
            if not isinstance(part, Compare) or part.operator not in ("=", "IN") or part.subquery is not None:
                continue
            if any(value.kind != "string" or not value.text for value in part.values):
                continue
            field = self._schema.field(kind, part.path)
            if field is None:
                continue
            if field.name == "Id":
                wanted = {ids.canonical(value.text) or "" for value in part.values}
            elif field.name in table.indexes:
                index = table.indexes[field.name]
                wanted = {each for value in part.values for each in index.get(value.text.lower(), ())}
            else:
                continue
            # A row that is still changing for others may be indexed by a value they do not see.
            shadowed = {each for each, record in table.records.items() if record.shadow}
            some = [table.records[each] for each in wanted | shadowed if each in table.records]
            seen = [(record, state.seen(record, now_ms)) for record in some]
            return [
                (record, found)
                for record, found in seen
                if found is not None and (with_deleted or not found.get("IsDeleted"))
            ]
        return list(state.rows(kind.name, with_deleted=with_deleted))

    def _test(self, query: Query, kind: ObjectType, condition: Condition | None, *, with_deleted: bool) -> Test | None:
        match condition:
            case None:
                return None
            case Not(inner):
                negated = self._test(query, kind, inner, with_deleted=with_deleted)
                assert negated is not None  # noqa: S101 - only an absent condition has no test
                return lambda seen: not negated(seen)
            case Both(word, parts):
                tests = [self._test(query, kind, part, with_deleted=with_deleted) for part in parts]
                found = [test for test in tests if test is not None]
                if word == "AND":
                    return lambda seen: all(test(seen) for test in found)
                return lambda seen: any(test(seen) for test in found)
            case Compare():
                return self._comparison(query, kind, condition, with_deleted=with_deleted)

    def _comparison(self, query: Query, kind: ObjectType, part: Compare, *, with_deleted: bool) -> Test:
        column = self._column(query, kind, part.path, part.at)
        field = column.field
        if not field.filterable:
            message = f"field '{part.path}' can not be filtered in a query call"
            raise plain(400, "INVALID_FIELD", pointed(query.text, part.at, message))
        read = self._reader(column)
        if part.subquery is not None:
            wanted = self._subquery(part.subquery, with_deleted=with_deleted)
            if part.operator == "IN":
                return lambda seen: read(seen) in wanted
            return lambda seen: read(seen) not in wanted
        now_ms = self._state.clock.now_ms()
        operands = [operand(query, field, value, now_ms) for value in part.values]
        if field.type == "datetime" and part.operator == "=" and part.values[0].kind in ("dateliteral", "date"):
            start = operands[0]
            return lambda seen: (value := read(seen)) is not None and start <= value < start + DAY_MS
        if field.type in TEXT_TYPES and not field.case_sensitive:
            return compare(part.operator, lambda seen: folded(read(seen)), [folded(each) for each in operands])
        return compare(part.operator, read, operands)

    def _subquery(self, query: Query, *, with_deleted: bool) -> frozenset[Any]:
        result = self.run(query, with_deleted=with_deleted)
        if len(result.columns) != 1:
            raise plain(400, "MALFORMED_QUERY", "a subquery of IN selects one field")
        read = self._reader(result.columns[0])
        return frozenset(read(seen) for _, seen in result.records) - {None}

    def _require_filter(self, kind: ObjectType, query: Query) -> None:
        if kind.name != "ContentDocumentLink":
            return
        parts = query.where.parts if isinstance(query.where, Both) and query.where.word == "AND" else (query.where,)
        if not any(
            isinstance(part, Compare)
            and part.operator in ("=", "IN")
            and part.path.lower() in ("contentdocumentid", "linkedentityid")
            for part in parts
        ):
            message = (
                "Implementation restriction: ContentDocumentLink requires a filter by a single Id on ContentDocumentId "
                "or LinkedEntityId using the equals operator or multiple Id's using the IN operator."
            )
            raise plain(400, "MALFORMED_QUERY", message)

    def _aggregate(self, query: Query, kind: ObjectType, found: list[tuple[Record, Values]]) -> Json:
        row: Json = {"attributes": {"type": "AggregateResult"}}
        for each in query.columns:
            column = self._column(query, kind, each.path, each.at)
            if not each.function:
                message = f"Field must be grouped or aggregated: {each.path}"
                raise plain(400, "MALFORMED_QUERY", pointed(query.text, each.at, message))
            read = self._reader(column)
            held = [value for _, seen in found if (value := read(seen)) is not None]
            match each.function:
                case "COUNT":
                    row[each.alias] = len(held)
                case "COUNT_DISTINCT":
                    row[each.alias] = len(set(held))
                case function:
                    best = (min if function == "MIN" else max)(held, default=None)
                    row[each.alias] = values.rendered(column.field, {column.field.name: best})
        return row


def attributes(kind: str, record_id: str, version: str) -> Json:
    return {"type": kind, "url": f"/services/data/{version}/sobjects/{kind}/{record_id}"}


def _sort(
    found: list[tuple[Record, Values]], read: Reader, field: Field, *, descending: bool, nulls_last: bool
) -> None:
    fold = field.type in TEXT_TYPES
    empty = [pair for pair in found if read(pair[1]) is None]
    held = [pair for pair in found if read(pair[1]) is not None]
    held.sort(key=lambda pair: folded(read(pair[1])) if fold else read(pair[1]), reverse=descending)
    found[:] = [*held, *empty] if nulls_last else [*empty, *held]
