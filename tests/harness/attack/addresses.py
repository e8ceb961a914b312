"""Hostile addresses in every place where one can come in: no connection leaves the providers' own hosts."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import requests

from crm.errors import CrmError
from crm.http.client import HttpClient
from crm.http.grants import OAuthClient
from crm.http.hosts import HostPolicy
from crm.http.oauth import TokenEndpoint
from crm.http.redact import Secret
from crm.http.transport import checked_session
from crm.ports import Turn
from crm.registry import provider

TOKEN = "bearer-that-must-not-leave"

_NAMES = (
    *("evil-salesforce.com", "salesforce.com.evil.example", "salesforce.com.", ".salesforce.com", "salesforce..com"),
    *("xsalesforce.com", "salesforce.co", "my.salesforce.com.evil", "login.salesforce.com-evil.example"),
    *("localhost", "localhost.localdomain", "127.0.0.1", "127.1", "0.0.0.0", "0", "2130706433", "0x7f000001"),
    *("0177.0.0.1", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1]"),
    *("169.254.169.254", "metadata.google.internal", "10.0.0.1", "192.168.0.1", "172.16.0.1", "100.64.0.1"),
    *("127.0.0.1.nip.io", "salesforce.com@127.0.0.1", "login.salesforce.com:443@127.0.0.1", "[::ffff:7f00:1]"),
    *("[::127.0.0.1]", "[2001:0:7f00:1::80ff:fffe]", "127.0.0.1.", "①②⑦.⓪.⓪.①", "login-salesforce.com"),
    *("salesforce.com%252eevil.example", "xn--slesforce-cri.com", "sa1esforce.com", "salesforcecom"),
    *("[fd00:ec2::254]", "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1"),
)
_WHOLE = (
    *("http://login.salesforce.com", "ftp://login.salesforce.com", "file:///etc/passwd", "gopher://127.0.0.1:6379/_x"),
    *("https://login.salesforce.com:8443", "https://login.salesforce.com:22", "https://login.salesforce.com:0x1bb"),
    *("https://user@login.salesforce.com", "https://login.salesforce.com@127.0.0.1", "https://@127.0.0.1"),
    *("https://login.salesforce.com\\@127.0.0.1", "https://127.0.0.1\\.salesforce.com", "https:\\\\127.0.0.1"),
    *("https://127.0.0.1#.salesforce.com", "https://127.0.0.1?.salesforce.com", "https://127.0.0.1;.salesforce.com"),
    *("https://login.salesforce.com%2f@127.0.0.1", "https://127.0.0.1%00.salesforce.com", "https:///127.0.0.1"),
    *("https://login。salesforce。com", "https://ѕalesforce.com", "https://login.salesforce.com\r\nHost: evil.example"),
    *("https://127.0.0.1\t.salesforce.com", " https://login.salesforce.com", "//127.0.0.1", "https:127.0.0.1", ""),
)
_REBINDING = (
    *("127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "10.0.0.8", "192.168.1.1"),
    *("169.254.169.254", "0.0.0.0", "::", "fe80::1", "fd00::1", "100.64.0.1", "224.0.0.1", "not an address"),
)
_REDIRECTS = (301, 302, 303, 307, 308)


def attack() -> dict[str, Any]:
    """Every address in its place; ``outside`` counts connections that reached the trap or another host's look-up."""
    with _trap() as trap:
        cases = list(_cases(trap))
        reached: list[str] = []
        not_refused: list[str] = []
        for name, run in cases:
            before = trap.connections
            try:
                run()
                not_refused.append(name)
            except CrmError:
                pass
            if trap.connections != before:
                reached.append(name)
        leaked = trap.leaked
        trusted = HostPolicy((), (f"127.0.0.1:{trap.port}",))
        before = trap.connections
        _client(f"http://127.0.0.1:{trap.port}", trusted).request("GET", "/", operation="control")
        trap_works = trap.connections == before + 1 and trap.leaked == leaked + 1
    return {
        "ok": not reached and not not_refused and not leaked and trap_works,
        "addresses": len(cases),
        "outside": len(reached),
        "outsideCases": reached,
        "notRefused": not_refused,
        "bearerSentElsewhere": leaked,
        "trapWorks": trap_works,
    }


class _Trap:
    """Listens where hostile addresses lead; ``url`` is a stand-in whose answers send the client on to the trap."""

    def __init__(self) -> None:
        self.connections = 0
        self.leaked = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection, contextlib.suppress(OSError):
                connection.settimeout(1)
                self.leaked += TOKEN.encode() in connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}")

    def looked_up(self, _host: str, _port: int) -> list[str]:
        self.connections += 1
        return ["127.0.0.1"]

    def close(self) -> None:
        self._listener.close()


@contextlib.contextmanager
def _trap() -> Iterator[_Trap]:
    trap = _Trap()
    try:
        yield trap
    finally:
        trap.close()


class _Free:
    """No budget."""

    def acquire(self, budget: str, cost: int = 1, turn: Turn | None = None) -> Turn:
        return Turn()

    def late(self, budget: str, turn: Turn, seconds: float) -> None:
        """Nothing is counted."""

    def observe(self, headers: Any) -> None:
        """Nothing to learn."""

    def exhausted(self, budget: str, retry_after_seconds: float) -> None:
        """Nothing to hold."""


def _client(base_url: str, hosts: HostPolicy, session: requests.Session | None = None) -> HttpClient:
    return HttpClient(
        provider="salesforce",
        base_url=base_url,
        authorize=lambda: {"Authorization": Secret(f"Bearer {TOKEN}")},
        classify=lambda _answer: None,
        limiter=_Free(),
        hosts=hosts,
        session=session or checked_session(),
        connect_timeout_seconds=2,
        read_timeout_seconds=2,
        total_seconds=4,
        sleep=lambda _seconds: None,
    )


def _cases(trap: _Trap) -> Iterator[tuple[str, Callable[[], Any]]]:
    suffixes = provider("salesforce").host_suffixes
    # None of these names may even be looked up: that counts as a connection.
    strict = HostPolicy(suffixes, resolve=trap.looked_up)
    for address in [*(f"https://{name}" for name in _NAMES), *_WHOLE]:
        yield f"base: {address!r}", partial(_asked, address, strict)
    for address in (f"https://{name}" for name in _NAMES[:12]):
        yield f"token answer: {address}", partial(_answered, "salesforce", instance_url=address)
        yield f"api domain: {address}", partial(_answered, "pipedrive", api_domain=address)
    for found in _REBINDING:
        hosts = HostPolicy(suffixes, resolve=_rebinding(found))
        yield f"rebinding: {found}", partial(_asked, "https://login.salesforce.com", hosts)
    own = HostPolicy(("salesforce.com",), ("stand-in.test:80",), resolve=_loopback)
    for link in (f"http://127.0.0.1:{trap.port}/next", f"https://evil.example:{trap.port}/next", "//127.0.0.1/next"):
        yield f"next page: {link}", partial(_asked, "http://stand-in.test", own, link)
    for status in _REDIRECTS:
        yield f"redirect {status}", partial(_redirected, status, trap)


def _asked(base_url: str, hosts: HostPolicy, path: str = "/") -> Any:
    return _client(base_url, hosts).request("GET", path, operation="attack")


def _loopback(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]


def _rebinding(second: str) -> Callable[[str, int], list[str]]:
    """Public when it is asked first, hostile from then on, and both at once: all of it has to be refused."""
    return lambda _host, _port: ["93.184.216.34", second]


def _answered(key: str, **changes: str) -> Any:
    body = {
        "access_token": "a",
        "refresh_token": "r",
        "id": "https://login.salesforce.com/id/00D000000000001EAA/005000000000001AAA",
        "instance_url": "https://acme.my.salesforce.com",
        "api_domain": "https://acme.pipedrive.com",
        **changes,
    }
    flow = provider(key).oauth
    assert flow is not None
    hosts = HostPolicy(provider(key).host_suffixes)
    return flow.read_token(body, OAuthClient("c", Secret("s")), hosts)


def _redirected(status: int, trap: _Trap) -> Any:
    """The token endpoint of a stand-in sends the client, and its secret, on to the trap."""
    from crm.testing.wsgi import LoopbackServer, Request, Response, WsgiApp

    class Sender(WsgiApp):
        def respond(self, request: Request) -> Response:
            return Response(status, b"", [("Location", f"http://127.0.0.1:{trap.port}/")])

    flow = provider("hubspot").oauth
    assert flow is not None
    with LoopbackServer(Sender(), threads=2) as server:
        hosts = HostPolicy(("hubapi.com",), (f"127.0.0.1:{server.url.rpartition(':')[2]}",))
        endpoint = TokenEndpoint(
            flow, {"api_base": server.url}, hosts, OAuthClient("c", Secret(TOKEN)), provider="hubspot"
        )
        return endpoint.refresh(Secret(TOKEN))
