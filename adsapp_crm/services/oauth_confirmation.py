"""The person's word on a log-in that came back: this is our account, or it is not."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import requests
from django.db.models.functions import Now

from adsapp_crm.models import CrmOAuthState
from adsapp_crm.services.connections import Access, Connected, connect_account
from adsapp_crm.services.left_grants import (
    PENDING_KEY,
    end_left_grant,
    leave,
    opened_for,
    registration_of,
    sealed_for,
)
from adsapp_crm.services.oauth import CONFIRM_SECONDS, LogInFailedError, Person, may_connect
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.storage.apps import owner_of
from adsapp_crm.storage.tokens import flow_of
from adsapp_crm.tenancy import organization_context
from crm.errors import CrmError, TransientError
from crm.ports import Account
from crm.registry import provider


@dataclass(frozen=True, slots=True)
class Waiting:
    """A log-in that waits for the person's word: what the page shows."""

    attempt_id: uuid.UUID
    organization_id: uuid.UUID
    crm_type: str
    label: str
    account: Account
    environment: str
    scopes: tuple[str, ...]
    lacking: tuple[str, ...]
    """Optional scopes that were not granted."""
    reconnects: bool
    return_route: str


def waiting_log_in(attempt_id: uuid.UUID, person: Person | None, organization_id: uuid.UUID | None) -> Waiting:
    """What is waiting; raises LogInFailedError when it is not this person's, or over."""
    return _waiting(*_pending(attempt_id, person, organization_id))


def confirm_log_in(
    attempt_id: uuid.UUID,
    person: Person | None,
    organization_id: uuid.UUID | None,
    *,
    session: requests.Session | None = None,
) -> Connected:
    """Make the account that was found a connection, or the connection of a lost grant whole again. Works once.

    Links, mappings and cursors of an earlier connection to the same account go on. Raises LogInFailedError,
    RefusedError (``connection.exists``) and every CrmError; after a passing one the person may press again.
    """
    row, pending = _pending(attempt_id, person, organization_id)
    sealed = _take(row)
    waiting = _waiting(row, pending)
    flow = flow_of(row.crm_type)
    access = Access(
        payload=pending["payload"],
        environment=row.environment,
        lifetime_seconds=float(pending["payload"].get("lifetime_seconds") or flow.session_seconds),
        scopes=waiting.scopes,
        registration_id=registration_of(pending["registration"]),
        connection_id=uuid.UUID(pending["connection"]),
    )
    try:
        made = connect_account(
            owner_of(row),
            row.crm_type,
            access,
            actor=f"user:{row.user_id}",
            reconnect=row.connection_id is not None,
            session=session,
        )
    except TransientError:
        with organization_context(owner_of(row)):
            CrmOAuthState.objects.filter(pk=row.pk).update(verifier=sealed)
        raise
    except (CrmError, RefusedError):
        _end(row, session)
        raise
    with organization_context(owner_of(row)):
        CrmOAuthState.objects.filter(pk=row.pk).delete()
    return made


def decline_log_in(
    attempt_id: uuid.UUID,
    person: Person | None,
    organization_id: uuid.UUID | None,
    *,
    session: requests.Session | None = None,
) -> None:
    """Forget the log-in, and end its grant at the CRM unless a connection of this installation uses it.

    A CRM that cannot be told is told by the clean-up.
    """
    row, _waits = _pending(attempt_id, person, organization_id)
    _take(row)
    _end(row, session)


def _pending(
    attempt_id: uuid.UUID, person: Person | None, organization_id: uuid.UUID | None
) -> tuple[CrmOAuthState, Mapping[str, Any]]:
    if person is None or organization_id is None or not may_connect(person, organization_id):
        raise LogInFailedError("oauth.session")
    with organization_context(organization_id, actor=person.actor):
        mine = CrmOAuthState.objects.filter(
            pk=attempt_id, user_id=person.user_id, session_hash=person.session_hash, used_at__isnull=False
        )
        row = mine.first()
        held = opened_for(row, row.verifier) if row is not None and row.verifier else {}
        if row is None or PENDING_KEY not in held:
            raise LogInFailedError("oauth.state")
        if not mine.filter(expires_at__gt=Now()).exists():
            raise LogInFailedError("oauth.expired", crm_type=row.crm_type)
    return row, held


def _take(row: CrmOAuthState) -> Any:
    """Claim what is waiting; of two presses one goes on. What was claimed and not used is ended by the clean-up."""
    with organization_context(owner_of(row)):
        current = CrmOAuthState.objects.select_for_update().filter(pk=row.pk, expires_at__gt=Now()).first()
        held = opened_for(current, current.verifier) if current is not None and current.verifier else {}
        if PENDING_KEY not in held:
            raise LogInFailedError("oauth.state", crm_type=row.crm_type)
        leave(
            row,
            held[PENDING_KEY]["refresh_token"],
            registration=held["registration"],
            account_id=held["account"][0],
            after=Now() + timedelta(seconds=CONFIRM_SECONDS),
        )
    return sealed_for(row, **held)


def _end(row: CrmOAuthState, session: requests.Session | None) -> None:
    """What was claimed comes to nothing."""
    with organization_context(owner_of(row)):
        CrmOAuthState.objects.filter(pk=row.pk).update(expires_at=Now())
    end_left_grant(owner_of(row), row.pk, session=session)


def _waiting(row: CrmOAuthState, pending: Mapping[str, Any]) -> Waiting:
    found = provider(row.crm_type)
    remote_account_id, name, url = pending["account"]
    scopes = tuple(pending["scopes"])
    return Waiting(
        attempt_id=row.pk,
        organization_id=owner_of(row),
        crm_type=row.crm_type,
        label=found.label,
        account=Account(remote_account_id, name, url),
        environment=row.environment,
        scopes=scopes,
        lacking=flow_of(row.crm_type).missing_scopes(found.optional_scopes, scopes),
        reconnects=row.connection_id is not None,
        return_route=row.return_route,
    )
