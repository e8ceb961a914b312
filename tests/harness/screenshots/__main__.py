"""``python -m tests.harness.screenshots``: pictures of the dashboard's and the admin's pages.

At two widths, light and dark; to docs/screenshots/, as WebP, which the browser writes itself. A page that is wider
than its window, loads something from elsewhere, or says something in the console (a policy it broke, say) makes the
command fail.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tests.harness import stack as stacks
from tests.harness.binaries import ServicesError
from tests.harness.ports import free_port

if TYPE_CHECKING:  # imports Django's models, which need the stack's environment first
    from tests.harness.screenshots.scene import Scene

CHECKOUT = Path(__file__).resolve().parents[3]
FOLDER = CHECKOUT / "docs" / "screenshots"
BASE = "/dashboard/settings/crm"
WIDTHS = {375: 812, 1280: 860}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
TALLEST = 2200
"""Pixels of a page that a picture shows."""
QUALITY = 60
"""Of the pictures, of 100: text stays clear, and all of them together stay small."""
HUBSPOT_TOKEN, PIPEDRIVE_TOKEN = "pat-na1-pictures-0000-0000", "0123456789abcdef0123456789abcdef01234567"
MISSING = "Chromium is missing. On Debian and Ubuntu: apt install chromium. Or: python -m playwright install chromium."


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="dev.py screenshots", description="Take pictures of the pages.")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--to", type=Path, default=FOLDER, help="where the pictures go (default docs/screenshots)")
    parser.add_argument("--only", nargs="*", default=[], metavar="PAGE", help="these pages, by name")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        from playwright.sync_api import Error as BrowserError
    except ImportError:
        print("error: playwright is missing: uv sync --group e2e", file=sys.stderr)
        return 1
    try:
        with tempfile.TemporaryDirectory() as folder, stacks.opened(folder=Path(folder)) as stack:
            taken, problems = _work(stack, options)
    except (ServicesError, BrowserError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for problem in problems:
        print(f"problem: {problem}", file=sys.stderr)
    result = {
        "ok": not problems,
        "pictures": taken,
        "problems": problems,
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(result) if options.json else f"{taken} pictures in {options.to}, {len(problems)} problems")
    return 0 if result["ok"] else 1


def _work(stack: stacks.Stack, options: argparse.Namespace) -> tuple[int, list[str]]:
    hubspot = _start_fakes(stack)
    os.environ.update(stack.environment)
    import django

    django.setup()
    from tests.harness.screenshots.scene import Scene

    port = stack.url.rpartition(":")[2]
    web = ("-m", "gunicorn", "config.wsgi", "--bind", f"127.0.0.1:{port}", "--threads", "8", "--pid", "{pid_file}")
    stack.spawn("web", *web, "--no-control-socket")
    stack.wait_for_port(int(port), "web")
    scene = Scene(hubspot, HUBSPOT_TOKEN, PIPEDRIVE_TOKEN)
    scene.play()
    options.to.mkdir(parents=True, exist_ok=True)
    camera = Camera(stack.url, options.to, set(options.only))
    with camera.open(scene):
        camera.take_all(scene.pages, {})
        scene.sync()
        camera.take_all(scene.pages, scene.files(Path(stack.folder)))
    return camera.taken, camera.problems


def _start_fakes(stack: stacks.Stack) -> str:
    urls = {}
    for name, token in (("hubspot", HUBSPOT_TOKEN), ("pipedrive", PIPEDRIVE_TOKEN)):
        port = free_port()
        urls[name] = f"http://127.0.0.1:{port}"
        serve = ("manage.py", "crm_fake", name, "--port", str(port), "--token", token, "--limits", "none")
        stack.spawn(name, *serve, "--search-lag", "0", "--pidfile", "{pid_file}")
        stack.wait_for_port(port, name)
    hosts = ",".join(url.removeprefix("http://") for url in urls.values())
    stack.environment.update(
        {
            "CRM_HUBSPOT_API_BASE": urls["hubspot"],
            "CRM_PIPEDRIVE_API_BASE": urls["pipedrive"],
            "CRM_EXTRA_HOSTS": hosts,
        }
    )
    return urls["hubspot"]


class Camera:
    """One browser, a window for each width and scheme, all logged in as the same person."""

    def __init__(self, url: str, folder: Path, only: set[str]) -> None:
        self.url, self.folder, self.only = url, folder, only
        self.taken = 0
        self.problems: list[str] = []
        self._windows: dict[tuple[int, str], Any] = {}
        self._page = ""

    @contextlib.contextmanager
    def open(self, scene: Scene) -> Iterator[None]:
        from playwright.sync_api import sync_playwright

        from tests.harness.screenshots.scene import PASSWORD

        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright's loop runs in this thread; the scene does not
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            for width, height in WIDTHS.items():
                for scheme in SCHEMES:
                    window = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                    window.on("console", lambda said: self._note(f"console: {said.text}"))
                    window.on("pageerror", lambda error: self._note(f"script: {error}"))
                    window.on("request", lambda asked: self._watch(asked.url))
                    window.goto(f"{self.url}/login")
                    self._picture(window, "log-in", width, scheme)
                    window.fill("#id_username", scene.email)
                    window.fill("#id_password", PASSWORD)
                    window.press("#id_password", "Enter")
                    window.get_by_role("button", name="Log out").wait_for()
                    self._windows[width, scheme] = window
            yield
            browser.close()

    def take_all(self, pages: dict[str, str], files: dict[str, Path]) -> None:
        """``files``: the file that is given to a page that asks for one; the picture is of what it answers."""
        for name, path in pages.items():
            if path == "/login" or (self.only and name not in self.only):
                continue
            for (width, scheme), window in self._windows.items():
                self._page = f"{name} at {width} {scheme}"
                answer = window.goto(f"{self.url}{path if path.startswith('/admin') else BASE + path}")
                if answer.status != 200:
                    self._note(f"answered {answer.status}")
                if name in files:
                    self._choose(window, files[name])
                self._picture(window, name, width, scheme)

    def _picture(self, window: Any, name: str, width: int, scheme: str) -> None:
        self._page = f"{name} at {width} {scheme}"
        wide = window.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            self._note(f"is {wide} pixels wide")
        tall = window.evaluate("document.documentElement.scrollHeight")
        height = max(WIDTHS[width], min(tall, TALLEST))
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        how = {"format": "webp", "quality": QUALITY, "clip": clip}
        window.set_viewport_size({"width": width, "height": height})  # what sticks to an edge sticks to the picture's
        session = window.context.new_cdp_session(window)
        taken = session.send("Page.captureScreenshot", how)["data"]
        session.detach()
        window.set_viewport_size({"width": width, "height": WIDTHS[width]})
        (self.folder / f"{name}-{width}-{scheme}.webp").write_bytes(base64.b64decode(taken))
        self.taken += 1

    def _choose(self, window: Any, file: Path) -> None:
        window.set_input_files('input[type="file"]', file)
        window.locator("form", has=window.locator('input[type="file"]')).get_by_role("button").last.click()
        window.get_by_text(re.compile("1 added|Is added")).first.wait_for()

    def _watch(self, address: str) -> None:
        if not address.startswith(self.url):
            self._note(f"asked for {address}")

    def _note(self, text: str) -> None:
        self.problems.append(f"{self._page}: {text}")


def chromium() -> str | None:
    """Debian's browser when it is there; else the one that Playwright brought."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


if __name__ == "__main__":
    sys.exit(main())
