"""Where a CRM sends its events: the address, and the subscription where the CRM lets a program manage it.

Where it does not, the address and the steps are shown to a person. An address ends in a token of 256 random bits of
which the database's index knows only the digest; token and password are sealed with the row. A row is committed
before the CRM is told of it, so that no subscription is ever unknown here.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, cast
from urllib.parse import urlsplit

import requests
from django.db.models import Q
from django.db.models.functions import Now

from adsapp_crm import conf, wiring
from adsapp_crm.models import CrmConnection, CrmWebhook, uuid7
from adsapp_crm.models.choices import ConnectionStatus, WebhookStatus
from adsapp_crm.services.refusals import refuse
from adsapp_crm.storage.apps import settings_of
from adsapp_crm.tenancy import organization_context
from crm.errors import CrmError
from crm.http.limits import Priority
from crm.http.redact import Secret
from crm.ports import Limiter
from crm.registry import SubscribingConnector, WebhookRoute, provider

PATH: Final = "/api/crm/webhooks/{crm_type}/{token}"
INSTALLATION: Final = "app"
"""Where an address belongs to an app: the token of this installation's own one. An organization's own app has its
registration's id."""
CHECK_AFTER: Final = timedelta(minutes=55)
"""A subscription that was looked at less long ago is left alone: hourly, with room for a schedule's jitter."""
_PRIVATE_SUFFIXES: Final = ("localhost", "local", "internal", "lan", "home.arpa", "test", "example", "invalid")


@dataclass(frozen=True, slots=True)
class Setup:
    """What somebody needs to know to have events sent here."""

    address: str
    """A secret of the connection where the route is one: shown to its administrators only."""
    steps: tuple[str, ...]
    """What to do in the CRM; empty where the CRM was told by itself."""
    status: str
    """Of the subscription: ``active``, ``failed``, or empty where only the CRM knows."""
    error_code: str = ""


def setup_of(organization_id: uuid.UUID, connection_id: uuid.UUID, *, actor: str) -> Setup:
    """Address and steps of a connection, made when it has none yet.

    Raises RefusedError (``connection.unknown``). Must be called outside ``organization_context``.
    """
    with organization_context(organization_id, actor=actor):
        connection = _connection(connection_id)
        found = provider(connection.crm_type)
        if found.webhook_route is WebhookRoute.APP:
            token, status, code = str(connection.app_registration_id or INSTALLATION), "", ""
        else:
            row = _row(connection) or _new_row(connection)
            token = row.opened()["token"]
            status, code = (row.status if row.remote_subscription_id else ""), row.last_error_code
        address = _address(connection.crm_type, token)
    return Setup(address, tuple(step.format(address=address) for step in found.webhook_steps), status, code)


def keep_subscription(
    organization_id: uuid.UUID,
    connection_id: uuid.UUID,
    *,
    now: bool = False,
    session: requests.Session | None = None,
    listen: Callable[[wiring.SharedLimiter], Limiter] | None = None,
) -> str:
    """See that the CRM sends its events here: subscribe, renew what has ended, remove what is double.

    Returns the error code, empty when all is well or there is nothing to do: the CRM has no interface for it, or it
    was checked within the hour (unless ``now``). Trouble is kept on the row and tried again an hour later. Must be
    called outside ``organization_context``.
    """
    with organization_context(organization_id):
        connection = CrmConnection.objects.defer(None).filter(pk=connection_id).first()
        if connection is None or connection.status != ConnectionStatus.ACTIVE:
            return ""
        if not provider(connection.crm_type).subscribes:
            return ""
        row = _row(connection) or _new_row(connection)
        fresh = CrmWebhook.objects.filter(pk=row.pk, checked_at__gt=Now() - CHECK_AFTER)
        if not now and fresh.exists():
            return row.last_error_code
        sealed = row.opened()
    address = _address(connection.crm_type, sealed["token"])
    if not is_reachable(connection.crm_type):
        return _note(organization_id, row, WebhookStatus.FAILED, "webhook.not_public")
    try:
        connector = _connector(connection, session, listen)
        theirs = connector.subscriptions()
        ours = [each for each, url in theirs.items() if url == address]
        subscription_id = ours[0] if ours else connector.subscribe(address, Secret(sealed["password"]))
        for double in ours[1:]:
            connector.unsubscribe(double)
        _remove_old(organization_id, connection, connector, theirs)
    except CrmError as error:
        return _note(organization_id, row, WebhookStatus.FAILED, error.code)
    return _note(organization_id, row, WebhookStatus.ACTIVE, "", subscription_id)


def remove_subscription(
    organization_id: uuid.UUID, connection_id: uuid.UUID, *, session: requests.Session | None = None
) -> None:
    """Take no more deliveries, at once, and tell the CRM where it has an interface for it.

    A CRM that cannot be told goes on sending to an address that no longer exists. Must be called outside
    ``organization_context``.
    """
    with organization_context(organization_id):
        connection = CrmConnection.objects.defer(None).filter(pk=connection_id).first()
        rows = CrmWebhook.objects.filter(connection=connection_id).exclude(status=WebhookStatus.REMOVED)
        ids = list(rows.exclude(remote_subscription_id="").values_list("remote_subscription_id", flat=True))
        rows.update(status=WebhookStatus.REMOVED)
    if connection is None or not ids or not provider(connection.crm_type).subscribes:
        return
    try:
        connector = _connector(connection, session)
        for subscription_id in ids:
            connector.unsubscribe(subscription_id)
    except CrmError:
        return


def address_of(row: CrmWebhook, crm_type: str) -> str:
    """Where a subscription's events go: a secret."""
    return _address(crm_type, str(row.opened()["token"]))


def is_reachable(crm_type: str) -> bool:
    """Whether the CRM can call this installation: https and a public host, or both on this machine (a stand-in)."""
    ours = urlsplit(conf.public_url())
    if ours.scheme == "https" and _is_public(ours.hostname or ""):
        return True
    addresses = [value for name, value in settings_of(crm_type).items() if name.endswith("_base")]
    return bool(addresses) and all(_is_loopback(urlsplit(each).hostname or "") for each in addresses)


# Small things ----------------------------------------------------------------------------------------------


def _connection(connection_id: uuid.UUID) -> CrmConnection:
    found = CrmConnection.objects.exclude(status=ConnectionStatus.DISCONNECTED).filter(pk=connection_id).first()
    if found is None:
        raise refuse("connection.unknown", "There is no such connection.", fix="Connect the CRM first.")
    return found


def _row(connection: CrmConnection) -> CrmWebhook | None:
    rows = CrmWebhook.objects.filter(connection=connection).exclude(status=WebhookStatus.REMOVED)
    return rows.exclude(secret__isnull=True).order_by("-created_at", "-id").first()


def _new_row(connection: CrmConnection) -> CrmWebhook:
    """Where nothing but the address proves a delivery, its token is the secret; elsewhere there is a password too."""
    CrmConnection.objects.select_for_update().get(pk=connection.pk)
    if (made_meanwhile := _row(connection)) is not None:
        return made_meanwhile
    token = secrets.token_urlsafe(32)
    password = secrets.token_urlsafe(32) if provider(connection.crm_type).subscribes else token
    row = CrmWebhook(
        id=uuid7(),
        connection=connection,
        path_token=digest_of(token),
        event_types=list(wiring.record_types_of(connection)),
    )
    row.claim_for_organization()
    row.seal(token, password)
    row.save(force_insert=True)
    return row


def digest_of(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _address(crm_type: str, token: str) -> str:
    return conf.public_url() + PATH.format(crm_type=crm_type, token=token)


def _connector(
    connection: CrmConnection,
    session: requests.Session | None,
    listen: Callable[[wiring.SharedLimiter], Limiter] | None = None,
) -> SubscribingConnector:
    found = wiring.connector_of(connection, priority=Priority.INTERACTIVE, session=session, listen=listen)
    return cast("SubscribingConnector", found)


def _remove_old(
    organization_id: uuid.UUID,
    connection: CrmConnection,
    connector: SubscribingConnector,
    theirs: Mapping[str, str],
) -> None:
    """Subscriptions of this connection's earlier rows. Another organization's, on the same account, are not ours."""
    with organization_context(organization_id):
        ended = CrmWebhook.objects.filter(connection=connection, status=WebhookStatus.REMOVED)
        old = set(ended.exclude(remote_subscription_id="").values_list("remote_subscription_id", flat=True))
    for subscription_id in sorted(old & set(theirs)):
        connector.unsubscribe(subscription_id)


def _note(
    organization_id: uuid.UUID, row: CrmWebhook, status: WebhookStatus, code: str, subscription_id: str = ""
) -> str:
    with organization_context(organization_id):
        rows = CrmWebhook.objects.filter(Q(pk=row.pk) & ~Q(status=WebhookStatus.REMOVED))
        named = {"remote_subscription_id": subscription_id} if subscription_id else {}
        rows.update(status=status, last_error_code=code, checked_at=Now(), **named)
    return code


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        labels = host.lower().rstrip(".")
        return "." in labels and not any(
            labels == suffix or labels.endswith(f".{suffix}") for suffix in _PRIVATE_SUFFIXES
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
