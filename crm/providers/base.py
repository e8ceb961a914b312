"""What a provider is to the rest of the project: one description, and the way to a connector."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

import requests

from crm.http.circuit import Circuit
from crm.http.client import Call
from crm.http.grants import OAuthFlow
from crm.http.limits import Budget
from crm.http.redact import Secret
from crm.model import Direction, FieldDefinition
from crm.ports import Capabilities, Connector, Limiter

REQUESTS_PER_SECOND: Final = "requests_per_second"
"""Name of the ``Setting`` that caps the calls of one connection, where a provider has it."""


@dataclass(frozen=True, slots=True)
class DefaultMapping:
    """One row that a new connection starts with; ``transform_rule`` in the published JSON form."""

    record_type: str
    app_field: str
    """The guide's camelCase name."""
    remote_field: str
    direction: Direction = Direction.BIDIRECTIONAL
    transform_rule: Mapping[str, Any] = field(default_factory=dict)
    fallback_fields: tuple[str, ...] = ()
    """Taken in this order when the account does not have ``remote_field``, or not writable."""


@dataclass(frozen=True, slots=True)
class Setting:
    """An address, version or policy of the provider that the operator may replace.

    At most one of ``choices``, ``whole`` and ``shape`` says which values there are.
    """

    name: str
    """Its key in ``ConnectorContext.settings``."""
    environment: str
    """The operator's variable; blank where the grant says it."""
    default: str
    choices: tuple[str, ...] = ()
    whole: tuple[int, int] | None = None
    """A whole number from the first to the second."""
    shape: str = ""
    """A pattern of the whole value; ``rule`` then says it in words."""
    rule: str = ""
    label: str = ""
    help: str = ""
    of_connection: bool = False
    """Each connection may have a value of its own, set by its administrators. Never an address: a token goes there."""

    @property
    def key(self) -> str:
        """Its name in JSON: ``duplicate_alerts`` -> ``duplicateAlerts``."""
        first, *others = self.name.split("_")
        return first + "".join(word.capitalize() for word in others)

    @property
    def fix(self) -> str:
        """What to give, as a sentence."""
        if self.choices:
            return f"Use one of {', '.join(self.choices)}."
        if self.whole:
            return f"Give a whole number from {self.whole[0]} to {self.whole[1]}."
        return self.rule

    def takes(self, value: str) -> bool:
        """Whether the value is one of those that there are."""
        if self.choices:
            return value in self.choices
        if self.whole:
            is_number = value.isascii() and value.isdecimal() and len(value) <= 9
            return is_number and self.whole[0] <= int(value) <= self.whole[1]
        return not self.shape or re.fullmatch(self.shape, value) is not None


class CallCounter:
    """Counts every request that was sent, retries included; the ``on_call`` of an HTTP client."""

    def __init__(self, also: Callable[[Call], None] | None = None) -> None:
        self._also = also
        self.by_operation: dict[str, int] = {}

    def __call__(self, call: Call) -> None:
        self.by_operation[call.operation] = self.by_operation.get(call.operation, 0) + 1
        if self._also:
            self._also(call)

    @property
    def total(self) -> int:
        return sum(self.by_operation.values())


@dataclass(frozen=True, slots=True)
class ConnectorContext:
    """Everything a connector needs of its connection and of this installation."""

    token: Callable[[], Secret]
    """The access token, asked before each try."""
    limiter: Limiter
    reauthorize: Callable[[], None] | None = None
    """Renews the token or raises; called at most once a call when the CRM refuses it."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """``Setting.name`` -> value; what is missing or blank has the setting's default."""
    extra_hosts: tuple[str, ...] = ()
    definitions: Mapping[str, Sequence[FieldDefinition]] = field(default_factory=dict)
    """By record type, as stored from the last ``describe``: it saves that request."""
    batch_size: int | None = None
    """The connection's own upper bound for a page or a batch."""
    has_marker_field: bool = True
    """False where ``prepare`` could not make the marker field."""
    remote_app_id: str = ""
    """Our app's id at the CRM: tells our own entries in its history."""
    on_call: Callable[[Call], None] | None = None
    circuits: Callable[[str], Circuit] | None = None
    """Host -> its circuit, which all connections share."""
    session: requests.Session | None = None
    """Replaces the pooled, checked session (an in-process fake)."""
    sleep: Callable[[float], None] | None = None


class HintKind(enum.StrEnum):
    CHANGED = "changed"
    CREATED = "created"
    DELETED = "deleted"
    RESTORED = "restored"
    MERGED = "merged"
    ERASED = "erased"
    """The person asked for it: nothing re-creates the record, and our copy goes too."""


@dataclass(frozen=True, slots=True)
class ChangeHint:
    """A webhook event reduced to what may be believed: read this record again."""

    remote_account_id: str
    record_type: str
    remote_id: str
    """For a merge the survivor's."""
    kind: HintKind
    event_key: str
    """The same for a repeated delivery of the same event."""
    at: datetime | None = None
    former_ids: tuple[str, ...] = ()
    """MERGED: the ids that lead to ``remote_id`` from now on."""
    maybe_ours: bool = False
    """The CRM names our own app as the cause. A hint only: the values decide."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one webhook body holds. ``ignored`` are event types we know and do not need."""

    hints: tuple[ChangeHint, ...]
    ignored: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class VerifyWebhook(Protocol):
    def __call__(
        self, *, method: str, url: str, headers: Mapping[str, str], body: bytes, secret: Secret, now: datetime
    ) -> None:
        """Raise WebhookRejectedError unless the delivery is genuine and fresh. ``url`` is the public one."""


class WebhookRoute(enum.StrEnum):
    """What the token at the end of a webhook address names."""

    CONNECTION = "connection"
    """One connection, whose secret verifies."""
    APP = "app"
    """An app registration: one address and one secret for all accounts that installed it."""


@dataclass(frozen=True, slots=True)
class WebhookAnswer:
    """What a delivery that was taken is answered with."""

    body: str = ""
    content_type: str = "text/plain"


class SubscribingConnector(Connector, Protocol):
    """A connector whose CRM lets a program manage where its events go (``Provider.subscribes``)."""

    def subscribe(self, url: str, password: Secret) -> str:
        """Have events delivered to ``url``; gives the subscription's id. Not idempotent."""
        ...

    def subscriptions(self) -> Mapping[str, str]:
        """Id -> address of those that are active."""
        ...

    def unsubscribe(self, subscription_id: str) -> None:
        """Ending what is over already succeeds."""
        ...


@dataclass(frozen=True, slots=True)
class Provider:
    """One kind of CRM. Data, and functions that hold no state."""

    key: str
    label: str
    scopes: tuple[str, ...]
    optional_scopes: tuple[str, ...]
    capabilities: Capabilities
    default_mappings: tuple[DefaultMapping, ...]
    environment: Mapping[str, str]
    """Purpose (``client_id``, ``client_secret``, ``webhook_secret``) -> the client's variable."""
    settings: tuple[Setting, ...]
    budgets: tuple[Budget, ...]
    host_suffixes: tuple[str, ...]
    documentation_url: str
    connect: Callable[[ConnectorContext], Connector]
    verify_webhook: VerifyWebhook
    parse_webhook: Callable[[bytes], Delivery]
    webhook_route: WebhookRoute = WebhookRoute.CONNECTION
    webhook_answer: WebhookAnswer = WebhookAnswer()
    webhook_steps: tuple[str, ...] = ()
    """What a person does in the CRM to have events sent, ``{address}`` standing for the address; empty where
    ``subscribes``."""
    subscribes: bool = False
    """``connect`` gives a ``SubscribingConnector``."""
    oauth: OAuthFlow | None = None
    """How people grant access by logging in at the CRM; None: only by a token that they bring."""
    takes_token: bool = True
    """A token that a person brings is enough: it leads to its account by itself."""

    @property
    def record_types(self) -> tuple[str, ...]:
        return self.capabilities.record_types

    @property
    def connection_settings(self) -> tuple[Setting, ...]:
        """Those that each connection may have its own value of."""
        return tuple(each for each in self.settings if each.of_connection)

    def setting(self, context: ConnectorContext, name: str) -> str:
        """The value in use. Raises KeyError for a setting this provider does not have."""
        declared = {setting.name: setting for setting in self.settings}[name]
        return context.settings.get(name) or declared.default
