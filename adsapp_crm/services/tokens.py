"""Grants over time: kept alive while nothing syncs, and ended at the CRM when a connection ends.

No CRM is called inside a transaction: everything here runs outside ``organization_context``.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import requests
from django.db import connection as database

from adsapp_crm.fields import UnreadableError
from adsapp_crm.models import CrmConnection
from adsapp_crm.models.choices import ConnectionStatus
from adsapp_crm.selectors import connections_of_account, open_connections, organization_ids
from adsapp_crm.storage.apps import owner_of
from adsapp_crm.storage.tokens import ConnectionTokens, endpoint_of
from adsapp_crm.tenancy import organization_context
from crm.errors import ConfigurationError, CrmError
from crm.http.redact import Secret
from crm.registry import PROVIDERS

log = logging.getLogger(__name__)

IDLE_SHARE: Final = 0.2
"""A grant is renewed when it has been idle for this share of the time after which it would end."""
REVOKE_TRIES: Final = 20
"""How often the end of a grant is tried, once a run of the clean-up, before the token is forgotten unrevoked."""
REVOKE_KEY: Final = "revoke"
REVOKE_FAILED: Final = "oauth.revoke_failed"


@dataclass(frozen=True, slots=True)
class Renewals:
    renewed: int
    failed: int


@dataclass(frozen=True, slots=True)
class Revocations:
    revoked: int
    waiting: int
    given_up: int


def renew_idle_grants(*, session: requests.Session | None = None) -> Renewals:
    """Renew every grant that would lapse from long idleness, those of paused connections too.

    A grant that is refused leaves its connection waiting for a new log-in (``ConnectionTokens``); passing trouble
    changes nothing, and the next run tries again.
    """
    now = _now()
    renewed = failed = 0
    for each in open_connections():
        known = PROVIDERS.get(each.crm_type)
        idle_days = known.oauth.idle_days if known is not None and known.oauth is not None else None
        if idle_days is None or each.token_expires_at is None:
            continue
        if each.token_expires_at > now - timedelta(days=idle_days * IDLE_SHARE):
            continue
        try:
            with organization_context(each.organization_id):
                row = CrmConnection.objects.defer(None).filter(pk=each.connection_id).first()
            if row is None:
                continue
            ConnectionTokens(row, session=session).token()
            renewed += 1
        except (CrmError, UnreadableError) as error:
            failed += 1
            log.warning("grant not renewed", extra={"connection_id": str(each.connection_id), "code": error.code})
    return Renewals(renewed, failed)


def grant_to_end(connection: CrmConnection) -> dict[str, Any] | None:
    """What has to be kept of a connection's credentials until its grant is revoked; None when nothing is.

    A grant that another open connection of this installation shares, the same app in the same CRM account, is not
    revoked: that would end the other one.
    """
    payload = connection.open_credentials()
    if not payload.get("refresh_token"):
        return None
    others = connections_of_account(connection.crm_type, connection.remote_account_id)
    if any(connection_id != connection.pk for connection_id, _organization in others):
        return None
    return {REVOKE_KEY: payload["refresh_token"], "tries": 0}


def revoke_grant(
    organization_id: uuid.UUID, connection_id: uuid.UUID, *, session: requests.Session | None = None
) -> bool:
    """End the grant that a disconnected connection left behind; True when none is left.

    The token is deleted with success. When the CRM cannot be told, ``last_error_code`` says so, and it is kept for the
    next try.
    """
    with organization_context(organization_id):
        row = CrmConnection.objects.defer(None).filter(pk=connection_id).first()
    left = row.open_credentials() if row is not None else {}
    if row is None or row.status != ConnectionStatus.DISCONNECTED or not left.get(REVOKE_KEY):
        return True
    try:
        endpoint_of(row, session=session).revoke(Secret(str(left[REVOKE_KEY])))
    except CrmError as error:
        log.warning("grant not revoked", extra={"connection_id": str(connection_id), "code": error.code})
        # A refused client will not be accepted tomorrow.
        final = isinstance(error, ConfigurationError) or int(left.get("tries", 0)) + 1 >= REVOKE_TRIES
        kept = None if final else {**left, "tries": int(left.get("tries", 0)) + 1}
        _keep(row, kept, failed=True)
        return False
    _keep(row, None, failed=False)
    return True


def revoke_left_behind(*, session: requests.Session | None = None) -> Revocations:
    """Try again for every disconnected connection whose grant could not be revoked."""
    revoked = waiting = given_up = 0
    for organization_id in organization_ids():
        with organization_context(organization_id):
            ids = list(
                CrmConnection.objects.filter(
                    status=ConnectionStatus.DISCONNECTED, credentials__isnull=False
                ).values_list("pk", flat=True)
            )
        for connection_id in ids:
            try:
                is_ended = revoke_grant(organization_id, connection_id, session=session)
            except UnreadableError as error:
                log.warning("grant not revoked", extra={"connection_id": str(connection_id), "code": error.code})
                is_ended = False
            if is_ended:
                revoked += 1
                continue
            with organization_context(organization_id):
                is_kept = CrmConnection.objects.filter(pk=connection_id, credentials__isnull=False).exists()
            waiting, given_up = waiting + is_kept, given_up + (not is_kept)
    return Revocations(revoked, waiting, given_up)


def _keep(row: CrmConnection, payload: Mapping[str, Any] | None, *, failed: bool) -> None:
    with organization_context(owner_of(row)):
        current = CrmConnection.objects.select_for_update().filter(
            pk=row.pk, status=ConnectionStatus.DISCONNECTED, token_version=row.token_version
        )
        found = current.first()
        if found is None:
            return  # connected again meanwhile
        found.seal_credentials(dict(payload) if payload else None)
        found.last_error_code = REVOKE_FAILED if failed else ""
        found.last_error = "The CRM could not be told that the access has ended." if failed else ""
        found.save(update_fields=["credentials", "last_error", "last_error_code", "updated_at"])


def _now() -> datetime:
    """The database's clock: no worker's decides."""
    with database.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
        return now
