"""The CRM as the torture uses it: its people, its journal and its fault switches, past the proxy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import requests


class HubSpot:
    """The fake's account. Every method raises requests.RequestException when the fake does not take it."""

    names: Mapping[str, str] = {
        "firstName": "firstname",
        "lastName": "lastname",
        "email": "email",
        "company": "company",
        "jobTitle": "jobtitle",
        "city": "city",
    }
    writes = "/crm/v3/objects/contacts/batch/*"
    """Paths of what the connector writes contacts by."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token
        self._session = requests.Session()

    def add(self, people: Sequence[Mapping[str, str]]) -> list[str]:
        """People in ADSapp's field names; their ids in order."""
        records = [{self.names[name]: value for name, value in person.items()} for person in people]
        ids: list[str] = self._do("POST", "bulk", {"records": records})["ids"]
        return ids

    def edit(self, remote_id: str, app_field: str, value: str) -> None:
        self._do("PATCH", f"records/{remote_id}", {"properties": {self.names[app_field]: value}})

    def delete(self, remote_id: str) -> None:
        self._do("DELETE", f"records/{remote_id}")

    def records(self) -> list[dict[str, str]]:
        """Live records: ``id`` and the values by ADSapp's field names, blank where there is none."""
        found = self._do("GET", "records")["results"]
        return [
            {"id": each["id"], **{name: each["properties"].get(theirs) or "" for name, theirs in self.names.items()}}
            for each in found
        ]

    def created_by_us(self) -> list[str]:
        """E-mail addresses of the records that the connector created, as often as it did."""
        journal = self._do("GET", "journal")["results"]
        ours = (each for each in journal if each["op"] == "create" and each["actor"]["source"] == "INTEGRATION")
        return [each["changes"].get("email", ["", ""])[1] for each in ours]

    def write_count(self) -> int:
        """Writes by the connector so far, also those that changed nothing."""
        return int(self._do("GET", "stats")["writes"])

    def requests_by_kind(self) -> dict[str, int]:
        return dict(self._do("GET", "stats")["requests"])

    def faults_given(self) -> dict[str, int]:
        return dict(self._do("GET", "stats")["faults"])

    def go_wrong(self, *faults: Mapping[str, Any]) -> None:
        """Set fault switches (``crm.testing.faults``)."""
        self._do("POST", "faults", list(faults))

    def go_right(self) -> None:
        self._do("DELETE", "faults")

    def _do(self, method: str, path: str, body: object = None) -> Any:
        answer = self._session.request(method, f"{self.url}/_fake/{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json() if answer.content else None
