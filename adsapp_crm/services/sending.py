"""Messages on their way: tried at once, then with growing pauses over a day, by the database's clock.

A message is claimed by moving its next attempt on and committing that, then it is sent, then its outcome is stored: a
second worker finds nothing to claim, and one that was killed half way is followed by the next attempt, under the same
message id. Whoever receives it may see it twice and knows it by that id.
"""

from __future__ import annotations

import json
import smtplib
import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from django.core.mail import EmailMessage
from django.db import connection as database
from django.db.models import Q
from django.db.models.functions import Now
from standardwebhooks import Webhook

from adsapp_crm import conf
from adsapp_crm.fields import UnreadableError
from adsapp_crm.models import CrmMessage, CrmOutgoingWebhook, Membership, Organization, uuid7
from adsapp_crm.models.choices import MessageStatus, NoticeKind
from adsapp_crm.services.notice_texts import text_of
from adsapp_crm.services.notices import tell_webhook_off
from adsapp_crm.services.outgoing import find_webhook, hosts
from adsapp_crm.services.telling import MAILED_ROLES, make_messages
from adsapp_crm.tenancy import organization_context
from crm.errors import ConfigurationError
from crm.http.posting import NO_ANSWER, post

PAUSES_SECONDS: Final = (30.0, 300.0, 1800.0, 7200.0, 18_000.0, 28_800.0, 28_800.0)
"""Between the attempts: eight within a day. A tenth is added at random, so that they do not come in step."""
ATTEMPTS: Final = len(PAUSES_SECONDS) + 1
STEP_SECONDS: Final = 20.0
"""A task sends for so long; a message takes ten seconds at most, and the sweep goes on with the rest."""

# The claim: whoever commits it has the message until its next attempt. MATERIALIZED, since a plan that asked for the
# due one again for each row of the table would claim one after the other.
_CLAIM: Final = """
WITH due AS MATERIALIZED (
  SELECT id FROM crm_messages WHERE organization_id = %(organization)s AND status = 'waiting'
    AND next_attempt_at <= clock_timestamp() AND (%(message)s::uuid IS NULL OR id = %(message)s::uuid)
  ORDER BY next_attempt_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE crm_messages AS m SET attempts = m.attempts + 1, next_attempt_at = clock_timestamp() + make_interval(
  secs => coalesce((%(pauses)s::double precision[])[m.attempts + 1], 3600) * (1 + random() / 10))
FROM due WHERE m.organization_id = %(organization)s AND m.id = due.id
RETURNING m.id, clock_timestamp()
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt; a code for what did not arrive."""

    code: str = ""
    http_status: int | None = None
    final: bool = False
    """No further attempt would change it."""


def tell(organization_id: uuid.UUID, *, seconds: float = STEP_SECONDS, session: requests.Session | None = None) -> int:
    """Make messages of the organization's notices and send what is due; how many were tried.

    Safe to run twice at once. Must be called outside ``organization_context``.
    """
    deadline = time.monotonic() + seconds
    with organization_context(organization_id, actor="service:telling"):
        while make_messages():
            pass
    tried = 0
    while time.monotonic() < deadline and _send_next(organization_id, None, session):
        tried += 1
    return tried


def send_test(
    organization_id: uuid.UUID, webhook_id: uuid.UUID, *, actor: str, session: requests.Session | None = None
) -> CrmMessage:
    """Send a message of no consequence now, once; the stored message says what came of it.

    Raises RefusedError (``outgoing.unknown``). Must be called outside ``organization_context``.
    """
    with organization_context(organization_id, actor=actor):
        find_webhook(webhook_id)
        payload = {"type": "test", "timestamp": None, "data": {"organizationId": str(organization_id)}}
        made = CrmMessage(id=uuid7(), webhook_id=webhook_id, kind=NoticeKind.TEST, payload=payload)
        made.save()
        made = CrmMessage.objects.get(pk=made.pk)
        made.payload = {**payload, "timestamp": made.created_at.isoformat()}
        made.save(update_fields=["payload"])
    _send_next(organization_id, made.pk, session)
    with organization_context(organization_id):
        return CrmMessage.objects.get(pk=made.pk)


def _send_next(organization_id: uuid.UUID, message_id: uuid.UUID | None, session: requests.Session | None) -> bool:
    with organization_context(organization_id), database.cursor() as cursor:
        cursor.execute(
            _CLAIM,
            {
                "organization": organization_id,
                "message": message_id,
                "pauses": list(PAUSES_SECONDS),
            },
        )
        claimed = cursor.fetchone()
        if claimed is None:
            return False
        message = CrmMessage.objects.select_related("webhook", "user").defer("webhook__secret").get(pk=claimed[0])
        organization = Organization.objects.get().name
        wanted = message.user_id is None or _still_wanted(message)
        unreadable = _load_secret(message)
    outcome = (
        Outcome(unreadable)
        if unreadable
        else _post(message, message.webhook, claimed[1], session)
        if message.webhook is not None
        else _mail(message, organization)
        if wanted
        else Outcome("mail.unwanted", final=True)
    )
    with organization_context(organization_id):
        _settle(message, outcome)
    return True


def _load_secret(message: CrmMessage) -> str:
    """Why the secret that signs the message cannot be read, empty where it can: the others are sent all the same."""
    try:
        if message.webhook is not None:
            message.webhook.opened()
    except UnreadableError as error:
        return error.code
    return ""


def _still_wanted(message: CrmMessage) -> bool:
    return Membership.objects.filter(
        user=message.user_id, role__in=MAILED_ROLES, email_notices=True, user__is_active=True
    ).exists()


def _post(message: CrmMessage, webhook: CrmOutgoingWebhook, now: datetime, session: requests.Session | None) -> Outcome:
    """``now``, by the database's clock, is what the signature is dated."""
    if not webhook.active and message.kind != NoticeKind.TEST:
        return Outcome("outgoing.off", final=True)
    body = json.dumps(message.payload, separators=(",", ":"), sort_keys=True)
    named = f"msg_{message.pk.hex}"
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "ADSapp-CRM",
        "webhook-id": named,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(webhook.opened()).sign(named, now, body),
    }
    try:
        status = post(webhook.url, body.encode(), headers, hosts=hosts(), session=session)
    except ConfigurationError:
        return Outcome("outgoing.not_public")
    if 200 <= status < 300:
        return Outcome(http_status=status)
    if status == 410:
        return Outcome("outgoing.gone", status, final=True)
    return Outcome("outgoing.unreachable") if status == NO_ANSWER else Outcome("outgoing.refused", status)


def _mail(message: CrmMessage, organization: str) -> Outcome:
    subject, body = text_of(message.payload, organization)
    host = urlsplit(conf.public_url()).hostname or "localhost"
    mail = EmailMessage(
        subject=subject,
        body=body,
        from_email=conf.mail_from(),
        to=[message.user.email] if message.user else [],
        headers={"Message-ID": f"<{message.pk.hex}@{host}>", "Auto-Submitted": "auto-generated"},
    )
    try:
        mail.send()
    except smtplib.SMTPRecipientsRefused as error:
        codes = [answer[0] for answer in error.recipients.values()]
        return Outcome("mail.refused", final=bool(codes) and min(codes) >= 500)
    except (smtplib.SMTPException, OSError):
        return Outcome("mail.failed")
    return Outcome()


def _settle(message: CrmMessage, outcome: Outcome) -> None:
    rows = CrmMessage.objects.filter(pk=message.pk, status=MessageStatus.WAITING)
    said: dict[str, Any] = {"code": outcome.code, "http_status": outcome.http_status}
    if not outcome.code:
        rows.update(status=MessageStatus.DELIVERED, settled_at=Now(), **said)
        if message.webhook_id is not None:
            CrmOutgoingWebhook.objects.filter(pk=message.webhook_id).update(last_success_at=Now())
    elif outcome.final or message.attempts >= ATTEMPTS or message.kind == NoticeKind.TEST:
        rows.update(status=MessageStatus.GIVEN_UP, settled_at=Now(), **said)
        if message.webhook_id is not None and message.kind != NoticeKind.TEST:
            _switch_off(message.webhook_id, message.created_at, outcome.code)
    else:
        rows.update(**said)


def _switch_off(webhook_id: uuid.UUID, since: datetime, code: str) -> None:
    """An address that took nothing for a day, or that says it is gone, is told nothing more until a person acts."""
    dead = CrmOutgoingWebhook.objects.filter(pk=webhook_id, active=True)
    if code != "outgoing.gone":
        dead = dead.filter(Q(last_success_at__isnull=True) | Q(last_success_at__lt=since))
    if dead.update(active=False, off_code=code):
        tell_webhook_off(webhook_id, code)
