"""Every test plants the secrets that it uses: none may stand in what is logged or printed, or in a task's arguments.

Loaded by `-p tests.canary` (pyproject.toml). Whatever the code wraps as a `Secret` while a test runs, and the keys of
the test run's own environment, are looked for in that test's captured output. A test that leaks fails at its end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Self

import pytest
from celery.app.task import Task

from crm.http.redact import Secret

SHORTEST = 16
"""Characters from which on a text stands nowhere by chance."""
OF_THE_RUN = ("CRON_SECRET", "DJANGO_SECRET_KEY", "FERNET_KEYS")

_planted: set[str] = set()
_arguments: list[str] = []


def pytest_configure() -> None:
    make, send = Secret.__new__, Task.apply_async

    def plant(kind: type[Secret], value: str = "") -> Self:
        secret: Any = make(kind, value)
        if len(text := secret.reveal()) >= SHORTEST:
            _planted.add(text)
        return secret

    def note(self: Any, args: Any = None, kwargs: Any = None, **named: Any) -> Any:
        _arguments.append(f"{args!r} {kwargs!r} {named!r}")
        return send(self, args, kwargs, **named)

    Secret.__new__ = plant
    Task.apply_async = note


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: Any = yield
    if report.when != "teardown":
        return report
    told = {name: text for _when, name, text in item._report_sections}
    told["task arguments"] = "\n".join(_arguments)
    secrets = _planted | {os.environ[name] for name in OF_THE_RUN}
    found = sorted({name for name, text in told.items() if text and any(secret in text for secret in secrets)})
    _planted.clear()
    _arguments.clear()
    if found and report.outcome == "passed":
        report.outcome = "failed"
        report.longrepr = f"A secret stands in: {', '.join(found)}."
    return report
