"""The switches under ``/_fake/``: faults, webhooks, clock, settings, tokens, codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

from crm.providers.pipedrive.fake import automation, webhooks
from crm.providers.pipedrive.fake.answers import Json, bad_request, body_object
from crm.providers.pipedrive.fake.caller import Grant
from crm.providers.pipedrive.fake.state import FIRST_USER_ID
from crm.testing.switches import CommonSwitches
from crm.testing.wsgi import Request, Response, Router, json_response, no_content

if TYPE_CHECKING:
    from crm.providers.pipedrive.fake.app import PipedriveFake

_CHOICES: Final = {
    "limits": ("real", "count", "none"),
    "v1Records": ("on", "off"),
    "queryToken": ("v1", "everywhere", "nowhere"),
    "unknownKeys": ("refuse", "ignore"),
    "limitOverMax": ("refuse", "clamp"),
}


class SwitchesApi:
    def __init__(self, fake: PipedriveFake) -> None:
        self._fake = fake

    def mount(self, router: Router) -> None:
        routes: list[tuple[str, str, Callable[[Request], Response]]] = [
            ("GET", "webhooks", self.read_webhooks),
            ("POST", "webhooks", self.set_webhooks),
            ("POST", "webhooks/deliver", self.deliver_webhooks),
            ("GET", "settings", self.read_settings),
            ("POST", "settings", self.set_settings),
            ("POST", "tokens", self.add_token),
            ("DELETE", "tokens/{token}", self.remove_token),
            ("POST", "codes", self.issue_code),
        ]
        # ``rate_limited`` takes the policy ``burst``, ``daily`` or ``cloudflare`` (403 with an HTML page).
        CommonSwitches(self._fake, bad_request, without=("locked", "moving")).mount(router)
        for method, path, act in routes:
            router.add(method, f"/_fake/{path}", act)

    def read_webhooks(self, _request: Request) -> Response:
        sender = self._fake.webhooks
        answer = {"subscriptions": list(sender.hooks.values()), "settings": asdict(sender.settings)}
        return json_response({**answer, "waiting": sender.waiting, **asdict(sender.counts)})

    def set_webhooks(self, request: Request) -> Response:
        """Replace the settings of delivery; subscriptions are made through the API."""
        self._fake.webhooks.configure(webhooks.parse_settings(request.json()))
        return self.read_webhooks(request)

    def deliver_webhooks(self, _request: Request) -> Response:
        """One round in this call, for a sender that is paused: ``{"accepted": n}``."""
        sender = self._fake.webhooks
        return json_response({"accepted": sender.deliver_due(even_paused=True), "waiting": sender.waiting})

    def read_settings(self, _request: Request) -> Response:
        fake = self._fake
        return json_response(
            {
                "searchLagSeconds": fake.state.search_lag_seconds,
                "limits": fake.limits.mode,
                "dailyTokens": fake.limits.sizes.daily_tokens,
                "burst": fake.limits.sizes.api_burst,
                "automation": fake.automation,
                "contactSync": fake.rules.contact_sync,
                "unknownKeys": fake.rules.unknown_keys,
                "limitOverMax": "clamp" if fake.records.is_limit_clamped else "refuse",
                "deltaShowsNew": fake.records.delta_shows_new,
                "listLagSeconds": fake.records.list_lag_seconds,
                "v1Records": "on" if fake.records_v1.is_on else "off",
                "queryToken": fake.query_credentials,
                "companyOpen": fake.is_company_open,
                "tokenSeconds": fake.oauth.app.expires_in_seconds,
                "rotateRefreshTokens": fake.oauth.app.rotates,
            }
        )

    def set_settings(self, request: Request) -> Response:
        """Any of those that ``GET settings`` shows."""
        body, fake = body_object(request), self._fake
        setters: dict[str, Callable[[Any], None]] = {
            "searchLagSeconds": lambda value: setattr(fake.state, "search_lag_seconds", float(value)),
            "limits": lambda value: setattr(fake.limits, "mode", value),
            "dailyTokens": lambda value: self._resize(daily_tokens=int(value)),
            "burst": lambda value: self._resize(api_burst=int(value)),
            "automation": lambda value: setattr(fake, "automation", automation.check_rules(value)),
            "contactSync": lambda value: fake.set_contact_sync(on=bool(value)),
            "unknownKeys": lambda value: setattr(fake.rules, "unknown_keys", value),
            "limitOverMax": lambda value: setattr(fake.records, "is_limit_clamped", value == "clamp"),
            "deltaShowsNew": lambda value: setattr(fake.records, "delta_shows_new", bool(value)),
            "listLagSeconds": lambda value: setattr(fake.records, "list_lag_seconds", float(value)),
            "v1Records": lambda value: setattr(fake.records_v1, "is_on", value == "on"),
            "queryToken": lambda value: setattr(fake, "query_credentials", value),
            "companyOpen": lambda value: setattr(fake, "is_company_open", bool(value)),
            "tokenSeconds": lambda value: setattr(fake.oauth.app, "expires_in_seconds", int(value)),
            "rotateRefreshTokens": lambda value: setattr(fake.oauth.app, "rotates", bool(value)),
        }
        if unknown := sorted(set(body) - set(setters)):
            raise bad_request(f"unknown setting {unknown[0]!r}")
        for name, choices in _CHOICES.items():
            if name in body and body[name] not in choices:
                raise bad_request(f"{name} must be one of {', '.join(choices)}")
        for name, value in body.items():
            setters[name](value)
        return self.read_settings(request)

    def _resize(self, **sizes: int) -> None:
        self._fake.limits.sizes = replace(self._fake.limits.sizes, **sizes)

    def add_token(self, request: Request) -> Response:
        """``token``?, ``userId``?, ``scopes`` (makes it an OAuth token), ``expiresIn`` seconds (absent: never)."""
        body, fake = body_object(request), self._fake
        user_id = int(body.get("userId") or FIRST_USER_ID)
        if user_id not in fake.state.users:
            raise bad_request(f"there is no user {user_id}")
        token = str(body.get("token") or fake.new_token())
        scopes = frozenset(str(scope) for scope in body["scopes"]) if "scopes" in body else None
        expires_ms = None
        if "expiresIn" in body:
            expires_ms = fake.clock.now_ms() + round(float(body["expiresIn"]) * 1000)
        fake.grants[token] = Grant(token, user_id, "scopes" in body, scopes, expires_ms)
        fake.state.dirty_tables.add("tokens")
        return json_response({"token": token}, 201)

    def remove_token(self, request: Request) -> Response:
        """As when its user makes a new one: the old one is dead at once."""
        self._fake.grants.pop(request.params["token"], None)
        self._fake.state.dirty_tables.add("tokens")
        return no_content()

    def issue_code(self, request: Request) -> Response:
        """A code as the consent page would give it."""
        body: Json = body_object(request)
        return json_response({"code": self._fake.oauth.issue_code(str(body.get("redirectUri", "")))}, 201)
