"""The account on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from crm.providers.pipedrive.fake.answers import Json
from crm.providers.pipedrive.fake.caller import Grant
from crm.providers.pipedrive.fake.entities import ENTITIES
from crm.providers.pipedrive.fake.fields import FieldDefinition, FieldSet
from crm.providers.pipedrive.fake.oauth import OAuthApi
from crm.providers.pipedrive.fake.state import Actor, Edit, Record, State
from crm.providers.pipedrive.fake.webhooks import WebhookSender
from crm.providers.pipedrive.fake.webhooks_api import WebhooksApi
from crm.testing.account_file import AccountFile


class Disk(AccountFile[tuple[str, int]]):
    form = {"format": "pipedrive-fake", "version": 1}
    tables = ("fields", "users", "hooks", "tokens")

    def __init__(
        self,
        path: Path,
        state: State,
        *,
        grants: dict[str, Grant],
        oauth: OAuthApi,
        hooks_api: WebhooksApi,
        sender: WebhookSender,
    ) -> None:
        self._state = state
        self._grants = grants
        self._oauth = oauth
        self._hooks_api = hooks_api
        self._sender = sender
        super().__init__(path, state)

    def table_line(self, name: str) -> Json:
        state = self._state
        match name:
            case "fields":
                registry = state.fields
                sets = {
                    key: [found.saved() for found in held.definitions.values()] for key, held in registry.sets.items()
                }
                return {"fields": sets, "next": [registry.next_number, registry.next_option]}
            case "users":
                return {"users": list(state.users.values())}
            case "hooks":
                return {"hooks": list(self._sender.hooks.values()), "next_hook": self._hooks_api.next_id}
        held = [
            [grant.token, grant.user_id, grant.is_oauth, _listed(grant.scopes), grant.expires_ms]
            for grant in self._grants.values()
        ]
        return {"tokens": held, "refresh_tokens": self._oauth.refresh_tokens}

    def record_line(self, key: tuple[str, int]) -> Json:
        kind, record_id = key
        record = self._state.tables[kind].records[record_id]
        return {
            "record": [kind, record_id, record.added_s, record.updated_s, record.deleted_s, record.merged_into],
            "values": record.values,
            "custom": record.custom,
            "edits": record.edits,
        }

    def keys(self) -> Iterator[tuple[str, int]]:
        return ((key, id_) for key, table in self._state.tables.items() for id_ in table.ids)

    def load_records(self, lines: dict[tuple[str, int], Json]) -> None:
        for _, line in sorted(lines.items()):
            self._state.load(_record(line))

    def load_table(self, line: Json) -> None:
        state = self._state
        match line:
            case {"fields": sets, "next": [number, option]}:
                state.fields.next_number, state.fields.next_option = number, option
                for key, items in sets.items():
                    found = [FieldDefinition(**item) for item in items]
                    state.fields.sets[key] = FieldSet({definition.code: definition for definition in found})
            case {"users": users}:
                state.users = {user["id"]: user for user in users}
            case {"hooks": hooks, "next_hook": next_id}:
                self._hooks_api.next_id = next_id
                self._sender.hooks = {hook["id"]: hook for hook in hooks}
            case {"tokens": grants, "refresh_tokens": refresh}:
                for token, user_id, is_oauth, scopes, expires_ms in grants:
                    held = None if scopes is None else frozenset(scopes)
                    self._grants.setdefault(token, Grant(token, user_id, is_oauth, held, expires_ms))
                self._oauth.refresh_tokens = dict(refresh)


def _record(line: Json) -> Record:
    key, record_id, added_s, updated_s, deleted_s, merged_into = line["record"]
    edits = [Edit(name, before, after, at_s, Actor(*actor)) for name, before, after, at_s, actor in line["edits"]]
    return Record(
        ENTITIES[key],
        record_id,
        added_s,
        line["values"],
        line["custom"],
        updated_s,
        deleted_s,
        merged_into,
        edits,
    )


def _listed(scopes: frozenset[str] | None) -> list[str] | None:
    return None if scopes is None else sorted(scopes)
