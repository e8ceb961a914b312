"""Free ports of the loopback interface, and what a server said last."""

from __future__ import annotations

import socket
from pathlib import Path


def free_port() -> int:
    """A port that nobody uses now; who starts a server on it tries again when somebody else was faster."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def tail(path: Path, *, size: int = 2000) -> str:
    return path.read_bytes()[-size:].decode(errors="replace")
