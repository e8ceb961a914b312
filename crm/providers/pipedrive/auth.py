"""How a call to Pipedrive is authorized.

https://pipedrive.readme.io/docs/core-api-concepts-authentication (checked 2026-09): a user's API token travels in
``x-api-token`` and has all rights of that user; an OAuth access token is a bearer token. Neither takes the other's way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from crm.errors import ConfigurationError
from crm.http.redact import Secret

SCOPES: Final = ("base", "contacts:full", "users:read")
OPTIONAL_SCOPES: Final = ("contact-fields:full", "admin", "deals:full", "activities:full")
"""Without them: no marker field, no webhooks, no deals and activities. The rest works."""
TOKEN: Final = "token"  # noqa: S105 - the name of a scheme
BEARER: Final = "bearer"


def headers(token: Callable[[], Secret], scheme: str) -> Callable[[], Mapping[str, str]]:
    """The headers of a call, with the token as it is at that moment. ``scheme``: ``token`` ('' too) or ``bearer``."""
    match scheme:
        case "" | "token":
            return lambda: {"x-api-token": token()}
        case "bearer":
            return lambda: {"Authorization": Secret(f"Bearer {token().reveal()}")}
        case _:
            raise ConfigurationError(f"The way to authorize is unknown. Set it to one of: {TOKEN}, {BEARER}.")
