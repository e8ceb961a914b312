"""Pages to look at and edit the account's records by hand, as a person in Pipedrive would."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from crm.providers.pipedrive.fake import writes
from crm.providers.pipedrive.fake.admin import AdminApi, kind_of
from crm.providers.pipedrive.fake.answers import AnswerError, Json
from crm.providers.pipedrive.fake.entities import ENTITIES, NOTE, Entity
from crm.providers.pipedrive.fake.stamps import v2_stamp
from crm.providers.pipedrive.fake.state import Record
from crm.testing.wsgi import Request, Response, Router, html_page, redirect

if TYPE_CHECKING:
    from crm.providers.pipedrive.fake.app import PipedriveFake

PAGE_SIZE: Final = 50
_COLUMNS: Final = {
    "persons": ("name", "emails", "phones", "org_id"),
    "organizations": ("name", "address"),
    "deals": ("title", "value", "status", "person_id"),
    "activities": ("subject", "type", "due_date", "person_id"),
    "notes": ("content", "person_id"),
}
_NOTE_FIELDS: Final = ("content", "person_id", "org_id", "deal_id")


class AdminPages:
    def __init__(self, fake: PipedriveFake, api: AdminApi) -> None:
        self._fake = fake
        self._state = fake.state
        self._api = api

    def mount(self, router: Router) -> None:
        router.add("GET", "/_fake", lambda _request: redirect("/_fake/pages/persons"))
        router.add("GET", "/_fake/pages/{objectType}", self.list_page)
        router.add("POST", "/_fake/pages/{objectType}", self.create)
        router.add("GET", "/_fake/pages/{objectType}/{id}", self.record_page)
        router.add("POST", "/_fake/pages/{objectType}/{id}", self.act)

    def list_page(self, request: Request) -> Response:
        return self._list(request, kind_of(request.params["objectType"]))

    def create(self, request: Request) -> Response:
        entity = kind_of(request.params["objectType"])
        given = {name: _parsed(name, text) for name, text in request.form().items() if text.strip()}
        try:
            prepared = self._api.prepare(entity, {"properties": given}, None)
        except AnswerError as error:
            return self._list(request, entity, error.message, error.status)
        record = writes.create(self._state, prepared, self._api.actor({}))
        return redirect(f"/_fake/pages/{entity.plural}/{record.record_id}")

    def record_page(self, request: Request) -> Response:
        return self._record(self._found(request))

    def act(self, request: Request) -> Response:
        """Save the form's values, or delete, restore or merge, by the button pressed."""
        record, form = self._found(request), request.form()
        entity, actor, shown_id = record.entity, self._api.actor({}), record.record_id
        try:
            match form.pop("do", "save"):
                case "delete":
                    if not record.is_deleted:
                        self._state.delete(record, actor)
                case "restore":
                    if record.is_deleted:
                        self._state.restore(record, actor)
                case "merge":
                    kept = self._fake.merging.merge(entity, shown_id, form.get("keptId", "").strip(), actor)
                    shown_id = kept.record_id
                case _:
                    self._api.change(record, self._changed(record, form), actor)
        except AnswerError as error:
            return self._record(record, error.message, error.status)
        return redirect(f"/_fake/pages/{entity.plural}/{shown_id}")

    def _found(self, request: Request) -> Record:
        return self._api.found(kind_of(request.params["objectType"]), request.params["id"])

    def _changed(self, record: Record, form: dict[str, str]) -> Json:
        """The fields whose text is not the one that was shown."""
        given: Json = {}
        for name, sent in form.items():
            text = sent.replace("\r\n", "\n")
            if name.startswith("custom."):
                code = name.removeprefix("custom.")
                if text != _text(record.custom.get(code)):
                    given.setdefault("custom_fields", {})[code] = _parsed(name, text)
            elif text != _text(record.values.get(name)):
                given[name] = _parsed(name, text)
        if "first_name" in given or "last_name" in given:
            for part in ("first_name", "last_name"):
                given.setdefault(part, form.get(part, ""))
                given[part] = given[part] or ""
        return given

    # Drawing ---------------------------------------------------------------------------------------------

    def _list(self, request: Request, entity: Entity, problem: str = "", status: int = 200) -> Response:
        query, deleted = request.first("q"), request.first("deleted") == "true"
        after = int(request.first("after")) if request.first("after").isdigit() else 0
        records = self._api.records(entity, deleted=deleted, query=query, after=after)[:PAGE_SIZE]
        columns = _COLUMNS[entity.plural]
        head = "".join(f"<th>{escape(name)}" for name in ("id", *columns, "changed"))
        rows = "".join(self._row(record, columns) for record in records)
        more = ""
        if len(records) == PAGE_SIZE:
            link = f"?q={quote(query)}&deleted={str(deleted).lower()}&after={records[-1].record_id}"
            more = f"<p><a href='{escape(link)}'>Next {PAGE_SIZE}</a>"
        inputs = "".join(
            f"<input name={escape(name)} placeholder={escape(name)} aria-label={escape(name)}>" for name in columns
        )
        page = html_page(
            f"Pipedrive fake: {entity.plural}",
            self._navigation(),
            f"<p role=alert><strong>{escape(problem)}</strong>" if problem else "",
            f"<form class=line><input name=q value='{escape(query)}' placeholder='part of any value' aria-label=Search>"
            f"<select name=deleted aria-label=Which><option value=false>in use</option><option value=true"
            f"{' selected' if deleted else ''}>deleted</option></select><button>Search</button></form>",
            f"<table><thead><tr>{head}<tbody>{rows}</table>{more}",
            f"<h2>New {entity.key}</h2><form class=line method=post>{inputs}<button>Create</button></form>",
        )
        page.status = status
        return page

    def _row(self, record: Record, columns: tuple[str, ...]) -> str:
        link = f"/_fake/pages/{record.entity.plural}/{record.record_id}"
        cells = "".join(f"<td dir=auto>{escape(_summary(record.values.get(name)))}" for name in columns)
        changed = v2_stamp(record.added_s if record.updated_s is None else record.updated_s)
        return f"<tr><td><a href='{link}'>{record.record_id}</a>{cells}<td class=quiet>{changed}"

    def _record(self, record: Record, problem: str = "", status: int = 200) -> Response:
        entity = record.entity
        writable = dict.fromkeys(_NOTE_FIELDS) if entity is NOTE else dict.fromkeys(entity.writable)
        if self._fake.rules.contact_sync and entity.contact_sync:
            writable |= dict.fromkeys(entity.contact_sync)
        writable.pop("add_time", None)
        # The whole name follows from its parts.
        if "first_name" in writable:
            writable.pop("name", None)
        inputs = "".join(_input(name, name, record.values.get(name)) for name in writable)
        if entity.has_custom_fields:
            for code, definition in self._state.fields.of(entity).custom().items():
                options = ", ".join(f"{option['id']} = {option['label']}" for option in definition.options or ())
                label = f"{definition.name} ({definition.kind}) {options}".strip()
                inputs += _input(f"custom.{code}", label, record.custom.get(code))
        history = "".join(
            f"<tr><td class=quiet>{v2_stamp(edit.at_s)}<td>{escape(edit.name)}<td dir=auto>{escape(_text(edit.before))}"
            f"<td dir=auto>{escape(_text(edit.after))}<td>{escape(edit.actor.source)} {edit.actor.user_id}"
            for edit in reversed(record.edits[-200:])
        )
        page = html_page(
            f"{entity.key} {record.record_id}{' (deleted)' if record.is_deleted else ''}",
            self._navigation(),
            f"<p role=alert><strong>{escape(problem)}</strong>" if problem else "",
            f"<form method=post><table>{inputs}</table><p><button name=do value=save>Save</button></form>",
            f"<form class=line method=post><button name=do value={'restore' if record.is_deleted else 'delete'}>"
            f"{'Restore' if record.is_deleted else 'Delete'}</button></form>",
            "<form class=line method=post><input name=keptId aria-label='Id of the record to merge this one into' "
            "placeholder='id of the record to merge this one into'><button name=do value=merge>Merge</button></form>",
            f"<h2>History</h2><table><thead><tr><th>when<th>field<th>before<th>after<th>by<tbody>{history}</table>",
        )
        page.status = status
        return page

    def _navigation(self) -> str:
        links = " · ".join(
            f"<a href='/_fake/pages/{entity.plural}'>{entity.plural}</a>" for entity in ENTITIES.values()
        )
        tools = ("stats", "journal", "faults", "webhooks", "clock", "settings")
        shown = " · ".join(f"<a href='/_fake/{name}'>{name}</a>" for name in tools)
        return f"<nav>{links}<br><span class=quiet>JSON: {shown}</span></nav>"


def _input(name: str, label: str, value: Any) -> str:
    return (
        f"<tr><th><label for='{escape(name)}'>{escape(label)}</label>"
        f"<td><textarea rows=1 dir=auto id='{escape(name)}' name='{escape(name)}'>{escape(_text(value))}</textarea>"
    )


def _text(value: Any) -> str:
    """A value as the form shows it: text as it is, everything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _parsed(name: str, text: str) -> Any:
    """What the form means: JSON where it is some, a bare address for a list of them, blank for null."""
    if name in ("emails", "phones", "im") and not text.lstrip().startswith("["):
        return [{"value": part.strip()} for part in text.split(",") if part.strip()]
    if not text.strip():
        return [] if name == "label_ids" else None if name not in ("name", "content", "title", "subject") else ""
    if name in ("name", "first_name", "last_name", "title", "content", "subject", "note"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _summary(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(each.get("value", each)) if isinstance(each, dict) else str(each) for each in value)
    if isinstance(value, dict):
        return str(value.get("value", ""))
    return "" if value is None else str(value)
