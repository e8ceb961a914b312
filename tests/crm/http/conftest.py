"""A server on real sockets that answers, or breaks off, exactly as a test says; and a client that never sleeps."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import responses

from crm.errors import CrmError
from crm.http.client import HttpClient
from crm.http.hosts import HostPolicy
from crm.ports import Turn

BASE = "https://api.example.com"
Step = Callable[[socket.socket], None]


class ScriptedServer:
    """Reads each request whole, then does the next step of its script; the last one is repeated."""

    def __init__(self, *steps: Step, tls: ssl.SSLContext | None = None) -> None:
        self.steps = list(steps)
        self._tls = tls
        self.requests: list[bytes] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            while request := _read_request(connection):
                with self._lock:
                    self.requests.append(request)
                    step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
                step(connection)


def _read_request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answer(
    content: Any = b"{}", *, status: int = 200, headers: Mapping[str, str] | None = None, length: int | None = None
) -> Step:
    """Answer with bytes, or with anything else as JSON. ``length`` overrides the honest Content-Length."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    lines = {"Content-Type": "application/json", "Content-Length": str(len(body) if length is None else length)}
    lines |= headers or {}
    head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"

    def step(connection: socket.socket) -> None:
        connection.sendall(head.encode("latin-1") + body)

    return step


def drop(connection: socket.socket) -> None:
    """The request was read; the connection breaks without an answer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()


class RecordingLimiter:
    """Grants at once, or what ``waits`` says; remembers what it was told."""

    def __init__(self, *waits: float) -> None:
        self.waits = list(waits)
        self.told_late: list[float] = []
        self.acquired: list[tuple[str, int]] = []
        self.refused: list[tuple[str, float]] = []
        self.observed: list[Mapping[str, str]] = []

    def acquire(self, budget: str, cost: int = 1, turn: Turn | None = None) -> Turn:
        if turn is None:
            self.acquired.append((budget, cost))
        return Turn(self.waits.pop(0) if self.waits else 0.0, "ticket")

    def late(self, budget: str, turn: Turn, seconds: float) -> None:
        self.told_late.append(seconds)

    def observe(self, headers: Mapping[str, str]) -> None:
        self.observed.append(headers)

    def exhausted(self, budget: str, retry_after_seconds: float) -> None:
        self.refused.append((budget, retry_after_seconds))


class Sleeper:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    servers: list[ScriptedServer] = []

    def start(*steps: Step, tls: ssl.SSLContext | None = None) -> ScriptedServer:
        servers.append(ScriptedServer(*steps, tls=tls))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def sleeper() -> Sleeper:
    return Sleeper()


@pytest.fixture
def limiter() -> RecordingLimiter:
    return RecordingLimiter()


@pytest.fixture
def make_client(sleeper: Sleeper, limiter: RecordingLimiter) -> Iterator[Callable[..., HttpClient]]:
    made: list[HttpClient] = []

    def make(base_url: str, *, classify: Callable[[Any], CrmError | None] = lambda _: None, **more: Any) -> HttpClient:
        arguments: dict[str, Any] = {
            "provider": "example",
            "authorize": lambda: {"Authorization": "Bearer t0ken-of-the-test"},
            "limiter": limiter,
            "hosts": HostPolicy(suffixes=("example.com",), extra_hosts=("127.0.0.1",)),
            "sleep": sleeper.sleep,
            "random": lambda: 0.5,
        }
        made.append(HttpClient(base_url=base_url, classify=classify, **(arguments | more)))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    """Answers given in-process, in the order in which they were registered."""
    with responses.RequestsMock(registry=responses.registries.OrderedRegistry) as mock:
        yield mock


def raised(call: Callable[[], Any]) -> CrmError:
    with pytest.raises(CrmError) as caught:
        call()
    return caught.value
