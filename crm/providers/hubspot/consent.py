"""Opt-outs of e-mail: the property is read-only, so they are sent to the subscriptions API, after the batch.

https://developers.hubspot.com/docs/api-reference/communication-preferences-subscriptions-v4/guide (checked 2026-11).
One request for each address; nothing here ever opts anybody in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from crm.errors import CrmError, FieldRefusal
from crm.model import RemoteRecord, Value
from crm.ports import ItemResult
from crm.providers.hubspot import endpoints, mapping
from crm.providers.hubspot.client import HubSpotClient


class EmailOptOuts:
    """The opt-outs among one call's items: taken out of the values, sent when the rest is written."""

    def __init__(self, client: HubSpotClient) -> None:
        self._client = client
        self._asked: dict[str, Value] = {}
        self._emails: dict[str, Value] = {}

    def take(self, key: str, values: Mapping[str, Value]) -> Mapping[str, Value]:
        """The values that go into the batch."""
        if mapping.EMAIL_OPT_OUT not in values:
            return values
        self._asked[key] = values[mapping.EMAIL_OPT_OUT]
        self._emails[key] = values.get(mapping.EMAIL)
        return {name: value for name, value in values.items() if name != mapping.EMAIL_OPT_OUT}

    def send(self, record_type: str, results: Mapping[str, ItemResult], *, created: bool) -> dict[str, ItemResult]:
        """The results, with each opt-out's own outcome in ``record`` or ``refused``.

        Asking for "not opted out" is what a new record has anyway; on an existing one it is refused.
        """
        done = dict(results)
        written = {key: results[key].record for key in self._asked if results[key].error is None}
        emails = self._addresses(
            record_type, {key: record for key, record in written.items() if self._asked[key] is True}
        )
        for key, record in written.items():
            if record is None:
                continue
            if self._asked[key] is True:
                refusal = self._opt_out(emails.get(key, ""))
            elif created:
                continue
            else:
                refusal = FieldRefusal("field.readonly", "An opt-in is never sent to HubSpot")
            if refusal is None:
                values = {**record.values, mapping.EMAIL_OPT_OUT: True}
                done[key] = replace(results[key], record=replace(record, values=values))
            else:
                done[key] = replace(results[key], refused={**results[key].refused, mapping.EMAIL_OPT_OUT: refusal})
        return done

    def _addresses(self, record_type: str, records: Mapping[str, RemoteRecord | None]) -> dict[str, str]:
        """As HubSpot holds them now: from the write, from its answer, else read in one batch."""
        known = {
            key: text
            for key, record in records.items()
            if record and isinstance(text := record.values.get(mapping.EMAIL) or self._emails[key], str) and text
        }
        unknown = {record.remote_id: key for key, record in records.items() if record and key not in known}
        ids = list(unknown)
        for start in range(0, len(ids), endpoints.READ_BATCH):
            answer = self._client.read_batch(record_type, ids[start : start + endpoints.READ_BATCH], [mapping.EMAIL])
            for wire in answer.records:
                if wire["id"] in unknown:
                    known[unknown[wire["id"]]] = wire["properties"].get(mapping.EMAIL) or ""
        return known

    def _opt_out(self, email: str) -> FieldRefusal | None:
        if not email:
            return FieldRefusal("match.no_key", "The contact has no e-mail address to opt out")
        try:
            self._client.unsubscribe_all(email)
        except CrmError as error:
            return FieldRefusal(error.code, error.provider_message)
        return None
