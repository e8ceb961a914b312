"""One Valkey server of a data folder: started, found again, stopped. It keeps nothing on disk."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tests.harness.binaries import ServicesError, bury, command_line, spawn, valkey_server
from tests.harness.ports import free_port, tail

_START_SECONDS: Final = 20
_STOP_SECONDS: Final = 10


def start(folder: Path, password: str) -> dict[str, int]:
    """Start a server on a free port; returns its state."""
    program = valkey_server(folder)
    log_path = folder / "valkey.log"
    for _attempt in range(5):
        port = free_port()
        process = _spawn(program, folder, port, password)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            if _answers(port, password):
                return {"pid": process.pid, "port": port}
            time.sleep(0.01)
        if process.poll() is None:
            process.kill()
            process.wait()
            msg = f"Valkey was not ready after {_START_SECONDS} s:\n{tail(log_path)}"
            raise ServicesError(msg)
        if "in use" not in tail(log_path):
            break
    msg = f"Valkey did not start:\n{tail(log_path)}"
    raise ServicesError(msg)


def stop(state: object) -> bool:
    """Stop the server that `state` names; False when it does not run."""
    if not isinstance(state, dict) or not _is_ours(state):
        return False
    pid = state["pid"]
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        deadline = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < deadline:
            bury(pid)
            if not _is_ours(state):
                return True
            time.sleep(0.01)
    msg = f"Valkey (process {pid}) does not stop. End it by hand."
    raise ServicesError(msg)


def urls(state: object, password: str) -> dict[str, str]:
    """The address of a server that answers; empty when it does not."""
    if not isinstance(state, dict) or not _is_ours(state) or not _answers(state["port"], password):
        return {}
    return {"REDIS_URL": f"redis://:{quote(password)}@127.0.0.1:{state['port']}/0"}


def _spawn(program: Path, folder: Path, port: int, password: str) -> subprocess.Popen[bytes]:
    # The configuration goes in by standard input: the password is neither on disk nor in the process list.
    configuration = (
        f"bind 127.0.0.1\nport {port}\nrequirepass {password}\n"
        'save ""\nappendonly no\ndaemonize no\nmaxmemory-policy noeviction\n'
    )
    read_end, write_end = os.pipe()
    try:
        with (folder / "valkey.log").open("wb") as log:
            process = spawn([str(program), "-"], cwd=folder, log=log, stdin=read_end)
        os.write(write_end, configuration.encode())
    finally:
        os.close(read_end)
        os.close(write_end)
    return process


def _is_ours(state: dict[str, int]) -> bool:
    """The server writes its port into its title; before it does, its program's name stands there."""
    title = command_line(state["pid"])
    return "valkey-server" in title and (f":{state['port']}" in title or title.endswith(" -"))


def _answers(port: int, password: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\n") < 2:
                part = connection.recv(64)
                if not part:
                    break
                answer += part
            return answer == b"+OK\r\n+PONG\r\n"
    except OSError:
        return False
