"""Records: where each contact stands at each CRM; retry, leave out and take in again, many at once."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework.request import Request

from adsapp_crm.api.access import OrganizationView, actor_of, organization_of
from adsapp_crm.api.lookups import check_named, find_connection
from adsapp_crm.api.operations import Operation
from adsapp_crm.api.paging import listed, page_of
from adsapp_crm.api.shapes.records import (
    ChosenRecordsSerializer,
    CountQuery,
    RecordCountsSerializer,
    RecordQuery,
    RecordsDoneSerializer,
    RecordSerializer,
    RoundTripSerializer,
    StandsSerializer,
    WantedRoundTripSerializer,
)
from adsapp_crm.api.views.contacts import find_contact
from adsapp_crm.models import CrmSyncState
from adsapp_crm.models.choices import Role
from adsapp_crm.services.explain import explain_contacts
from adsapp_crm.services.record_actions import contact_ids_of, exclude_links, include_links, retry_links, unlink
from adsapp_crm.services.records import chosen_records, count_records, find_records
from adsapp_crm.services.refusals import refuse
from adsapp_crm.services.retrying import AT_ONCE, start_retry
from adsapp_crm.services.round_trip import try_round_trip
from adsapp_crm.services.seats import asking_outside
from adsapp_crm.tasks import send_after_commit, sync_now

_CHOSEN = {"connectionId": "0198b1f0-0000-7000-8000-000000000001", "code": "field.too_long"}


class RecordsView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(Role.VIEWER, "List records by state or reason", listed(RecordSerializer), query=RecordQuery)
    }

    def get(self, request: Request) -> Any:
        asked = self.query(request)
        with self.work(request):
            check_named(asked)
            return self.answer(request, page_of(find_records(asked), asked))


class RecordCountsView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(
            Role.VIEWER, "Count records by state and reason", RecordCountsSerializer, query=CountQuery, problems=(404,)
        )
    }

    def get(self, request: Request) -> Any:
        asked = self.query(request)
        with self.work(request):
            return self.answer(request, count_records(find_connection(asked["connectionId"], field="connectionId")))


class ContactRoundTripView(OrganizationView):
    opens_own_transactions: ClassVar[bool] = True
    operations: ClassVar = {
        "POST": Operation(
            Role.OPERATOR,
            "Try a contact's values in the CRM by a test record",
            RoundTripSerializer,
            body=WantedRoundTripSerializer,
            problems=(404, 409),
            example={"connectionId": "0198b1f0-0000-7000-8000-000000000001"},
        )
    }

    def post(self, request: Request, contact_id: uuid.UUID) -> Any:
        """It is made, read back, compared and deleted again; the contact's own record is not touched."""
        connection_id = self.body(request)["connectionId"]
        with asking_outside():
            tried = try_round_trip(organization_of(request), contact_id, connection_id, actor=actor_of(request))
        return self.answer(request, tried)


class ContactRecordsView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(Role.VIEWER, "Say where a contact stands, and why", StandsSerializer, problems=(404,))
    }

    def get(self, request: Request, contact_id: uuid.UUID) -> Any:
        """At each connection, field by field: the values of both sides, and what they agreed on last."""
        with self.work(request):
            find_contact(contact_id)
            found = explain_contacts(str(contact_id))[0]
            return self.answer(request, {"contactId": contact_id, "records": found.stands})


class _ChosenView(OrganizationView):
    """One action on the records that a body names; all of them, or none where an id is unknown."""

    syncs: ClassVar[bool] = True
    """Whether they are to be synced afterwards."""

    def act(self, links: QuerySet[CrmSyncState], actor: str) -> int:
        raise NotImplementedError

    def post(self, request: Request) -> Any:
        asked = self.body(request)
        with self.work(request):
            row = find_connection(asked["connectionId"], field="connectionId")
            links = chosen_records(row.pk, asked.get("recordIds", []), asked.get("code"))
            contacts = contact_ids_of(links, AT_ONCE) if self.syncs else ()
            done = self.act(links, actor_of(request))
            run_id = start_retry(row.pk, contacts, actor=actor_of(request)) if done else None
            if run_id is not None:
                send_after_commit(sync_now, str(run_id))
            return self.answer(request, {"records": done})


def _chosen(summary: str) -> dict[str, Operation]:
    return {
        "POST": Operation(
            Role.OPERATOR,
            summary,
            RecordsDoneSerializer,
            body=ChosenRecordsSerializer,
            problems=(404,),
            example=_CHOSEN,
        )
    }


class RecordsRetryView(_ChosenView):
    operations: ClassVar = _chosen("Try failing records again at once")

    def act(self, links: QuerySet[CrmSyncState], actor: str) -> int:  # noqa: ARG002
        return retry_links(links)


class RecordsExcludeView(_ChosenView):
    operations: ClassVar = _chosen("Leave records out of the sync")
    syncs: ClassVar[bool] = False

    def act(self, links: QuerySet[CrmSyncState], actor: str) -> int:
        return exclude_links(links, actor=actor)


class RecordsIncludeView(_ChosenView):
    operations: ClassVar = _chosen("Take excluded records in again")

    def act(self, links: QuerySet[CrmSyncState], actor: str) -> int:  # noqa: ARG002
        return include_links(links)


class RecordUnlinkView(OrganizationView):
    operations: ClassVar = {
        "POST": Operation(Role.OPERATOR, "End a pair; both records stay", status=204, problems=(404,))
    }

    def post(self, request: Request, record_id: uuid.UUID) -> Any:
        with self.work(request):
            if not CrmSyncState.objects.filter(pk=record_id).exists():
                raise refuse("record.unknown", "There is no record with this id.", field="id")
            unlink(record_id, actor=actor_of(request))
        return self.answer(request, None)
