"""The jobs of the schedule: once per slot, whoever fires them, and only what is due."""

from __future__ import annotations

from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.contrib.sessions.models import Session
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from adsapp_crm import models
from adsapp_crm.models import ContactChange, CrmConflict, CrmJobSlot, CrmLedgerEntry, CrmSyncLog, CrmSyncState
from adsapp_crm.services import jobs
from adsapp_crm.services.jobs import Job
from adsapp_crm.services.refusals import RefusedError

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_slot_is_claimed_once():
    """Beat, the cron address and a second beat fire the same job: one of them works."""
    first = jobs.claim_slot(Job.DELTA_SYNC)

    assert first is not None
    assert [jobs.claim_slot(Job.DELTA_SYNC) for _ in range(3)] == [None, None, None]
    assert CrmJobSlot.objects.count() == 1
    assert jobs.claim_slot(Job.CLEANUP) is not None


def test_a_claim_whose_worker_died_is_given_away():
    """After ten minutes without an end; a finished one never."""
    slot = jobs.claim_slot(Job.CLEANUP)
    CrmJobSlot.objects.update(claimed_at=timezone.now() - timedelta(minutes=11))

    assert jobs.claim_slot(Job.CLEANUP) == slot
    assert jobs.do_job(slot) is not None
    CrmJobSlot.objects.update(claimed_at=timezone.now() - timedelta(minutes=11))
    assert jobs.claim_slot(Job.CLEANUP) is None
    assert jobs.do_job(slot) is None


def test_an_unknown_job_is_refused_by_name():
    """And no slot is taken."""
    with pytest.raises(RefusedError) as raised:
        jobs.job_named("deltasync")

    assert raised.value.code == "job.unknown"
    assert CrmJobSlot.objects.count() == 0


def test_cleanup_removes_what_is_older_than_its_retention(tenant, other, fill, settings):
    """Logs after their days, ledger and history after theirs; nothing younger, in any organization."""
    settings.CRM_LOG_RETENTION_DAYS, settings.CRM_LEDGER_RETENTION_DAYS = 30, 400
    long_ago, lately = timezone.now() - timedelta(days=31), timezone.now() - timedelta(days=29)
    for each in (tenant, other):
        fill(each)
        with each.context():
            old = CrmSyncLog.objects.get()
            CrmSyncLog.objects.filter(pk=old.pk).update(status="completed", completed_at=long_ago)
            models.CrmPlan.objects.update(status="applied", closed_at=long_ago)
            young = CrmSyncLog.objects.create(
                connection=old.connection, sync_type="delta", status="completed", completed_at=lately
            )
            for days in (401, 31):
                at = timezone.now() - timedelta(days=days)
                CrmLedgerEntry.objects.create(connection=old.connection, kind="sync", at=at)

    outcome = jobs.cleanup()

    assert {name: number for name, number in outcome.counts.items() if number} == {
        "plan_lines": 2,
        "plans": 2,
        "runs": 2,
        "ledger": 2,
        "idempotency_keys": 2,
    }
    for each in (tenant, other):
        with each.context():
            assert CrmSyncLog.objects.count() == 1
            assert CrmLedgerEntry.objects.count() == 2
            assert ContactChange.objects.count() == 1
    assert young.status == "completed"


def test_cleanup_removes_bounded_batches_of_what_belongs_to_no_organization(monkeypatch, tenant):
    """Refusals, sessions, log-in attempts, slots: so many at once, so many batches a day, and the rest tomorrow."""
    monkeypatch.setattr(jobs, "BATCH_ROWS", 3)
    monkeypatch.setattr(jobs, "MOST_BATCHES", 2)
    now = timezone.now()
    old, lately = now - timedelta(days=31), now - timedelta(days=29)
    for number in range(8):
        day = (old - timedelta(days=number)).date()
        models.CrmWebhookRefusal.objects.create(crm_type="hubspot", code="webhook.rate", day=day, last_at=old)
        Session.objects.create(session_key=f"over{number}", expire_date=now - timedelta(hours=1))
        AccessAttempt.objects.create(username=f"u{number}", ip_address="127.0.0.1", failures_since_start=1)
        CrmJobSlot.objects.create(kind="cleanup", slot=f"old {number}", finished_at=old)
    AccessAttempt.objects.update(attempt_time=old)
    CrmJobSlot.objects.update(claimed_at=old)
    models.CrmWebhookRefusal.objects.create(crm_type="hubspot", code="webhook.rate", day=lately.date(), last_at=lately)
    Session.objects.create(session_key="good", expire_date=now + timedelta(hours=1))
    AccessAttempt.objects.create(username="lately", ip_address="127.0.0.1", failures_since_start=1)
    CrmJobSlot.objects.create(kind="cleanup", slot="lately", finished_at=now)
    told = ("webhook_refusals", "sessions", "log_in_attempts", "job_slots")

    with CaptureQueriesContext(database) as first:
        counts = jobs.cleanup().counts

    assert [counts[name] for name in told] == [6] * 4
    batches = [each["sql"] for each in first if each["sql"].startswith('DELETE FROM "django_session"')]
    assert len(batches) == 2
    for left in (2, 0):
        counts = jobs.cleanup().counts
        assert [counts[name] for name in told] == [left] * 4
    for model in (models.CrmWebhookRefusal, Session, AccessAttempt, CrmJobSlot):
        assert model.objects.count() == 1


def test_conflict_flags_follow_the_open_questions(tenant, fill):
    """A link with an open question is flagged, one whose question was closed is not."""
    fill(tenant)
    with tenant.context():
        CrmSyncState.objects.update(conflict_detected=False)

    first = jobs.detect_conflicts()
    with tenant.context():
        assert CrmSyncState.objects.get().conflict_detected
        CrmConflict.objects.update(status="closed")
    second = jobs.detect_conflicts()

    assert first.counts == {"open": 1, "flagged": 1, "cleared": 0, "audits": 0}
    assert second.counts == {"open": 0, "flagged": 0, "cleared": 1, "audits": 0}
    with tenant.context():
        assert not CrmSyncState.objects.get().conflict_detected
