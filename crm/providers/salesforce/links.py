"""Objects that lead to contacts through rows of a third one, and the notes of Lightning.

https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/ (ContentNote,
ContentDocumentLink, OpportunityContactRole; checked 2026-11). Such a connection is offered as a field of the object:
the ids of its contacts and leads. A ContentNote's body is HTML in base64, and a query gives its address only.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from crm.errors import CrmError, FieldRefusal
from crm.http.batches import send_in_batches
from crm.mapping.kinds import Kind
from crm.model import FieldDefinition, RemoteRecord, RemoteState, Value
from crm.ports import ItemResult
from crm.providers.salesforce import endpoints, mapping, soql
from crm.providers.salesforce.client import SalesforceClient
from crm.providers.salesforce.policies import CONTENT_NOTE, NOTE
from crm.providers.salesforce.wire import classify_row

CONTENT: Final = "Content"
_PEOPLE: Final = tuple(mapping.KEY_PREFIXES.values())
_BLOCK_END: Final = re.compile(r"(?:<br\s*/?>)?</(?:p|div|li|h\d)>(?=.)|<br\s*/?>(?!</)", re.IGNORECASE | re.DOTALL)
_TAG: Final = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class Junction:
    """``record_type`` holds a row for each pair: ``own`` is the object's id there, ``other`` the person's."""

    field: str
    record_type: str
    own: str
    other: str
    constants: tuple[tuple[str, str], ...] = ()

    @property
    def definition(self) -> FieldDefinition:
        remote_type = f"{self.record_type}.{self.other}"
        return FieldDefinition(self.field, "Contacts", Kind.TAGS.value, remote_type, multiple=True)


JUNCTIONS: Final[Mapping[str, Junction]] = {
    CONTENT_NOTE: Junction(
        "ContentDocumentLinks.LinkedEntityId",
        "ContentDocumentLink",
        "ContentDocumentId",
        "LinkedEntityId",
        (("ShareType", "V"), ("Visibility", "AllUsers")),
    ),
    "Opportunity": Junction(
        "OpportunityContactRoles.ContactId", "OpportunityContactRole", "OpportunityId", "ContactId"
    ),
}
_BODY: Final = FieldDefinition(CONTENT, "Content", Kind.TEXT.value, "base64")
LINKS_TO_CONTACT: Final[Mapping[str, str]] = {
    "Opportunity": JUNCTIONS["Opportunity"].field,
    "Task": "WhoId",
    NOTE: "ParentId",
    CONTENT_NOTE: JUNCTIONS[CONTENT_NOTE].field,
}


def definitions(record_type: str) -> list[FieldDefinition]:
    """The fields of this module that an object has beside the described ones."""
    junction = JUNCTIONS.get(record_type)
    body = [_BODY] if record_type == CONTENT_NOTE else []
    return [*body, *([junction.definition] if junction else [])]


def is_own(record_type: str, name: str) -> bool:
    """Whether a name is a field of this module: no query selects it."""
    junction = JUNCTIONS.get(record_type)
    return (junction is not None and name == junction.field) or (record_type == CONTENT_NOTE and name == CONTENT)


def note_body(text: str) -> str:
    """Plain text as Salesforce keeps it."""
    lines = "".join(f"<p>{html.escape(line, quote=False) or '<br>'}</p>" for line in text.splitlines())
    return base64.b64encode(lines.encode()).decode()


def note_text(body: str) -> str:
    return html.unescape(_TAG.sub("", _BLOCK_END.sub("\n", body)))


class Links:
    """What this module reads and writes for one object."""

    def __init__(self, client: SalesforceClient, record_type: str) -> None:
        self._client = client
        self._type = record_type
        self._junction = JUNCTIONS.get(record_type)

    def add(self, records: Sequence[RemoteRecord], fields: Sequence[str]) -> list[RemoteRecord]:
        """The live records with those of the fields that are of this module: one request for the links of 2,000, one
        for each note's body.
        """
        found = {record.remote_id: record for record in records}
        live = [each for each, record in found.items() if record.state is RemoteState.LIVE]
        if self._junction is not None and self._junction.field in fields:
            rows = self._rows(live)
            for each in live:
                linked = tuple(sorted(other for own, other in rows if own == each)) or None
                found[each] = _with(found[each], self._junction.field, linked)
        if self._type == CONTENT_NOTE and CONTENT in fields:
            for each in live:
                found[each] = _with(found[each], CONTENT, note_text(self._client.note_body(each)) or None)
        return list(found.values())

    def plain(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """The values that a collection takes: without links, a note's text as its body."""
        found = {name: value for name, value in values.items() if not is_own(self._type, name)}
        if self._type == CONTENT_NOTE and CONTENT in values:
            found[CONTENT] = note_body(str(values[CONTENT] or ""))
        return found

    def write(
        self, asked: Mapping[str, Mapping[str, Value]], results: Mapping[str, ItemResult]
    ) -> dict[str, ItemResult]:
        """The results with the links of each written record made as asked: what is missing is added, what is more
        removed. Where that fails the field is among its ``refused``.
        """
        done = dict(results)
        junction = self._junction
        if junction is None:
            return done
        of = {
            record.remote_id: key
            for key, values in asked.items()
            if junction.field in values and results[key].error is None and (record := results[key].record)
        }
        if not of:
            return done
        wanted = {own: _ids(asked[key][junction.field]) for own, key in of.items()}
        try:
            refusals = self._settle(junction, wanted)
        except CrmError as error:
            refusals = dict.fromkeys(of, FieldRefusal(error.code, error.provider_message))
        for own, refusal in refusals.items():
            result = done[of[own]]
            done[of[own]] = replace(result, refused={**result.refused, junction.field: refusal})
        return done

    def _settle(self, junction: Junction, wanted: Mapping[str, Sequence[str]]) -> dict[str, FieldRefusal]:
        now = self._rows(list(wanted))
        missing = {
            f"{own}|{other}": {
                "attributes": {"type": junction.record_type},
                junction.own: own,
                junction.other: other,
                **dict(junction.constants),
            }
            for own, others in wanted.items()
            for other in others
            if (own, other) not in now
        }
        extra = {f"{own}|{other}": row for (own, other), row in now.items() if other not in wanted[own]}

        def create(batch: Mapping[str, Mapping[str, Any]]) -> dict[str, str | CrmError]:
            answers = self._client.create_rows(list(batch.values()))
            return {
                key: "" if answer["success"] else classify_row(answer.get("errors") or [])
                for key, answer in zip(batch, answers, strict=True)
            }

        def delete(batch: Mapping[str, str]) -> dict[str, str | CrmError]:
            answers = self._client.delete_rows(list(batch.values()))
            return {
                key: "" if answer["success"] else classify_row(answer.get("errors") or [])
                for key, answer in zip(batch, answers, strict=True)
            }

        outcomes = send_in_batches(missing, endpoints.WRITE_BATCH, create)
        outcomes |= send_in_batches(extra, endpoints.WRITE_BATCH, delete)
        return {
            key.partition("|")[0]: FieldRefusal(outcome.code, outcome.provider_message)
            for key, outcome in outcomes.items()
            if isinstance(outcome, CrmError)
        }

    def _rows(self, remote_ids: Sequence[str]) -> dict[tuple[str, str], str]:
        """(object's id, person's id) -> id of the row that connects them."""
        junction = self._junction
        found: dict[tuple[str, str], str] = {}
        if junction is None:
            return found
        for start in range(0, len(remote_ids), endpoints.READ_BATCH):
            chunk = remote_ids[start : start + endpoints.READ_BATCH]
            names = [mapping.ID, junction.own, junction.other]
            query = soql.select(names, junction.record_type, soql.is_in(junction.own, chunk))
            for row in self._client.query_rows(query, operation="links"):
                own, other = (mapping.to18(str(row.get(name))) or "" for name in (junction.own, junction.other))
                if other.startswith(_PEOPLE):
                    found[own, other] = row[mapping.ID]
        return found


def _ids(value: Value) -> tuple[str, ...]:
    """The ids in a value that is to be written; one alone may come as text."""
    found: Iterable[str] = value if isinstance(value, tuple) else (value,) if isinstance(value, str) and value else ()
    return tuple(dict.fromkeys(mapping.to18(each) or each for each in found))


def _with(record: RemoteRecord, name: str, value: Value) -> RemoteRecord:
    return replace(record, values={**record.values, name: value})
