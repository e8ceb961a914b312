"""Pages to look at and edit the org's records by hand, as a person in Salesforce would."""

from __future__ import annotations

from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from crm.providers.salesforce.fake.admin import AdminApi
from crm.providers.salesforce.fake.answers import AnswerError, RowError
from crm.providers.salesforce.fake.fields import Field, ObjectType
from crm.providers.salesforce.fake.stamps import date_time
from crm.providers.salesforce.fake.state import Record
from crm.testing.wsgi import Request, Response, Router, html_page, redirect

if TYPE_CHECKING:
    from crm.providers.salesforce.fake.app import SalesforceFake

PAGE_SIZE: Final = 50
_COLUMNS: Final = {
    "Contact": ("FirstName", "LastName", "Email", "Phone", "AccountId"),
    "Lead": ("FirstName", "LastName", "Company", "Email", "Status"),
    "Account": ("Name", "Phone", "Website"),
    "Opportunity": ("Name", "StageName", "CloseDate", "Amount"),
    "Task": ("Subject", "Status", "WhoId", "ActivityDate"),
}
_SHOWN: Final = ("Contact", "Lead", "Account", "Opportunity", "Task", "Note", "ContentNote", "User")


class AdminPages:
    def __init__(self, fake: SalesforceFake, api: AdminApi) -> None:
        self._fake = fake
        self._state = fake.state
        self._api = api

    def mount(self, router: Router) -> None:
        router.add("GET", "/_fake", self.home)
        router.add("GET", "/_fake/pages/{object}", self.list_page)
        router.add("POST", "/_fake/pages/{object}", self.create)
        router.add("GET", "/_fake/pages/{object}/{id}", self.record_page)
        router.add("POST", "/_fake/pages/{object}/{id}", self.act)

    def home(self, _request: Request) -> Response:
        return redirect("/_fake/pages/Contact")

    def list_page(self, request: Request) -> Response:
        return self._list(request, self._api.kind(request.params["object"]))

    def create(self, request: Request) -> Response:
        kind = self._api.kind(request.params["object"])
        raw = {name: value for name, value in request.form().items() if value}
        try:
            record = self._fake.writer.create(kind, raw, self._api.options({}))
        except (RowError, AnswerError) as error:
            return self._list(request, kind, _words(error), 400)
        return redirect(f"/_fake/pages/{kind.name}/{record.record_id}")

    def record_page(self, request: Request) -> Response:
        return self._record(self._api.record(request.params["id"]))

    def act(self, request: Request) -> Response:
        """Save the form's values, or delete, take back, merge or convert, by the button pressed."""
        record, form = self._api.record(request.params["id"]), request.form()
        options, shown = self._api.options({}), record
        try:
            match form.pop("do", "save"):
                case "delete":
                    self._fake.writer.delete(record, options)
                case "undelete":
                    self._fake.writer.undelete(record, options)
                case "merge":
                    loser = self._api.record(form.get("loserId", "").strip())
                    self._api.lifecycle.merge(record, [loser], {}, options)
                case "convert":
                    made = self._api.lifecycle.convert(record, options, wants_opportunity=False, asked={})
                    shown = self._api.record(made["ConvertedContactId"])
                case _:
                    self._fake.writer.update(record, self._api.typed(record, dict(form)), options)
        except (RowError, AnswerError) as error:
            return self._record(record, _words(error), 400)
        return redirect(f"/_fake/pages/{shown.kind}/{shown.record_id}")

    # Drawing -----------------------------------------------------------------------------------------------------

    def _list(self, request: Request, kind: ObjectType, problem: str = "", status: int = 200) -> Response:
        query, deleted = request.first("q").lower(), request.first("deleted") == "true"
        after = request.first("after")
        found = (
            record
            for record_id, record in sorted(self._state.table(kind.name).records.items())
            if record_id > after
            and record.is_deleted == deleted
            and (not query or any(query in str(value).lower() for value in record.values.values()))
        )
        records = list(islice(found, PAGE_SIZE))
        columns = _COLUMNS.get(kind.name, tuple(name for name in ("Name", "Title", "Email") if name in kind.fields))
        head = "".join(f"<th>{escape(name)}" for name in ("Id", *columns, "SystemModstamp"))
        rows = "".join(self._row(record, columns) for record in records)
        more = ""
        if len(records) == PAGE_SIZE:
            link = f"?q={quote(query)}&deleted={str(deleted).lower()}&after={records[-1].record_id}"
            more = f"<p><a href='{escape(link)}'>Next {PAGE_SIZE}</a>"
        fields = "".join(
            f"<input name={escape(name)} placeholder={escape(name)} aria-label={escape(name)}>" for name in columns
        )
        page = html_page(
            f"Salesforce fake: {kind.plural}",
            self._navigation(),
            _alert(problem),
            f"<form class=line><input name=q value='{escape(query)}' placeholder='part of any value' aria-label=Search>"
            "<select name=deleted aria-label=Which><option value=false>in use</option><option value=true"
            f"{' selected' if deleted else ''}>recycle bin</option></select><button>Search</button></form>",
            f"<table><thead><tr>{head}<tbody>{rows}</table>{more}",
            ""
            if kind.is_setup
            else f"<h2>New {escape(kind.label)}</h2>"
            f"<form class=line method=post>{fields}<button>Create</button></form>",
        )
        page.status = status
        return page

    def _row(self, record: Record, columns: tuple[str, ...]) -> str:
        link = f"/_fake/pages/{record.kind}/{record.record_id}"
        cells = "".join(f"<td dir=auto>{escape(str(record.values.get(name, '')))}" for name in columns)
        stamp = date_time(record.values["SystemModstamp"])
        return f"<tr><td><a href='{link}'>{record.record_id}</a>{cells}<td class=quiet>{stamp}"

    def _record(self, record: Record, problem: str = "", status: int = 200) -> Response:
        kind = self._api.kind(record.kind)
        open_fields = [field for field in kind.fields.values() if field.updateable and not field.derived]
        shown = self._api.shown(record)
        inputs = "".join(_input(field, shown.get(field.name)) for field in open_fields)
        computed = "".join(
            f"<tr><th>{escape(field.name)}<td>{escape(str(shown.get(field.name)))}"
            for field in kind.fields.values()
            if field not in open_fields
        )
        history = "".join(
            f"<tr><td class=quiet>{escape(entry['at'])}<td>{escape(entry['op'])}"
            f"<td dir=auto>{escape(_told(entry['changes']))}"
            f"<td>{escape(entry['actor']['source'])} {escape(entry['actor']['userId'])}"
            for entry in reversed(self._state.journal)
            if entry["id"] == record.record_id
        )
        gone = record.is_deleted
        verb, label = ("undelete", "Take back") if gone else ("delete", "Delete")
        tools = f"<button name=do value={verb}>{label}</button>"
        if kind.name == "Lead" and not record.values.get("IsConverted"):
            tools += "<button name=do value=convert>Convert</button>"
        merging = ""
        if kind.mergeable:
            merging = (
                "<form class=line method=post><input name=loserId aria-label='Id of the record to merge into this one' "
                "placeholder='id of the record to merge into this one'>"
                "<button name=do value=merge>Merge</button></form>"
            )
        page = html_page(
            f"{kind.label} {record.record_id}{' (in the recycle bin)' if gone else ''}",
            self._navigation(),
            _alert(problem),
            f"<form method=post><table>{inputs}</table><p><button name=do value=save>Save</button></form>"
            if open_fields
            else "",
            "" if kind.is_setup else f"<form class=line method=post>{tools}</form>{merging}",
            f"<h2>Computed</h2><table>{computed}</table>",
            f"<h2>History</h2><table><thead><tr><th>when<th>what<th>changes<th>by<tbody>{history}</table>",
        )
        page.status = status
        return page

    def _navigation(self) -> str:
        links = " · ".join(f"<a href='/_fake/pages/{name}'>{name}</a>" for name in _SHOWN)
        names = ("stats", "journal", "faults", "settings", "fields", "locks", "clock", "outbound", "org")
        tools = " · ".join(f"<a href='/_fake/{name}'>{name}</a>" for name in names)
        return f"<nav>{links}<br><span class=quiet>JSON: {tools}</span></nav>"


def _input(field: Field, value: object) -> str:
    name = escape(field.name)
    shown = "" if value is None else escape(str(value).lower() if isinstance(value, bool) else str(value))
    return (
        f"<tr><th><label for='{name}'>{escape(field.shown_label())}</label><div class=quiet>{name}</div>"
        f"<td><textarea rows=1 dir=auto id='{name}' name='{name}'>{shown}</textarea>"
    )


def _told(changes: dict[str, list[object]]) -> str:
    return ", ".join(f"{name}: {before} → {after}" for name, (before, after) in changes.items())


def _alert(problem: str) -> str:
    return f"<p role=alert><strong>{escape(problem)}</strong>" if problem else ""


def _words(error: RowError | AnswerError) -> str:
    if isinstance(error, RowError):
        return "; ".join(f"{code}: {message}" for code, message, _ in error.problems)
    return str(error)
