"""The back door of the fake under ``/_fake/``: what people do in HubSpot's own pages, and the switches.

JSON in and out. Writes here act as a person (``CRM_UI``, ``userId:1``) and show as such in the history.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from crm.providers.hubspot.fake import answers, automation, webhooks, writes
from crm.providers.hubspot.fake.answers import Json
from crm.providers.hubspot.fake.batch import string_list
from crm.providers.hubspot.fake.caller import Grant
from crm.providers.hubspot.fake.object_types import CONTACTS, ObjectType, object_type
from crm.providers.hubspot.fake.objects_api import flag, object_body, property_map
from crm.providers.hubspot.fake.state import ADDITIONAL_EMAILS, EMAIL, Actor, Record
from crm.providers.hubspot.fake.writes import object_json
from crm.testing.clock import parse_iso_ms
from crm.testing.switches import CommonSwitches
from crm.testing.wsgi import Request, Response, Router, json_response, no_content

if TYPE_CHECKING:
    from crm.providers.hubspot.fake.app import HubSpotFake

Act = Callable[[Request], Response]


def person(user_id: int = 1) -> Actor:
    return Actor("CRM_UI", f"userId:{user_id}", "", user_id)


class AdminApi:
    def __init__(self, fake: HubSpotFake) -> None:
        self._fake = fake
        self._state = fake.state

    def mount(self, router: Router) -> None:
        routes: list[tuple[str, str, Act]] = [
            ("GET", "records", self.list_records),
            ("POST", "records", self.create_record),
            ("GET", "records/{id}", self.read_record),
            ("PATCH", "records/{id}", self.update_record),
            ("DELETE", "records/{id}", self.archive_record),
            ("POST", "bulk", self.create_many),
            ("POST", "merge", self.merge),
            ("POST", "restore", self.restore),
            ("GET", "webhooks", self.read_webhooks),
            ("POST", "webhooks", self.set_webhooks),
            ("POST", "webhooks/deliver", self.deliver_webhooks),
            ("GET", "settings", self.read_settings),
            ("POST", "settings", self.set_settings),
            ("POST", "owners", self.add_owner),
            ("POST", "tokens", self.add_token),
            ("DELETE", "tokens/{token}", self.remove_token),
            ("POST", "codes", self.issue_code),
        ]
        CommonSwitches(self._fake, answers.invalid_input).mount(router)
        for method, path, act in routes:
            router.add(method, f"/_fake/{path}", act)

    # Records ------------------------------------------------------------------------------------------

    def list_records(self, request: Request) -> Response:
        """All properties; ``objectType``, ``archived=true``, ``q`` (part of any value), ``after`` and ``limit``."""
        kind = self._kind(request.first("objectType"))
        query, limit = request.first("q").lower(), int(request.first("limit") or 100_000)
        after = int(request.first("after") or 0)
        found = []
        for record in self._state.table(kind).from_id(after + 1, archived=flag(request, "archived")):
            if query and not any(query in value.lower() for value in record.properties.values()):
                continue
            found.append(object_json(record, list(record.properties)))
            if len(found) == limit:
                break
        return json_response({"results": found})

    def read_record(self, request: Request) -> Response:
        record = self.record(request)
        return json_response(object_json(record, list(record.properties), list(record.history)))

    def create_record(self, request: Request) -> Response:
        body = object_body(request)
        record = self._create(self._kind(body.get("objectType")), body, self._actor(body))
        return json_response(object_json(record, list(record.properties)), 201)

    def update_record(self, request: Request) -> Response:
        """``properties``, ``additionalEmails`` (the whole list), ``optedOut``; ``at`` gives the change another time."""
        record, body = self.record(request), object_body(request)
        self.change(record, property_map(body), self._actor(body), _at(body))
        if "additionalEmails" in body:
            self._set_secondary(record, string_list(body, "additionalEmails"), self._actor(body), _at(body))
        if "optedOut" in body:
            self._set_opt_out(record, bool(body["optedOut"]), self._actor(body))
        return json_response(object_json(record, list(record.properties)))

    def change(self, record: Record, raw: dict[str, Any], actor: Actor, at_ms: int | None = None) -> None:
        prepared, problems = writes.prepare(self._state, record.kind, raw, record)
        if problems:
            raise answers.invalid_properties(problems)
        writes.refuse_taken(self._state, prepared)
        if raw:
            writes.update(self._state, prepared, actor, at_ms=at_ms)

    def archive_record(self, request: Request) -> Response:
        record = self.record(request)
        if record.archived_ms is None:
            writes.archive(self._state, record, person())
        return no_content()

    def create_many(self, request: Request) -> Response:
        """Thousands at once, all or none: ``records`` are property maps or bodies of ``POST records``."""
        body = object_body(request)
        kind = self._kind(body.get("objectType"))
        actor = Actor(str(body.get("changeSource") or "IMPORT"), str(body.get("sourceId") or "1"), "Import")
        items = [item if "properties" in item else {"properties": item} for item in body.get("records") or []]
        taken: dict[tuple[str, str], int] = {}
        checked = []
        for number, item in enumerate(items):
            prepared, problems = writes.prepare(self._state, kind, property_map(item), None)
            if problems:
                raise answers.invalid(f"records[{number}]: {answers.invalid_properties(problems).body['message']}")
            writes.refuse_taken(self._state, prepared, taken=taken)
            for name in self._state.table(kind).unique:
                if value := prepared.values.get(name, "").lower():
                    taken[name, value] = number
            checked.append((prepared, item))
        ids = []
        for prepared, item in checked:
            record = writes.create(self._state, prepared, actor, at_ms=_at(item))
            self._extras(record, item, actor)
            ids.append(str(record.record_id))
        return json_response({"ids": ids}, 201)

    def merge(self, request: Request) -> Response:
        body = object_body(request)
        primary_id, other_id = str(body.get("primaryObjectId", "")), str(body.get("objectIdToMerge", ""))
        survivor = self._fake.merging.merge(self._kind(body.get("objectType")), primary_id, other_id, self._actor(body))
        return json_response(object_json(survivor, list(survivor.properties)))

    def restore(self, request: Request) -> Response:
        body = object_body(request)
        record = self._any_record(str(body.get("id", "")))
        if record.archived_ms is None:
            raise answers.invalid(f"Record {record.record_id} is not in the recycle bin")
        writes.restore(self._state, record, self._actor(body))
        return json_response(object_json(record, list(record.properties)))

    def record(self, request: Request) -> Record:
        return self._any_record(request.params["id"])

    def _any_record(self, key: str) -> Record:
        record_id = answers.whole_number(key)
        if record_id is not None:
            for table in self._state.tables.values():
                record = table.records.get(record_id)
                if record is not None:
                    return record
        raise answers.not_found()

    def _create(self, kind: ObjectType, body: Json, actor: Actor) -> Record:
        prepared, problems = writes.prepare(self._state, kind, property_map(body), None)
        if problems:
            raise answers.invalid_properties(problems)
        writes.refuse_taken(self._state, prepared)
        record = writes.create(self._state, prepared, actor, at_ms=_at(body))
        self._extras(record, body, actor)
        return record

    def _extras(self, record: Record, body: Json, actor: Actor) -> None:
        if body.get("additionalEmails"):
            self._set_secondary(record, string_list(body, "additionalEmails"), actor, _at(body))
        if body.get("optedOut"):
            self._set_opt_out(record, True, actor)

    def _set_secondary(self, record: Record, emails: list[str], actor: Actor, at_ms: int | None) -> None:
        cleaned = list(dict.fromkeys(email.strip().lower() for email in emails if email.strip()))
        for email in cleaned:
            holder = self._state.holder(CONTACTS, EMAIL, email)
            if holder not in (None, record.record_id):
                raise answers.conflict(record.kind.label, holder)
        at_ms = at_ms or self._state.clock.now_ms()
        changed = self._state.put_values(record, {ADDITIONAL_EMAILS: ";".join(cleaned)}, actor, at_ms)
        if changed:
            self._state.stamp(record, at_ms)
        self._state.note("update", record, actor, at_ms, changed)

    def _set_opt_out(self, record: Record, opted_out: bool, actor: Actor) -> None:
        email = record.properties.get(EMAIL)
        if not email:
            raise answers.invalid("A contact without email cannot opt out of email")
        self._fake.account.set_opt_out(email, opted_out=opted_out, actor=actor)

    def _kind(self, token: object) -> ObjectType:
        return object_type(str(token or "contacts"))

    def _actor(self, body: Json) -> Actor:
        return person(int(body.get("userId") or 1))

    # Switches --------------------------------------------------------------------------------------------

    def read_webhooks(self, _request: Request) -> Response:
        sender = self._fake.webhooks
        return json_response(
            {
                "targetUrl": sender.settings.target_url,
                "subscriptions": sender.settings.subscriptions,
                "waiting": sender.waiting,
                "delivered": sender.delivered,
                "dropped": sender.dropped,
                "failed": sender.failed,
            }
        )

    def set_webhooks(self, request: Request) -> Response:
        """Replace the settings. The thread that sends starts with the first target, unless ``paused``."""
        settings = webhooks.parse_settings(request.json())
        self._fake.webhooks.configure(settings)
        if settings.target_url and not settings.paused:
            self._fake.webhooks.start()
        return self.read_webhooks(request)

    def deliver_webhooks(self, _request: Request) -> Response:
        """One round in this call, for a sender that is paused: ``{"accepted": n}``."""
        sender = self._fake.webhooks
        return json_response({"accepted": sender.deliver_due(even_paused=True), "waiting": sender.waiting})

    def read_settings(self, _request: Request) -> Response:
        fake = self._fake
        return json_response(
            {
                "searchLagSeconds": self._state.search_lag_seconds,
                "limits": fake.limits.mode,
                "mergeKeepsPrimaryId": fake.merging.keeps_primary_id,
                "automation": fake.automation,
                "tokenSeconds": fake.oauth.app.expires_in_seconds,
            }
        )

    def set_settings(self, request: Request) -> Response:
        body, fake = object_body(request), self._fake
        unknown = sorted(
            set(body) - {"searchLagSeconds", "limits", "mergeKeepsPrimaryId", "automation", "tokenSeconds"}
        )
        if unknown:
            raise answers.invalid_input(f"unknown setting {unknown[0]!r}")
        if "limits" in body and body["limits"] not in ("real", "count", "none"):
            raise answers.invalid_input("limits must be real, count or none")
        if "automation" in body:
            fake.automation = automation.check_rules(body["automation"])
        self._state.search_lag_seconds = float(body.get("searchLagSeconds", self._state.search_lag_seconds))
        fake.limits.mode = body.get("limits", fake.limits.mode)
        fake.merging.keeps_primary_id = bool(body.get("mergeKeepsPrimaryId", fake.merging.keeps_primary_id))
        fake.oauth.app.expires_in_seconds = int(body.get("tokenSeconds", fake.oauth.app.expires_in_seconds))
        return self.read_settings(request)

    def add_owner(self, request: Request) -> Response:
        body = object_body(request)
        if "@" not in str(body.get("email", "")):
            raise answers.invalid_input("an owner needs an email")
        return json_response(self._fake.add_owner(**{name: str(value) for name, value in body.items()}), 201)

    def add_token(self, request: Request) -> Response:
        """``token``?, ``scopes`` (absent: all), ``expiresIn`` seconds (absent: never), ``isPrivateApp``."""
        body = object_body(request)
        token = str(body.get("token") or f"pat-na1-{self._fake.next_token()}")
        scopes = frozenset(string_list(body, "scopes")) if "scopes" in body else None
        expires_ms = None
        if "expiresIn" in body:
            expires_ms = self._fake.clock.now_ms() + round(float(body["expiresIn"]) * 1000)
        app_id = int(body.get("appId") or self._fake.app_id)
        is_private_app = bool(body.get("isPrivateApp", expires_ms is None))
        self._fake.grants[token] = Grant(token, app_id, is_private_app, scopes, expires_ms)
        self._state.dirty_tables.add("tokens")
        return json_response({"token": token}, 201)

    def remove_token(self, request: Request) -> Response:
        self._fake.grants.pop(request.params["token"], None)
        self._state.dirty_tables.add("tokens")
        return no_content()

    def issue_code(self, request: Request) -> Response:
        body = object_body(request)
        scopes = frozenset(string_list(body, "scopes"))
        return json_response({"code": self._fake.oauth.issue_code(str(body.get("redirectUri", "")), scopes)}, 201)


def _at(body: Json) -> int | None:
    return _instant(body["at"], "at") if body.get("at") else None


def _instant(raw: object, name: str) -> int:
    stamp_ms = raw if isinstance(raw, int) else parse_iso_ms(str(raw))
    if stamp_ms is None:
        raise answers.invalid_input(f"{name}: give milliseconds or ISO 8601")
    return stamp_ms
