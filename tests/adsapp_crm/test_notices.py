"""Telling people: once for each change, with the change, signed, tried for a day, and never to an inner host."""

from __future__ import annotations

import smtplib
import threading
from datetime import timedelta

import pytest
from django.core import mail
from django.db import connection as database
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from standardwebhooks import Webhook

from adsapp_crm import tasks
from adsapp_crm.models import (
    CrmAudit,
    CrmConflict,
    CrmConnection,
    CrmMessage,
    CrmNotice,
    Membership,
)
from adsapp_crm.models.choices import Health
from adsapp_crm.selectors import database_now, organizations_to_tell
from adsapp_crm.services import sending
from adsapp_crm.services.connections import block_connection, pause_connection, resume_connection
from adsapp_crm.services.notices import tell_drift
from adsapp_crm.services.sending import ATTEMPTS, PAUSES_SECONDS, tell
from adsapp_crm.services.telling import watch_late
from crm.errors import ConnectionBlockedError
from tests.adsapp_crm.notice_stand import Receiver, change, connection, due_again, end_run, hook, public_names
from tests.adsapp_crm.webhook_stand import eager_tasks

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("public_names")]
__all__ = ["connection", "public_names"]


# What is told ---------------------------------------------------------------------------------------------------


def test_a_change_of_state_is_told_once_however_often_it_is_written(tenant, connection):
    """Flapping is told change by change; writing the same state again is no change."""
    receiver = Receiver()
    secret = hook(tenant).secret
    for word in (Health.HEALTHY, Health.NEEDS_RECONNECT, Health.NEEDS_RECONNECT, Health.HEALTHY, Health.HEALTHY):
        change(tenant, connection, health=word)

    assert tell(tenant.id, session=receiver.session) == 4  # two messages, and an e-mail with each
    assert tell(tenant.id, session=receiver.session) == 0

    states = [(each["data"]["before"], each["data"]["state"]) for each in receiver.told()]
    assert states == [("healthy", "needs_reconnect"), ("needs_reconnect", "healthy")]
    body, headers = receiver.seen[0]
    assert Webhook(secret).verify(body, headers)["type"] == "connection.state"
    assert headers["webhook-id"] != receiver.seen[1][1]["webhook-id"]
    assert [each.subject for each in mail.outbox] == ["First: HubSpot: needs reconnect", "First: HubSpot works again"]


def test_a_notice_stands_and_falls_with_its_change(tenant, connection):
    """The change was rolled back: nobody hears of it."""
    with tenant.context(), transaction.atomic():
        CrmConnection.objects.filter(pk=connection.pk).update(health=Health.HELD)
        assert CrmNotice.objects.count() == 2
        transaction.set_rollback(True)

    with tenant.context():
        assert CrmNotice.objects.count() == 0
    assert organizations_to_tell() == []


def test_every_kind_is_told_with_ids_and_counts_alone(tenant, connection):
    """State, run, conflicts of one page, brake, drift; runs over single records are nobody's news."""
    receiver = Receiver()
    hook(tenant)
    block_connection(tenant.id, connection.pk, ConnectionBlockedError(code="auth.revoked"))
    end_run(tenant, connection)
    end_run(tenant, connection, sync_type="manual", trigger="app_change")
    held = end_run(tenant, connection, status="held", sync_type="full")
    with tenant.context():
        for number in range(3):
            CrmConflict.objects.create(connection=connection, kind="field", mapping_id=str(number))
        audit = CrmAudit.objects.create(connection=connection, compared=9)
        for _ in range(2):
            tell_drift(audit, 2)

    assert organizations_to_tell() == [tenant.id]
    tell(tenant.id, session=receiver.session)

    assert sorted(receiver.types()) == sorted(
        ["connection.state", "run.finished", "run.finished", "brake.pulled", "conflict.opened", "drift.found"]
    )
    said = {each["type"]: each["data"] for each in receiver.told()}
    about = {"organizationId": str(tenant.id), "connectionId": str(connection.pk), "crmType": "hubspot"}
    assert said["connection.state"] == {
        **about,
        "state": "needs_reconnect",
        "before": "healthy",
        "code": "auth.revoked",
    }
    assert said["brake.pulled"] == {**about, "runId": str(held.pk)}
    assert said["conflict.opened"]["conflicts"] == 3
    assert said["drift.found"] == {**about, "auditId": str(audit.pk), "records": 2, "compared": 9}
    assert len(mail.outbox) == 4  # runs that finish are no news for a mailbox
    assert organizations_to_tell() == []


def test_drift_is_told_again_only_after_a_whole_audit_without(tenant, connection):
    with tenant.context():
        sample = CrmAudit.objects.create(connection=connection)
        whole = CrmAudit.objects.create(connection=connection, scope="all")
        for audit, drifted in ((sample, 1), (sample, 0), (sample, 1), (whole, 0), (sample, 1)):
            tell_drift(audit, drifted)
        assert CrmNotice.objects.filter(kind="drift.found").count() == 2


def test_time_makes_a_connection_late_and_a_success_ends_it(tenant, connection):
    """Nobody wrote a row: the watch tells it once, and the next success tells the end."""
    receiver = Receiver()
    hook(tenant, ["connection.state"])
    change(tenant, connection, last_success_at=Now() - timedelta(hours=2))

    assert [watch_late(database_now()) for _ in range(3)] == [1, 0, 0]
    change(tenant, connection, next_sync_at=Now())
    change(tenant, connection, last_success_at=Now())
    assert watch_late(database_now()) == 0

    tell(tenant.id, session=receiver.session)
    assert [each["data"]["state"] for each in receiver.told()] == ["late", "healthy"]
    assert "connection.late" not in mail.outbox[0].body
    assert "beat and the workers run" in mail.outbox[0].body


def test_a_person_pauses_and_resumes(tenant, connection):
    """Programs are told of it; nobody is mailed what a colleague did."""
    receiver = Receiver()
    hook(tenant)
    with tenant.context(actor="user:test"):
        pause_connection(connection.pk, actor="user:test")
        resume_connection(connection.pk, actor="user:test")

    tell(tenant.id, session=receiver.session)

    assert [each["data"]["state"] for each in receiver.told()] == ["paused", "healthy"]
    assert mail.outbox == []


def test_a_connection_that_was_resumed_is_not_late_before_its_next_sync(tenant, connection):
    """The pause was long; what is told of is a sync that fails to come afterwards."""
    change(tenant, connection, last_success_at=Now() - timedelta(days=2))
    with tenant.context(actor="user:test"):
        pause_connection(connection.pk, actor="user:test")
        resume_connection(connection.pk, actor="user:test")

    assert watch_late(database_now()) == 0
    assert watch_late(database_now() + timedelta(minutes=29)) == 0
    assert watch_late(database_now() + timedelta(minutes=31)) == 1


def test_conflicts_are_mailed_once_a_day_and_posted_each_time(tenant, connection):
    receiver = Receiver()
    hook(tenant)
    for number in range(2):
        with tenant.context():
            CrmConflict.objects.create(connection=connection, kind="field", mapping_id=str(number))
        tell(tenant.id, session=receiver.session)

    assert receiver.types() == ["conflict.opened"] * 2
    assert [each.subject for each in mail.outbox] == ["First: HubSpot: 1 conflict was opened"]


def test_mail_goes_to_owners_and_administrators_who_want_it(tenant, connection):
    """Not to other roles, not to those who left meanwhile; the same message keeps its id."""
    with tenant.context():
        from adsapp_crm.services.organizations import add_member

        for role in ("admin", "operator", "viewer"):
            add_member(f"{role}@example.com", role)
    change(tenant, connection, health=Health.NEEDS_ATTENTION)
    with tenant.context():
        sending.make_messages()
        Membership.objects.filter(user__email="admin@example.com").update(email_notices=False)

    assert tell(tenant.id) == 2

    (sent,) = mail.outbox
    assert (sent.to, sent.from_email) == ([tenant.user.email], "crm@adsapp.example")
    with tenant.context():
        rows = dict(CrmMessage.objects.values_list("user__email", "status"))
        message = CrmMessage.objects.get(user=tenant.user)
        assert CrmMessage.objects.get(user__email="admin@example.com").code == "mail.unwanted"
    assert rows == {tenant.user.email: "delivered", "admin@example.com": "given_up"}
    assert sent.extra_headers["Message-ID"].startswith(f"<{message.pk.hex}@")


@pytest.mark.parametrize(
    ("error", "code", "state"),
    [
        (ConnectionRefusedError(), "mail.failed", "waiting"),
        (smtplib.SMTPServerDisconnected(), "mail.failed", "waiting"),
        (smtplib.SMTPRecipientsRefused({"x": (450, b"later")}), "mail.refused", "waiting"),
        (smtplib.SMTPRecipientsRefused({"x": (550, b"no such user")}), "mail.refused", "given_up"),
    ],
)
def test_a_mail_that_was_not_taken_is_tried_again_unless_its_address_is_none(
    tenant, connection, monkeypatch, error, code, state
):
    def refuse(_mail):
        raise error

    change(tenant, connection, health=Health.NEEDS_ATTENTION)
    with monkeypatch.context() as broken:
        broken.setattr(sending.EmailMessage, "send", refuse)
        assert tell(tenant.id) == 1
    with tenant.context():
        message = CrmMessage.objects.get()
    assert (message.code, message.status) == (code, state)
    due_again(tenant)

    tell(tenant.id)

    assert len(mail.outbox) == (state == "waiting")


def test_without_a_mail_server_nobody_is_mailed(tenant, connection, settings):
    settings.CRM_MAIL_FROM = ""
    change(tenant, connection, health=Health.NEEDS_ATTENTION)

    assert tell(tenant.id) == 0
    with tenant.context():
        assert CrmMessage.objects.count() == 0


# How it is sent -------------------------------------------------------------------------------------------------


def test_a_message_is_tried_for_a_day_under_one_id_and_then_its_address_is_off(tenant, connection):
    """Eight attempts by the database's clock; the pauses grow to 23.6 hours together."""
    receiver = Receiver(500)
    row = hook(tenant, ["run.finished"]).row
    end_run(tenant, connection)
    pauses = []
    for number in range(ATTEMPTS):
        assert tell(tenant.id, session=receiver.session) == 1
        assert len(receiver.seen) == number + 1
        assert tell(tenant.id, session=receiver.session) == (number + 1 == ATTEMPTS)  # the e-mail that it is off
        with tenant.context():
            told = CrmMessage.objects.filter(webhook=row)
            pause = told.values_list(F("next_attempt_at") - Now(), flat=True).get()
        pauses.append(pause.total_seconds())
        due_again(tenant)

    assert len({headers["webhook-id"] for _body, headers in receiver.seen}) == 1
    assert len(receiver.seen) == ATTEMPTS == 8
    for asked, pause in zip(PAUSES_SECONDS, pauses, strict=False):
        assert asked - 1 <= pause <= asked * 1.1
    assert 23 <= sum(PAUSES_SECONDS) / 3600 < 24
    with tenant.context():
        message = CrmMessage.objects.get(webhook=row)
        assert (message.status, message.code, message.http_status) == ("given_up", "outgoing.refused", 500)
        row.refresh_from_db()
        assert (row.active, row.off_code) == (False, "outgoing.refused")
    assert [each.subject for each in mail.outbox] == ["First: An outgoing webhook was switched off"]
    end_run(tenant, connection)
    assert tell(tenant.id, session=receiver.session) == 0  # it is off


def test_a_secret_that_no_key_opens_keeps_no_other_message_back(tenant, connection):
    """The first address's message waits, with its code; the second's is sent."""
    receiver = Receiver()
    lost, kept = hook(tenant, ["run.finished"]).row, hook(tenant, ["run.finished"]).row
    with tenant.context(), database.cursor() as cursor:
        cursor.execute("UPDATE crm_outgoing_webhooks SET secret = %s WHERE id = %s", [b"a lost key's", lost.pk])
    end_run(tenant, connection)
    assert tell(tenant.id, session=receiver.session) == 2
    with tenant.context():
        told = dict(CrmMessage.objects.values_list("webhook_id", "status"))
        assert told == {lost.pk: "waiting", kept.pk: "delivered"}
        assert CrmMessage.objects.get(webhook_id=lost.pk, status="waiting").code == "config.encryption_key"


@pytest.mark.parametrize(
    ("status", "code", "state"),
    [
        (204, "", "delivered"),
        (301, "outgoing.refused", "waiting"),
        (404, "outgoing.refused", "waiting"),
        (410, "outgoing.gone", "given_up"),
        (503, "outgoing.refused", "waiting"),
    ],
)
def test_what_an_answer_means(tenant, connection, status, code, state):
    """A redirect is followed nowhere; 410 ends the subscription at once."""
    receiver = Receiver(status)
    row = hook(tenant, ["run.finished"]).row
    end_run(tenant, connection)

    tell(tenant.id, session=receiver.session)

    assert len(receiver.seen) == 1
    with tenant.context():
        message = CrmMessage.objects.get(webhook=row)
        row.refresh_from_db()
    assert (message.code, message.status) == (code, state)
    assert row.active is (status != 410)


def test_a_sender_that_dies_is_followed_by_the_next_attempt(tenant, connection, monkeypatch):
    """Claimed and not settled: nobody else takes it before its time, and the id stays."""
    receiver = Receiver()
    hook(tenant, ["run.finished"])
    end_run(tenant, connection)
    with monkeypatch.context() as broken:
        broken.setattr(sending, "_settle", lambda *_args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            tell(tenant.id, session=receiver.session)

    assert tell(tenant.id, session=receiver.session) == 0
    due_again(tenant)
    assert tell(tenant.id, session=receiver.session) == 1

    first, second = (headers["webhook-id"] for _body, headers in receiver.seen)
    assert first == second
    with tenant.context():
        assert CrmMessage.objects.get().status == "delivered"


@pytest.mark.django_db(transaction=True)
def test_two_senders_at_once_tell_it_once(tenant, connection):
    receiver = Receiver()
    hook(tenant)
    for _ in range(4):
        end_run(tenant, connection)
    start = threading.Barrier(2)
    tried = []

    def work():
        try:
            start.wait()
            tried.append(tell(tenant.id, session=receiver.session))
        finally:
            database.close()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()

    assert sum(tried) == 4
    assert len({headers["webhook-id"] for _body, headers in receiver.seen}) == len(receiver.seen) == 4


def test_the_sweep_finds_who_waits(tenant, connection, monkeypatch):
    """The task's message was lost: nothing but rows is needed."""
    change(tenant, connection, health=Health.NEEDS_RECONNECT)
    with eager_tasks():
        tasks.sweep.delay()

    assert len(mail.outbox) == 1
    assert organizations_to_tell() == []
