"""Grants of log-ins that came to nothing: ended at the CRM, so that no access stays that nobody here knows of.

A log-in that was granted and then failed, was declined, or was never confirmed leaves its refresh token sealed in its
own row, ``CrmOAuthState``, until the CRM was told. The first try is made at once, the others by the clean-up. No CRM is
called inside a transaction: everything here but ``leave`` runs outside ``organization_context``.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from typing import Any, Final

import requests
from django.db.models.functions import Now

from adsapp_crm.fields import UnreadableError
from adsapp_crm.models import CredentialsMismatchError, CrmOAuthState
from adsapp_crm.selectors import connections_of_account, open_connections, organization_ids
from adsapp_crm.services.tokens import REVOKE_KEY, REVOKE_TRIES, Revocations
from adsapp_crm.storage.apps import client_of, hosts_of, owner_of, settings_of
from adsapp_crm.storage.tokens import flow_of
from adsapp_crm.tenancy import organization_context
from crm.errors import ConfigurationError, CrmError
from crm.http.oauth import TokenEndpoint
from crm.http.redact import Secret

log = logging.getLogger(__name__)

PENDING_KEY: Final = "payload"
"""Of what waits for the person's word."""


def endpoint_for(row: CrmOAuthState, registration: str, session: requests.Session | None) -> TokenEndpoint:
    """The token endpoint of the CRM that the state names, and of no other."""
    return TokenEndpoint(
        flow_of(row.crm_type),
        settings_of(row.crm_type, environment=row.environment),
        hosts_of(row.crm_type),
        client_of(owner_of(row), row.crm_type, registration_of(registration)),
        provider=row.crm_type,
        session=session,
    )


def registration_of(text: str) -> uuid.UUID | None:
    return uuid.UUID(text) if text else None


def sealed_for(row: CrmOAuthState, **values: Any) -> dict[str, Any]:
    """Bound to the row, as credentials are: a ciphertext that was moved opens nothing."""
    return {"organization": str(row.organization_id), "state": str(row.pk), **values}


def opened_for(row: CrmOAuthState, sealed: Any) -> Mapping[str, Any]:
    bound = (sealed.get("organization"), sealed.get("state")) if isinstance(sealed, dict) else None
    if bound != (str(row.organization_id), str(row.pk)):
        raise CredentialsMismatchError(f"What {row} holds belongs to another log-in.")
    return dict(sealed)


def leave(row: CrmOAuthState, refresh_token: str, *, registration: str, account_id: str, after: Any = None) -> None:
    """Keep the grant to be ended, in the current organization's context; ``after``: when, the next clean-up if None.

    An empty ``account_id``: it was not found out which account the grant is for.
    """
    kept = {REVOKE_KEY: refresh_token, "registration": registration, "account_id": account_id, "tries": 0}
    CrmOAuthState.objects.filter(pk=row.pk).update(verifier=sealed_for(row, **kept), expires_at=after or Now())


def end_left_grant(
    organization_id: uuid.UUID, attempt_id: uuid.UUID, *, session: requests.Session | None = None
) -> bool:
    """End the grant of a log-in that is over, unless a connection of this installation may share it.

    True when nothing is left to do, and then the log-in's row is gone. When the CRM cannot be told the row stays for
    the next try.
    """
    with organization_context(organization_id):
        rows = CrmOAuthState.objects.select_for_update().filter(
            pk=attempt_id, used_at__isnull=False, verifier__isnull=False, expires_at__lte=Now()
        )
        row = rows.first()
        if row is None:
            return True
        left = _left(opened_for(row, row.verifier))
        # From here on nobody can confirm it any more.
        CrmOAuthState.objects.filter(pk=row.pk).update(verifier=sealed_for(row, **left))
    told = {"crm_type": row.crm_type, "attempt_id": str(row.pk)}
    if _may_be_shared(row.crm_type, left["account_id"]):
        log.info("left grant kept: a connection may share it", extra=told)
    else:
        try:
            endpoint_for(row, left["registration"], session).revoke(Secret(left[REVOKE_KEY]))
        except CrmError as error:
            tries = int(left["tries"]) + 1
            # A refused client will not be accepted tomorrow.
            final = isinstance(error, ConfigurationError) or tries >= REVOKE_TRIES
            log.warning("left grant not revoked", extra={**told, "code": error.code, "given_up": final})
            if not final:
                with organization_context(organization_id):
                    again = sealed_for(row, **{**left, "tries": tries})
                    CrmOAuthState.objects.filter(pk=row.pk).update(verifier=again)
                return False
        else:
            log.info("left grant revoked", extra=told)
    with organization_context(organization_id):
        CrmOAuthState.objects.filter(pk=row.pk).delete()
    return True


def end_left_grants(*, session: requests.Session | None = None) -> Revocations:
    """Of every organization: log-ins that nobody confirmed in time, and grants whose end the CRM was not told yet."""
    ended = waiting = 0
    for organization_id in organization_ids():
        with organization_context(organization_id):
            over = CrmOAuthState.objects.filter(
                used_at__isnull=False, verifier__isnull=False, expires_at__lte=Now()
            ).values_list("pk", flat=True)
            ids = list(over)
        for attempt_id in ids:
            try:
                is_ended = end_left_grant(organization_id, attempt_id, session=session)
            except UnreadableError as error:
                log.warning("left grant not revoked", extra={"attempt_id": str(attempt_id), "code": error.code})
                is_ended = False
            ended, waiting = ended + is_ended, waiting + (not is_ended)
    return Revocations(ended, waiting, 0)


def _left(held: Mapping[str, Any]) -> dict[str, Any]:
    if REVOKE_KEY in held:
        return {key: held[key] for key in (REVOKE_KEY, "registration", "account_id", "tries")}
    return {
        REVOKE_KEY: held[PENDING_KEY]["refresh_token"],
        "registration": held["registration"],
        "account_id": held["account"][0],
        "tries": 0,
    }


def _may_be_shared(crm_type: str, account_id: str) -> bool:
    """Ending a grant ends every other one that the same app has in the same account."""
    if account_id:
        return bool(connections_of_account(crm_type, account_id))
    return any(each.crm_type == crm_type for each in open_connections())
