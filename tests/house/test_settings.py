"""The settings, as production reads them and as the documents describe them."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from crm.registry import PROVIDERS
from tests.harness.environment import production_like


def _example(name: str) -> str:
    if name.endswith("_base"):
        return "https://crm.example.com"
    return "sandbox" if name == "environment" else "x" * 40


PROVIDERS_SAY = {
    variable: _example(name)
    for found in PROVIDERS.values()
    for name, variable in [*found.environment.items(), *((each.name, each.environment) for each in found.settings)]
    if variable
}
"""Every variable of every provider, with a value that it may have."""
ROOT = Path(__file__).resolve().parents[2]


def read_variables() -> set[str]:
    tree = ast.parse((ROOT / "config" / "settings.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    names = [call.args[0] for call in calls if call.func.id.startswith("env_")]
    assert all(isinstance(name, ast.Constant) for name in names), "a variable's name has to be a literal"
    return {name.value for name in names}


def load_settings(changes: dict[str, str], show: str = "''") -> subprocess.CompletedProcess[str]:
    """Read the settings in a process of their own; a change to the empty string unsets the variable."""
    return subprocess.run(
        [sys.executable, "-c", f"from config import settings; print({show})"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **production_like(), **changes},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_example_names_exactly_what_is_read():
    """No variable is secret, none is left over."""
    named = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))

    assert read_variables() == named


@pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="the README comes with the first release")
def test_the_readme_table_names_exactly_what_is_read():
    """The table a newcomer reads is the one the program reads."""
    named = set(re.findall(r"^\| `([A-Z_]+)`", (ROOT / "README.md").read_text(), re.MULTILINE))

    assert read_variables() == named


def test_every_variable_that_a_provider_declares_is_read_for_it():
    """And under the name by which the provider asks: a setting that nobody reads would be a promise."""
    done = load_settings(PROVIDERS_SAY, show="settings.CRM_PROVIDERS")
    assert done.returncode == 0, done.stderr
    read = ast.literal_eval(done.stdout)
    for key, found in PROVIDERS.items():
        declared = dict(found.environment) | {each.name: each.environment for each in found.settings}
        assert set(read[key]) == {name for name, variable in declared.items() if variable}, key


@pytest.mark.parametrize("name", ["DJANGO_SECRET_KEY", "CRM_PUBLIC_URL", "DATABASE_URL", "REDIS_URL", "FERNET_KEYS"])
def test_what_is_required_is_asked_for_by_name(name):
    """The process ends with the one line that matters last."""
    done = load_settings({name: ""})

    assert done.returncode == 1
    assert f"{name} is not set" in done.stderr.splitlines()[-1]


def test_plain_http_is_for_this_machine_only():
    """A public address without TLS would send session cookies in the clear."""
    done = load_settings({"CRM_PUBLIC_URL": "http://crm.example.com"})

    assert done.returncode == 1
    assert "CRM_PUBLIC_URL must begin with https://" in done.stderr


def test_tls_switches_every_guard_on():
    """One address decides, so that no guard is forgotten."""
    show = "settings.SESSION_COOKIE_SECURE, settings.CSRF_COOKIE_SECURE, settings.SECURE_SSL_REDIRECT, settings.DEBUG"

    assert load_settings({}, show).stdout == "True True True False\n"
    assert load_settings({"CRM_PUBLIC_URL": "http://127.0.0.1:8000"}, show).stdout == "False False False False\n"


def test_over_tls_no_neighbouring_host_can_plant_a_cookie():
    """Browsers take a cookie of this name from its own host only, with Secure and for every path."""
    show = "settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME"

    assert load_settings({}, show).stdout == "__Host-sessionid __Host-csrftoken\n"
    assert load_settings({"CRM_PUBLIC_URL": "http://127.0.0.1:8000"}, show).stdout == "sessionid csrftoken\n"


def test_web_servers_run_without_the_owners_password():
    """Only the migration needs the owner."""
    done = load_settings({"DATABASE_OWNER_URL": ""}, "list(settings.DATABASES)")

    assert done.stdout == "['default']\n"


def test_a_task_cannot_be_delivered_twice_while_it_runs(settings):
    """A task that outlives the visibility timeout is handed to a second worker."""
    assert settings.CELERY_TASK_TIME_LIMIT * 2 < settings.CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"]


@pytest.mark.django_db
def test_only_the_admin_runs_evaluated_expressions(client):
    """The wide policy ends where the admin ends."""
    admin = client.get("/admin/login/")
    elsewhere = client.get("/nowhere/")

    assert admin.status_code == 200
    assert "script-src 'self' 'unsafe-eval'" in admin["Content-Security-Policy"]
    assert elsewhere.status_code == 404
    assert "unsafe" not in elsewhere["Content-Security-Policy"]
    assert "default-src 'self'" in elsewhere["Content-Security-Policy"]


def test_a_request_line_carries_no_query(settings):
    """An OAuth callback carries its code there."""
    from config.logs import drop_query

    event = {"request": "GET /api/crm/connect/callback?code=abc&state=def", "event": "what?"}

    assert drop_query(None, "info", event) == {"request": "GET /api/crm/connect/callback", "event": "what?"}


def test_mail_goes_encrypted_to_a_server_elsewhere():
    """STARTTLS or TLS from the start, by the scheme; without a server nobody is mailed."""
    names = ("EMAIL_HOST", "EMAIL_PORT", "EMAIL_USE_TLS", "EMAIL_USE_SSL", "CRM_MAIL_FROM")
    show = ", ".join(f"settings.{name}" for name in names)
    sender = {"CRM_MAIL_FROM": "crm@example.com"}

    by_start = load_settings({"EMAIL_URL": "smtp://crm:p%40ss@mail.example.com", **sender}, show).stdout
    by_tls = load_settings({"EMAIL_URL": "smtps://crm:p@mail.example.com", **sender}, show).stdout

    assert by_start == "mail.example.com 587 True False crm@example.com\n"
    assert by_tls == "mail.example.com 465 False True crm@example.com\n"
    assert load_settings(sender, "settings.CRM_MAIL_FROM, settings.EMAIL_BACKEND.split('.')[-2]").stdout == " dummy\n"
    assert "EMAIL_URL must be an address" in load_settings({"EMAIL_URL": "mail.example.com"}, show).stderr
