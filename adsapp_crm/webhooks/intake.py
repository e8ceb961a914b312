"""Whether a delivery is to be believed, and whose records it names.

The order is the defence: the size is known before anything is read, the address says whose secret it must fit, the
secret is compared over the raw bytes, and only then is anything parsed or written. The secret is the one that the
address names and no other, and an event counts for the accounts that belong to that address and no others: a tenant
who signs with an own app's secret reaches that app's accounts only.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from adsapp_crm.models import CrmWebhook
from adsapp_crm.selectors import connections_of_account, organization_of_app, webhook_of_path
from adsapp_crm.services.inbox import App, Stored, store
from adsapp_crm.services.subscriptions import INSTALLATION, digest_of
from adsapp_crm.storage.apps import client_of, webhook_secret_of
from adsapp_crm.tenancy import organization_context
from adsapp_crm.webhooks.known import Known
from adsapp_crm.webhooks.rates import RATES
from crm.errors import ConfigurationError, WebhookRejectedError
from crm.http.redact import Secret
from crm.registry import PROVIDERS, ChangeHint, Delivery, Provider, WebhookRoute

MAX_BODY_BYTES: Final = 1_048_576
MAX_ID_CHARACTERS: Final = 100


@dataclass(frozen=True, slots=True)
class Message:
    """A request as it came, with the address as the public calls it."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Address:
    """What a token names, and the secret that its deliveries prove themselves by."""

    provider: Provider
    secret: Secret
    organization_id: uuid.UUID | None = None
    """None: this installation's app, which serves every organization."""
    connection_id: uuid.UUID | None = None
    webhook_id: uuid.UUID | None = None
    registration_id: uuid.UUID | None = None

    @property
    def key(self) -> str:
        return str(self.webhook_id or self.registration_id or self.provider.key)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a delivery that was believed."""

    stored: int
    foreign: int
    """Events of accounts that do not belong to the address."""
    unknown: int
    to_wake: tuple[uuid.UUID, ...]
    """Connections whose waiting events nobody knows of yet."""


def find_address(crm_type: str, token: str) -> Address:
    """As it was found within the last second. Raises WebhookRejectedError (``webhook.address``)."""
    if token == INSTALLATION:
        return _look_up((crm_type, token))  # the settings know it
    return _ADDRESSES.get((crm_type, token))[0]


def _look_up(key: tuple[str, str]) -> Address:
    crm_type, token = key
    provider = PROVIDERS.get(crm_type)
    if provider is None:
        raise _no_address()
    if provider.webhook_route is WebhookRoute.APP:
        return _address_of_app(provider, token)
    place = webhook_of_path(digest_of(token))
    if place is None:
        raise _no_address()
    webhook_id, organization_id, connection_id = place
    with organization_context(organization_id):
        row = CrmWebhook.objects.filter(pk=webhook_id, connection__crm_type=crm_type).first()
    if row is None:
        raise _no_address()
    password = Secret(row.opened().get("password", ""))
    return Address(provider, password, organization_id, connection_id, webhook_id)


def _address_of_app(provider: Provider, token: str) -> Address:
    if token == INSTALLATION:
        return Address(provider, webhook_secret_of(provider.key))
    try:
        registration_id = uuid.UUID(token)
    except ValueError:
        raise _no_address() from None
    organization_id = organization_of_app(registration_id, provider.key)
    if organization_id is None or str(registration_id) != token:
        raise _no_address()
    try:
        secret = client_of(organization_id, provider.key, registration_id).client_secret
    except ConfigurationError:
        secret = Secret("")
    return Address(provider, secret, organization_id, registration_id=registration_id)


def take(address: Address, message: Message) -> Taken:
    """Verify, read and store one delivery. Raises WebhookRejectedError, and then has stored nothing."""
    provider = address.provider
    provider.verify_webhook(
        method=message.method,
        url=message.url,
        headers=message.headers,
        body=message.body,
        secret=address.secret,
        now=datetime.now(UTC),
    )
    if not RATES.admits(address.key):
        raise WebhookRejectedError("Too many deliveries at once", code="webhook.rate")
    delivery = provider.parse_webhook(message.body)
    if not all(map(_is_plausible, delivery.hints)):
        raise WebhookRejectedError("An event names no possible record", code="webhook.malformed")
    if provider.webhook_route is WebhookRoute.APP:
        return _take_for_app(address, delivery)
    return _take_for_connection(address, delivery)


def _take_for_connection(address: Address, delivery: Delivery) -> Taken:
    """One account a connection: a delivery that names another one is refused whole."""
    organization_id, connection_id, webhook_id = address.organization_id, address.connection_id, address.webhook_id
    if organization_id is None or connection_id is None or webhook_id is None:
        raise _no_address()
    if len({hint.remote_account_id for hint in delivery.hints}) > 1:
        raise _foreign()
    account_id = delivery.hints[0].remote_account_id if delivery.hints else None
    stored = store(organization_id, connection_id, account_id, delivery.hints, webhook_id=webhook_id)
    if stored is None:
        raise _foreign()
    return Taken(stored.new, 0, len(delivery.unknown), (connection_id,) if stored.wakes else ())


def _take_for_app(address: Address, delivery: Delivery) -> Taken:
    """One app, many accounts: each event goes to the connections pinned to its account under this app."""
    by_account: dict[str, list[ChangeHint]] = {}
    for hint in delivery.hints:
        by_account.setdefault(hint.remote_account_id, []).append(hint)
    stored_events = foreign = 0
    to_wake: list[uuid.UUID] = []
    for account_id, hints in by_account.items():
        found = _store_for_account(address, account_id, hints)
        stored_events += sum(stored.new for stored in found.values())
        to_wake += [connection_id for connection_id, stored in found.items() if stored.wakes]
        if not found:
            foreign += len(hints)
    return Taken(stored_events, foreign, len(delivery.unknown), tuple(to_wake))


def _store_for_account(address: Address, account_id: str, hints: Sequence[ChangeHint]) -> dict[uuid.UUID, Stored]:
    """By connection; none took them, as far as was known: asked anew, once."""
    key = (address.provider.key, account_id)
    places, is_new = _PLACES.get(key)
    found = _store_at(places, address, account_id, hints)
    return found if found or is_new else _store_at(_PLACES.renew(key), address, account_id, hints)


def _store_at(
    places: Sequence[tuple[uuid.UUID, uuid.UUID]], address: Address, account_id: str, hints: Sequence[ChangeHint]
) -> dict[uuid.UUID, Stored]:
    found = {}
    for connection_id, organization_id in places:
        if address.organization_id in (None, organization_id):
            stored = store(organization_id, connection_id, account_id, hints, app=App(address.registration_id))
            if stored is not None:
                found[connection_id] = stored
    return found


_ADDRESSES: Final[Known[tuple[str, str], Address]] = Known(_look_up)
_PLACES: Final[Known[tuple[str, str], list[tuple[uuid.UUID, uuid.UUID]]]] = Known(
    lambda key: connections_of_account(*key)
)


def _is_plausible(hint: ChangeHint) -> bool:
    """Ids are short printable ASCII: what else comes is no id, and may be no text the database takes."""
    ids = (hint.remote_id, hint.remote_account_id, hint.event_key, *hint.former_ids)
    return all(0 < len(each) <= MAX_ID_CHARACTERS and each.isascii() and each.isprintable() for each in ids)


def _foreign() -> WebhookRejectedError:
    return WebhookRejectedError("The delivery is for another account", code="webhook.foreign")


def _no_address() -> WebhookRejectedError:
    return WebhookRejectedError("Nothing is subscribed at this address", code="webhook.address")
