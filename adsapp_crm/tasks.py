"""The doors of the workers: load by id, call a service, hand on what it left.

Arguments are ids only. Whose data it is follows from the row, never from the message. All state is in rows:
losing every message loses nothing, because the sweep finds what is unfinished.
"""

from __future__ import annotations

import logging
import uuid

from celery import shared_task, signals
from celery.app.task import Task
from django.db import close_old_connections, transaction
from django.dispatch import receiver

from adsapp_crm.selectors import (
    connections_beside_changes,
    organization_of_audit,
    organization_of_connection,
    organizations_to_tell,
    place_of_run,
    waiting_inboxes,
)
from adsapp_crm.services import inbox, jobs, realtime, sending
from adsapp_crm.services.audits import step_audit
from adsapp_crm.services.stepping import Left, step_run
from adsapp_crm.services.upkeep import look_after
from adsapp_crm.services.vitals import BEAT, SWEEP, note_heartbeat
from adsapp_crm.stopping import told_to_stop
from adsapp_crm.tenancy import organization_context

log = logging.getLogger(__name__)


def send_after_commit(task: Task[[str], None], row_id: str) -> None:
    """Send a task about a row once the transaction around us has committed.

    A broker that is away is logged and breaks nothing: the row is there, and the sweep finds it.
    """
    transaction.on_commit(lambda: task.delay(row_id), robust=True)


@shared_task
def sync_page(run_id: str) -> None:
    """Work on a run for one step and come back for the next; chosen contacts go by the interactive queue.

    A run that another worker has, or that waits, is left to it and to the sweep.
    """
    if _step(run_id) is Left.MORE:
        sync_page.delay(run_id)


@shared_task
def sync_now(run_id: str) -> None:
    """Like ``sync_page``, before all bulk work: a person waits."""
    if _step(run_id) is Left.MORE:
        sync_now.delay(run_id)


@shared_task
def drain(connection_id: str, seconds: int = realtime.RECENT_SECONDS) -> None:
    """Bring the contacts into step that were changed within ``seconds`` and have something to do at this connection."""
    organization_id = organization_of_connection(uuid.UUID(connection_id))
    if organization_id is None:
        return
    push = realtime.start_push(organization_id, uuid.UUID(connection_id), seconds=seconds)
    if push is None:
        return
    if push.in_bulk:
        sync_page.delay(str(push.run_id))
    else:
        sync_now(str(push.run_id))


@shared_task
def refetch(connection_id: str) -> None:
    """Read again what the connection's webhook events name."""
    organization_id = organization_of_connection(uuid.UUID(connection_id))
    if organization_id is None:
        return
    inbox.settle(organization_id, uuid.UUID(connection_id))
    run_id = inbox.start_refetch(organization_id, uuid.UUID(connection_id))
    if run_id is not None:
        sync_now(str(run_id))


@receiver(realtime.push_wanted, dispatch_uid="tasks.drain")
def _drain_when_wanted(connection_id: str, **_named: object) -> None:
    drain.delay(connection_id)


def _step(run_id: str) -> Left:
    place = place_of_run(uuid.UUID(run_id))
    if place is None:
        log.warning("a message names a run that does not exist", extra={"run_id": run_id})
        return Left.ENDED
    left = step_run(place[0], run_id, stop=told_to_stop).left
    if left is Left.ENDED:
        _follow_up(*place)
    return left


def _follow_up(organization_id: uuid.UUID, connection_id: uuid.UUID) -> None:
    """What a run that ended has made possible: events that waited for it, and contacts that other CRMs lack."""
    if inbox.settle(organization_id, connection_id):
        refetch.apply_async((str(connection_id),), countdown=inbox.BURST_SECONDS)
    with organization_context(organization_id):
        due = [each for each in realtime.connections_to_ask() if realtime.has_due(each)]
    for each in due:
        drain.delay(str(each))


@shared_task
def check_connection(connection_id: str) -> None:
    """Whether the connection works; once an hour whether its CRM still sends its events and has the same fields."""
    organization_id = organization_of_connection(uuid.UUID(connection_id))
    if organization_id is not None:
        look_after(organization_id, uuid.UUID(connection_id))


@shared_task
def audit_page(audit_id: str) -> None:
    """Work on an audit for one step and come back for the next."""
    organization_id = organization_of_audit(uuid.UUID(audit_id))
    if organization_id is not None and step_audit(organization_id, uuid.UUID(audit_id), stop=told_to_stop):
        audit_page.delay(audit_id)


@shared_task
def tell(organization_id: str) -> None:
    """Send what the organization's people and programs are to be told; the sweep finds whom."""
    sending.tell(uuid.UUID(organization_id))


@shared_task
def fire_job(name: str) -> None:
    """A job of the schedule; whoever is second in the slot does nothing."""
    slot_id = jobs.claim_slot(jobs.job_named(name))
    if slot_id is not None:
        work_job(str(slot_id))


@shared_task
def work_job(slot_id: str) -> None:
    """The work of a claimed slot, then a task for each thing that it left."""
    outcome = jobs.do_job(uuid.UUID(slot_id))
    if outcome is None:
        return
    for run_id in outcome.run_ids:
        sync_page.delay(run_id)
    for connection_id in outcome.connection_ids:
        check_connection.delay(connection_id)
    for audit_id in outcome.audit_ids:
        audit_page.delay(audit_id)


@shared_task
def sweep() -> None:
    """Go on with what nobody works on: its message was lost, its worker died, or its wait is over."""
    for run_id in jobs.runs_to_resume():
        sync_page.delay(str(run_id))
    for connection_id in waiting_inboxes():
        refetch.delay(str(connection_id))
    for connection_id in connections_beside_changes(realtime.WINDOW_SECONDS):
        drain.delay(str(connection_id), realtime.WINDOW_SECONDS)
    for organization_id in organizations_to_tell():
        tell.delay(str(organization_id))
    note_heartbeat(SWEEP)


@signals.beat_init.connect(dispatch_uid="tasks.heartbeat")
@signals.beat_embedded_init.connect(dispatch_uid="tasks.heartbeat")
def _listen_to_beat(**_named: object) -> None:
    """In beat's process alone: what it sends is its heartbeat."""
    signals.after_task_publish.connect(_note_beat, sender=sweep.name, dispatch_uid="tasks.heartbeat", weak=False)


def _note_beat(**_named: object) -> None:
    close_old_connections()  # beat may have slept through a restart of the database
    note_heartbeat(BEAT)
