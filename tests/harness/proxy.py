"""A TCP proxy on loopback that does what networks do: delay, cut into small pieces, stop half-way, reset, be gone.

Set its attributes at any time; they hold for what passes from then on. Standard library only.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

_CHUNK_BYTES = 64 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass
class Toxics:
    """What goes wrong. The defaults let everything through as it is."""

    latency_seconds: float = 0.0
    """Before each piece of data, in both directions."""
    slice_bytes: int = 0
    """Data is passed on in pieces of this size; 0: as it came."""
    limit_bytes: int = 0
    """A connection is cut, without a word, after so many bytes of an answer; 0: never."""
    is_down: bool = False
    """New connections are reset at once."""


@dataclass(eq=False)
class _Pair:
    client: socket.socket
    server: socket.socket
    answered_bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def close(self, *, reset: bool = False) -> None:
        with self.lock:
            for side in (self.client, self.server):
                with contextlib.suppress(OSError):
                    if reset:
                        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                    # A thread that waits in recv keeps the connection open; reading alone is shut, so that no FIN goes.
                    side.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
                with contextlib.suppress(OSError):
                    side.close()


class FaultProxy:
    """Listens on ``port`` and connects each caller with ``target_port``, which may change between connections."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.toxics = Toxics()
        self.connections = 0
        self.resets = 0
        self._pairs: set[_Pair] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name=f"proxy {self.port}", daemon=True).start()

    def heal(self) -> None:
        """From now on everything passes as it is."""
        self.toxics = Toxics()

    def reset(self) -> int:
        """Reset every open connection on both sides; returns how many there were."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            pair.close(reset=True)
        self.resets += len(pairs)
        return len(pairs)

    @contextlib.contextmanager
    def suffering(self, **toxics: float) -> Iterator[None]:
        """These toxics inside the block, health afterwards."""
        self.toxics = Toxics(**toxics)  # type: ignore[arg-type]  # numbers and a flag, as the fields say
        try:
            yield
        finally:
            self.heal()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return  # closed
            self.connections += 1
            if self.toxics.is_down:
                self._refuse(client)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target_port), timeout=5)
            except OSError:
                self._refuse(client)
                continue
            server.settimeout(None)
            pair = _Pair(client, server)
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._pairs.add(pair)
            for source, sink, answers in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=(pair, source, sink, answers), daemon=True).start()

    def _refuse(self, client: socket.socket) -> None:
        self.resets += 1
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        client.close()

    def _pump(self, pair: _Pair, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        try:
            while part := source.recv(_CHUNK_BYTES):
                self._pass_on(pair, sink, part, answers)
        except OSError:
            pass  # one side went away, or a reset: the other side learns it by the close
        finally:
            with self._lock:
                self._pairs.discard(pair)
            pair.close()

    def _pass_on(self, pair: _Pair, sink: socket.socket, part: bytes, answers: bool) -> None:
        toxics = self.toxics
        step = toxics.slice_bytes or len(part)
        for start in range(0, len(part), step):
            piece = part[start : start + step]
            if toxics.latency_seconds:
                time.sleep(toxics.latency_seconds)
            if answers and toxics.limit_bytes:
                piece = piece[: max(0, toxics.limit_bytes - pair.answered_bytes)]
            sink.sendall(piece)
            if answers:
                pair.answered_bytes += len(piece)
                if toxics.limit_bytes and pair.answered_bytes >= toxics.limit_bytes:
                    raise ConnectionResetError("the limit is reached")
