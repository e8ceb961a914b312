"""Conflicts: list, read, answer one or many, remember an answer as a rule."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from rest_framework.request import Request

from adsapp_crm.api.access import OrganizationView, actor_of
from adsapp_crm.api.lookups import check_named, find_conflict
from adsapp_crm.api.operations import Operation
from adsapp_crm.api.paging import listed, page_of
from adsapp_crm.api.shapes.conflicts import (
    AnswerSerializer,
    BulkAnswerSerializer,
    BulkAnswersSerializer,
    ConflictQuery,
    ConflictSerializer,
    LinkedPairSerializer,
    PairSerializer,
)
from adsapp_crm.models import CrmConflict
from adsapp_crm.models.choices import Role
from adsapp_crm.services.conflict_rules import remember_side
from adsapp_crm.services.conflicts import answer_conflict, create_anyway, ignore_match, link_pair
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.tasks import drain, send_after_commit
from crm.model import Side


class ConflictsView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(Role.VIEWER, "List conflicts, newest first", listed(ConflictSerializer), query=ConflictQuery)
    }

    def get(self, request: Request) -> Any:
        asked = self.query(request)
        with self.work(request):
            check_named(asked)
            rows = CrmConflict.objects.all()
            columns = {"connectionId": "connection_id", "contactId": "contact_id", "field": "app_field"}
            for key in ("connectionId", "contactId", "kind", "status", "field"):
                rows = rows.filter(**{columns.get(key, key): asked[key]}) if asked.get(key) else rows
            return self.answer(request, page_of(rows, asked))


class ConflictView(OrganizationView):
    operations: ClassVar = {"GET": Operation(Role.VIEWER, "Read a conflict", ConflictSerializer, problems=(404,))}

    def get(self, request: Request, conflict_id: uuid.UUID) -> Any:
        with self.work(request):
            return self.answer(request, find_conflict(conflict_id))


class ConflictResolveView(OrganizationView):
    operations: ClassVar = {
        "POST": Operation(
            Role.OPERATOR,
            "Answer with a side or a value",
            ConflictSerializer,
            body=AnswerSerializer,
            problems=(404, 409),
            example={"side": "app", "remember": False},
        )
    }

    def post(self, request: Request, conflict_id: uuid.UUID) -> Any:
        """The next run applies it while both sides hold what was shown, and asks again otherwise.

        ``remember`` changes the mapping, so it needs an administrator.
        """
        asked = self.body(request)
        actor = actor_of(request)
        side = Side(asked["side"]) if "side" in asked else None
        if asked["remember"]:
            self.need(request, Role.ADMIN)
        with self.work(request):
            found = answer_conflict(
                conflict_id, actor=actor, side=side, value=asked.get("value"), typed="value" in asked
            )
            if asked["remember"]:
                remember_side(found, side, actor=actor)
                found = find_conflict(conflict_id)
            send_after_commit(drain, str(found.connection_id))
        return self.answer(request, found)


class ConflictBulkView(OrganizationView):
    operations: ClassVar = {
        "POST": Operation(
            Role.OPERATOR,
            "Answer many conflicts with one side",
            BulkAnswersSerializer,
            body=BulkAnswerSerializer,
            example={"conflictIds": ["0198b1f0-0000-7000-8000-000000000009"], "side": "crm"},
        )
    }

    def post(self, request: Request) -> Any:
        """Each is answered or told why not; one that is refused stops no other."""
        asked = self.body(request)
        actor, connections = actor_of(request), set()
        codes: dict[uuid.UUID, str] = dict.fromkeys(asked["conflictIds"], "")
        with self.work(request):
            # In one order, whatever the body's: two requests that lock each other's rows would both wait.
            for conflict_id in sorted(codes):
                try:
                    answered = answer_conflict(conflict_id, actor=actor, side=Side(asked["side"]))
                except RefusedError as error:
                    codes[conflict_id] = error.code
                else:
                    connections.add(str(answered.connection_id))
            for connection_id in sorted(connections):
                send_after_commit(drain, connection_id)
        results = [{"id": conflict_id, "code": code} for conflict_id, code in codes.items()]
        answered_count = sum(not each["code"] for each in results)
        return self.answer(request, {"answered": answered_count, "results": results})


class ConflictLinkView(OrganizationView):
    operations: ClassVar = {
        "POST": Operation(
            Role.OPERATOR,
            "Make a contact and a record of a match a pair",
            LinkedPairSerializer,
            body=PairSerializer,
            problems=(404, 409),
            example={"contactId": "0198b1f0-0000-7000-8000-000000000002", "recordId": "501"},
        )
    }

    def post(self, request: Request, conflict_id: uuid.UUID) -> Any:
        asked = self.body(request)
        with self.work(request):
            check_named(asked)
            link = link_pair(
                conflict_id,
                contact_id=str(asked["contactId"]),
                remote_id=asked["recordId"],
                actor=actor_of(request),
            )
            send_after_commit(drain, str(link.connection_id))
            return self.answer(request, link)


class ConflictCreateView(OrganizationView):
    operations: ClassVar = {
        "POST": Operation(
            Role.OPERATOR,
            'Answer a match with "none of these": make a new one',
            ConflictSerializer,
            problems=(404, 409),
        )
    }

    def post(self, request: Request, conflict_id: uuid.UUID) -> Any:
        """The next run makes a record for the contact, or a contact for the record, if the candidates stay the same."""
        with self.work(request):
            found = create_anyway(conflict_id, actor=actor_of(request))
            send_after_commit(drain, str(found.connection_id))
        return self.answer(request, found)


class ConflictIgnoreView(OrganizationView):
    operations: ClassVar = {
        "POST": Operation(Role.OPERATOR, "Leave a match out of the sync", ConflictSerializer, problems=(404, 409))
    }

    def post(self, request: Request, conflict_id: uuid.UUID) -> Any:
        with self.work(request):
            ignore_match(conflict_id, actor=actor_of(request))
            return self.answer(request, find_conflict(conflict_id))
