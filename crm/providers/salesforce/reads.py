"""Reads by SOQL over the fields that the connected user can see.

Full scans walk by id, deltas by (SystemModstamp, Id) over live and deleted rows alike; each page is a query of its own,
so that no cursor of Salesforce can expire and changes made meanwhile are seen. What became of single records is one
query for 2,000 of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from crm.errors import CursorExpiredError, MappingError, RecordInvalidError, UnexpectedAnswerError
from crm.model import RemoteRecord, RemoteState
from crm.ports import Page
from crm.providers.salesforce import bulk_scan, endpoints, links, mapping, soql
from crm.providers.salesforce.bulk_scan import BulkScan
from crm.providers.salesforce.client import RowPage, SalesforceClient
from crm.providers.salesforce.listing import Listing
from crm.providers.salesforce.wire import WireRow, unknown_relation

_SCAN: Final = "scan"
_CHANGES: Final = "changes"
_MAX_MERGES: Final = 10
"""How often a winner may itself have lost before the chain is given up."""
_MARKERS_AT_ONCE: Final = 500
_QUERY_ROOM: Final = 90_000
_CHARACTERS_AN_ID: Final = 42
"""Each id stands in a query twice, with quotes and comma."""


@dataclass(frozen=True, slots=True)
class ReadMeans:
    """What the reads of one connection need."""

    client: SalesforceClient
    listing: Listing
    bulk_scan: BulkScan
    page_size: int
    jobs_from: int
    """Records from which on a first complete read is one job."""
    known_user_id: Callable[[], str]
    """The connected user where it is known, else ``""``: nobody is asked."""


class Reader:
    """Reads of all record types. Remembers which merges it has met."""

    def __init__(self, means: ReadMeans) -> None:
        self._means = means
        self._client = means.client
        self._listing = means.listing
        self._former: dict[str, dict[str, set[str]]] = {}

    def scan(self, record_type: str, fields: Sequence[str], after: str | None) -> Page:
        """From ``bulk_scan.START`` on by a query job where there are many records."""
        if after == bulk_scan.START:
            return self._first_scan(record_type, fields)
        if bulk_scan.is_position(after):
            found = self._job_page(record_type, fields, str(after))
            if found is not None:
                return found
            after = None
        last_id = _position(after, _SCAN)
        where = soql.above(mapping.ID, last_id) if last_id else None
        page = self._cut(self._rows_by_id(record_type, fields, where, self._means.page_size + 1))
        return self._scanned(record_type, fields, page, last_id)

    def _first_scan(self, record_type: str, fields: Sequence[str]) -> Page:
        """A query without a limit reads a page and tells how many there are, in one request.

        Where pages have to be smaller than Salesforce's own, the number is asked for.
        """
        page: RowPage | None = None
        if self._means.page_size == endpoints.QUERY_PAGE:
            page = self._rows_by_id(record_type, fields, None, None)
        total = self._client.count(record_type) if page is None else page.total
        if total >= self._means.jobs_from:
            query = soql.select(self._listing.selected(record_type, fields), record_type)
            begun = self._means.bulk_scan.begin(query)
            if begun is not None:
                return self._of_job(record_type, fields, begun)
        if page is None:
            return self.scan(record_type, fields, None)
        return self._scanned(record_type, fields, page, "")

    def _rows_by_id(
        self, record_type: str, fields: Sequence[str], where: soql.Condition | None, limit: int | None
    ) -> RowPage:
        def ask(names: list[str]) -> RowPage:
            query = soql.select(names, record_type, where, order=[mapping.ID], limit=limit)
            return self._client.query(query, operation=_SCAN)

        return self._asking(record_type, fields, ask)

    def _cut(self, page: RowPage) -> RowPage:
        """Without the row beyond the page's size, which a query asks for to learn that there is more."""
        size = self._means.page_size
        return page if len(page.rows) <= size else replace(page, rows=page.rows[:size], is_last=False)

    def _scanned(self, record_type: str, fields: Sequence[str], page: RowPage, last_id: str) -> Page:
        records = self._records(record_type, page.rows, fields)
        following = self._following(page, _SCAN, page.rows[-1]["Id"] if page.rows else "", last_id)
        return Page(tuple(self._with_former(record_type, records)), following, page.server_time)

    def _job_page(self, record_type: str, fields: Sequence[str], position: str) -> Page | None:
        """``None``: page by page, from the beginning."""
        if not bulk_scan.is_whole(position):
            raise CursorExpiredError("The position names no job", provider="salesforce")
        found = self._means.bulk_scan.page(position, bulk_scan.types_of(self._listing.fields(record_type)))
        return None if found is None else self._of_job(record_type, fields, found)

    def _of_job(self, record_type: str, fields: Sequence[str], found: bulk_scan.Rows) -> Page:
        records = self._records(record_type, found.rows, fields)
        return Page(tuple(self._with_former(record_type, records)), found.following, found.server_time)

    def changes(self, record_type: str, fields: Sequence[str], since: datetime, after: str | None) -> Page:
        """Live and deleted rows modified since then; merges are followed to their winners."""
        position = _position(after, _CHANGES)
        where = _changed_after(position) if position else soql.since(mapping.MODIFIED, since)

        def ask(names: list[str]) -> RowPage:
            order = [mapping.MODIFIED, mapping.ID]
            query = soql.select(names, record_type, where, order=order, limit=self._means.page_size + 1)
            return self._client.query(query, deleted_too=True, operation=_CHANGES)

        page = self._cut(self._asking(record_type, fields, ask))
        records = self._records(record_type, page.rows, fields)
        last = f"{page.rows[-1].get(mapping.MODIFIED)}|{page.rows[-1]['Id']}" if page.rows else ""
        following = self._following(page, _CHANGES, last, position)
        settled = self._follow_merges(record_type, fields, {each.remote_id: each for each in records})
        return Page(tuple(self._with_former(record_type, settled.values())), following, page.server_time)

    def fetch(self, record_type: str, remote_ids: Sequence[str], fields: Sequence[str]) -> dict[str, RemoteRecord]:
        """One request for 2,000 ids, and one more for each step of a merge that leads outside them.

        An id of another type (``Contact:003...``, where a lead was converted into) is not in the answer.
        """
        asked = [each for each in dict.fromkeys(remote_ids) if ":" not in each]
        whole = {each: mapping.id_of_type(record_type, each) for each in asked}
        found = self._by_id(record_type, [each for each in whole.values() if each], fields)
        found = self._follow_merges(record_type, fields, found)
        known = {each.remote_id: each for each in self._with_former(record_type, found.values())}
        missing = RemoteState.MISSING
        return {
            each: replace(known[remote_id], remote_id=each)
            if remote_id and remote_id in known
            else RemoteRecord(record_type, each, {}, state=missing)
            for each, remote_id in whole.items()
        }

    def find_by_markers(
        self, record_type: str, markers: Sequence[str], fields: Sequence[str]
    ) -> dict[str, RemoteRecord]:
        """One request for 500. A marker on two records is nobody's."""
        if not mapping.can_mark(self._listing.fields(record_type)):
            return {}
        wanted = list(dict.fromkeys(markers))
        found: dict[str, list[RemoteRecord]] = {}
        for start in range(0, len(wanted), _MARKERS_AT_ONCE):
            chunk = wanted[start : start + _MARKERS_AT_ONCE]

            def ask(names: list[str], chunk: Sequence[str] = chunk) -> RowPage:
                where = soql.is_in(mapping.MARKER_FIELD, chunk)
                rows = self._client.query_rows(soql.select(names, record_type, where), operation="find_by_markers")
                return RowPage(tuple(rows), is_last=True)

            for record in self._records(record_type, self._asking(record_type, fields, ask).rows, fields):
                found.setdefault(record.marker, []).append(record)
        return {each: found[each][0] for each in wanted if len(found.get(each, ())) == 1}

    def _asking(self, record_type: str, fields: Sequence[str], ask: Callable[[list[str]], RowPage]) -> RowPage:
        """Ask for the fields that are listed; when one has vanished since, look at the description once more."""
        names = self._listing.selected(record_type, fields)
        try:
            return ask(names)
        except RecordInvalidError as error:
            self._listing.renew(record_type)
            relation = unknown_relation(error)
            if relation:
                self._listing.without_relation(record_type, relation)
            left = self._listing.selected(record_type, fields)
            if left == names:
                raise MappingError(
                    "Salesforce does not know a field that it describes",
                    fix="Check the log-in's access to the mapped fields.",
                ) from error
        return ask(left)

    def _by_id(self, record_type: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, RemoteRecord]:
        """Rows of these ids, deleted ones too, and those that were merged into them."""
        wanted = list(dict.fromkeys(ids))
        size = endpoints.READ_BATCH
        names_length = sum(len(field) + 1 for field in fields)
        size = max(1, min(size, (_QUERY_ROOM - names_length) // _CHARACTERS_AN_ID))
        found: dict[str, RemoteRecord] = {}
        for start in range(0, len(wanted), size):
            chunk = wanted[start : start + size]
            by_id = soql.is_in(mapping.ID, chunk)
            has_masters = mapping.MASTER in self._listing.fields(record_type)
            where = soql.any_of(by_id, soql.is_in(mapping.MASTER, chunk)) if has_masters else by_id

            def ask(names: list[str], where: soql.Condition = where) -> RowPage:
                rows = self._client.query_rows(
                    soql.select(names, record_type, where), deleted_too=True, operation="fetch"
                )
                return RowPage(tuple(rows), is_last=True)

            rows = self._asking(record_type, fields, ask).rows
            found |= {record.remote_id: record for record in self._records(record_type, rows, fields)}
        return found

    def _records(self, record_type: str, rows: Iterable[WireRow], fields: Sequence[str]) -> list[RemoteRecord]:
        kinds, us = self._listing.kinds(record_type, fields), self._means.known_user_id()
        records = [mapping.read_record(record_type, row, list(kinds), kinds, us) for row in rows]
        if len(kinds) == len(fields) or not any(links.is_own(record_type, name) for name in fields):
            return records
        return links.Links(self._client, record_type).add(records, fields)

    def _follow_merges(
        self, record_type: str, fields: Sequence[str], records: dict[str, RemoteRecord]
    ) -> dict[str, RemoteRecord]:
        """The records with every loser led to its last winner, and the winners that were not among them."""
        found = dict(records)
        targets = mapping.merge_targets(found.values())
        for _ in range(_MAX_MERGES):
            unknown = [each for each in dict.fromkeys(targets.values()) if each not in found]
            if not unknown:
                break
            read = self._by_id(record_type, unknown, fields)
            found |= {each: read.get(each) or RemoteRecord(record_type, each, {}, state=RemoteState.MISSING)
                      for each in unknown}  # fmt: skip
            targets |= mapping.merge_targets(found.values())
        former = self._former.setdefault(record_type, {})
        for loser in targets:
            winner, seen = targets[loser], {loser}
            while winner in targets and winner not in seen:
                seen.add(winner)
                winner = targets[winner]
            found[loser] = replace(found[loser], merged_into=winner)
            former.setdefault(winner, set()).add(loser)
        return {
            each: record for each, record in found.items() if each in records or record.state is not RemoteState.MISSING
        }

    def _with_former(self, record_type: str, records: Iterable[RemoteRecord]) -> list[RemoteRecord]:
        """Winners name the losers that this connector has met."""
        former = self._former.get(record_type, {})
        return [
            replace(record, former_ids=tuple(sorted(former[record.remote_id])))
            if record.remote_id in former and record.state is RemoteState.LIVE
            else record
            for record in records
        ]

    def _following(self, page: RowPage, kind: str, last: str, before: str) -> str | None:
        """The next position; a walk that does not move on would be taken for a complete one, or never end."""
        if page.is_last:
            return None
        if not last or last == before:
            raise UnexpectedAnswerError("Salesforce's pages lead nowhere", provider="salesforce", operation=kind)
        return f"{kind}|{last}"


def _position(after: str | None, kind: str) -> str:
    """Each kind of walk has its own positions: a stamp and an id, or an id."""
    if not after:
        return ""
    found, _, position = after.partition("|")
    stamp, _, remote_id = position.rpartition("|")
    is_whole = mapping.moment(stamp) is not None if kind == _CHANGES else not stamp
    if found != kind or not is_whole or mapping.to18(remote_id) is None:
        raise CursorExpiredError("The position belongs to another kind of walk", provider="salesforce")
    return position


def _changed_after(position: str) -> soql.Condition:
    stamp, _, last_id = position.rpartition("|")
    at = mapping.moment(stamp)
    if at is None:
        raise CursorExpiredError("The position holds no time", provider="salesforce")
    same_second = soql.all_of(soql.at(mapping.MODIFIED, at), soql.above(mapping.ID, last_id))
    return soql.any_of(soql.after(mapping.MODIFIED, at), same_second)
