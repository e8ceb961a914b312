"""The account on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from crm.providers.hubspot.fake.answers import Json
from crm.providers.hubspot.fake.caller import Grant
from crm.providers.hubspot.fake.oauth import OAuthApi
from crm.providers.hubspot.fake.object_types import object_type
from crm.providers.hubspot.fake.properties import Definition
from crm.providers.hubspot.fake.state import Actor, Record, State, Version
from crm.testing.account_file import AccountFile


class Disk(AccountFile[tuple[str, int]]):
    form = {"format": "hubspot-fake", "version": 1}
    tables = ("counter", "registry", "aliases", "blocked", "opt_outs", "tokens", "owners")

    def __init__(self, path: Path, state: State, oauth: OAuthApi, grants: dict[str, Grant]) -> None:
        self._state = state
        self._oauth = oauth
        self._grants = grants
        super().__init__(path, state)

    def table_line(self, name: str) -> Json:
        state = self._state
        line: Json
        match name:
            case "counter":
                line = {"counter": state.next_id}
            case "registry":
                own = {
                    kind: [item.saved() for item in items.values()]
                    for kind, items in state.registry.definitions.items()
                }
                line = {"registry": own, "groups": state.registry.groups}
            case "aliases":
                line = {"aliases": {type_id: list(table.aliases.items()) for type_id, table in state.tables.items()}}
            case "blocked":
                line = {"blocked": sorted(state.blocked_emails)}
            case "opt_outs":
                line = {"opt_outs": state.opt_outs}
            case "owners":
                line = {"owners": state.owners}
            case _:
                grants = [
                    [grant.token, grant.app_id, grant.is_private_app, _scopes(grant.scopes), grant.expires_ms]
                    for grant in self._grants.values()
                ]
                refresh = {token: sorted(scopes) for token, scopes in self._oauth.refresh_tokens.items()}
                line = {"tokens": grants, "refresh_tokens": refresh}
        return line

    def record_line(self, key: tuple[str, int]) -> Json | None:
        type_id, record_id = key
        record = self._state.tables[type_id].records.get(record_id)
        if record is None:
            return None
        return {
            "record": [type_id, record_id, record.created_ms, record.updated_ms, record.archived_ms],
            "properties": record.properties,
            "history": record.history,
            "links": {
                other: [[id_, sorted(type_ids)] for id_, type_ids in others.items()]
                for other, others in record.links.items()
                if others
            },
        }

    def keys(self) -> Iterator[tuple[str, int]]:
        return ((type_id, id_) for type_id, table in self._state.tables.items() for id_ in table.ids)

    def load_records(self, lines: dict[tuple[str, int], Json]) -> None:
        for (type_id, _), line in sorted(lines.items(), key=lambda item: item[0][1]):
            self._state.load(_record(type_id, line))

    def load_table(self, line: Json) -> None:
        state = self._state
        match line:
            case {"counter": next_id}:
                state.next_id = next_id
            case {"registry": definitions, "groups": groups}:
                state.registry.groups = groups
                state.registry.definitions = {
                    kind: {item["name"]: Definition(**item) for item in items} for kind, items in definitions.items()
                }
                for plural in definitions:
                    kind = object_type(plural)
                    for name in state.registry.unique_names(kind):
                        state.reindex_unique(kind, name)
            case {"aliases": aliases}:
                for type_id, pairs in aliases.items():
                    state.tables[type_id].aliases = {int(old): int(new) for old, new in pairs}
            case {"blocked": emails}:
                state.blocked_emails = set(emails)
            case {"opt_outs": opt_outs}:
                state.opt_outs = opt_outs
            case {"owners": owners}:
                state.owners = owners
            case {"tokens": grants, "refresh_tokens": refresh}:
                for token, app_id, is_private_app, scopes, expires_ms in grants:
                    held = None if scopes is None else frozenset(scopes)
                    self._grants.setdefault(token, Grant(token, app_id, is_private_app, held, expires_ms))
                self._oauth.refresh_tokens = {token: frozenset(scopes) for token, scopes in refresh.items()}


def _record(type_id: str, line: Json) -> Record:
    _, record_id, created_ms, updated_ms, archived_ms = line["record"]
    record = Record(record_id, object_type(type_id), created_ms, updated_ms, archived_ms=archived_ms)
    record.properties = line["properties"]
    record.history = {
        name: [Version(value, at_ms, Actor(*actor)) for value, at_ms, actor in versions]
        for name, versions in line["history"].items()
    }
    record.links = {other: {id_: set(type_ids) for id_, type_ids in others} for other, others in line["links"].items()}
    return record


def _scopes(scopes: frozenset[str] | None) -> list[str] | None:
    return None if scopes is None else sorted(scopes)
