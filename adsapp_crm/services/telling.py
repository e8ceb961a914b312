"""From notices to messages: who is told of what, once.

Notices are written with the change itself (``migrations/_telling.py``, ``services/notices.py``, ``watch_late``). Making
messages of them marks them in the same transaction: a task that runs twice, or is killed, tells nobody twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection as database
from django.db.models import Q
from django.db.models.functions import Now

from adsapp_crm import conf
from adsapp_crm.models import (
    CrmConnection,
    CrmConnectionEvent,
    CrmMessage,
    CrmNotice,
    CrmOutgoingWebhook,
    Membership,
    uuid7,
)
from adsapp_crm.models.choices import ConnectionEventKind, ConnectionStatus, Health, NoticeKind, Role
from adsapp_crm.selectors import open_connections
from adsapp_crm.services.schedules import GRACE, late_after
from adsapp_crm.services.standing import Trouble, health_of
from adsapp_crm.tenancy import current_organization, organization_context

TOLD: Final = tuple(kind for kind in NoticeKind if kind is not NoticeKind.TEST)
MOST_NOTICES: Final = 500
"""Made into messages in one transaction; the rest follows."""
MAILED_ROLES: Final = (Role.OWNER, Role.ADMIN)
TROUBLE: Final = frozenset({Health.LATE, Health.NEEDS_ATTENTION, Health.WAITING_FOR_QUOTA, Health.NEEDS_RECONNECT})
"""States of which people get an e-mail, and another one when they are over. Held ones: the brake's notice says it."""
MAIL_CONFLICTS_EVERY: Final = timedelta(days=1)
"""A first sync may open hundreds, page by page; they are one piece of news."""


def make_messages() -> int:
    """Make messages of what nobody was told yet, in the current organization's context; how many notices it took."""
    rows = CrmNotice.objects.select_for_update(skip_locked=True).filter(sent_at__isnull=True, kind__in=TOLD)
    rows = rows.filter(Q(tell_at__isnull=True) | Q(tell_at__lte=Now()))
    due = list(rows.order_by("created_at", "id")[:MOST_NOTICES])
    if not due:
        return 0
    notices = _that_stand(due)
    webhooks = list(CrmOutgoingWebhook.objects.filter(active=True).defer("secret"))
    readers = _readers() if conf.mail_from() else []
    crm_types = dict(CrmConnection.objects.values_list("pk", "crm_type"))
    messages: list[CrmMessage] = []
    for kind, connection_id, at, data in _merged(notices):
        payload = _payload(kind, connection_id, at, crm_types.get(connection_id, "") if connection_id else "", data)
        said = {"connection_id": connection_id, "kind": kind, "payload": payload}
        messages += [CrmMessage(webhook=each, **said) for each in webhooks if kind in each.kinds]
        if readers and _is_mailed(kind, connection_id, data):
            messages += [CrmMessage(user_id=each, **said) for each in readers]
    for message, key in zip(messages, sorted(uuid7() for _ in messages), strict=True):
        message.pk = key  # sent in the order of what happened
    CrmMessage.objects.bulk_create(messages)
    CrmNotice.objects.filter(pk__in=[each.pk for each in notices]).update(sent_at=Now())
    return len(due)


def _that_stand(notices: Sequence[CrmNotice]) -> list[CrmNotice]:
    """Without those that waited whether the trouble stays, where it did not: they are dropped, and never told."""
    waited = {each.connection_id for each in notices if each.tell_at is not None and each.connection_id is not None}
    if not waited:
        return list(notices)
    found = CrmConnection.objects.filter(pk__in=waited).annotate(trouble=Trouble()).exclude(trouble="")
    standing = set(found.values_list("pk", flat=True))
    over = [each.pk for each in notices if each.tell_at is not None and each.connection_id not in standing]
    CrmNotice.objects.filter(pk__in=over).delete()
    told = CrmNotice.objects.filter(connection__in=standing, kind=NoticeKind.CONNECTION_STATE, resolved_at=None)
    told.exclude(code=Health.NEEDS_ATTENTION).update(resolved_at=Now())
    return [each for each in notices if each.pk not in over]


def watch_late(now: datetime) -> int:
    """Tell of connections that time has made late: nobody wrote a row because nothing happened.

    Must be called outside ``organization_context``. Returns how many became late since the last look.
    """
    told = 0
    for each in open_connections():
        since = each.last_success_at or each.first_sync_approved_at
        if each.status != ConnectionStatus.ACTIVE or each.health != Health.HEALTHY or not since or since + GRACE > now:
            continue
        with organization_context(each.organization_id, actor="beat"):
            row = CrmConnection.objects.select_for_update(no_key=True).filter(pk=each.connection_id).first()
            if row is not None and health_of(row, now) == Health.LATE and not _just_began(row, now):
                told += _tell_state(row.pk, Health.LATE)
    return told


def _just_began(row: CrmConnection, now: datetime) -> bool:
    """It works again only since a moment ago: its next sync has not come yet, so nobody is told that it is late."""
    begun = CrmConnectionEvent.objects.filter(connection=row, kind__in=_BEGINNINGS).order_by("-at").first()
    return begun is not None and late_after(row, begun.at) > now


def _tell_state(connection_id: uuid.UUID, word: str) -> bool:
    with database.cursor() as cursor:
        cursor.execute("SELECT crm_tell_state(%s, %s, %s, %s)", [current_organization(), connection_id, str(word), ""])
        return bool(cursor.fetchone()[0])


_BEGINNINGS: Final = (ConnectionEventKind.RESUMED, ConnectionEventKind.RECONNECTED, ConnectionEventKind.HEALED)
_News = tuple[NoticeKind, uuid.UUID | None, datetime, dict[str, Any]]


def _merged(notices: Sequence[CrmNotice]) -> Iterator[_News]:
    """In their order; conflicts that pages of one connection opened are one piece of news."""
    conflicts: dict[uuid.UUID | None, dict[str, Any]] = {}
    found: list[_News] = []
    for each in notices:
        kind = NoticeKind(each.kind)
        if kind is NoticeKind.CONFLICT_OPENED:
            before = conflicts.get(each.connection_id)
            if before is not None:
                before["conflicts"] += each.details.get("conflicts", 1)
                continue
            conflicts[each.connection_id] = each.details
        found.append((kind, each.connection_id, each.created_at, each.details))
    yield from found


def _payload(
    kind: NoticeKind, connection_id: uuid.UUID | None, at: datetime, crm_type: str, data: Mapping[str, Any]
) -> dict[str, Any]:
    """As Standard Webhooks lay it out: ids, words and counts, never a contact's values."""
    about = {"connectionId": str(connection_id), "crmType": crm_type} if connection_id else {}
    whose = {"organizationId": str(current_organization())}
    told = {key: value for key, value in data.items() if value not in ("", None)}
    return {"type": kind.value, "timestamp": at.isoformat(), "data": {**whose, **about, **told}}


def _readers() -> list[uuid.UUID]:
    members = Membership.objects.filter(role__in=MAILED_ROLES, email_notices=True, user__is_active=True)
    return list(members.order_by("created_at", "id").values_list("user_id", flat=True))


def _is_mailed(kind: NoticeKind, connection_id: uuid.UUID | None, data: Mapping[str, Any]) -> bool:
    if kind is NoticeKind.RUN_FINISHED:
        return False
    if kind is NoticeKind.CONNECTION_STATE:
        state, before = data.get("state"), data.get("before")
        return state in TROUBLE or (state == Health.HEALTHY and before in (*TROUBLE, Health.HELD))
    if kind is NoticeKind.CONFLICT_OPENED:
        recent = CrmMessage.objects.filter(
            user__isnull=False, connection_id=connection_id, kind=kind, created_at__gt=Now() - MAIL_CONFLICTS_EVERY
        )
        return not recent.exists()
    return True
