"""The account on disk: lines, each a whole record or table, the last one of a kind winning.

Opening it rewrites the file without what was overtaken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from crm.providers.pipedrive.fake.answers import Json
from crm.providers.pipedrive.fake.caller import Grant
from crm.providers.pipedrive.fake.entities import ENTITIES
from crm.providers.pipedrive.fake.fields import FieldDefinition, FieldSet
from crm.providers.pipedrive.fake.oauth import OAuthApi
from crm.providers.pipedrive.fake.state import Actor, Edit, Record, State
from crm.providers.pipedrive.fake.webhooks import WebhookSender
from crm.providers.pipedrive.fake.webhooks_api import WebhooksApi
from crm.testing.journal import JournalFile

FORMAT: Final = {"format": "pipedrive-fake", "version": 1}
_TABLES: Final = ("fields", "users", "hooks", "tokens")


class Disk:
    """Loads ``state`` from ``path`` and keeps it there. Raises ValueError for a file of another kind."""

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
        self._file = JournalFile(path, FORMAT)
        self._state = state
        self._grants = grants
        self._oauth = oauth
        self._hooks_api = hooks_api
        self._sender = sender
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
        tables, state.dirty_tables = state.dirty_tables, set()
        records, state.dirty_records = state.dirty_records, {}
        lines = [*(self._table_line(name) for name in sorted(tables)), *self._record_lines(records)]
        lines += [{"journal": entry} for entry in self._journal_lines]
        self._journal_lines.clear()
        self._file.append(lines)

    def close(self) -> None:
        self._file.close()

    # Writing --------------------------------------------------------------------------------------------

    def _everything(self) -> Iterator[Json]:
        state = self._state
        yield from (self._table_line(name) for name in _TABLES)
        yield from self._record_lines((key, id_) for key, table in state.tables.items() for id_ in table.ids)
        yield from ({"journal": entry} for entry in state.journal)

    def _table_line(self, name: str) -> Json:
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

    def _record_lines(self, keys: Iterable[tuple[str, int]]) -> Iterator[Json]:
        for key, record_id in keys:
            record = self._state.tables[key].records[record_id]
            yield {
                "record": [key, record_id, record.added_s, record.updated_s, record.deleted_s, record.merged_into],
                "values": record.values,
                "custom": record.custom,
                "edits": record.edits,
            }

    # Reading --------------------------------------------------------------------------------------------

    def _load(self) -> None:
        records: dict[tuple[str, int], Json] = {}
        for line in self._file.lines():
            if "record" in line:
                records[line["record"][0], line["record"][1]] = line
            elif "journal" in line:
                self._state.journal.append(line["journal"])
            else:
                self._load_table(line)
        for _, line in sorted(records.items()):
            self._state.load(_record(line))

    def _load_table(self, line: Json) -> None:
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
