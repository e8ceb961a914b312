"""The providers there are. Nothing registers itself: a provider exists when its line stands here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from crm.errors import ConfigurationError
from crm.providers.base import (
    REQUESTS_PER_SECOND,
    ChangeHint,
    ConnectorContext,
    Delivery,
    HintKind,
    Provider,
    Setting,
    SubscribingConnector,
    WebhookRoute,
)
from crm.providers.hubspot import PROVIDER as HUBSPOT
from crm.providers.pipedrive import PROVIDER as PIPEDRIVE
from crm.providers.salesforce import PROVIDER as SALESFORCE

__all__ = [
    "PROVIDERS",
    "REQUESTS_PER_SECOND",
    "ChangeHint",
    "ConnectorContext",
    "Delivery",
    "HintKind",
    "Provider",
    "Setting",
    "SubscribingConnector",
    "WebhookRoute",
    "provider",
]

PROVIDERS: Final[Mapping[str, Provider]] = {
    HUBSPOT.key: HUBSPOT,
    PIPEDRIVE.key: PIPEDRIVE,
    SALESFORCE.key: SALESFORCE,
}


def provider(key: str) -> Provider:
    """Raises ConfigurationError (``config.provider_unknown``) for a key that no provider has."""
    found = PROVIDERS.get(key)
    if found is None:
        raise ConfigurationError(
            f"There is no CRM of this name. Choose one of: {', '.join(sorted(PROVIDERS))}.",
            code="config.provider_unknown",
        )
    return found
