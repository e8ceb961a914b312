"""A test that lets a secret out fails, whatever else it finds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEAKING = """
import logging
import sys
from unittest import mock

import pytest
from celery.app.task import Task
from crm.http.redact import Secret

TOKEN = "pat-eu1-0123456789abcdef"


def test_quiet():
    logging.getLogger("x").warning("connected with %s and %r", Secret(TOKEN), Secret(TOKEN))


def test_logs():
    logging.getLogger("x").warning("connected with %s", Secret(TOKEN).reveal())


def test_prints():
    sys.stderr.write(Secret(TOKEN).reveal())


def test_hands_over():
    from adsapp_crm.tasks import drain

    with mock.patch("celery.app.base.Celery.send_task"), mock.patch("kombu.messaging.Producer.publish"):
        drain.apply_async((Secret(TOKEN).reveal(),))
"""


def test_a_secret_that_gets_out_fails_its_test(tmp_path):
    """Logged, printed or handed to a task; what is masked is none."""
    file = tmp_path / "test_leaks.py"
    file.write_text(LEAKING)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "pyproject.toml", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "4 passed, 3 errors" in done.stdout, done.stdout
    assert done.stdout.count("A secret stands in") >= 3
