"""Every address that answers a GET with a page or a list, read from the URL configuration."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tests.harness.speed.seed import Seeded

_NARROWED: Final = {
    "/api/crm/contacts": ("search=first77", "email=person4242@", "phone=%2B31610000", "state=deleted", "limit=200"),
    "/api/crm/records": (
        "state=failing",
        "state=in_sync",
        "state=pending",
        "state=conflict",
        "state=excluded",
        "code=field.too_long_3",
        "limit=200",
    ),
    "/api/crm/changes": ("limit=200", "contactId={Contact}", "runId={CrmSyncLog}", "connectionId={CrmConnection}"),
    "/api/crm/conflicts": ("limit=200", "status=open", "kind=field"),
    "/api/crm/runs": ("limit=200",),
    "/api/crm/webhook-events": ("limit=200",),
    "/dashboard/settings/crm/contacts": ("q=first77", "q=person4242@example.com"),
    "/dashboard/settings/crm/records": ("code=field.too_long_3", "state=excluded", "code=fields"),
    "/dashboard/settings/crm/conflicts": ("kind=field", "field=firstName"),
}
"""Besides the whole list: what people narrow it by."""
_ELSEWHERE: Final = ("login", "logout", "connect/callback", "connect/confirm", "cron/", "/api/schema", "/api/docs")
"""What is no list of an organization, or leaves this machine."""


@dataclass(frozen=True)
class Page:
    kind: str
    """api, dashboard, admin, or file."""
    address: str


def pages(seeded: Seeded) -> Iterator[Page]:
    yield from _api(seeded)
    yield from _dashboard(seeded)
    yield from _admin(seeded)


def _narrowed(kind: str, address: str, rows: Mapping[str, uuid.UUID]) -> Iterator[Page]:
    kind = "file" if address.endswith((".csv", "/export", ".json")) else kind
    yield Page(kind, address)
    bare, _mark, said = address.partition("?")
    for query in _NARROWED.get(bare, ()):
        whole = "&".join(filter(None, (said, query.format(**rows))))
        yield Page(kind, f"{bare}?{whole}")


def _api(seeded: Seeded) -> Iterator[Page]:
    from tests.adsapp_crm.api_matrix import MODEL_OF, VALUES, routes

    for route in routes():
        if route.method != "GET" or any(each in route.path for each in _ELSEWHERE):
            continue
        path = route.path.format(
            **{name: 1 if name == "version" else seeded.rows[MODEL_OF[name]] for name in route.arguments}
        )
        wanted = {
            name: seeded.rows[MODEL_OF[name]] if name in MODEL_OF else VALUES[name]
            for name, field in (route.operation.query().fields if route.operation.query else {}).items()
            if field.required
        }
        query = "&".join(f"{name}={value}" for name, value in wanted.items())
        yield from _narrowed("api", f"{path}?{query}" if query else path, seeded.rows)


def _dashboard(seeded: Seeded) -> Iterator[Page]:
    from tests.adsapp_crm.page_matrix import MODELS, SAID, dashboard_pages

    for _name, path, arguments in dashboard_pages():
        if not any(each in path for each in _ELSEWHERE):
            rows = {each: seeded.rows[MODELS[each]] for each in arguments if each in MODELS}
            yield from _narrowed("dashboard", path.format(**SAID, **rows), seeded.rows)


def _admin(seeded: Seeded) -> Iterator[Page]:
    from django.contrib import admin
    from django.urls import reverse

    yield Page("admin", reverse("admin:index"))
    for model in admin.site._registry:
        if model._meta.app_label != "adsapp_crm":
            continue
        name = f"admin:adsapp_crm_{model._meta.model_name}"
        yield Page("admin", reverse(f"{name}_changelist"))
        for query in ("q=first77",) if admin.site._registry[model].search_fields else ():
            yield Page("admin", f"{reverse(f'{name}_changelist')}?{query}")
        if model.__name__ in seeded.rows:
            yield Page("admin", reverse(f"{name}_change", args=[seeded.rows[model.__name__]]))
