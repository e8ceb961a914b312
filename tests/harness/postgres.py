"""One PostgreSQL server of a data folder: made, started, found again, stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tests.harness.binaries import (
    NOBODY,
    ServicesError,
    as_nobody,
    bury,
    command_line,
    is_root,
    plain_environment,
    postgres_bin,
    spawn,
)
from tests.harness.ports import free_port, tail

ROLES_SQL: Final = Path(__file__).resolve().parents[2] / "docs" / "roles.sql"
DATABASE: Final = "crm"
_START_SECONDS: Final = 60
_STOP_SECONDS: Final = 15

# Throw-away data: nothing waits for the disk. Commits still reach the operating system before they are confirmed, so a
# killed server loses none; synchronous_commit=off would, for no gain without fsync.
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path has a length limit that a deep checkout passes
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def start(folder: Path, secret: dict[str, str]) -> dict[str, int]:
    """Start the server of `folder`, making its cluster, roles and database when there are none; returns its state."""
    programs = postgres_bin(folder)
    cluster = folder / "postgres"
    stop(folder)  # a leftover that does not answer
    made = folder / "postgres.made"
    if made.exists():
        return _serve(programs, folder)
    # A cluster without its mark was cut off while it was made.
    shutil.rmtree(cluster, ignore_errors=True)
    superuser_password = os.urandom(24).hex()
    _initialise(programs, folder, superuser_password)
    state = _serve(programs, folder)
    try:
        _create_roles(programs, state["port"], superuser_password, secret)
    except BaseException:
        stop(folder)
        raise
    made.touch()
    return state


def stop(folder: Path) -> bool:
    """Stop the server of `folder`; False when none ran. Clears the pid file of one that died."""
    pid_file = folder / "postgres" / "postmaster.pid"
    pid = _server_pid(folder)
    if pid is None:
        pid_file.unlink(missing_ok=True)
        return False
    for sign, seconds in ((signal.SIGINT, _STOP_SECONDS), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        if _gone(pid, folder, seconds):
            pid_file.unlink(missing_ok=True)
            return True
    msg = f"PostgreSQL (process {pid}) does not stop. End it by hand."
    raise ServicesError(msg)


def urls(folder: Path, state: object, secret: dict[str, str]) -> dict[str, str]:
    """The addresses of a server that answers; empty when it does not."""
    if not isinstance(state, dict) or _server_pid(folder) is None or not _answers(state["port"]):
        return {}
    place = f"127.0.0.1:{state['port']}/{DATABASE}"
    return {
        "DATABASE_URL": f"postgresql://crm_app:{quote(secret['app_password'])}@{place}",
        "DATABASE_OWNER_URL": f"postgresql://crm_owner:{quote(secret['owner_password'])}@{place}",
    }


def _initialise(programs: Path, folder: Path, superuser_password: str) -> None:
    cluster = folder / "postgres"
    cluster.mkdir(mode=0o700)
    password_file = folder / "superuser"
    password_file.unlink(missing_ok=True)
    password_file.touch(mode=0o600, exist_ok=False)
    password_file.write_text(superuser_password, encoding="ascii")
    if is_root():
        for path in (cluster, password_file):
            os.chown(path, NOBODY, NOBODY)
    command = [programs / "initdb", "--pgdata", cluster, "--username=postgres", f"--pwfile={password_file}"]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
    command += ["--wal-segsize=1", "--no-sync"]
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=folder,
            env=plain_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **as_nobody(),
        )
    finally:
        password_file.unlink(missing_ok=True)
    if done.returncode:
        msg = f"initdb failed in {folder}:\n{done.stdout}{done.stderr}"
        raise ServicesError(msg)


def _serve(programs: Path, folder: Path) -> dict[str, int]:
    log_path = folder / "postgres.log"
    for _attempt in range(5):
        port = free_port()
        command = [str(programs / "postgres"), "-D", str(folder / "postgres"), "-p", str(port)]
        for name, value in _SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        with log_path.open("wb") as log:
            process = spawn(command, cwd=folder, log=log)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            if _says_ready(folder, process.pid):
                return {"pid": process.pid, "port": port}
            time.sleep(0.01)
        if process.poll() is None:
            process.kill()
            process.wait()
            msg = f"PostgreSQL was not ready after {_START_SECONDS} s:\n{tail(log_path)}"
            raise ServicesError(msg)
        if "could not bind" not in tail(log_path):
            break
    msg = f"PostgreSQL did not start:\n{tail(log_path)}"
    raise ServicesError(msg)


def _create_roles(programs: Path, port: int, superuser_password: str, secret: dict[str, str]) -> None:
    """Run the file that production runs; only here the owner may also create databases, which the tests need."""
    environment = plain_environment() | {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(port),
        "PGUSER": "postgres",
        "PGPASSWORD": superuser_password,
        "CRM_OWNER_PASSWORD": secret["owner_password"],
        "CRM_APP_PASSWORD": secret["app_password"],
    }
    psql = [str(programs / "psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]
    for arguments, text in (
        (["--dbname=postgres"], f"CREATE DATABASE {DATABASE};"),
        ([f"--dbname={DATABASE}"], ROLES_SQL.read_text(encoding="utf-8")),
        (["--dbname=postgres"], "ALTER ROLE crm_owner CREATEDB;"),
    ):
        done = subprocess.run(
            psql + arguments, input=text, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            msg = f"Creating the database roles failed:\n{done.stderr}"
            raise ServicesError(msg)


def _pid_file_lines(folder: Path) -> list[str]:
    try:
        return (folder / "postgres" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []


def _server_pid(folder: Path) -> int | None:
    """The process that serves this very folder. A number alone proves nothing: it may be used again after a crash."""
    lines = _pid_file_lines(folder)
    if not lines or not lines[0].strip().lstrip("-").isdecimal():
        return None
    pid = abs(int(lines[0]))
    return pid if str(folder / "postgres") in command_line(pid) else None


def _says_ready(folder: Path, pid: int) -> bool:
    lines = _pid_file_lines(folder)
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _gone(pid: int, folder: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        bury(pid)
        if str(folder / "postgres") not in command_line(pid):
            return True
        time.sleep(0.01)
    return False


def _answers(port: int) -> bool:
    """Whether a PostgreSQL server takes connections there: it answers a request for TLS with one letter."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(struct.pack("!ii", 8, 80877103))
            return connection.recv(1) in {b"N", b"S"}
    except OSError:
        return False
