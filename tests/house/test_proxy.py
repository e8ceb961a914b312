"""The fault proxy does what it says to the connections that pass it."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from tests.harness.proxy import FaultProxy


@pytest.fixture
def echo():
    """Port of a server that answers what it hears, in capitals."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    caller, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(caller,), daemon=True).start()

        def answer(caller):
            with caller:
                try:
                    while heard := caller.recv(65536):
                        caller.sendall(heard.upper())
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(echo):
    with FaultProxy(echo) as found:
        yield found


def call(proxy):
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def ask(line, text, size=None):
    line.sendall(text)
    answer = b""
    while len(answer) < (size or len(text)):
        part = line.recv(65536)
        if not part:
            break
        answer += part
    return answer


def test_health_changes_nothing(proxy):
    """Bytes pass both ways as they are, also many of them."""
    with call(proxy) as line:
        assert ask(line, b"hello") == b"HELLO"
        assert ask(line, b"x" * 300_000) == b"X" * 300_000
    assert (proxy.connections, proxy.resets) == (1, 0)


def test_a_reset_reaches_a_caller_that_waits(proxy):
    """A caller that is in the middle of recv learns it at once, as a reset and not as an end."""
    with call(proxy) as line:
        assert ask(line, b"a") == b"A"
        assert proxy.reset() == 1
        with pytest.raises(ConnectionResetError):
            line.recv(1)


def test_down_refuses_until_it_is_over(proxy):
    """Nobody gets through meanwhile; afterwards everybody does."""
    # On a busy machine the reset is there before the call has returned.
    with proxy.suffering(is_down=True), pytest.raises(ConnectionResetError), call(proxy) as line:
        line.recv(1)
    with call(proxy) as line:
        assert ask(line, b"a") == b"A"


def test_an_answer_stops_at_the_limit(proxy):
    """The bytes before it arrive, then the connection is cut."""
    with proxy.suffering(limit_bytes=3), call(proxy) as line:
        assert ask(line, b"abcdef", 6) == b"ABC"


def test_latency_and_slices_delay_and_lose_nothing(proxy):
    """Every piece waits its time; all of them arrive in order."""
    with proxy.suffering(latency_seconds=0.01, slice_bytes=2), call(proxy) as line:
        began = time.monotonic()
        assert ask(line, b"abcdef") == b"ABCDEF"
        assert time.monotonic() - began >= 0.04
