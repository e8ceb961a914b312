"""The whole application on this machine: services, migrated database, web server, worker and beat.

`opened` brings up the services and the tables; `Stack.serve` starts the application's processes, `Stack.spawn` any
other (a fake, say). Each writes a log into the data folder and carries the path of its pid file in its command line:
that is how processes of a run that was killed are told from strangers, and ended before a new run begins.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness import environment, services
from tests.harness.binaries import ServicesError, command_line
from tests.harness.ports import free_port, tail

ONE_WORKER: Mapping[str, str] = {"worker": "interactive,realtime,bulk,maintenance"}
AS_IN_PROCFILE: Mapping[str, str] = {
    "worker_interactive": "interactive,realtime",
    "worker_bulk": "bulk",
    "worker_maintenance": "maintenance",
}

_READY_SECONDS = 60
_STOP_SECONDS = 20


@dataclass
class Stack:
    """A running stack; `environment` is what each process starts with and may be added to before it does."""

    folder: Path
    url: str
    environment: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def manage(self, *arguments: str) -> str:
        """Run one management command to its end and return what it printed; raises ServicesError when it fails."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=services.CHECKOUT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            msg = f"manage.py {arguments[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            raise ServicesError(msg)
        return done.stdout

    def spawn(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start `python <command>`; `{pid_file}` in it stands for the path of the pid file, and has to."""
        pid_file = self.folder / f"{name}.pid"
        filled = [part.replace("{pid_file}", str(pid_file)) for part in command]
        if filled == list(command):
            msg = f"The command of {name} does not carry its pid file, so a later run could not find it."
            raise ValueError(msg)
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *filled],
                cwd=services.CHECKOUT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        pid_file.with_suffix(".process").write_text(str(process.pid))
        self.processes[name] = process
        return process

    def serve(self, workers: Mapping[str, str] = ONE_WORKER) -> None:
        """Start web server, workers (names with queues) and beat; returns when the web server takes connections."""
        port = self.url.rpartition(":")[2]
        celery = ("-m", "celery", "-A", "config")
        web = ("-m", "gunicorn", "config.wsgi", "--bind", f"127.0.0.1:{port}", "--threads", "8", "--pid", "{pid_file}")
        self.spawn("web", *web, "--no-control-socket")
        for name, queues in workers.items():
            node = ("-n", f"{name}@%h")
            self.spawn(name, *celery, "worker", "-Q", queues, "--concurrency", "2", *node, "--pidfile", "{pid_file}")
        self.spawn("beat", *celery, "beat", "--pidfile", "{pid_file}")
        self.wait_for_port(int(port), "web")

    def wait_for_port(self, port: int, name: str) -> None:
        """Return when `name` takes connections on `port`; raises ServicesError when it ends or takes too long."""
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            self.check()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            time.sleep(0.05)
        msg = f"{name} was not ready after {_READY_SECONDS} s:\n{tail(self.folder / f'{name}.log')}"
        raise ServicesError(msg)

    def check(self, *, besides: Collection[int] = ()) -> None:
        """Raise ServicesError when a process has ended by itself; `besides` names those that were made to."""
        for name, process in self.processes.items():
            if process.poll() is not None and process.pid not in besides:
                log = self.folder / f"{name}.log"
                msg = f"{name} ended with {process.returncode}; its log is {log}:\n{tail(log)}"
                raise ServicesError(msg)

    def wait(self) -> None:
        """Stay until interrupted; raises ServicesError when a process ends by itself."""
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                self.check()
                time.sleep(0.5)

    def close(self) -> None:
        for process in reversed(self.processes.values()):
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for process in self.processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for name in self.processes:
            for suffix in (".pid", ".process"):
                (self.folder / f"{name}{suffix}").unlink(missing_ok=True)


@contextlib.contextmanager
def opened(*, folder: Path | None = None, port: int = 0) -> Iterator[Stack]:
    """Bring up services and tables, yield the stack, and take everything down that was started.

    `port` is the web server's, 0 for a free one. Raises ServicesError when it is taken, or a stack runs here already.
    """
    folder = services.prepare(folder or services.default_folder())
    with contextlib.ExitStack() as exits:
        try:
            exits.enter_context(services.lock(folder / "stack.lock", exclusive=True, wait=False))
        except BlockingIOError:
            msg = f"The application of this checkout runs already (data folder {folder}). End that run first."
            raise ServicesError(msg) from None
        _end_leftovers(folder)
        url = f"http://127.0.0.1:{_usable(port)}"
        exits.enter_context(services.terminated_as_interrupted())  # also where the services are somebody else's
        urls = exits.enter_context(services.running(folder))
        given = environment.development(urls, services.credentials(folder), public_url=url)
        stack = Stack(folder, url, {**os.environ, **given})
        exits.callback(stack.close)
        stack.manage("migrate", "--database", "owner", "--noinput", "--verbosity", "0")
        yield stack


def _usable(port: int) -> int:
    if port == 0:
        return free_port()
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except OSError as error:
        msg = f"Port {port} cannot be used ({error.strerror}). Give another one with --port, or leave it out."
        raise ServicesError(msg) from error
    return port


def _end_leftovers(folder: Path) -> None:
    """End the processes of a run of this data folder that was killed."""
    for record in folder.glob("*.process"):
        pid_file = record.with_suffix(".pid")
        pid = int(record.read_text() or 0)
        for sign, seconds in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, 5)):
            deadline = time.monotonic() + seconds
            # Each is the leader of its own group, which holds its children too.
            with contextlib.suppress(ProcessLookupError):
                if str(pid_file) in command_line(pid):
                    os.killpg(pid, sign)
            while str(pid_file) in command_line(pid) and time.monotonic() < deadline:
                time.sleep(0.05)
        pid_file.unlink(missing_ok=True)
        record.unlink()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="dev.py serve", description="Run the application until Ctrl-C.")
    parser.add_argument("--port", type=int, default=0, help="the web server's port; a free one when left out")
    port = parser.parse_args(arguments).port
    try:
        with opened(port=port) as stack:
            stack.serve()
            print(f"ADSapp CRM runs at {stack.url}/dashboard/settings/crm (admin: {stack.url}/admin/).")
            print('A log-in: python3 dev.py manage crm_org "Acme" --email you@acme.example (in another terminal)')
            print(f"Logs: {stack.folder}. Ctrl-C ends it.", flush=True)
            stack.wait()
    except ServicesError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
