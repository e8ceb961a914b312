"""Tokens and what they belong to: authorisation codes, grants with their refresh token, sessions.

Pages: Salesforce Help, "OAuth 2.0 Web Server Flow", "Rotate refresh tokens"; ISVforce Guide, "Secure Your Connected
Apps and External Client Apps"
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field
from typing import Final

from crm.providers.salesforce.fake.answers import Json
from crm.providers.salesforce.fake.caller import Session
from crm.providers.salesforce.fake.state import State

CODE_LIFETIME_MS: Final = 15 * 60_000
MAX_GRANTS: Final = 5


@dataclass(slots=True)
class ConnectedApp:
    """The app that may ask for tokens. ``refresh_seconds`` is how long a refresh takes; ``idle_days`` without a
    refresh end a grant; ``is_installed=False`` refuses every authorisation.
    """

    client_id: str = "3MVG9fake0000000000000000000000000000000000000000000000000000000000000000000000000000"
    client_secret: str = "FAKE0000000000000000000000000000000000000000000000000000000SECRET"  # noqa: S105 - opens nothing but a fake
    name: str = "ADSapp"
    redirect_uris: list[str] = field(default_factory=list)
    session_seconds: int = 7_200
    requires_pkce: bool = True
    rotates_refresh_tokens: bool = False
    idle_days: int = 30
    refresh_seconds: float = 0.0
    is_installed: bool = True


@dataclass(frozen=True, slots=True)
class Code:
    redirect_uri: str
    scope: str
    challenge: str
    user_id: str
    expires_ms: int


@dataclass(slots=True)
class Grant:
    """One user's consent to the app; ``used`` are refresh tokens that rotation has retired."""

    grant_id: str
    user_id: str
    scope: str
    refresh_token: str
    refreshed_ms: int
    used: list[str] = field(default_factory=list)


class Grants:
    """Codes, grants and sessions of one org."""

    def __init__(self, state: State, app: ConnectedApp, *, org_id: str, seed: int) -> None:
        self._state = state
        self.app = app
        self._org_id = org_id
        self._random = random.Random(f"oauth/{seed}")  # noqa: S311 - reproducible, not secret
        self.codes: dict[str, Code] = {}
        self.by_id: dict[str, Grant] = {}
        self.sessions: dict[str, Session] = {}

    # Codes and grants ----------------------------------------------------------------------------------------

    def new_code(self, redirect_uri: str, scope: str, challenge: str, user_id: str) -> str:
        code = f"aPrx{self._text(60)}=="
        expires_ms = self._state.clock.now_ms() + CODE_LIFETIME_MS
        self.codes[code] = Code(redirect_uri, scope, challenge, user_id, expires_ms)
        return code

    def open(self, user_id: str, scope: str) -> Grant:
        """A new grant; a sixth one of a user ends the oldest."""
        grant = Grant(self._text(12), user_id, scope, self._refresh_token(), self._state.clock.now_ms())
        self.by_id[grant.grant_id] = grant
        of_user = [each for each in self.by_id.values() if each.user_id == user_id]
        for old in of_user[:-MAX_GRANTS]:
            self.end(old)
        self._state.dirty_tables.add("tokens")
        return grant

    def of_refresh_token(self, token: str) -> Grant | None:
        """The live grant of a refresh token. A used one ends its grant at once; an idle one has ended."""
        for grant in list(self.by_id.values()):
            if token in grant.used:
                self.end(grant)
                return None
            if grant.refresh_token == token:
                idle_ms = self._state.clock.now_ms() - grant.refreshed_ms
                if idle_ms > self.app.idle_days * 86_400_000:
                    self.end(grant)
                    return None
                return grant
        return None

    def rotate(self, grant: Grant) -> None:
        grant.used.append(grant.refresh_token)
        grant.refresh_token = self._refresh_token()
        self._state.dirty_tables.add("tokens")

    def end(self, grant: Grant) -> None:
        """The grant with all its sessions."""
        self.by_id.pop(grant.grant_id, None)
        for token in [token for token, each in self.sessions.items() if each.grant_id == grant.grant_id]:
            del self.sessions[token]
        self._state.dirty_tables.add("tokens")

    # Sessions ------------------------------------------------------------------------------------------------

    def new_session(self, grant: Grant) -> Session:
        now_ms = self._state.clock.now_ms()
        token = f"{self._org_id[:15]}!AQ{self._text(90)}"
        expires_ms = now_ms + self.app.session_seconds * 1000
        session = Session(token, grant.user_id, self.app.client_id, grant.scope, now_ms, expires_ms, grant.grant_id)
        self.sessions[token] = session
        self._state.dirty_tables.add("tokens")
        return session

    def live(self, token: str) -> Session | None:
        session = self.sessions.get(token)
        if session is None:
            return None
        if session.expires_ms is not None and session.expires_ms <= self._state.clock.now_ms():
            return None
        return session

    def expire_all(self) -> int:
        """Every session with an end is over now; grants stay."""
        ended = [token for token, each in self.sessions.items() if each.expires_ms is not None]
        for token in ended:
            del self.sessions[token]
        self._state.dirty_tables.add("tokens")
        return len(ended)

    def saved(self) -> Json:
        return {
            "grants": [asdict(each) for each in self.by_id.values()],
            "sessions": [asdict(each) for each in self.sessions.values()],
            "redirect_uris": self.app.redirect_uris,
        }

    def load(self, saved: Json) -> None:
        self.app.redirect_uris = self.app.redirect_uris or saved["redirect_uris"]
        self.by_id = {each["grant_id"]: Grant(**each) for each in saved["grants"]}
        self.sessions = {each["token"]: Session(**each) for each in saved["sessions"]} | self.sessions

    def _refresh_token(self) -> str:
        return f"5Aep861{self._text(80)}"

    def _text(self, length: int) -> str:
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._"
        return "".join(self._random.choice(letters) for _ in range(length))
