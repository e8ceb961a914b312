"""Who calls: the session behind a bearer token, and what the headers of a call ask for."""

from __future__ import annotations

from dataclasses import dataclass

from crm.providers.salesforce.fake import answers
from crm.providers.salesforce.fake.state import Actor
from crm.providers.salesforce.fake.writes import WriteOptions
from crm.testing.wsgi import Request


@dataclass(frozen=True, slots=True)
class Session:
    """An access token's rights. ``expires_ms=None`` never; ``grant_id`` is what a refresh token belongs to."""

    token: str
    user_id: str
    client_id: str
    scope: str = "api refresh_token openid id"
    issued_ms: int = 0
    expires_ms: int | None = None
    grant_id: str | None = None


def session_of(request: Request) -> Session:
    session = request.caller
    if not isinstance(session, Session):
        raise answers.session_invalid()
    return session


def write_options(request: Request) -> WriteOptions:
    """Page: REST API Developer Guide, "Assignment Rule Header" and "Duplicate Rule Header"."""
    duplicate_rule = request.headers.get("sforce-duplicate-rule-header", "").replace(" ", "").lower()
    return WriteOptions(
        actor=Actor("api", session_of(request).user_id),
        allow_save="allowsave=true" in duplicate_rule,
        auto_assign=request.headers.get("sforce-auto-assign", "TRUE").strip().upper() != "FALSE",
        version=request.params.get("version", "v59.0"),
    )
