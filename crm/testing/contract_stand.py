"""What a contract check works with: the CRM account under test, and what every check does with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from crm.errors import CrmError
from crm.model import RemoteRecord, Value
from crm.ports import Connector, CreateItem, ItemResult, Page


class ContractError(AssertionError):
    """The connector does not do what its port promises."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A record of another object: what it is made with and what is then changed."""

    values: Mapping[str, Value]
    change: Mapping[str, Value]
    keeps_contact: bool = False
    """Whom it belongs to is said once, when it is made."""
    needs_contact: bool = False
    """It always belongs to somebody."""


@dataclass(frozen=True, slots=True)
class StandFields:
    """Names and values of one record type at this CRM."""

    record_type: str
    name: str
    """A text that every record may have; a record with only this can be created."""
    other: str
    """Another text field."""
    email: str
    """Unique among live records, if ``is_email_unique``."""
    unknown: str
    """The name of a field that does not exist."""
    refused: tuple[str, Value]
    """A field and a value for it that the CRM refuses, whatever else the record holds."""
    read_only: str
    is_email_unique: bool = True
    tells_merges: bool = True
    """A read of a merged-away id says into what; where not, only a webhook does, and the record looks deleted."""
    idle_requests: int = 1
    """What an idle delta costs: more where changed and new records are two lists."""
    others: Mapping[str, Sample] = field(default_factory=dict)
    """Objects of the guide that do not sync, by record type."""


class Stand(Protocol):
    """A CRM account under test, empty at first, and what a person can do in it."""

    fields: StandFields

    def connector(self) -> Connector:
        """A fresh one, as a new worker would have it."""
        ...

    def add(self, records: Sequence[Mapping[str, str]]) -> list[str]:
        """As an import would; the ids in the order given."""
        ...

    def edit(self, remote_id: str, values: Mapping[str, str]) -> None: ...

    def remove(self, remote_id: str) -> None: ...

    def merge(self, kept_id: str, other_id: str) -> str:
        """The survivor's id."""
        ...

    def live_ids(self) -> set[str]: ...

    def stored(self, remote_id: str, name: str) -> str:
        """The field as the CRM keeps it, ``""`` when blank."""
        ...

    def now(self) -> datetime:
        """The CRM's clock, which stands still but for ``pass_time``."""
        ...

    def pass_time(self, seconds: float) -> None: ...

    def fail(self, kind: str, *, times: int = 1, writes_only: bool = False) -> None:
        """``lost_answer`` (carried out, no answer), ``server_error`` (nothing done), ``html`` (200 and no JSON,
        nothing done), ``rate_limited`` (for a second), ``day_used_up`` (nothing done), ``unauthorized``, ``half_body``
        (carried out, the answer cut), ``huge_body`` (carried out, the answer longer than any).
        """
        ...

    def lag_search(self, seconds: float) -> None:
        """From now on what is written shows in search indexes that much later."""
        ...


Check = Callable[[Stand], None]


def expect(holds: object, what: str) -> None:
    if not holds:
        raise ContractError(what)


def same(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        raise ContractError(f"{what}: {found!r} instead of {wanted!r}")


def walk(step: Callable[[str | None], Page]) -> tuple[list[RemoteRecord], list[Page]]:
    pages = [step(None)]
    while pages[-1].next is not None:
        expect(len(pages) < 1_000, "a walk does not end")
        pages.append(step(pages[-1].next))
    return [record for page in pages for record in page.records], pages


def people(count: int, start: int = 0) -> list[dict[str, str]]:
    return [{"name": f"Person {number}", "email": f"p{number}@example.com"} for number in range(start, start + count)]


def add(stand: Stand, count: int, start: int = 0) -> list[str]:
    names = stand.fields
    return stand.add([{names.name: each["name"], names.email: each["email"]} for each in people(count, start)])


def creates(stand: Stand, count: int) -> list[CreateItem]:
    names = stand.fields
    return [
        CreateItem(f"key-{number}", f"org:contact-{number}", {names.name: each["name"], names.email: each["email"]})
        for number, each in enumerate(people(count))
    ]


def record_of(result: ItemResult) -> RemoteRecord:
    if result.error is not None or result.record is None:
        raise ContractError(f"the item {result.key} failed: {result.error!r}")
    return result.record


def error_of(act: Callable[[], object]) -> CrmError | None:
    try:
        act()
    except CrmError as error:
        return error
    return None
