"""What every test has: no way out of this machine, one reproducible Hypothesis profile, and databases as in production.

Databases. `@pytest.mark.django_db` gives a test the application's role inside a transaction that is rolled back;
`@pytest.mark.django_db(transaction=True)` lets it commit, and the owner empties the tables it filled afterwards.
The owner makes and migrates the database; `owner_sql` runs a statement as the owner, outside Django.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from django.conf import settings
from django.db import connections
from django.db.models.signals import pre_migrate
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from config.env import is_loopback

ROLES_SQL = Path(__file__).resolve().parent.parent / "docs" / "roles.sql"

# Rows that migrations write and every test expects to find.
KEPT_TABLES = ("django_migrations", "django_content_type", "auth_permission")

hypothesis_settings.register_profile(
    "ci", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
hypothesis_settings.load_profile("ci")


class BlockedConnectionError(RuntimeError):
    """A test tried to reach something beyond this machine."""


@pytest.fixture(autouse=True, scope="session")
def _only_loopback() -> Iterator[None]:
    """Nothing in a test may connect to, or look up, a host beyond loopback."""
    real = {name: getattr(socket.socket, name) for name in ("connect", "connect_ex", "sendto")}
    look_up = socket.getaddrinfo

    def guarded(name: str) -> Callable[..., Any]:
        def call(self: socket.socket, *arguments: Any) -> Any:
            address = arguments[-1]
            if self.family != socket.AF_UNIX and not is_loopback(str(address[0]).partition("%")[0]):
                raise BlockedConnectionError(f"{name} to {address[0]}: tests reach loopback only")
            return real[name](self, *arguments)

        return call

    def guarded_look_up(host: Any, *arguments: Any, **named: Any) -> Any:
        text = host.decode() if isinstance(host, bytes) else host
        if text and not is_loopback(text):
            raise BlockedConnectionError(f"looking up {text}: tests reach loopback only")
        return look_up(host, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        for name in real:
            patch.setattr(socket.socket, name, guarded(name))
        patch.setattr(socket, "getaddrinfo", guarded_look_up)
        yield


def pytest_configure() -> None:
    # Hashing a password is slow on purpose; no test is about that.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(scope="session")
def django_db_setup(django_db_modify_db_settings: None, django_db_blocker: Any, request: Any) -> Iterator[None]:
    """One database for the run, made and migrated by the owner, entered by the application's role."""
    from django.test.utils import setup_databases, teardown_databases

    grants = ROLES_SQL.read_text(encoding="utf-8").split("-- In the database.", 1)[1]
    in_database = "\n".join(line for line in grants.splitlines()[1:] if not line.startswith("--"))

    def grant(using: str, **_named: Any) -> None:
        with connections[using].cursor() as cursor:
            cursor.execute(in_database)

    pre_migrate.connect(grant, dispatch_uid="test-grants")
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, serialized_aliases=set())
    pre_migrate.disconnect(dispatch_uid="test-grants")
    yield
    with django_db_blocker.unblock():
        connections.close_all()
        teardown_databases(made, verbosity=0)


@pytest.fixture(autouse=True)
def _unused_allowances(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After a test its CRMs' allowances are whole again: the stand-ins' accounts are the same in every test, and the
    next one would wait for what this one used up.
    """
    from adsapp_crm import wiring
    from adsapp_crm.limiter import PREFIX

    limits_of: Any = wiring._limits
    asked: set[str] = set()

    def noted(redis_url: str) -> Any:
        asked.add(redis_url)
        return limits_of(redis_url)

    monkeypatch.setattr(wiring, "_limits", noted)
    yield
    if asked:
        limits_of.cache_clear()  # what a process has learned of a limit
    for url in asked:
        with contextlib.suppress(redis.RedisError), redis.Redis.from_url(url, socket_timeout=2) as client:
            if used := client.keys(f"{PREFIX}*"):
                client.delete(*used)


def _owner_connection() -> psycopg.Connection[Any]:
    place = connections["owner"].settings_dict
    return psycopg.connect(
        host=place["HOST"],
        port=place["PORT"],
        dbname=place["NAME"],
        user=place["USER"],
        password=place["PASSWORD"],
        autocommit=True,
    )


@pytest.fixture(scope="session")
def _owner(django_db_setup: None) -> Iterator[psycopg.Connection[Any]]:
    with _owner_connection() as connection:
        yield connection


@pytest.fixture
def owner_sql(_owner: psycopg.Connection[Any]) -> Callable[..., list[tuple[Any, ...]]]:
    """Run one statement as the owner, committed at once; returns its rows. Row-level security binds the owner too."""

    def run(statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        cursor = _owner.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []

    return run


@pytest.fixture(autouse=True)
def _empty_tables(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test that commits, the owner empties what it filled: the application's role may not truncate."""
    marker = request.node.get_closest_marker("django_db")
    commits = (marker is not None and marker.kwargs.get("transaction", False)) or bool(
        {"transactional_db", "live_server"} & set(request.fixturenames)
    )
    if not commits:
        yield
        return
    owner: psycopg.Connection[Any] = request.getfixturevalue("_owner")
    yield
    filled = owner.execute(
        "SELECT string_agg(format('%%I', relname), ', ') FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind = 'r' AND NOT relname = ANY(%s) AND pg_relation_size(oid) > 0",
        (list(KEPT_TABLES),),
    ).fetchone()
    if filled and filled[0]:
        # CASCADE reaches tables that point here and are empty; none of the kept ones points to another table of ours.
        owner.execute(f"TRUNCATE {filled[0]} RESTART IDENTITY CASCADE")
