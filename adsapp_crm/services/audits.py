"""Audits of a connection: hourly a sample, nightly everything where the allowance bears it, else spread over a week.

An audit compares ADSapp, the CRM and what both last agreed on. It writes no contact and no value in a CRM; it opens
and closes conflicts, and keeps what it found as a report that says how each cause of drift is repaired. It works page
by page from its row, so that a lost worker's audit goes on.
"""

from __future__ import annotations

import math
import time
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import requests
from django.db.models import F
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from adsapp_crm import wiring
from adsapp_crm.models import CrmAudit, CrmConnection, CrmSyncState
from adsapp_crm.models.choices import AuditScope, AuditStatus, ConnectionStatus, LinkStatus, RunTrigger
from adsapp_crm.services import syncing
from adsapp_crm.services.notices import tell_drift
from adsapp_crm.services.refusals import refuse
from adsapp_crm.services.schedules import schedule_of
from adsapp_crm.services.sealed import readable
from adsapp_crm.tenancy import organization_context
from crm.engine.audit import DRIFT, Cause, read_page, settle_page
from crm.engine.context import Ports
from crm.errors import CrmError
from crm.http.limits import Priority
from crm.model import RunKind

MOST_CONTACTS: Final = 200
"""Drifted contacts that a report names: as many as one run over chosen contacts takes."""
NIGHT_SHARE: Final = 0.05
"""Of a day's allowance, for reading everything in one night; what needs more is spread over the nights of a week."""
NIGHTS: Final = 7
NIGHT_HOUR: Final = 1
"""Local; the first hourly round from then on audits everything."""
STALLED_AFTER: Final = timedelta(minutes=10)
STEP_SECONDS: Final = 20.0

REPAIRS: Final = {
    Cause.WAITING: _("Nothing to do: the next sync takes them."),
    Cause.MISSED_IN_APP: _("Look at these records again; the contact's values go to the CRM."),
    Cause.MISSED_IN_CRM: _("Look at these records again; the CRM's values come to ADSapp."),
    Cause.CONFLICT: _("Answer the conflicts in the inbox."),
    Cause.CONTACT_GONE: _("Look at these records again; the rule for contacts deleted in ADSapp applies."),
    Cause.RECORD_GONE: _("Start a full sync; the rule for records deleted in the CRM applies."),
    Cause.REFUSED: _("Correct the values in the list of failing records, or the mapping."),
    Cause.UNRECORDED: _("Look at these records again; both sides agree already and nothing is written."),
}


def start_audits(connection_id: uuid.UUID, now: datetime) -> list[uuid.UUID]:
    """Audits to be worked on: one that stalled, else the hour's new one. In the organization's context."""
    row = CrmConnection.objects.filter(pk=connection_id, status=ConnectionStatus.ACTIVE).first()
    if row is None or row.first_sync_approved_at is None:
        return []
    running = CrmAudit.objects.filter(connection=row, status=AuditStatus.RUNNING)
    stalled = running.filter(updated_at__lt=now - STALLED_AFTER).first()
    if stalled is not None:
        return [stalled.pk]
    if running.exists():
        return []
    local = now.astimezone(schedule_of(row).zone)
    nightly = CrmAudit.objects.filter(connection=row, scope=AuditScope.ALL)
    tonight = nightly.filter(started_at__gt=now - timedelta(hours=20)).exists()
    is_night = NIGHT_HOUR <= local.hour < NIGHT_HOUR + 4
    scope = AuditScope.ALL if is_night and not tonight else AuditScope.SAMPLE
    before = CrmAudit.objects.filter(connection=row).order_by("-started_at", "-id").first()
    pages = _pages(row) if scope == AuditScope.ALL else 1
    made = CrmAudit.objects.create(
        connection=row,
        scope=scope,
        pages_left=pages,
        position={**(before.position if before is not None else {}), "ends": 0},
    )
    return [made.pk]


def step_audit(
    organization_id: uuid.UUID,
    audit_id: uuid.UUID,
    *,
    seconds: float = STEP_SECONDS,
    session: requests.Session | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Work on the audit until it ends, time is up or ``stop`` says so; True when there is more.

    Repeating a page finds the same.

    A CRM that does not answer ends it as failed, with the code: the next one goes on there. Must be called outside
    ``organization_context``.
    """
    deadline = time.monotonic() + seconds
    with organization_context(organization_id):
        audit = CrmAudit.objects.filter(pk=audit_id, status=AuditStatus.RUNNING).first()
    if audit is None:
        return False
    try:
        with organization_context(organization_id), readable():
            row = CrmConnection.objects.defer(None).get(pk=audit.connection_id)
            row.open_credentials()
        ports = wiring.assemble(
            row, lease=None, worker=f"audit:{audit_id}", priority=Priority.FULL, session=session
        ).ports
        while audit.status == AuditStatus.RUNNING and not stop() and time.monotonic() < deadline:
            _page(organization_id, audit, ports)
    except CrmError as error:
        _end(organization_id, audit, AuditStatus.FAILED, error.code)
    return audit.status == AuditStatus.RUNNING


def repair(audit_id: uuid.UUID, *, actor: str) -> uuid.UUID:
    """A run over the contacts that the report names; returns its id. In the current organization's context.

    Raises RefusedError: ``audit.unknown``, ``audit.clean``, and those of ``start_run``.
    """
    audit = find_audit(audit_id)
    if not audit.contact_ids:
        raise refuse("audit.clean", "The audit names no contact that drifted.", fix="There is nothing to repair.")
    return syncing.start_run(
        str(audit.organization_id),
        audit.connection_id,
        RunKind.MANUAL,
        trigger=RunTrigger.RETRY,
        actor=actor,
        contact_ids=audit.contact_ids,
    )


def find_audit(audit_id: uuid.UUID) -> CrmAudit:
    found = CrmAudit.objects.filter(pk=audit_id).first()
    if found is None:
        raise refuse("audit.unknown", "There is no audit with this id.", field="id")
    return found


def drifted(audit: CrmAudit) -> int:
    """Links that no coming sync would bring into step by itself."""
    return sum(number for cause, number in audit.causes.items() if cause in DRIFT)


def plan_of(audit: CrmAudit) -> list[dict[str, Any]]:
    """What to do about each cause, the most frequent first."""
    causes = sorted(audit.causes.items(), key=lambda each: (-each[1], each[0]))
    return [
        {"cause": cause, "records": number, "isDrift": cause in DRIFT, "repair": str(REPAIRS[Cause(cause)])}
        for cause, number in causes
    ]


def last_audit(connection_id: uuid.UUID) -> CrmAudit | None:
    ended = CrmAudit.objects.filter(connection=connection_id, status=AuditStatus.COMPLETED)
    return ended.order_by("-started_at", "-id").first()


def _pages(row: CrmConnection) -> int:
    """How many pages tonight: all of them, or a night's part where that costs more than a night may."""
    live = CrmSyncState.objects.filter(connection=row, state=LinkStatus.LIVE).count()
    batch = wiring.capabilities_of(row).read_batch
    pages = math.ceil(live / batch) + len(wiring.record_types_of(row))
    use = wiring.day_use(row, Priority.FULL)
    if use is None or use.limit is None or pages <= use.limit * NIGHT_SHARE:
        return pages
    return math.ceil(pages / NIGHTS)


def _page(organization_id: uuid.UUID, audit: CrmAudit, ports: Ports) -> None:
    """One page, stored with the position behind it. The walk begins anew behind the last record type."""
    types = [kind for kind, book in ports.books.items() if book.maps]
    if not types:
        _end(organization_id, audit, AuditStatus.COMPLETED)
        return
    record_type = audit.position.get("type")
    after = str(audit.position.get("after", "")) if record_type in types else ""
    record_type = record_type if record_type in types else types[0]
    book = ports.books[record_type]
    calls = ports.connector.calls
    page = read_page(ports, book, str(audit.pk), after, ports.connector.capabilities.read_batch)
    findings, opened = settle_page(ports, book, str(audit.pk), page)
    closed = sum(len(each.questions.closes) for each in findings if each.questions is not None)
    causes = Counter(audit.causes)
    causes.update(each.cause.value for each in findings if each.cause is not None)
    named = [each.contact_id for each in findings if each.cause in DRIFT]
    audit.contact_ids = list(dict.fromkeys([*audit.contact_ids, *named]))[:MOST_CONTACTS]
    audit.causes = dict(causes)
    audit.compared += len(findings)
    audit.pages_left -= 1
    if page.views:
        audit.position = {**audit.position, "type": record_type, "after": page.views[-1].link.link_id}
    else:
        ends = int(audit.position.get("ends", 0)) + 1
        audit.position = {"type": types[(types.index(record_type) + 1) % len(types)], "after": "", "ends": ends}
        audit.pages_left += audit.scope == AuditScope.SAMPLE and ends <= len(types)  # an end is no page of a sample
    with organization_context(organization_id):
        CrmAudit.objects.filter(pk=audit.pk).update(
            position=audit.position,
            causes=audit.causes,
            contact_ids=audit.contact_ids,
            compared=audit.compared,
            pages_left=max(0, audit.pages_left),
            conflicts_opened=F("conflicts_opened") + opened,
            conflicts_closed=F("conflicts_closed") + closed,
            api_calls=F("api_calls") + ports.connector.calls - calls,
            updated_at=Now(),
        )
    if audit.pages_left <= 0:
        _end(organization_id, audit, AuditStatus.COMPLETED)


def _end(organization_id: uuid.UUID, audit: CrmAudit, status: AuditStatus, code: str = "") -> None:
    audit.status = status
    with organization_context(organization_id):
        ended = CrmAudit.objects.filter(pk=audit.pk, status=AuditStatus.RUNNING).update(
            status=status, error_code=code, completed_at=Now(), updated_at=Now()
        )
        if ended and status == AuditStatus.COMPLETED:
            tell_drift(audit, drifted(audit))
