"""A CRM's fake on loopback as authorization server, and a browser that walks from ADSapp to it and back."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import requests

from adsapp_crm.models import CrmConnection, CrmOAuthState
from crm.fakes import FAKES
from crm.testing.clock import FakeClock
from crm.testing.wsgi import LoopbackServer

CALLBACK = "http://localhost/api/crm/connect/callback"
APPROVE = {
    "hubspot": ("decision", "approve"),
    "salesforce": ("decision", "allow"),
    "pipedrive": ("do", "allow"),
}
DENY = {"hubspot": ("decision", "deny"), "salesforce": ("decision", "deny"), "pipedrive": ("do", "deny")}
ADDRESSES = {
    "hubspot": ("api_base", "auth_base"),
    "salesforce": ("login_base",),
    "pipedrive": ("auth_base",),
}


@dataclass
class AuthorizationServer:
    """One fake. ``app`` is what is registered there."""

    key: str
    fake: Any
    url: str

    @property
    def app(self) -> Any:
        oauth = self.fake.oauth
        return oauth.app if hasattr(oauth, "app") else oauth.grants.app

    @property
    def settings(self) -> dict[str, str]:
        """``CRM_PROVIDERS`` of this CRM."""
        addresses = dict.fromkeys(ADDRESSES[self.key], self.url)
        return {"client_id": self.app.client_id, "client_secret": self.app.client_secret, **addresses}

    def decide(self, address: str, *, approve: bool = True) -> dict[str, str]:
        """Look at the consent page, press a button; what the callback's query holds then."""
        page = requests.get(address, timeout=10, allow_redirects=False)
        assert page.status_code == 200, page.text
        form = {
            html.unescape(name): html.unescape(value)
            for name, value in re.findall(r"type=hidden name='?(\w+)'? value='([^']*)'", page.text)
        }
        name, value = (APPROVE if approve else DENY)[self.key]
        parts = urlsplit(address)
        answer = requests.post(
            f"{parts.scheme}://{parts.netloc}{parts.path}",
            data={**form, name: value},
            timeout=10,
            allow_redirects=False,
        )
        assert answer.status_code == 302, answer.text
        back = urlsplit(answer.headers["Location"])
        assert f"{back.scheme}://{back.netloc}{back.path}".startswith(CALLBACK)
        return {name: values[0] for name, values in parse_qs(back.query, keep_blank_values=True).items()}

    def requests(self, word: str) -> int:
        """How many requests the fake answered whose label holds the word."""
        return sum(count for label, count in self.fake.requests.items() if word in label)


@contextmanager
def authorization_server(key: str, **options: Any) -> Iterator[AuthorizationServer]:
    make: Any = FAKES[key]  # each takes options of its own besides the common ones
    fake = make(clock=FakeClock(), **options)
    try:
        with LoopbackServer(fake) as server:
            found = AuthorizationServer(key, fake, server.url)
            found.app.redirect_uris.append(CALLBACK)
            yield found
    finally:
        fake.close()


def begin(browser: Any, key: str, **config: str) -> Any:
    body: dict[str, Any] = {"crmType": key, **({"config": config} if config else {})}
    return browser.post("/api/crm/connect", body, content_type="application/json")


def come_back(browser: Any, query: dict[str, str], **headers: str) -> Any:
    return browser.get("/api/crm/connect/callback", query, headers={"Accept": "text/html", **headers})


def confirm(browser: Any, address: str, decision: str = "connect", **more: str) -> Any:
    return browser.post(
        address,
        urlencode({"decision": decision, **more}),
        content_type="application/x-www-form-urlencoded",
        headers={"Accept": "text/html"},
    )


def connect(browser: Any, server: AuthorizationServer, **config: str) -> Any:
    """All three clicks; the last answer."""
    begun = begin(browser, server.key, **config)
    assert begun.status_code == 200, begun.content
    back = come_back(browser, server.decide(begun.json()["authUrl"]))
    assert back.status_code == 303, back.content
    return confirm(browser, back["Location"])


def stored(tenant: Any) -> list[CrmConnection]:
    with tenant.context():
        return list(CrmConnection.objects.defer(None).order_by("id"))


def waiting(browser, server):
    return come_back(browser, server.decide(begin(browser, server.key).json()["authUrl"]))["Location"]


def states(tenant):
    """Log-ins that have begun."""
    with tenant.context():
        return list(CrmOAuthState.objects.all())


def failed(answer, code, status=400):
    """A failure page with cause and fix, which tells no other site where it came from."""
    page = answer.content.decode()
    assert answer.status_code == status, page
    assert f"<code>{code}</code>" in page
    assert answer["Referrer-Policy"] == "no-referrer"
    assert answer["Cache-Control"] == "no-store"
    return page
