"""Every route and method there is, read from the URL configuration, with what it takes filled in.

A new route is in the matrix by existing: its path arguments, query keys and body keys are filled by their names.
A name that nobody knows how to fill fails the tests.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import get_resolver
from django.urls.resolvers import URLPattern, URLResolver
from rest_framework import serializers

from adsapp_crm.api.access import OrganizationView
from adsapp_crm.api.operations import Operation
from adsapp_crm.api.schema import operations_of

NOWHERE = uuid.UUID("00000000-0000-7000-8000-000000000000")

MODEL_OF = {
    "contact_id": "Contact",
    "connection_id": "CrmConnection",
    "run_id": "CrmSyncLog",
    "plan_id": "CrmPlan",
    "conflict_id": "CrmConflict",
    "record_id": "CrmSyncState",
    "change_id": "CrmLedgerEntry",
    "member_id": "Membership",
    "key_id": "ApiKey",
    "access_id": "StaffAccess",
    "event_id": "CrmWebhookEvent",
    "audit_id": "CrmAudit",
    "outgoing_id": "CrmOutgoingWebhook",
    # In queries and bodies.
    "contactId": "Contact",
    "contactIds": "Contact",
    "otherId": "Contact",
    "connectionId": "CrmConnection",
    "runId": "CrmSyncLog",
    "run": "CrmSyncLog",
    "conflictIds": "CrmConflict",
    "recordIds": "CrmSyncState",
}

VALUES = {
    "crmType": "hubspot",
    "crm_type": "hubspot",
    "config": {"apiToken": "no token at all"},
    "syncType": "full",
    "side": "app",
    "recordId": "1",
    "mappings": [{"recordType": "contacts", "adsappField": "firstName", "crmField": "firstname"}],
    "mapping": {"recordType": "contacts", "adsappField": "firstName", "crmField": "firstname"},
    "email": "new@example.com",
    "role": "viewer",
    "name": "A key",
    "scopes": ["read"],
    "since": "2020-01-01T00:00:00Z",
    "firstName": "Changed",
    "mode": "observe",
    "minutes": 5,
    "reason": "ticket 1",
    "url": "https://198.51.100.7/hook",
    "kinds": ["run.finished"],
    "emailNotices": True,
}
OPTIONAL = {"contactId", "contactIds", "firstName", "mode", "side", "recordIds", "connectionId", "syncType", "config"}
"""Of keys that are not required, those that are sent all the same; ids always are."""


@dataclass(frozen=True)
class Route:
    name: str
    path: str
    """With ``{argument}``s."""
    arguments: tuple[str, ...]
    view: type[OrganizationView]
    method: str
    operation: Operation

    @property
    def label(self) -> str:
        return f"{self.method} {self.path}"

    def ids_named(self) -> set[str]:
        """Keys of path, query and body that name a row."""
        found = set(self.arguments) - {"version"}
        for kind in (self.operation.query, self.operation.body):
            found |= {name for name, field in _fields(kind).items() if _is_id(field)}
        return found

    def send(
        self, client: Any, rows: Mapping[str, Any], *, more: Mapping[str, str] | None = None, **headers: str
    ) -> Any:
        """The request with the ids of ``rows`` (by model name) wherever it names one, and ``more`` in its body."""
        path = self.path
        for argument in self.arguments:
            path = path.replace(f"{{{argument}}}", "1" if argument == "version" else str(_id(argument, rows)))
        query = {name: _value(name, field, rows) for name, field in _wanted(self.operation.query, rows)}
        body = {name: _value(name, field, rows) for name, field in _wanted(self.operation.body, rows)}
        said = "&".join(f"{name}={value}" for name, value in query.items())
        data = json.dumps(body | dict(more or {})) if self.method not in {"GET", "DELETE"} else ""
        return client.generic(
            self.method,
            f"{path}?{said}",
            data,
            content_type="application/json",
            headers={"Prefer": "respond-async", **headers},
        )


def routes() -> list[Route]:
    """Every method of every view of an organization's data below ``/api/``."""
    found = []
    for pattern, prefix in patterns(get_resolver(), "/"):
        view = getattr(pattern.callback, "cls", None)
        if view is None or not issubclass(view, OrganizationView):
            continue
        path, arguments = prefix, tuple(pattern.pattern.converters)
        for argument, converter in pattern.pattern.converters.items():
            kind = type(converter).__name__.removesuffix("Converter").lower().replace("string", "str")
            path = path.replace(f"<{kind}:{argument}>", f"{{{argument}}}")
        assert "<" not in path, path
        for method, operation in operations_of(view).items():
            found.append(Route(pattern.name or "", path, arguments, view, method, operation))
    return found


def handlers_without_operation() -> list[str]:
    """Methods that a view answers and nobody described; the description itself has none."""
    missing = []
    for pattern, prefix in patterns(get_resolver(), "/"):
        view = getattr(pattern.callback, "cls", None)
        described = getattr(view, "schema", None) is not None
        if prefix.startswith("/api/") and described and view.__module__.startswith("adsapp_crm.api"):
            told = set(operations_of(view))
            verbs = {verb for verb in ("get", "post", "put", "patch", "delete") if hasattr(view, verb)}
            missing += [f"{verb} {prefix}" for verb in verbs if verb.upper() not in told]
    return missing


def patterns(resolver: Any, prefix: str) -> Iterator[tuple[URLPattern, str]]:
    for each in resolver.url_patterns:
        text = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from patterns(each, text)
        else:
            yield each, text


def _fields(kind: Any) -> dict[str, Any]:
    return dict(kind().fields) if kind is not None else {}


def _is_id(field: Any) -> bool:
    return isinstance(getattr(field, "child", field), serializers.UUIDField)


def _wanted(kind: Any, rows: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [
        (name, field) for name, field in _fields(kind).items() if field.required or name in OPTIONAL or _is_id(field)
    ]


def _value(name: str, field: Any, rows: Mapping[str, Any]) -> Any:
    if _is_id(field):
        found = str(_id(name, rows))
        return [found] if hasattr(field, "child") else found
    return VALUES[name]


def _id(name: str, rows: Mapping[str, Any]) -> uuid.UUID:
    return rows[MODEL_OF[name]]
