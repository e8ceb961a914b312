"""Tokens a call costs, whatever its ``limit`` (OpenAPI documents, ``x-token-cost``)."""

from __future__ import annotations

from typing import Final

_OWN: Final = {
    "GET /v1/users/me": 2,
    "GET /v1/users/find": 40,
    "GET /v1/persons/{id}/changelog": 20,
    "PUT /v1/persons/{id}/merge": 40,
    "PUT /v1/organizations/{id}/merge": 40,
    "PUT /v1/deals/{id}/merge": 40,
    "GET /v1/webhooks": 10,
    "GET /v1/activityTypes": 20,
}
_V2: Final = {"one": 1, "list": 10, "POST": 5, "PATCH": 5, "PUT": 5, "DELETE": 3}


def is_search(template: str) -> bool:
    return template.endswith(("/search", "/users/find")) or "/itemSearch" in template


def cost_of(method: str, template: str) -> int:
    """``template`` as routed; v1 costs twice what v2 does."""
    version_2 = template.startswith("/api/v2/")
    path = template.removeprefix("/api") if not version_2 else template
    own = _OWN.get(f"{method} {path}")
    if own is not None:
        return own
    factor = 1 if version_2 else 2
    if is_search(template):
        return 20 * factor
    if method == "GET":
        return factor * _V2["one" if path.rstrip("/").endswith("}") else "list"]
    return factor * _V2[method]
