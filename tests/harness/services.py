"""PostgreSQL and Valkey for development, the demo and the tests: started from their wheels, standard library only.

Every checkout has a data folder, passwords and free ports of its own. Who uses the services holds a shared file lock;
the last one to leave stops them, unless `start` asked to keep them. A lock dies with its process, so services left by a
run that was killed are found healthy and used, or found broken and cleared away.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import IO

from tests.harness import postgres, valkey
from tests.harness.binaries import NOBODY, ServicesError, is_root, reachable_by_nobody

CHECKOUT = Path(__file__).resolve().parents[2]
MEMORY_FOR_THROWAWAYS = 4 << 30  # bytes; a container's usual 64 MB would not hold one database
VARIABLES = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")

__all__ = [
    "CHECKOUT",
    "VARIABLES",
    "ServicesError",
    "credentials",
    "default_folder",
    "lock",
    "prepare",
    "running",
    "start",
    "status",
    "stop",
    "terminated_as_interrupted",
    "throwaway",
]


def default_folder() -> Path:
    """`.dev/` in the checkout; for root in a closed home a folder of its own beside the temporary files."""
    folder = CHECKOUT / ".dev"
    if not is_root() or reachable_by_nobody(CHECKOUT):
        return folder
    return Path(tempfile.gettempdir()) / f"adsapp-crm-{_checkout_key()}"


def credentials(folder: Path) -> dict[str, str]:
    """The passwords and keys of one data folder, made on first use and kept with it, for its owner's eyes only."""
    path = folder / "credentials.json"
    if path.exists():
        kept: dict[str, str] = json.loads(path.read_text())
        return kept
    names = ("owner_password", "app_password", "valkey_password", "secret_key", "fernet_key", "cron_secret")
    made = {name: secrets.token_urlsafe(48) for name in names}
    _write_private(path, json.dumps(made))
    return made


@contextlib.contextmanager
def running(folder: Path | None = None, given: Mapping[str, str] | None = None) -> Iterator[dict[str, str]]:
    """Yield DATABASE_URL, DATABASE_OWNER_URL and REDIS_URL of services that run until the last user leaves.

    What `given` (the environment when None) already names is used as it is and not started. SIGTERM ends the block with
    KeyboardInterrupt, as Ctrl-C does, so that what was started is stopped.
    """
    given = os.environ if given is None else given
    external = _external(given)
    if len(external) == len(VARIABLES):
        yield external
        return
    folder = prepare(folder or default_folder())
    with terminated_as_interrupted(), lock(folder / "users.lock", exclusive=False) as users:
        with lock(folder / "change.lock", exclusive=True):
            started = _start(folder, keep=False, external=external)
        try:
            yield started
        finally:
            with lock(folder / "change.lock", exclusive=True):
                if not _read_state(folder).get("keep") and _become_last(users):
                    _stop(folder)


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Inside, the first SIGTERM raises KeyboardInterrupt, and further ones do not cut off what that sets going.

    Outside the main thread, which alone may say so, nothing changes. A child that was forked ends by the signal itself.
    """
    who = os.getpid()

    def interrupt(sign: int, _frame: FrameType | None) -> None:
        if os.getpid() != who:
            signal.signal(sign, signal.SIG_DFL)
            os.kill(os.getpid(), sign)
            return
        signal.signal(sign, signal.SIG_IGN)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def throwaway(given: Mapping[str, str] | None = None) -> Iterator[dict[str, str]]:
    """As `running`, on an empty folder that is deleted afterwards. Sweeps what killed runs of this checkout left."""
    prefix = f"adsapp-crm-{_checkout_key()}-once-"
    place = _place_of_throwaways()
    for parent in {place, Path(tempfile.gettempdir())}:
        for left in parent.glob(f"{prefix}*"):
            _sweep(left)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    try:
        with running(folder, given) as urls:
            yield urls
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _place_of_throwaways() -> Path:
    """In memory where there is plenty: emptying tables makes hundreds of files, four times slower on a disk."""
    memory = Path("/dev/shm")
    with contextlib.suppress(OSError):
        if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= MEMORY_FOR_THROWAWAYS:
            return memory
    return Path(tempfile.gettempdir())


def start(folder: Path | None = None) -> dict[str, str]:
    """Start the services and leave them running until `stop`."""
    folder = prepare(folder or default_folder())
    with lock(folder / "change.lock", exclusive=True):
        return _start(folder, keep=True, external={})


def stop(folder: Path | None = None) -> bool:
    """Stop the services, whoever started them; False when nothing ran."""
    folder = folder or default_folder()
    if not folder.exists():
        return False
    folder = prepare(folder)
    with lock(folder / "change.lock", exclusive=True):
        return _stop(folder)


def status(folder: Path | None = None) -> dict[str, str | None]:
    """The address of each running service, None for one that does not run."""
    folder = folder or default_folder()
    found = _healthy(folder) if folder.exists() else {}
    return {name: found.get(name) for name in VARIABLES}


def _external(given: Mapping[str, str]) -> dict[str, str]:
    found = {name: given[name] for name in VARIABLES if given.get(name)}
    if ("DATABASE_URL" in found) != ("DATABASE_OWNER_URL" in found):
        msg = (
            "Set DATABASE_URL and DATABASE_OWNER_URL together: the application's role and the owner's (docs/roles.sql)."
        )
        raise ServicesError(msg)
    return found


def _start(folder: Path, *, keep: bool, external: dict[str, str]) -> dict[str, str]:
    secret = credentials(folder)
    state = _read_state(folder)
    urls = _healthy(folder)
    try:
        if "DATABASE_URL" not in urls | external:
            state["postgres"] = postgres.start(folder, secret)
        if "REDIS_URL" not in urls | external:
            valkey.stop(state.get("valkey"))
            state["valkey"] = valkey.start(folder, secret["valkey_password"])
    finally:
        state["keep"] = bool(state.get("keep")) or keep
        _write_private(folder / "state.json", json.dumps(state))
    return _healthy(folder) | external


def _stop(folder: Path) -> bool:
    state = _read_state(folder)
    stopped = [postgres.stop(folder), valkey.stop(state.get("valkey"))]
    (folder / "state.json").unlink(missing_ok=True)
    return any(stopped)


def _healthy(folder: Path) -> dict[str, str]:
    state = _read_state(folder)
    if not state:
        return {}
    secret = credentials(folder)
    return postgres.urls(folder, state.get("postgres"), secret) | valkey.urls(
        state.get("valkey"), secret["valkey_password"]
    )


def _read_state(folder: Path) -> dict[str, dict[str, int] | bool]:
    try:
        state: dict[str, dict[str, int] | bool] = json.loads((folder / "state.json").read_text())
    except (FileNotFoundError, ValueError):  # ValueError: the machine stopped while it was written
        return {}
    return state


def _write_private(path: Path, text: str) -> None:
    """Replace `path` in one step, readable by its owner alone."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600, exist_ok=False)
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def prepare(folder: Path) -> Path:
    """Make the data folder, and refuse one that somebody else put in its place."""
    if sys.platform == "win32":
        msg = "The embedded services do not run on Windows. Set DATABASE_URL, DATABASE_OWNER_URL and REDIS_URL."
        raise ServicesError(msg)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.geteuid():
        msg = f"{folder} belongs to somebody else. Remove it, or run as the user who owns it."
        raise ServicesError(msg)
    # Root's servers run as nobody, who walks through the folder and can list nothing in it.
    folder.chmod(0o711 if is_root() else 0o700)
    return folder


def _checkout_key() -> str:
    return hashlib.sha256(f"{CHECKOUT}:{os.geteuid()}".encode()).hexdigest()[:10]


def _sweep(folder: Path) -> None:
    """Stop and delete a throw-away folder whose process is gone."""
    if folder.is_symlink() or folder.stat().st_uid not in {os.geteuid(), NOBODY}:
        return
    with contextlib.suppress(OSError), lock(folder / "users.lock", exclusive=True, wait=False):
        _stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def lock(path: Path, *, exclusive: bool, wait: bool = True) -> Iterator[IO[str]]:
    import fcntl

    with path.open("a") as file:
        fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB))
        yield file


def _become_last(users: IO[str]) -> bool:
    """Whether nobody else holds the users' lock; the caller holds the lock for changes, so nobody joins meanwhile."""
    import fcntl

    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="dev.py services", description=__doc__)
    parser.add_argument("action", choices=("start", "stop", "status"))
    action = parser.parse_args(arguments).action
    began = time.monotonic()
    try:
        if action == "stop":
            print("Stopped." if stop() else "Nothing was running.")
            return 0
        found: Mapping[str, str | None] = start() if action == "start" else status()
    except ServicesError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name in VARIABLES:
        print(f"{name}={found[name] or '(not running)'}")
    if action == "start":
        print(f"Running after {time.monotonic() - began:.1f} s; `dev.py services stop` ends them.", file=sys.stderr)
    return 0 if all(found[name] for name in VARIABLES) else 3


if __name__ == "__main__":
    sys.exit(main())
