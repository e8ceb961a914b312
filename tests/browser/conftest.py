"""A real Chromium against the live server; where it or Playwright is missing, the tests say so and are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from tests.adsapp_crm.conftest import make_organization, tenant
from tests.adsapp_crm.dashboard_stand import dashboard_stand

__all__ = ["make_organization", "tenant"]

PASSWORD = "a-long-Pa55word-here"
WIDTHS = {375: 812, 1280: 860}


@pytest.fixture(scope="module")
def chromium(django_db_setup) -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing: uv sync --group e2e")
    with pytest.MonkeyPatch.context() as patch, playwright.sync_playwright() as started:
        # Playwright's loop runs in this thread, and Django would take the tests for asynchronous code.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        try:
            browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"Chromium is missing: apt install chromium ({str(error).splitlines()[0]})")
        yield browser
        browser.close()


@pytest.fixture
def stand(chromium, tenant, request, transactional_db):
    with dashboard_stand(tenant, request.getfixturevalue("settings")) as made:
        tenant.user.set_password(PASSWORD)
        tenant.user.save()
        yield made


@pytest.fixture(params=WIDTHS)
def page(request, chromium, live_server, stand):
    """A window of each width, logged in. What its console said is in ``page.said``."""
    with opened(chromium, request.param) as window:
        enter(window, live_server.url, stand.tenant.user)
        yield window
        assert window.said == []


@pytest.fixture
def wide(chromium, live_server, stand):
    with opened(chromium, 1280) as window:
        enter(window, live_server.url, stand.tenant.user)
        yield window
        assert window.said == []


def axe_script() -> str:
    package = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    return (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def faults(window: Any, **options: Any) -> dict[str, str]:
    """Rules that the page breaks seriously or critically, each with its first element. axe must have been let in."""
    told = window.evaluate("options => axe.run({resultTypes: ['violations'], selectors: false, ...options})", options)
    assert told["passes"], window.url
    bad = [each for each in told["violations"] if each["impact"] in ("serious", "critical")]
    return {each["id"]: each["nodes"][0]["html"][:160] for each in bad}


def inside_window(window: Any) -> bool:
    """Of a page that is there already: wait for something on it first."""
    return bool(window.evaluate("document.documentElement.scrollWidth") <= window.viewport_size["width"])


class opened:  # noqa: N801  reads as a verb
    def __init__(self, browser: Any, width: int, **named: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": WIDTHS[width]}, **named)

    def __enter__(self) -> Any:
        window = self.context.new_page()
        window.set_default_timeout(15_000)
        window.said = []
        window.on("console", lambda said: window.said.append(said.text) if said.type in ("error", "warning") else None)
        window.on("pageerror", lambda error: window.said.append(str(error)))
        window.on("dialog", lambda dialog: (window.said.append(f"dialog {dialog.message}"), dialog.dismiss()))
        return window

    def __exit__(self, *_error: object) -> None:
        self.context.close()


def enter(window: Any, url: str, user: Any) -> None:
    """With the session that a log-in would have made: the log-in page itself is the four questions' way in."""
    client = Client()
    client.force_login(user)
    name = settings.SESSION_COOKIE_NAME
    window.context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": url}])
    window.base = f"{url}/dashboard/settings/crm"
    window.goto(window.base)


def log_in(window: Any, url: str, email: str) -> None:
    window.goto(f"{url}/dashboard/settings/crm")
    window.get_by_label("E-mail address").fill(email)
    window.get_by_label("Password").fill(PASSWORD)
    window.get_by_role("button", name="Log in").click()
    window.get_by_role("button", name="Log out").wait_for()  # the log-in page's address ends with the page's own
    window.base = f"{url}/dashboard/settings/crm"
