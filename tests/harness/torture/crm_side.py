"""The CRM as the torture uses it: its people, its journal and its fault switches, past the proxy."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import requests

_ADDRESS = re.compile(r"[a-z0-9]+@torture\.example")


class Crm:
    """A fake's account. Every method raises requests.RequestException when the fake does not take it."""

    key: ClassVar[str]
    token: ClassVar[str]
    names: ClassVar[Mapping[str, str]]
    """ADSapp's field -> theirs, of what people have."""
    writes: ClassVar[Sequence[tuple[str, str]]]
    """(method, path) of what the connector writes contacts by."""
    options: ClassVar[Sequence[str]] = ()
    """More words for the command that serves the fake."""
    us: ClassVar[str]
    """Source of the connector's own writes in the journal."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()

    @property
    def edited(self) -> list[str]:
        """Fields that people edit: texts that the CRM stores as they come."""
        return [name for name in ("jobTitle", "city", "company", "lastName") if name in self.names]

    def environment(self, proxied: str) -> dict[str, str]:
        """What leads the product to this account."""
        return {f"CRM_{self.key.upper()}_API_BASE": proxied, f"CRM_{self.key.upper()}_AUTH_BASE": proxied}

    def prepare(self) -> None:
        """What the account's owner has switched on."""

    def add(self, people: Sequence[Mapping[str, str]]) -> list[str]:
        """People in ADSapp's field names; their ids in order."""
        made = self._do("POST", "bulk", {"records": [self._record(person) for person in people]})
        return [str(each) for each in made["ids"]]

    def edit(self, remote_id: str, app_field: str, value: str) -> None:
        self._do("PATCH", f"records/{remote_id}", {"properties": {self.names[app_field]: value}})

    def delete(self, remote_id: str) -> None:
        self._do("DELETE", f"records/{remote_id}")

    def records(self) -> list[dict[str, str]]:
        """Live records: ``id`` and the values by ADSapp's field names, blank where there is none."""
        return [self._read(each) for each in self._do("GET", "records")["results"]]

    def created_by_us(self) -> list[str]:
        """E-mail addresses of the records that the connector created, as often as it did."""
        journal = self._do("GET", "journal")["results"]
        ours = [each for each in journal if each["op"] == "create" and each["actor"]["source"] == self.us]
        return [address for each in ours for address in _ADDRESS.findall(json.dumps(each["changes"]))[:1]]

    def write_count(self) -> int:
        """Writes by the connector so far, also those that changed nothing."""
        return int(self._do("GET", "stats")["writes"])

    def faults_given(self) -> dict[str, int]:
        return dict(self._do("GET", "stats")["faults"])

    def go_wrong(self, *faults: Mapping[str, Any]) -> None:
        """Set fault switches (``crm.testing.faults``)."""
        self._do("POST", "faults", list(faults))

    def go_right(self) -> None:
        self._do("DELETE", "faults")

    def _record(self, person: Mapping[str, str]) -> dict[str, Any]:
        return {self.names[name]: value for name, value in person.items() if name in self.names}

    def _read(self, record: Mapping[str, Any]) -> dict[str, str]:
        properties = record["properties"]
        return {"id": str(record["id"]), **{name: properties.get(their) or "" for name, their in self.names.items()}}

    def _do(self, method: str, path: str, body: object = None) -> Any:
        answer = self._session.request(method, f"{self.url}/_fake/{path}", json=body, timeout=60)
        if not answer.ok:
            message = f"{method} {path} at the fake answered {answer.status_code}: {answer.text[:300]}"
            raise requests.HTTPError(message)
        return answer.json() if answer.content else None


class HubSpot(Crm):
    """Batches, a search that lags, a direct read by the marker."""

    key, token, us = "hubspot", "pat-na1-torture-0000-0000", "INTEGRATION"
    names: ClassVar[Mapping[str, str]] = {
        "firstName": "firstname",
        "lastName": "lastname",
        "email": "email",
        "company": "company",
        "jobTitle": "jobtitle",
        "city": "city",
    }
    writes = (("POST", "/crm/v3/objects/contacts/batch/*"),)
    options = ("--search-lag", "0.3")


class Pipedrive(Crm):
    """One request a record."""

    key, token, us = "pipedrive", "0123456789abcdef0123456789abcdef01234567", "api"
    names: ClassVar[Mapping[str, str]] = {
        "firstName": "first_name",
        "lastName": "last_name",
        "email": "emails",
        "jobTitle": "job_title",
    }
    writes = (("POST", "/api/v2/persons*"), ("PATCH", "/api/v2/persons*"))

    def prepare(self) -> None:
        self._do("POST", "settings", {"contactSync": True})  # without it persons have no job title

    def edit(self, remote_id: str, app_field: str, value: str) -> None:
        changed = {self.names[app_field]: value}
        if app_field == "lastName":  # both names go together
            changed["first_name"] = self._do("GET", f"records/{remote_id}")["first_name"]
        self._do("PATCH", f"records/{remote_id}", {"properties": changed})

    def _record(self, person: Mapping[str, str]) -> dict[str, Any]:
        address = {"value": person["email"], "label": "work", "primary": True}
        return {**super()._record(person), "emails": [address]}

    def _read(self, record: Mapping[str, Any]) -> dict[str, str]:
        address = next((each["value"] for each in record["emails"] if each["primary"]), "")
        found = {name: record.get(their) or "" for name, their in self.names.items()}
        return {**found, "id": str(record["id"]), "email": address}


CRMS: Mapping[str, type[Crm]] = {each.key: each for each in (HubSpot, Pipedrive)}
