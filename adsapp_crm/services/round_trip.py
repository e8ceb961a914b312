"""Trying a contact's values in the CRM itself: a test record is made, read back, compared, and deleted again.

The contact's own record is not touched. The test record has an e-mail address of its own that reaches nobody. No scan
of the connection works meanwhile, and the record is left out of the sync as soon as its id is known, so that it never
becomes a contact, not even if this process dies before it could delete it.
"""

from __future__ import annotations

import enum
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import requests
from django.db.models.functions import Now

from adsapp_crm import wiring
from adsapp_crm.models import Contact, CrmConnection, CrmObservation, CrmSyncState
from adsapp_crm.models.choices import ConnectionEventKind, ConnectionStatus, LinkStatus, RecordState
from adsapp_crm.services.connection_history import note
from adsapp_crm.services.mappings import app_value
from adsapp_crm.services.refusals import refuse
from adsapp_crm.services.stepping import SCAN
from adsapp_crm.storage import acquire_lease, kept_alive, release_lease
from adsapp_crm.tenancy import organization_context
from crm.errors import CrmError, OutcomeUnknownError
from crm.mapping.field_map import FieldMap
from crm.mapping.kinds import Kind, TransformError, is_blank
from crm.model import Direction, RemoteRecord, Value
from crm.ports import Connector, CreateItem, UpdateItem

ADDRESS: Final = "round-trip-{}@example.com"
"""Of a domain that is kept for examples: mail to it is read by nobody."""


class Outcome(enum.StrEnum):
    SAME = "same"
    OTHER = "other"
    """The CRM holds something else than was sent, and it would come back changed."""
    REFUSED = "refused"
    UNREAD = "unread"
    """The CRM did not show the field."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One mapped field. ``sent`` is what went to the CRM, ``back`` what it answered when it was read."""

    app_field: str
    remote_field: str
    sent: Value
    back: Value
    outcome: Outcome
    code: str = ""


@dataclass(frozen=True, slots=True)
class RoundTrip:
    record_type: str
    fields: tuple[Tried, ...]
    code: str = ""
    """Why the test record as a whole could not be made or read; empty when it could."""
    left_over: str = ""
    """Id of the test record where it could not be deleted: a person deletes it in the CRM."""

    @property
    def is_fine(self) -> bool:
        return not self.code and not self.left_over and all(each.outcome is Outcome.SAME for each in self.fields)


def try_round_trip(
    organization_id: uuid.UUID,
    contact_id: uuid.UUID,
    connection_id: uuid.UUID,
    *,
    actor: str,
    session: requests.Session | None = None,
) -> RoundTrip:
    """Send what is mapped to the CRM, consents and owners aside, and say what comes back of each field.

    Not idempotent: each call makes and deletes one record. Raises RefusedError (``contact.unknown``,
    ``connection.unknown``, ``run.busy`` while a scan of the connection works). Errors of the CRM are in the answer.
    Must be called outside ``organization_context``.
    """
    with organization_context(organization_id, actor=actor):
        contact, row, kind = _chosen(contact_id, connection_id)
        maps = wiring.books_of(row)[0][kind].maps
        wanted, tried = _drafts(contact, maps)
    lease = acquire_lease(row, SCAN)
    if lease is None:
        raise refuse(
            "run.busy", "A run of this connection is on its way.", fix="Wait until it has ended, or cancel it."
        )
    try:
        with kept_alive(row, lease) as check_lease:
            connector = wiring.connector_of(row, session=session, before_call=check_lease)
            made = _Trial(organization_id, row, kind, connector, actor).run(wanted)
    finally:
        release_lease(row, lease)
    fields = (*(_judged(built, sent, ours, made) for built, sent, ours in wanted), *tried)
    told = RoundTrip(kind, fields if not made.code else tried, made.code, made.left_over)
    with organization_context(organization_id, actor=actor):
        outcomes = {each.remote_field: each.outcome.value for each in told.fields if each.outcome is not Outcome.SAME}
        note(
            row.pk,
            ConnectionEventKind.ROUND_TRIP,
            code=told.code,
            recordType=kind,
            fields=len(fields),
            not_same=outcomes,
        )
    return told


Wanted = Sequence[tuple[FieldMap, Value, Value]]
"""Mapping, what is sent, and the value of ours that it was made from."""


def _chosen(contact_id: uuid.UUID, connection_id: uuid.UUID) -> tuple[Contact, CrmConnection, str]:
    contact = Contact.objects.live().filter(pk=contact_id).first()
    if contact is None:
        raise refuse("contact.unknown", "There is no such contact.", field="contact")
    row = CrmConnection.objects.defer(None).filter(pk=connection_id, status=ConnectionStatus.ACTIVE).first()
    if row is None:
        raise refuse("connection.unknown", "There is no active connection with this id.", field="connectionId")
    link = CrmSyncState.objects.filter(connection_id=row.pk, contact_id=contact.pk, state=LinkStatus.LIVE).first()
    kinds = wiring.record_types_of(row)
    kind = link.crm_record_type if link is not None else row.create_type or wiring.capabilities_of(row).create_type
    return contact, row, kind if kind in kinds else kinds[0]


def _drafts(contact: Contact, maps: Sequence[FieldMap]) -> tuple[Wanted, tuple[Tried, ...]]:
    """What to send, and the fields whose value the mapping itself refuses."""
    wanted: list[tuple[FieldMap, Value, Value]] = []
    refused: list[Tried] = []
    for built in maps:
        if built.direction is Direction.FROM_CRM or built.consent or built.app_kind is Kind.REFERENCE:
            continue
        ours = app_value(contact, built.app_field)
        if built.app_kind is Kind.EMAIL:
            ours = ADDRESS.format(secrets.token_hex(8))
        try:
            sent = built.to_crm(ours)
        except TransformError as error:
            refused.append(Tried(built.app_field, built.remote_field, None, None, Outcome.REFUSED, error.code))
            continue
        if not is_blank(sent):
            wanted.append((built, sent, ours))
    return wanted, tuple(refused)


@dataclass(slots=True)
class _Trial:
    """The test record's short life."""

    organization_id: uuid.UUID
    row: CrmConnection
    kind: str
    connector: Connector
    actor: str
    remote_id: str = ""
    code: str = ""
    left_over: str = ""
    refused: Mapping[str, Any] | None = None
    back: RemoteRecord | None = None

    def run(self, wanted: Wanted) -> _Trial:
        marker = f"round-trip-{uuid.uuid4()}"
        fields = [built.remote_field for built, _sent, _ours in wanted]
        try:
            self._create(marker, {built.remote_field: sent for built, sent, _ours in wanted}, fields)
            if self.remote_id:
                self._leave_out()
                self.back = self.connector.fetch(self.kind, [self.remote_id], fields)[self.remote_id]
        except CrmError as error:
            self.code = error.code
        finally:
            if self.remote_id:
                self._delete()
        return self

    def _create(self, marker: str, values: Mapping[str, Value], fields: Sequence[str]) -> None:
        result = self.connector.create(self.kind, [CreateItem(marker, marker, values)])[marker]
        self.refused = result.refused
        if result.record is not None:
            self.remote_id = result.record.remote_id
            return
        self.code = result.error.code if result.error is not None else "net.bad_response"
        if isinstance(result.error, OutcomeUnknownError) and self.connector.capabilities.marker_lookup:
            found = self.connector.find_by_markers(self.kind, [marker], fields).get(marker)
            self.remote_id = found.remote_id if found is not None else ""
            self.code = "" if self.remote_id else self.code

    def _leave_out(self, state: str = RecordState.LIVE) -> None:
        with organization_context(self.organization_id, actor=self.actor):
            CrmObservation.objects.update_or_create(
                connection_id=self.row.pk,
                record_type=self.kind,
                remote_id=self.remote_id,
                defaults={"excluded_at": Now(), "excluded_by": self.actor, "state": state},
            )

    def _delete(self) -> None:
        try:
            gone = self.connector.delete(self.kind, [UpdateItem("test", self.remote_id, {})])["test"]
        except CrmError:
            self.left_over = self.remote_id
            return
        if gone.error is not None:
            self.left_over = self.remote_id
        else:
            self._leave_out(RecordState.ARCHIVED)


def _judged(built: FieldMap, sent: Value, ours: Value, made: _Trial) -> Tried:
    refusal = (made.refused or {}).get(built.remote_field)
    if refusal is not None:
        return Tried(built.app_field, built.remote_field, sent, None, Outcome.REFUSED, str(refusal.code))
    if made.back is None or built.remote_field not in made.back.values:
        return Tried(built.app_field, built.remote_field, sent, None, Outcome.UNREAD)
    back = made.back.values[built.remote_field]
    outcome = Outcome.SAME if built.correspond(ours, back) else Outcome.OTHER
    return Tried(built.app_field, built.remote_field, sent, back, outcome)
