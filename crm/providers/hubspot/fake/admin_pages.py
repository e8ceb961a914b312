"""Pages to look at and edit the account's records by hand, as a person in HubSpot would."""

from __future__ import annotations

from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from crm.providers.hubspot.fake import answers, writes
from crm.providers.hubspot.fake.admin import AdminApi, person
from crm.providers.hubspot.fake.answers import AnswerError
from crm.providers.hubspot.fake.object_types import OBJECT_TYPES, ObjectType, object_type
from crm.providers.hubspot.fake.state import Record
from crm.testing.clock import iso_ms
from crm.testing.wsgi import Request, Response, Router, html_page, redirect

if TYPE_CHECKING:
    from crm.providers.hubspot.fake.app import HubSpotFake

PAGE_SIZE: Final = 50
_COLUMNS: Final = {
    "contacts": ("firstname", "lastname", "email", "phone", "company"),
    "companies": ("name", "domain", "phone"),
    "deals": ("dealname", "amount", "dealstage"),
}


class AdminPages:
    def __init__(self, fake: HubSpotFake, api: AdminApi) -> None:
        self._fake = fake
        self._state = fake.state
        self._api = api

    def mount(self, router: Router) -> None:
        router.add("GET", "/_fake", self.home)
        router.add("GET", "/_fake/pages/{objectType}", self.list_page)
        router.add("POST", "/_fake/pages/{objectType}", self.create)
        router.add("GET", "/_fake/pages/{objectType}/{id}", self.record_page)
        router.add("POST", "/_fake/pages/{objectType}/{id}", self.act)

    def home(self, _request: Request) -> Response:
        return redirect("/_fake/pages/contacts")

    def list_page(self, request: Request) -> Response:
        return self._list(request, object_type(request.params["objectType"]))

    def create(self, request: Request) -> Response:
        kind = object_type(request.params["objectType"])
        raw = {name: value for name, value in request.form().items() if value}
        try:
            prepared, problems = writes.prepare(self._state, kind, raw, None)
            if problems:
                raise answers.invalid_properties(problems)
            writes.refuse_taken(self._state, prepared)
        except AnswerError as error:
            return self._list(request, kind, str(error.body["message"]), error.status)
        record = writes.create(self._state, prepared, person())
        return redirect(f"/_fake/pages/{kind.plural}/{record.record_id}")

    def record_page(self, request: Request) -> Response:
        return self._record(self._api.record(request))

    def act(self, request: Request) -> Response:
        """Save the form's values, or archive, restore or merge, by the button pressed."""
        record, form = self._api.record(request), request.form()
        shown_id = record.record_id
        try:
            match form.pop("do", "save"):
                case "archive":
                    if record.archived_ms is None:
                        writes.archive(self._state, record, person())
                case "restore":
                    writes.restore(self._state, record, person())
                case "merge":
                    other_id = form.get("objectIdToMerge", "").strip()
                    survivor = self._fake.merging.merge(record.kind, str(shown_id), other_id, person())
                    shown_id = survivor.record_id
                case _:
                    values = {name: text.replace("\r\n", "\n") for name, text in form.items()}
                    self._api.change(record, values, person())
        except AnswerError as error:
            return self._record(record, str(error.body["message"]), error.status)
        return redirect(f"/_fake/pages/{record.kind.plural}/{shown_id}")

    # Drawing ---------------------------------------------------------------------------------------------

    def _list(self, request: Request, kind: ObjectType, problem: str = "", status: int = 200) -> Response:
        query, archived = request.first("q").lower(), request.first("archived") == "true"
        after = request.first("after")
        found = (
            record
            for record in self._state.table(kind).from_id(1 + (answers.whole_number(after) or 0), archived=archived)
            if not query or any(query in value.lower() for value in record.properties.values())
        )
        records = list(islice(found, PAGE_SIZE))
        columns = _COLUMNS.get(kind.plural, kind.default_properties)
        head = "".join(f"<th>{escape(name)}" for name in ("id", *columns, "modified"))
        rows = "".join(self._row(record, columns) for record in records)
        more = ""
        if len(records) == PAGE_SIZE:
            link = f"?q={quote(query)}&archived={str(archived).lower()}&after={records[-1].record_id}"
            more = f"<p><a href='{escape(link)}'>Next {PAGE_SIZE}</a>"
        fields = "".join(
            f"<input name={escape(name)} placeholder={escape(name)} aria-label={escape(name)}>" for name in columns
        )
        page = html_page(
            f"HubSpot fake: {kind.plural}",
            self._navigation(),
            f"<p role=alert><strong>{escape(problem)}</strong>" if problem else "",
            f"<form class=line><input name=q value='{escape(query)}' placeholder='part of any value' aria-label=Search>"
            f"<select name=archived aria-label=Which><option value=false>in use</option><option value=true"
            f"{' selected' if archived else ''}>recycle bin</option></select><button>Search</button></form>",
            f"<table><thead><tr>{head}<tbody>{rows}</table>{more}",
            f"<h2>New {escape(kind.singular)}</h2><form class=line method=post>{fields}<button>Create</button></form>",
        )
        page.status = status
        return page

    def _row(self, record: Record, columns: tuple[str, ...]) -> str:
        link = f"/_fake/pages/{record.kind.plural}/{record.record_id}"
        cells = "".join(f"<td dir=auto>{escape(record.properties.get(name, ''))}" for name in columns)
        return f"<tr><td><a href='{link}'>{record.record_id}</a>{cells}<td class=quiet>{iso_ms(record.updated_ms)}"

    def _record(self, record: Record, problem: str = "", status: int = 200) -> Response:
        definitions = [item for item in self._state.registry.of(record.kind).values() if not item.archived]
        inputs = "".join(
            f"<tr><th><label for='{escape(item.name)}'>{escape(item.label)}</label>"
            f"<div class=quiet>{escape(item.name)}</div>"
            f"<td><textarea rows=1 dir=auto id='{escape(item.name)}' name='{escape(item.name)}'>"
            f"{escape(record.properties.get(item.name, ''))}</textarea>"
            for item in definitions
            if not item.is_read_only
        )
        computed = "".join(
            f"<tr><th>{escape(name)}<td>{escape(value)}"
            for name, value in sorted(record.properties.items())
            if any(item.name == name and item.is_read_only for item in definitions)
        )
        versions = sorted(
            ((version, name) for name, versions in record.history.items() for version in versions),
            key=lambda pair: pair[0].at_ms,
            reverse=True,
        )[:200]
        history = "".join(
            f"<tr><td class=quiet>{iso_ms(version.at_ms)}<td>{escape(name)}<td dir=auto>{escape(version.value)}"
            f"<td>{escape(version.actor.source)} {escape(version.actor.source_id)}"
            for version, name in versions
        )
        gone = record.archived_ms is not None
        page = html_page(
            f"{record.kind.singular} {record.record_id}{' (in the recycle bin)' if gone else ''}",
            self._navigation(),
            f"<p role=alert><strong>{escape(problem)}</strong>" if problem else "",
            f"<form method=post><table>{inputs}</table><p><button name=do value=save>Save</button></form>",
            f"<form class=line method=post><button name=do value={'restore' if gone else 'archive'}>"
            f"{'Restore' if gone else 'Delete'}</button></form>",
            "<form class=line method=post><input name=objectIdToMerge aria-label='Record id to merge into this one' "
            "placeholder='id of the record to merge into this one'><button name=do value=merge>Merge</button></form>",
            f"<h2>Computed</h2><table>{computed}</table>",
            f"<h2>History</h2><table><thead><tr><th>when<th>property<th>value<th>by<tbody>{history}</table>",
        )
        page.status = status
        return page

    def _navigation(self) -> str:
        links = " · ".join(f"<a href='/_fake/pages/{kind.plural}'>{kind.plural}</a>" for kind in OBJECT_TYPES)
        tools = " · ".join(f"<a href='/_fake/{name}'>{name}</a>" for name in ("stats", "journal", "faults", "clock"))
        return f"<nav>{links}<br><span class=quiet>JSON: {tools}</span></nav>"
