"""The sockets under the client: they connect only to checked addresses, keep a deadline, and know what was sent.

Everything here hangs on the ``Exchange`` of the current thread: without one, nothing connects.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import socket
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import requests
import requests.adapters
import urllib3.connection
import urllib3.exceptions
import urllib3.util.connection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from crm.http.hosts import HostPolicy


@dataclass(slots=True)
class Exchange:
    """One request and its answer: the rules for its connection, and how far it came."""

    hosts: HostPolicy
    deadline: float
    """On ``clock``; no byte is waited for after it."""
    clock: Callable[[], float] = time.monotonic
    connecting: bool = False
    """A new connection was tried: without ``sent`` nothing can have reached the server."""
    sent: bool = False
    """Bytes of the request may have left this machine."""

    def remaining_seconds(self) -> float:
        return self.deadline - self.clock()


_EXCHANGE: ContextVar[Exchange] = ContextVar("exchange")


@contextlib.contextmanager
def exchanging(exchange: Exchange) -> Iterator[Exchange]:
    """What the current thread sends inside the block follows this exchange's rules."""
    token = _EXCHANGE.set(exchange)
    try:
        yield exchange
    finally:
        _EXCHANGE.reset(token)


class _DeadlineReader(io.RawIOBase):
    """The socket's bytes, each wait cut to what is left: a server that drips cannot hold a worker."""

    def __init__(self, source: io.RawIOBase, sock: socket.socket, exchange: Exchange) -> None:
        super().__init__()
        self._source = source
        self._socket = sock
        self._exchange = exchange
        self._timeout_seconds = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._exchange.remaining_seconds()
        if left <= 0:
            raise TimeoutError("the answer took too long in all")
        if self._socket.fileno() != -1:  # closed by "Connection: close" when the headers were read; the file lives on
            self._socket.settimeout(left if self._timeout_seconds is None else min(left, self._timeout_seconds))
        return self._source.readinto(buffer)

    def close(self) -> None:
        self._source.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, exchange: Exchange, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp: Any = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock, exchange))


class _CheckedConnection(urllib3.connection.HTTPConnection):
    def _new_conn(self) -> socket.socket:
        """Connect to an address that the policy has seen, not to one that a second look-up may give."""
        exchange = _EXCHANGE.get()
        exchange.connecting = True
        port = self.port or self.default_port
        try:
            addresses = exchange.hosts.addresses(self.host, port)
        except socket.gaierror as error:
            raise urllib3.exceptions.NameResolutionError(self.host, self, error) from error
        failure: OSError = OSError("the name has no address")
        for address in addresses:
            left = exchange.remaining_seconds()
            timeout = min(left, self.timeout) if isinstance(self.timeout, int | float) else left
            if timeout <= 0:
                failure = TimeoutError("no time left to connect")
                break
            try:
                return urllib3.util.connection.create_connection(
                    (address, port), timeout, source_address=self.source_address, socket_options=self.socket_options
                )
            except OSError as error:
                failure = error
        if isinstance(failure, TimeoutError):
            raise urllib3.exceptions.ConnectTimeoutError(self, "the connection timed out") from failure
        raise urllib3.exceptions.NewConnectionError(self, "no connection") from failure

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _EXCHANGE.get().sent = True
        super().send(data)

    def getresponse(self) -> Any:
        self.response_class = functools.partial(  # type: ignore[assignment]  # http.client only ever calls it
            _DeadlineResponse, exchange=_EXCHANGE.get()
        )
        return super().getresponse()


class _CheckedSecureConnection(_CheckedConnection, urllib3.connection.HTTPSConnection):
    pass


class _CheckedPool(HTTPConnectionPool):
    ConnectionCls = _CheckedConnection


class _CheckedSecurePool(HTTPSConnectionPool):
    ConnectionCls = _CheckedSecureConnection


class CheckedAdapter(requests.adapters.HTTPAdapter):
    """A pooled ``requests`` adapter whose every connection is checked; it never retries by itself."""

    def __init__(self, *, pool_size: int = 10) -> None:
        super().__init__(pool_connections=4, pool_maxsize=pool_size, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _CheckedPool, "https": _CheckedSecurePool}


def checked_session(*, pool_size: int = 10) -> requests.Session:
    """A session without proxies, netrc and cookies of this machine: what is sent is what the caller gave."""
    session = requests.Session()
    session.trust_env = False
    adapter = CheckedAdapter(pool_size=pool_size)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def certainly_not_sent(error: BaseException, exchange: Exchange) -> bool:
    """Whether the failed request cannot have had an effect. In doubt it can."""
    if exchange.sent:
        return False
    if exchange.connecting:
        return True
    seen: set[int] = set()
    current: object = error
    while isinstance(current, BaseException) and id(current) not in seen:
        if isinstance(
            current,
            requests.ConnectTimeout | urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError,
        ):
            return True
        seen.add(id(current))
        current = getattr(current, "reason", None) or next(iter(current.args), None)
    return False
