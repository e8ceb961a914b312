"""The tables that ``dev.py manage`` makes."""

from __future__ import annotations

import subprocess

import pytest

from tests.harness import services, tables

OURS = {"DATABASE_URL": "postgresql://ours"}


@pytest.fixture
def runs(monkeypatch):
    """The commands that were run; the services are up."""
    ran: list[list[str]] = []

    def run(command, **_options):
        ran.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(services, "status", lambda _folder: OURS)
    monkeypatch.setattr(subprocess, "run", run)
    return ran


def test_migrations_are_applied_once(runs, tmp_path):
    """A second command need not wait for them."""
    tables.keep_current(tmp_path, OURS)
    tables.keep_current(tmp_path, OURS)

    assert [command[1:5] for command in runs] == [["manage.py", "migrate", "--database", "owner"]]


def test_a_database_from_outside_is_left_alone(runs, tmp_path):
    """Whoever names it decides when it is migrated."""
    tables.keep_current(tmp_path, {"DATABASE_URL": "postgresql://theirs"})

    assert runs == []
