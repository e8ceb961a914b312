"""The org as it is before anyone writes: itself, its users, a queue, lead statuses and stages."""

from __future__ import annotations

from typing import Any, NamedTuple

from crm.providers.salesforce.fake import ids
from crm.providers.salesforce.fake.stamps import whole_second
from crm.providers.salesforce.fake.standard_objects import LEAD_STATUSES, STAGES
from crm.providers.salesforce.fake.state import Record, State


class People(NamedTuple):
    """18-character ids; ``ui_user_id`` is the person who edits in Salesforce's own pages."""

    org_id: str
    api_user_id: str
    ui_user_id: str
    automated_user_id: str
    queue_id: str


def furnish(state: State, org_number: int) -> People:
    people = People(
        org_id=ids.make("00D", org_number),
        api_user_id=ids.make("005", org_number * 100 + 1),
        ui_user_id=ids.make("005", org_number * 100 + 2),
        automated_user_id=ids.make("005", org_number * 100 + 3),
        queue_id=ids.make("00G", org_number * 100 + 4),
    )
    _add(
        state,
        people.automated_user_id,
        "Organization",
        people.org_id,
        Name="Acme",
        OrganizationType="Developer Edition",
        InstanceName="USA1",
        IsSandbox=False,
    )
    for user_id, first, last, kind in (
        (people.api_user_id, "Integration", "User", "Standard"),
        (people.ui_user_id, "Grace", "Hopper", "Standard"),
        (people.automated_user_id, None, "Automated Process", "AutomatedProcess"),
    ):
        name = f"{first} {last}" if first else last
        address = f"{name.lower().replace(' ', '.')}@acme.example.com"
        add_user(state, people.automated_user_id, user_id, first=first, last=last, email=address, kind=kind)
    _add(state, people.automated_user_id, "Group", people.queue_id, Name="New leads", Type="Queue")
    for number, label in enumerate(LEAD_STATUSES, 1):
        _add(
            state,
            people.automated_user_id,
            "LeadStatus",
            ids.make("01J", org_number * 1_000 + number),
            MasterLabel=label,
            ApiName=label,
            SortOrder=number,
            IsDefault=number == 1,
            IsConverted=label == "Closed - Converted",
        )
    for number, (label, probability) in enumerate(STAGES.items(), 1):
        _add(
            state,
            people.automated_user_id,
            "OpportunityStage",
            ids.make("01J", org_number * 1_000 + 100 + number),
            MasterLabel=label,
            ApiName=label,
            SortOrder=number,
            DefaultProbability=probability,
            IsActive=True,
            IsClosed=label in ("Closed Won", "Closed Lost"),
            IsWon=label == "Closed Won",
        )
    return people


def add_user(
    state: State, by: str, user_id: str, *, first: str | None, last: str, email: str, kind: str = "Standard"
) -> Record:
    name = f"{first} {last}" if first else last
    return _add(
        state,
        by,
        "User",
        user_id,
        Username=email,
        FirstName=first,
        LastName=last,
        Name=name,
        Email=email,
        IsActive=True,
        UserType=kind,
    )


def _add(state: State, by: str, kind: str, record_id: str, **values: Any) -> Record:
    stamp_ms = whole_second(state.clock.now_ms())
    values |= {
        "Id": record_id,
        "CreatedDate": stamp_ms,
        "CreatedById": by,
        "LastModifiedDate": stamp_ms,
        "LastModifiedById": by,
        "SystemModstamp": stamp_ms,
    }
    record = Record(kind, record_id, {name: value for name, value in values.items() if value is not None})
    state.insert(record)
    return record
