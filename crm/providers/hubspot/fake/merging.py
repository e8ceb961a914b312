"""Merging two records and erasing one for good.

Pages: https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide ("Merge contacts", "GDPR delete") and
HubSpot's changelog, "Updated merge functionality" (a merge of contacts or companies makes a new record)
"""

from __future__ import annotations

from typing import Final

from crm.providers.hubspot.fake import answers, writes
from crm.providers.hubspot.fake.answers import AnswerError
from crm.providers.hubspot.fake.associations import INVERSE
from crm.providers.hubspot.fake.caller import actor_of
from crm.providers.hubspot.fake.object_types import COMPANIES, CONTACTS, ObjectType
from crm.providers.hubspot.fake.objects_api import ObjectsApi, object_body
from crm.providers.hubspot.fake.properties import MAX_TEXT_CHARACTERS
from crm.providers.hubspot.fake.state import ADDITIONAL_EMAILS, EMAIL, Actor, Record, State, Version
from crm.providers.hubspot.fake.versions import prefixes
from crm.providers.hubspot.fake.writes import object_json
from crm.testing.clock import iso_ms
from crm.testing.wsgi import Request, Response, Router, json_response, no_content

MAX_MERGES: Final = 250
_KEPT_OUT: Final = frozenset(
    {
        "hs_object_id",
        "createdate",
        "hs_createdate",
        "lastmodifieddate",
        "hs_lastmodifieddate",
        "hs_merged_object_ids",
        "hs_calculated_merged_vids",
        "hs_all_contact_vids",
        ADDITIONAL_EMAILS,
    }
)


class MergeApi:
    """``keeps_primary_id`` is the account setting of HubSpot's opt-in beta."""

    def __init__(self, objects: ObjectsApi, *, keeps_primary_id: bool) -> None:
        self._objects = objects
        self._state = objects.state
        self.keeps_primary_id = keeps_primary_id

    def mount(self, router: Router) -> None:
        for prefix in prefixes("objects"):
            router.add("POST", f"{prefix}/{{objectType}}/merge", self.merge_call)
            router.add("POST", f"{prefix}/{{objectType}}/gdpr-delete", self.erase_call)

    def merge_call(self, request: Request) -> Response:
        kind = self._objects.kind_for(request, "write")
        body = object_body(request)
        primary_id, other_id = (str(body.get(name, "")) for name in ("primaryObjectId", "objectIdToMerge"))
        survivor = self.merge(kind, primary_id, other_id, actor_of(request))
        return json_response(object_json(survivor, list(survivor.properties), portal_id=self._state.portal_id))

    def merge(self, kind: ObjectType, primary_id: str, other_id: str, actor: Actor) -> Record:
        """The primary's values win unless empty; addresses of the other become secondary ones."""
        state = self._state
        table = state.table(kind)
        primary, other = table.live_by_key(primary_id), table.live_by_key(other_id)
        if primary is None or other is None:
            raise answers.not_found()
        if primary is other:
            raise answers.invalid("A record cannot be merged with itself")
        merged_ids = [id_ for record in (primary, other) for id_ in _merged_ids(record)]
        if len(merged_ids) + 1 > MAX_MERGES:
            raise AnswerError(414, {"message": f"Cannot have more than {MAX_MERGES} identities on a profile"})
        at_ms = state.clock.now_ms()
        losers = [other] if self.keeps_primary_id or kind not in (CONTACTS, COMPANIES) else [primary, other]
        survivor_id = primary.record_id if len(losers) == 1 else state.new_id()
        moved = {
            name: value
            for name, value in other.properties.items()
            if name not in _KEPT_OUT and name != EMAIL and not primary.properties.get(name)
        }
        emails = list(dict.fromkeys([*primary.emails(), *other.emails()]))
        links = _joined_links(primary, other)
        merge_actor = Actor("MERGE_OBJECTS", actor.source_id, actor.label, actor.user_id)
        survivor = Record(survivor_id, kind, min(primary.created_ms, other.created_ms), at_ms)
        survivor.properties = dict(primary.properties)
        history = {name: list(versions) for name, versions in primary.history.items()}
        for record in (primary, other):
            state.purge(record)
        merged_ids += [str(loser.record_id) for loser in losers]
        values = {**moved, "hs_object_id": str(survivor_id), "hs_merged_object_ids": ";".join(merged_ids)}
        if kind is CONTACTS:
            values |= {
                EMAIL: emails[0] if emails else "",
                ADDITIONAL_EMAILS: ";".join(emails[1:])[:MAX_TEXT_CHARACTERS],
                "hs_all_contact_vids": ";".join([str(survivor_id), *merged_ids]),
                "hs_calculated_merged_vids": ";".join(f"{id_}:{at_ms}" for id_ in merged_ids),
            }
        for name, value in values.items():
            if survivor.properties.get(name, "") != value:
                history.setdefault(name, []).append(Version(value, at_ms, merge_actor))
        survivor.properties |= {name: value for name, value in values.items() if value}
        survivor.properties[kind.created] = iso_ms(survivor.created_ms)
        survivor.properties[kind.modified] = iso_ms(at_ms)
        survivor.properties |= {name: value for name, value in writes.companions(state, survivor).items() if value}
        state.insert(survivor, merge_actor)
        survivor.history = {**survivor.history, **history}
        _relink(state, survivor, links)
        for loser in losers:
            table.aliases[loser.record_id] = survivor_id
        state.dirty_tables.add("aliases")
        self._tell(survivor, primary, losers, len(moved), actor, at_ms)
        return survivor

    def _tell(
        self, survivor: Record, primary: Record, losers: list[Record], moved: int, actor: Actor, at_ms: int
    ) -> None:
        """One merge event and a deletion for each id that went; no property changes (HubSpot docs: webhooks)."""
        state, kind = self._state, survivor.kind
        loser_ids = [loser.record_id for loser in losers]
        merged_ids = [id_ for id_ in loser_ids if id_ != primary.record_id]
        state.note("merge", survivor, actor, at_ms, {}, merged=[str(id_) for id_ in loser_ids])
        state.tell(
            kind,
            "merge",
            at_ms,
            actor,
            objectId=primary.record_id,
            changeFlag="MERGED",
            primaryObjectId=primary.record_id,
            mergedObjectIds=merged_ids,
            newObjectId=survivor.record_id,
            numberOfPropertiesMoved=moved,
        )
        for loser_id in loser_ids:
            state.tell(kind, "deletion", at_ms, actor, objectId=loser_id, changeFlag="DELETED")
        if survivor.record_id != primary.record_id:
            state.tell(kind, "creation", at_ms, actor, objectId=survivor.record_id, changeFlag="CREATED")

    def erase_call(self, request: Request) -> Response:
        """GDPR delete by id or address; an address nobody has is blocklisted."""
        kind = self._objects.kind_for(request, "write")
        if kind is not CONTACTS:
            raise answers.invalid(f"GDPR delete is not supported for {kind.plural}")
        body = object_body(request)
        key = str(body.get("objectId", "")).strip()
        state = self._state
        if body.get("idProperty") == EMAIL:
            holder = state.holder(kind, EMAIL, key)
            record = None if holder is None else state.table(kind).records.get(holder)
            if record is None:
                state.blocked_emails.add(key.lower())
                state.dirty_tables.add("blocked")
                return no_content()
        else:
            record = state.table(kind).records.get(answers.whole_number(key) or 0)
            if record is None:
                raise answers.not_found()
        at_ms, actor = state.clock.now_ms(), actor_of(request)
        state.purge(record)
        state.note("erase", record, actor, at_ms, {})
        for what in ("privacyDeletion", "deletion"):
            state.tell(kind, what, at_ms, actor, objectId=record.record_id, changeFlag="DELETED")
        return no_content()


def _merged_ids(record: Record) -> list[str]:
    return [part for part in record.properties.get("hs_merged_object_ids", "").split(";") if part]


def _joined_links(primary: Record, other: Record) -> dict[str, dict[int, set[int]]]:
    joined: dict[str, dict[int, set[int]]] = {}
    gone = {primary.record_id, other.record_id}
    for record in (primary, other):
        for type_id, others in record.links.items():
            for other_id, type_ids in others.items():
                if type_id != record.kind.type_id or other_id not in gone:
                    joined.setdefault(type_id, {}).setdefault(other_id, set()).update(type_ids)
    return joined


def _relink(state: State, survivor: Record, links: dict[str, dict[int, set[int]]]) -> None:
    for type_id, others in links.items():
        for other_id, type_ids in others.items():
            other = state.tables[type_id].records.get(other_id)
            if other is None:
                continue
            pair = (survivor.kind.type_id, type_id)
            survivor.links.setdefault(type_id, {})[other_id] = set(type_ids)
            other.links.setdefault(survivor.kind.type_id, {})[survivor.record_id] = {
                INVERSE[pair, one] for one in type_ids
            }
            state.dirty_records[type_id, other_id] = None
