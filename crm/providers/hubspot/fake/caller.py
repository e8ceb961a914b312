"""Who calls: the grant behind a bearer token, its scopes and what it writes as."""

from __future__ import annotations

from dataclasses import dataclass

from crm.providers.hubspot.fake import answers
from crm.providers.hubspot.fake.state import Actor
from crm.testing.wsgi import Request


@dataclass(frozen=True, slots=True)
class Grant:
    """A token's rights. ``scopes=None`` means all; ``expires_ms=None`` never (private app)."""

    token: str
    app_id: int
    is_private_app: bool
    scopes: frozenset[str] | None = None
    expires_ms: int | None = None

    def actor(self) -> Actor:
        """API writes show as INTEGRATION with the app's id (HubSpot docs: webhooks, ``changeSource``)."""
        return Actor("INTEGRATION", str(self.app_id), "INTEGRATION")


def grant_of(request: Request) -> Grant:
    grant = request.caller
    if not isinstance(grant, Grant):
        raise answers.no_credentials()
    return grant


def actor_of(request: Request) -> Actor:
    return grant_of(request).actor()


def require(request: Request, *scopes: str) -> None:
    """Raise 403 unless the token has one of the scopes."""
    held = grant_of(request).scopes
    if held is not None and not held.intersection(scopes):
        raise answers.missing_scopes(scopes)
