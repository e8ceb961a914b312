"""The account on disk: a journal of lines, each a whole record or table, the last one of a kind winning.

Opening it rewrites the file without what was overtaken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from crm.providers.hubspot.fake.answers import Json
from crm.providers.hubspot.fake.caller import Grant
from crm.providers.hubspot.fake.oauth import OAuthApi
from crm.providers.hubspot.fake.object_types import object_type
from crm.providers.hubspot.fake.properties import Definition
from crm.providers.hubspot.fake.state import Actor, Record, State, Version
from crm.testing.journal import JournalFile

FORMAT: Final = {"format": "hubspot-fake", "version": 1}


class Disk:
    """Loads ``state`` from ``path`` and keeps it there. Raises ValueError for a file of another kind."""

    def __init__(self, path: Path, state: State, oauth: OAuthApi, grants: dict[str, Grant]) -> None:
        self._file = JournalFile(path, FORMAT)
        self._state = state
        self._oauth = oauth
        self._grants = grants
        self._journal_lines: list[Json] = []
        self._load()
        self._file.rewrite(self._everything())
        state.on_journal = self._journal_lines.append
        state.dirty_records.clear()
        state.dirty_tables.clear()

    def flush(self) -> None:
        """Write what changed since the last call."""
        state = self._state
        if not (state.dirty_records or state.dirty_tables or self._journal_lines):
            return
        lines = [*self._table_lines(state.dirty_tables), *self._record_lines(state.dirty_records)]
        lines += [{"journal": entry} for entry in self._journal_lines]
        self._file.append(lines)
        state.dirty_records.clear()
        state.dirty_tables.clear()
        self._journal_lines.clear()

    def close(self) -> None:
        self._file.close()

    # Writing --------------------------------------------------------------------------------------------

    def _everything(self) -> Iterator[Json]:
        state = self._state
        yield from self._table_lines(("counter", "registry", "aliases", "blocked", "opt_outs", "tokens", "owners"))
        yield from self._record_lines((type_id, id_) for type_id, table in state.tables.items() for id_ in table.ids)
        yield from ({"journal": entry} for entry in state.journal)

    def _table_lines(self, names: Iterable[str]) -> Iterator[Json]:
        state = self._state
        for name in sorted(names):
            match name:
                case "counter":
                    yield {"counter": state.next_id}
                case "registry":
                    own = {
                        kind: [item.saved() for item in items.values()]
                        for kind, items in state.registry.definitions.items()
                    }
                    yield {"registry": own, "groups": state.registry.groups}
                case "aliases":
                    aliases = {type_id: list(table.aliases.items()) for type_id, table in state.tables.items()}
                    yield {"aliases": aliases}
                case "blocked":
                    yield {"blocked": sorted(state.blocked_emails)}
                case "opt_outs":
                    yield {"opt_outs": state.opt_outs}
                case "owners":
                    yield {"owners": state.owners}
                case "tokens":
                    grants = [
                        [grant.token, grant.app_id, grant.is_private_app, _scopes(grant.scopes), grant.expires_ms]
                        for grant in self._grants.values()
                    ]
                    refresh = {token: sorted(scopes) for token, scopes in self._oauth.refresh_tokens.items()}
                    yield {"tokens": grants, "refresh_tokens": refresh}

    def _record_lines(self, keys: Iterable[tuple[str, int]]) -> Iterator[Json]:
        for type_id, record_id in keys:
            record = self._state.tables[type_id].records.get(record_id)
            if record is None:
                yield {"gone": [type_id, record_id]}
                continue
            yield {
                "record": [type_id, record_id, record.created_ms, record.updated_ms, record.archived_ms],
                "properties": record.properties,
                "history": record.history,
                "links": {
                    other: [[id_, sorted(type_ids)] for id_, type_ids in others.items()]
                    for other, others in record.links.items()
                    if others
                },
            }

    # Reading --------------------------------------------------------------------------------------------

    def _load(self) -> None:
        records: dict[tuple[str, int], Json] = {}
        for line in self._file.lines():
            if "record" in line:
                records[line["record"][0], line["record"][1]] = line
            elif "gone" in line:
                records.pop((line["gone"][0], line["gone"][1]), None)
            elif "journal" in line:
                self._state.journal.append(line["journal"])
            else:
                self._load_table(line)
        for (type_id, _), line in sorted(records.items(), key=lambda item: item[0][1]):
            self._state.load(_record(type_id, line))

    def _load_table(self, line: Json) -> None:
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
