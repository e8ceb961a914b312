"""How a call to HubSpot is authorized, and what this project asks leave for.

https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/oauth/working-with-oauth
(checked 2026-11). Private apps, service keys and OAuth apps all send a bearer token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from crm.http.redact import Secret

SCOPES: Final = (
    "oauth",
    "crm.objects.contacts.read",
    "crm.objects.contacts.write",
    "crm.schemas.contacts.read",
)
OPTIONAL_SCOPES: Final = (
    "crm.schemas.contacts.write",
    "crm.objects.owners.read",
    "communication_preferences.read_write",
)
"""Without them: no marker field, no names of owners, no opt-outs sent. The rest works."""


def bearer(token: Callable[[], Secret]) -> Callable[[], Mapping[str, str]]:
    """The headers of a call, with the token as it is at that moment."""
    return lambda: {"Authorization": Secret(f"Bearer {token().reveal()}")}
