"""A fake CRM as the demo's people use it: over HTTP, by its page for people and its counters."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import requests

SEGMENTS = ("prospect", "customer", "retired")
RETIRED = "retired"


class CrmAccount:
    """A fake's account: its people, its counters, its consent page."""

    key = ""
    label = ""
    allow_button = ("decision", "approve")
    fields: Mapping[str, str] = {}
    """ADSapp's field -> the name the fake's back door takes."""
    lacks: tuple[str, ...] = ()
    """Fields that the people imported here have blank and ADSapp fills."""
    page = ""
    """The object whose records its pages list people under."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()

    def import_people(self, rows: Sequence[Mapping[str, str]]) -> None:
        """People in ADSapp's field names, made all at once."""
        self._do("POST", "/_fake/bulk", {"records": [self.record(row) for row in rows]})

    def record(self, row: Mapping[str, str]) -> dict[str, Any]:
        return {name: row[field] for field, name in self.fields.items() if row.get(field)}

    def edit_field(self, remote_id: str, app_field: str, value: str) -> None:
        self._do("PATCH", f"/_fake/records/{remote_id}", {"properties": {self.fields[app_field]: value}})

    def value(self, remote_id: str, app_field: str) -> Any:
        return self._do("GET", f"/_fake/records/{remote_id}")["properties"].get(self.fields[app_field])

    def edit_on_page(self, remote_id: str, app_field: str, value: str) -> None:
        """What a person does in a browser: open the record's page, type into its form, press Save."""
        address = f"{self.url}/_fake/pages/{self.page}/{remote_id}"
        shown = self._session.get(address, timeout=30)
        form = {
            html.unescape(name): html.unescape(text)
            for name, text in re.findall(r"<textarea [^>]*name='([^']*)'>([^<]*)</textarea>", shown.text)
        }
        if self.fields[app_field] not in form:
            message = f"{self.label}'s page of record {remote_id} ({shown.status_code}) has no {self.fields[app_field]}"
            raise RuntimeError(message)
        saved = self._session.post(address, {**form, self.fields[app_field]: value, "do": "save"}, timeout=30)
        if not saved.ok:
            message = f"{self.label}'s page answered {saved.status_code}: {saved.text[:300]}"
            raise RuntimeError(message)

    def tell(self, path: str, body: Mapping[str, Any]) -> None:
        """Post to the fake's back door."""
        self._do("POST", f"/_fake/{path}", body)

    def let_pass(self, seconds: float) -> None:
        self._do("POST", "/_fake/clock", {"advanceSeconds": seconds})

    def counters(self) -> dict[str, Any]:
        return dict(self._do("GET", "/_fake/stats"))

    def allow(self, address: str) -> str:
        """Look at the consent page and allow; returns where the CRM sends the browser back to."""
        page = self._session.get(address, timeout=30, allow_redirects=False)
        hidden = re.findall(r"type=hidden name='?(\w+)'? value='([^']*)'", page.text)
        form = {html.unescape(name): html.unescape(value) for name, value in hidden}
        name, value = self.allow_button
        target = urlsplit(address)._replace(query="").geturl()
        answer = self._session.post(target, {**form, name: value}, timeout=30, allow_redirects=False)
        if page.status_code != 200 or answer.status_code != 302:
            message = f"{self.label}'s consent page answered {page.status_code}, the button {answer.status_code}"
            raise RuntimeError(message)
        return answer.headers["Location"]

    def _do(self, method: str, path: str, body: Mapping[str, Any] | None = None, **headers: str) -> dict[str, Any]:
        answer = self._session.request(method, self.url + path, json=body, headers=headers, timeout=60)
        if not answer.ok:
            message = f"{method} {path} at the fake answered {answer.status_code}: {answer.text[:300]}"
            raise RuntimeError(message)
        return dict(answer.json()) if answer.content else {}


class HubSpotAccount(CrmAccount):
    """HubSpot's portal."""

    key, label, page = "hubspot", "HubSpot", "contacts"
    fields: Mapping[str, str] = {
        "firstName": "firstname",
        "lastName": "lastname",
        "email": "email",
        "phone": "phone",
        "jobTitle": "jobtitle",
    }

    def __init__(self, url: str, token: str) -> None:
        super().__init__(url)
        self._token = token

    def import_records(self, records: Sequence[Mapping[str, str]]) -> None:
        """Make many at once, as an import does, in HubSpot's own names."""
        self._do("POST", "/_fake/bulk", {"records": list(records)})

    def edit(self, remote_id: str, **properties: str) -> None:
        self._do("PATCH", f"/_fake/records/{remote_id}", {"properties": properties})

    def opt_out(self, remote_id: str) -> None:
        self._do("PATCH", f"/_fake/records/{remote_id}", {"optedOut": True})

    def delete(self, remote_id: str) -> None:
        self._do("DELETE", f"/_fake/records/{remote_id}")

    def merge(self, primary_id: str, other_id: str) -> None:
        self._do("POST", "/_fake/merge", {"primaryObjectId": primary_id, "objectIdToMerge": other_id})

    def make_segment(self) -> None:
        """A picklist of the account's own."""
        self._make_property("segment", "Segment", type="enumeration", fieldType="select", options=_options(SEGMENTS))

    def retire_segment(self) -> None:
        """From now on HubSpot refuses a value that it still listed when its fields were described."""
        left = [name for name in SEGMENTS if name != RETIRED]
        self._api("PATCH", "/crm/v3/properties/contacts/segment", {"options": _options(left)})

    def make_tier(self) -> None:
        self._make_property("tier", "Tier")

    def _make_property(self, name: str, label: str, **definition: Any) -> None:
        """As an administrator of the account does it, by HubSpot's own API."""
        group = {"groupName": "contactinformation", "type": "string", "fieldType": "text"}
        self._api("POST", "/crm/v3/properties/contacts", {"name": name, "label": label, **group, **definition})

    def _api(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        self._do(method, path, body, Authorization=f"Bearer {self._token}")


class SalesforceOrg(CrmAccount):
    """Salesforce's organization, whose administrator has made the external id field."""

    key, label, page, allow_button = "salesforce", "Salesforce", "Contact", ("decision", "allow")
    fields: Mapping[str, str] = {
        "firstName": "FirstName",
        "lastName": "LastName",
        "email": "Email",
        "phone": "Phone",
        "jobTitle": "Title",
    }

    lacks = ("company", "city", "country")

    def prepare(self, callback: str) -> None:
        marker = {"name": "ADSapp_Contact_Id__c", "type": "string", "length": 80}
        for kind in ("Contact", "Lead"):
            field = {**marker, "object": kind, "externalId": True, "unique": True, "caseSensitive": True}
            self._do("POST", "/_fake/fields", field)
        self._do("POST", "/_fake/settings", {"redirectUris": [callback]})

    def edit_field(self, remote_id: str, app_field: str, value: str) -> None:
        self._do("PATCH", f"/_fake/records/{remote_id}", {"fields": {self.fields[app_field]: value}})

    def value(self, remote_id: str, app_field: str) -> Any:
        shown = self._do("GET", f"/_fake/records/{remote_id}")
        return shown.get("fields", shown).get(self.fields[app_field])


class PipedriveCompany(CrmAccount):
    """Pipedrive's company account."""

    key, label, page, allow_button = "pipedrive", "Pipedrive", "persons", ("do", "allow")
    fields: Mapping[str, str] = {"lastName": "last_name"}
    lacks = ("company",)

    def record(self, row: Mapping[str, str]) -> dict[str, Any]:
        entries = {
            name: [{"value": row[field], "label": "work", "primary": True}]
            for field, name in (("email", "emails"), ("phone", "phones"))
        }
        return {**super().record(row), "first_name": row["firstName"], "last_name": row["lastName"], **entries}

    def edit_field(self, remote_id: str, app_field: str, value: str) -> None:
        """Pipedrive takes the two names together only."""
        held = self._do("GET", f"/_fake/records/{remote_id}")
        names = {name: held[name] for name in ("first_name", "last_name")}
        self._do("PATCH", f"/_fake/records/{remote_id}", {"properties": {**names, self.fields[app_field]: value}})

    def value(self, remote_id: str, app_field: str) -> Any:
        return self._do("GET", f"/_fake/records/{remote_id}").get(self.fields[app_field])


def _options(names: Sequence[str]) -> list[dict[str, Any]]:
    return [{"label": name.title(), "value": name, "displayOrder": place} for place, name in enumerate(names)]
