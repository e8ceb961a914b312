"""A fake CRM as the demo's people use it: over HTTP, by its page for people and its counters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import requests

SEGMENTS = ("prospect", "customer", "retired")
RETIRED = "retired"


def _options(names: Sequence[str]) -> list[dict[str, Any]]:
    return [{"label": name.title(), "value": name, "displayOrder": place} for place, name in enumerate(names)]


class HubSpotAccount:
    """The HubSpot fake's records, edited by hand, and what it counted."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._token = token
        self._session = requests.Session()

    def import_records(self, records: Sequence[Mapping[str, str]]) -> list[str]:
        """Make many at once, as an import does; returns their ids in order."""
        return list(self._do("POST", "/_fake/bulk", {"records": list(records)})["ids"])

    def edit(self, remote_id: str, **properties: str) -> None:
        self._do("PATCH", f"/_fake/records/{remote_id}", {"properties": properties})

    def opt_out(self, remote_id: str) -> None:
        self._do("PATCH", f"/_fake/records/{remote_id}", {"optedOut": True})

    def delete(self, remote_id: str) -> None:
        self._do("DELETE", f"/_fake/records/{remote_id}")

    def merge(self, primary_id: str, other_id: str) -> str:
        body = {"primaryObjectId": primary_id, "objectIdToMerge": other_id}
        return str(self._do("POST", "/_fake/merge", body)["id"])

    def values(self, remote_id: str) -> dict[str, str]:
        return dict(self._do("GET", f"/_fake/records/{remote_id}")["properties"])

    def let_pass(self, seconds: float) -> None:
        self._do("POST", "/_fake/clock", {"advanceSeconds": seconds})

    def counters(self) -> dict[str, Any]:
        return dict(self._do("GET", "/_fake/stats"))

    def make_segment(self) -> None:
        """A picklist of the account's own."""
        self._make_property("segment", "Segment", type="enumeration", fieldType="select", options=_options(SEGMENTS))

    def retire_segment(self) -> None:
        """From now on HubSpot refuses a value that it still listed when its fields were described."""
        left = [name for name in SEGMENTS if name != RETIRED]
        self._do("PATCH", "/crm/v3/properties/contacts/segment", {"options": _options(left)})

    def make_tier(self) -> None:
        self._make_property("tier", "Tier")

    def _make_property(self, name: str, label: str, **definition: Any) -> None:
        """As an administrator of the account does it, by HubSpot's own API."""
        body = {
            "name": name,
            "label": label,
            "groupName": "contactinformation",
            "type": "string",
            "fieldType": "text",
            **definition,
        }
        self._do("POST", "/crm/v3/properties/contacts", body)

    def _do(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        headers = {} if path.startswith("/_fake") else {"Authorization": f"Bearer {self._token}"}
        answer = self._session.request(method, self.url + path, json=body, headers=headers, timeout=60)
        if not answer.ok:
            message = f"{method} {path} at the fake answered {answer.status_code}: {answer.text[:300]}"
            raise RuntimeError(message)
        return dict(answer.json()) if answer.content else {}
