"""Accounts by their exact name: what ``Account.Name`` of a contact is written through.

https://help.salesforce.com/s/articleView?id=sf.contacts_sharing.htm (checked 2026-11): a contact without an account is
private to its owner, and moving it to another account moves who sees it; so nothing is moved that bears the name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from crm.errors import (
    CrmError,
    FieldRefusal,
    MappingError,
    OutcomeUnknownError,
    PermissionMissingError,
    RecordLockedError,
    RejectedError,
    TransientError,
)
from crm.http.crew import Crew
from crm.providers.salesforce import endpoints, mapping, soql
from crm.providers.salesforce.client import SalesforceClient
from crm.providers.salesforce.wire import WireRow, classify_row

ACCOUNT: Final = "Account"
Found = tuple[str, ...] | FieldRefusal | TransientError
"""Ids of the accounts that bear a name, oldest first; why there is none; or that it is tried again later."""


class Companies:
    """The accounts that one connector has met."""

    def __init__(self, client: SalesforceClient, crew: Crew, *, may_create: bool) -> None:
        self._client = client
        self._crew = crew
        self._may_create = may_create
        self._known: dict[str, tuple[str, ...]] = {}

    def find(self, names: Iterable[str]) -> dict[str, Found]:
        """One request for 150 names that were not met before, one for 200 accounts that have to be made; several of
        each at once.
        """
        wanted = list(dict.fromkeys(names))
        found: dict[str, Found] = {}
        asked: list[str] = []
        for name in wanted:
            refusal = _refusal(name)
            if refusal is not None:
                found[name] = refusal
            elif name not in self._known:
                asked.append(name)
        try:
            self._look_up(asked)
        except (PermissionMissingError, RejectedError) as error:
            return {name: FieldRefusal("perm.object", error.provider_message) for name in wanted}
        missing = [name for name in asked if name not in self._known]
        made: Mapping[str, Found] = self._create(missing) if self._may_create else {}
        for name in wanted:
            if name not in found:
                no_account = FieldRefusal("field.picklist", "No account has this name")
                found[name] = self._known.get(name) or made.get(name, no_account)
        return found

    def _look_up(self, names: list[str]) -> None:
        def ask(chunk: list[str]) -> list[WireRow]:
            query = soql.select(["Id", "Name"], ACCOUNT, soql.is_in("Name", chunk), order=["CreatedDate", "Id"])
            return self._client.query_rows(query, operation="find_accounts")

        size = endpoints.NAME_BATCH
        chunks = {start: names[start : start + size] for start in range(0, len(names), size)}
        for start, rows in self._crew.each(chunks, ask).items():
            if isinstance(rows, CrmError):
                raise rows
            self._learn(chunks[start], rows)

    def _learn(self, names: list[str], rows: list[WireRow]) -> None:
        exact: dict[str, list[str]] = {}
        alike: dict[str, list[str]] = {}
        for row in rows:
            name = str(row.get("Name"))
            exact.setdefault(name, []).append(row["Id"])
            alike.setdefault(name.casefold(), []).append(row["Id"])
        for name in names:
            found = exact.get(name) or alike.get(name.casefold())
            if found:
                self._known[name] = tuple(found)

    def _create(self, names: list[str]) -> dict[str, Found]:
        """An account whose making was not answered is found by its name next time."""
        one_of_each = {name.casefold(): name for name in reversed(names)}

        def send(batch: Mapping[str, str]) -> dict[str, str | CrmError]:
            records = [{"attributes": {"type": ACCOUNT}, "Name": name} for name in batch.values()]
            results = self._client.create_rows(records)
            return {
                key: _made_id(result.get("id")) if result["success"] else classify_row(result.get("errors") or [])
                for key, result in zip(batch, results, strict=True)
            }

        outcomes = self._crew.in_batches(one_of_each, endpoints.WRITE_BATCH, send)
        made: dict[str, Found] = {}
        for name in names:
            outcome = outcomes[name.casefold()]
            if isinstance(outcome, str):
                self._known[name] = (outcome,)
            else:
                made[name] = _postponed(outcome)
        return made


def _made_id(found: object) -> str | CrmError:
    return found if isinstance(found, str) and found else OutcomeUnknownError()


def _postponed(error: CrmError) -> Found:
    if isinstance(error, TransientError):
        return error
    if isinstance(error, OutcomeUnknownError | RecordLockedError):
        return TransientError("The contact's account could not be made for certain", code=error.code)
    return FieldRefusal(error.code, error.provider_message)


def _refusal(name: str) -> FieldRefusal | None:
    if len(name) > mapping.ACCOUNT_NAME_LENGTH:
        return FieldRefusal("field.too_long", f"An account's name has at most {mapping.ACCOUNT_NAME_LENGTH} characters")
    try:
        soql.literal(name)
    except MappingError as error:
        return FieldRefusal(error.code)
    return None
