"""The one command of a developer."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def dev():
    spec = importlib.util.spec_from_file_location("dev_under_test", ROOT / "dev.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def dev_py(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "dev.py"), *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_help_names_every_command_from_any_directory(tmp_path):
    """A harness is listed when it exists, and not before."""
    done = dev_py("--help", cwd=tmp_path)
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("    ") and line[4] != " "]
    harnesses = ["simulate", "torture", "attack", "endurance", "bench", "speed", "rates", "screenshots"]
    present = [name for name in harnesses if (ROOT / "tests" / "harness" / name / "__main__.py").exists()]

    assert done.returncode == 0
    assert listed == ["demo", "test", "check", "serve", "services", "manage", *present]


@pytest.mark.parametrize("arguments", [(), ("unknown",), ("check", "--fast")])
def test_a_wrong_command_is_refused_with_the_usage(arguments):
    """Nothing is installed for a typing error."""
    done = dev_py(*arguments)

    assert done.returncode == 2
    assert done.stderr.startswith("usage: dev.py")


@pytest.mark.parametrize("version", [(3, 6, 15), (3, 9, 18), (3, 15, 0)])
def test_a_python_too_old_or_too_new_is_told_what_to_do(version, monkeypatch, capsys):
    """Before anything is made, and before anything that an old one cannot read."""
    monkeypatch.setattr(sys, "version_info", (*version, "final", 0))
    until_told = (ROOT / "dev.py").read_text(encoding="utf-8").partition("\nROOT = ")[0]

    assert "__future__" not in until_told
    with pytest.raises(SystemExit) as ended:
        exec(compile(until_told, "dev.py", "exec"), {})
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        f"error: Python 3.11 to 3.14 is needed, this is {'.'.join(map(str, version))}. Run: python3.11 dev.py ...\n"
    )


def test_a_missing_venv_module_is_told_what_to_do(dev, monkeypatch, tmp_path):
    """Debian splits it from Python."""
    monkeypatch.setattr(dev, "VENV", tmp_path / "venv")
    monkeypatch.setattr(dev.shutil, "which", lambda _name: None)
    monkeypatch.setattr(dev.importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(dev.SetupError, match=r"apt install python3\.\d+-venv"):
        dev.make_venv()

    assert not (tmp_path / "venv").exists()


def test_an_environment_that_is_ready_is_left_alone(dev, monkeypatch, tmp_path):
    """The stamp follows the lock file and the interpreter; when either changes, the packages are installed again."""
    made = []
    monkeypatch.setattr(dev, "VENV", tmp_path)
    monkeypatch.setattr(dev, "VENV_PYTHON", Path(sys.executable))
    monkeypatch.setattr(dev, "install", lambda lock: made.append(lock.name))
    monkeypatch.setattr(dev, "make_venv", lambda: (tmp_path / "interpreter").write_text(dev.interpreter()))

    dev.set_up(dev.RUNTIME)
    dev.set_up(dev.RUNTIME)
    dev.set_up(dev.DEVELOPMENT)
    dev.set_up(dev.RUNTIME)
    assert made == [dev.RUNTIME, dev.DEVELOPMENT]

    for stamp in tmp_path.glob("stamp-*"):
        stamp.unlink()
    dev.set_up(dev.DEVELOPMENT)
    assert made == [dev.RUNTIME, dev.DEVELOPMENT, dev.DEVELOPMENT]


def test_the_lock_files_hold_hashed_wheels_of_the_same_versions():
    """What the development lock adds never changes what production runs."""

    def pins(name: str) -> dict[str, str]:
        lines = (ROOT / name).read_text().splitlines()
        assert sum("--hash=sha256:" in line for line in lines) > sum("==" in line for line in lines)
        found = [line.split(";")[0].rstrip(" \\") for line in lines if "==" in line and line[0].isalpha()]
        return dict(line.split("==") for line in found)

    runtime, development = pins("requirements.lock"), pins("requirements-dev.lock")

    assert len(runtime) > 70
    assert runtime == {name: development.get(name) for name in runtime}


def test_a_taken_port_is_told_what_to_do(monkeypatch):
    """Before any service starts."""
    import socket

    from tests.harness import stack
    from tests.harness.services import ServicesError

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(ServicesError, match=rf"Port {port} cannot be used .* --port"):
            stack._usable(port)
