"""Gives the test run its services and its environment before anything reads the settings.

Loaded by `-p tests.plugin` (pyproject.toml): a hook in conftest.py comes too late, since pytest-django has read the
settings by then. Workers of pytest-xdist inherit the environment and so use the controller's services: each has a
PostgreSQL database of its own (pytest-django names it after the worker) and, from here, a Valkey database of its own.
"""

from __future__ import annotations

import contextlib
import os

import pytest

from tests.harness import environment, services


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    stack = contextlib.ExitStack()
    early_config.add_cleanup(stack.close)
    try:
        urls = stack.enter_context(services.throwaway())
    except services.ServicesError as error:
        raise pytest.UsageError(str(error)) from error
    os.environ.update(environment.testing(urls))
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker:
        os.environ["REDIS_URL"] = _database_of(worker, os.environ["REDIS_URL"])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files by what they take, the longest first: none is begun at the end, with all processes but one idle."""
    weights: dict[str, float] = {}
    for item in items:
        name = item.nodeid.partition("::")[0]
        weights[name] = weights.get(name, 0.0) + _weight(item)
    items.sort(key=lambda item: -weights[item.nodeid.partition("::")[0]])


def _weight(item: pytest.Item) -> float:
    """About how many seconds it takes."""
    if item.get_closest_marker("browser") or item.get_closest_marker("slow"):
        return 5.0
    database = item.get_closest_marker("django_db")
    if database is None:
        return 0.01
    return 0.2 if database.kwargs.get("transaction") else 0.05


def _database_of(worker: str, url: str) -> str:
    """The worker's own numbered database: gw0 has the first after the one that the URL names."""
    server, _, number = url.rpartition("/")
    return f"{server}/{int(number or 0) + 1 + int(worker.removeprefix('gw'))}"
