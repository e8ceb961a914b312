"""PostgreSQL and Valkey of a checkout, through runs that share them, end and are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.harness import services
from tests.harness.binaries import command_line
from tests.harness.services import ServicesError

ROOT = Path(__file__).resolve().parents[2]
ALONE: dict[str, str] = {}  # an environment that names no service

HOLD = """
import sys
from pathlib import Path
from tests.harness import services
with services.running(Path(sys.argv[1]), {}) as urls:
    print(urls["DATABASE_URL"], flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path_factory):
    # pytest's own folders are closed to the user that root's servers run as.
    import shutil
    import tempfile

    made = Path(tempfile.mkdtemp(prefix="adsapp-crm-services-"))
    yield made
    services.stop(made)
    shutil.rmtree(made)


def hold(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Another process that uses the services until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return process, process.stdout.readline().strip()


def release(process: subprocess.Popen[str]) -> None:
    process.communicate("")
    assert process.returncode == 0


def user_of(url: str) -> str:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT current_user").fetchone()[0]


def test_both_servers_answer_with_their_passwords_only(folder):
    """Each role enters as itself; without a password Valkey answers nothing."""
    with services.running(folder, ALONE) as urls:
        assert user_of(urls["DATABASE_URL"]) == "crm_app"
        assert user_of(urls["DATABASE_OWNER_URL"]) == "crm_owner"
        with redis.Redis.from_url(urls["REDIS_URL"]) as client:
            assert client.ping()
            port = client.connection_pool.connection_kwargs["port"]
        # The first answer counts: the client's own tries are seconds apart.
        with redis.Redis(port=port, retry=Retry(NoBackoff(), 0)) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()

    assert services.status(folder) == dict.fromkeys(services.VARIABLES)


def test_data_outlives_the_servers(folder):
    """The second start finds the same cluster, roles and passwords."""
    with services.running(folder, ALONE) as urls, psycopg.connect(urls["DATABASE_OWNER_URL"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
    with services.running(folder, ALONE) as urls, psycopg.connect(urls["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT value FROM kept").fetchall() == [(7,)]


def test_the_last_user_stops_the_servers(folder):
    """Two programs of one checkout share them, and the first to leave takes nothing away."""
    other, other_url = hold(folder)
    with services.running(folder, ALONE) as urls:
        assert urls["DATABASE_URL"] == other_url
        release(other)
        assert user_of(urls["DATABASE_URL"]) == "crm_app"

    assert services.status(folder)["DATABASE_URL"] is None


def test_servers_of_a_killed_run_are_taken_over(folder):
    """They run on without a user, and the next run uses them and stops them at its end."""
    killed, url = hold(folder)
    killed.kill()
    killed.communicate()

    assert services.status(folder)["DATABASE_URL"] == url
    with services.running(folder, ALONE) as urls:
        assert urls["DATABASE_URL"] == url
    assert services.status(folder) == dict.fromkeys(services.VARIABLES)


def test_a_run_that_is_told_to_end_stops_what_it_began(folder):
    """SIGTERM, the second one too while the first is obeyed; a killed run has no say, one that is asked has."""
    told, url = hold(folder)
    assert url
    told.terminate()
    told.terminate()
    told.communicate()

    assert told.returncode != -signal.SIGTERM
    assert services.status(folder) == dict.fromkeys(services.VARIABLES)


def test_a_crash_of_everything_leaves_nothing_in_the_way(folder):
    """Servers killed with their user leave pid files that name a process which is somebody else's by now."""
    killed, _ = hold(folder)
    state = json.loads((folder / "state.json").read_text())
    killed.kill()
    killed.communicate()
    for name in ("postgres", "valkey"):
        os.kill(state[name]["pid"], signal.SIGKILL)
        while command_line(state[name]["pid"]):
            time.sleep(0.01)
    pid_file = folder / "postgres" / "postmaster.pid"
    pid_file.write_text(pid_file.read_text().replace(str(state["postgres"]["pid"]), str(os.getpid()), 1))

    with services.running(folder, ALONE) as urls:
        assert user_of(urls["DATABASE_URL"]) == "crm_app"


def test_an_unfinished_cluster_is_made_again(folder):
    """A first run that was cut off does not spoil the second."""
    services.prepare(folder)
    (folder / "postgres").mkdir()
    (folder / "postgres" / "PG_VERSION").write_text("18\n")

    with services.running(folder, ALONE) as urls:
        assert user_of(urls["DATABASE_OWNER_URL"]) == "crm_owner"


def test_started_services_stay_until_they_are_stopped(folder):
    """A user that comes and goes does not stop what was asked to stay."""
    urls = services.start(folder)
    with services.running(folder, ALONE) as shared:
        assert shared == urls
    assert services.status(folder) == urls

    assert services.stop(folder) is True
    assert services.stop(folder) is False
    assert services.status(folder) == dict.fromkeys(services.VARIABLES)


def test_no_password_stands_on_a_command_line_or_open_on_disk(folder):
    """The process list is everybody's."""
    with services.running(folder, ALONE):
        secret = services.credentials(folder)
        state = json.loads((folder / "state.json").read_text())
        lines = " ".join(command_line(state[name]["pid"]) for name in ("postgres", "valkey"))
        modes = [path.stat().st_mode & 0o077 for path in (folder / "credentials.json", folder / "state.json")]

    assert not [name for name, value in secret.items() if value in lines]
    assert modes == [0, 0]


def test_services_that_are_named_are_not_started(folder):
    """The caller's own servers come first."""
    given = {name: f"scheme://{name.lower()}" for name in services.VARIABLES}
    with services.running(folder, given) as urls:
        assert urls == given

    assert not (folder / "state.json").exists()


def test_one_database_role_without_the_other_is_refused(folder):
    """Half a pair would migrate with the wrong role."""
    with pytest.raises(ServicesError, match="DATABASE_URL and DATABASE_OWNER_URL together"):
        services.running(folder, {"DATABASE_URL": "postgresql://somewhere"}).__enter__()

    assert not (folder / "state.json").exists()


def test_a_folder_in_the_place_of_ours_is_refused(folder):
    """A link somebody left could lead anywhere."""
    link = folder / "link"
    link.symlink_to(folder, target_is_directory=True)

    with pytest.raises(ServicesError, match="belongs to somebody else"):
        services.prepare(link)
