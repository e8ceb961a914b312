"""An app that was uninstalled in the CRM, told by the CRM itself: its grants are dead from that moment.

Not a hint like webhook events: nothing could be read with these tokens to find out. So whoever tells has to know the
client id and secret of the app that the connection was made with.
"""

from __future__ import annotations

import hmac
import uuid
from typing import Final

from adsapp_crm import conf
from adsapp_crm.models import CrmConnection
from adsapp_crm.models.choices import ConnectionEventKind, ConnectionStatus, Health
from adsapp_crm.selectors import connections_of_account
from adsapp_crm.services.connection_history import note
from adsapp_crm.storage.apps import client_of
from adsapp_crm.tenancy import organization_context
from adsapp_crm.wiring import USER_SETTING
from crm.errors import ConfigurationError, WebhookRejectedError
from crm.http.grants import Uninstalled

CODE: Final = "auth.revoked"


def take_uninstall(crm_type: str, said: Uninstalled, client_id: str, client_secret: str) -> int:
    """Forget the tokens of what was uninstalled; the number of connections that need a new log-in now.

    Links, mappings and cursors stay, for the reconnect. A connection by an API token has no app, and one that another
    user of the account granted still works: neither is touched. Repeating it changes nothing. Raises
    WebhookRejectedError (``webhook.signature``, ``webhook.foreign``). Must be called outside ``organization_context``.
    """
    installation = conf.provider_settings(crm_type)
    is_known = _fits(client_id, client_secret, installation.get("client_id"), installation.get("client_secret"))
    ended = 0
    for connection_id, organization_id in connections_of_account(crm_type, said.account_id):
        with organization_context(organization_id):
            row = CrmConnection.objects.filter(pk=connection_id).first()
        if row is None:
            continue
        try:
            client = client_of(organization_id, crm_type, row.app_registration_id)
        except ConfigurationError:
            continue
        if _fits(client_id, client_secret, client.client_id, client.client_secret.reveal()):
            is_known = True
            ended += said.client_id == client_id and _end(organization_id, connection_id, said)
    if not is_known:
        raise WebhookRejectedError("The client id or secret is not ours", code="webhook.signature")
    if said.client_id != client_id:
        raise WebhookRejectedError("It names another app than who tells it", code="webhook.foreign")
    return ended


def _end(organization_id: uuid.UUID, connection_id: uuid.UUID, said: Uninstalled) -> bool:
    with organization_context(organization_id, actor="service:uninstall"):
        rows = CrmConnection.objects.select_for_update().defer(None).filter(pk=connection_id)
        row = rows.exclude(status=ConnectionStatus.DISCONNECTED).first()
        if row is None or not row.open_credentials().get("refresh_token"):
            return False
        if said.user_id and row.settings.get(USER_SETTING) not in (None, "", said.user_id):
            return False
        row.seal_credentials(None)
        row.token_version += 1
        row.token_expires_at = row.refresh_claim_token = row.refresh_claimed_until = None
        if row.status != ConnectionStatus.PAUSED:
            row.status = ConnectionStatus.ERROR
        row.health = Health.NEEDS_RECONNECT
        row.last_error, row.last_error_code = "The app was uninstalled in the CRM.", CODE
        row.save()
        note(row.pk, ConnectionEventKind.BLOCKED, code=CODE)
    return True


def _fits(client_id: str, client_secret: str, known_id: str | None, known_secret: str | None) -> bool:
    """Both halves are compared whatever the first one says."""
    halves = ((client_id, known_id or ""), (client_secret, known_secret or ""))
    fits = [hmac.compare_digest(given.encode("utf-8", "replace"), known.encode()) for given, known in halves]
    return all(fits) and bool(known_id and known_secret)
