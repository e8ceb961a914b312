"""Who calls: the grant behind an API token or an OAuth access token, and what it may do."""

from __future__ import annotations

from dataclasses import dataclass

from crm.providers.pipedrive.fake import answers
from crm.providers.pipedrive.fake.state import Actor, State
from crm.testing.wsgi import Request


@dataclass(frozen=True, slots=True)
class Grant:
    """``scopes=None`` means all that the user may do (an API token); ``expires_ms=None`` never."""

    token: str
    user_id: int
    is_oauth: bool = False
    scopes: frozenset[str] | None = None
    expires_ms: int | None = None


def grant_of(request: Request) -> Grant:
    grant = request.caller
    if not isinstance(grant, Grant):
        raise answers.unauthorized()
    return grant


def actor_of(request: Request) -> Actor:
    """API writes show as ``api`` with the token's user (docs: Guide for Webhooks v2, ``change_source``)."""
    return Actor("api", grant_of(request).user_id, request.headers.get("user-agent", ""))


def require(request: Request, *scopes: str) -> None:
    """Raise 403 unless the token has one of the scopes."""
    held = grant_of(request).scopes
    if held is not None and not held.intersection(scopes):
        raise answers.scope_mismatch()


def require_admin(state: State, request: Request, what: str) -> None:
    """Raise 403 unless the token's user is an administrator."""
    if not state.users[grant_of(request).user_id]["is_admin"]:
        raise answers.forbidden(f"You do not have permissions to {what}")
