"""Pipedrive's own client package, run by Node, against the fake: it cannot tell the difference.

The package is fetched once from the npm registry into the checkout's ``.dev`` folder; without Node or without the
registry the test is skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from crm.providers.pipedrive.fake import DEFAULT_TOKEN, PipedriveFake
from crm.testing.wsgi import LoopbackServer
from tests.providers.pipedrive.fake_company import BOT

PACKAGE = "pipedrive@33.7.0"
CHECKOUT = Path(__file__).resolve().parents[3]
CACHE = CHECKOUT / ".dev" / "npm" / PACKAGE.replace("@", "-")
SCRIPT = Path(__file__).with_name("official_client.cjs")
BACK = "https://app.example/callback"


def installed() -> Path:
    """The folder with the package, fetched when it is not there yet; skips when that cannot be."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("needs Node and npm: Pipedrive's own client is a Node package")
    if not CACHE.is_dir():
        CACHE.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix="fetching-", dir=CACHE.parent))
        command = ["npm", "install", "--prefix", str(fresh), "--ignore-scripts", "--no-audit", "--no-fund", PACKAGE]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=180)
            fresh.rename(CACHE)
        except (subprocess.SubprocessError, OSError) as error:
            shutil.rmtree(fresh, ignore_errors=True)
            # Another worker may have been first.
            if not CACHE.is_dir():
                pytest.skip(f"cannot fetch {PACKAGE} from the npm registry: {type(error).__name__}")
    return CACHE


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """What the client observed in its session, and ``requests``, what the fake counted."""
    folder = installed()
    fake = PipedriveFake(limits="real", plan="ultimate")
    app = fake.oauth.app
    fake.webhooks.settings.paused = True
    with LoopbackServer(fake) as server:
        given = {
            "url": server.url,
            "token": DEFAULT_TOKEN,
            "oauth": {"clientId": app.client_id, "clientSecret": app.client_secret, "redirectUri": BACK},
            "code": fake.oauth.issue_code(BACK),
        }
        environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        ran = subprocess.run(
            ["node", str(SCRIPT), json.dumps(given)],
            env={**environment, "NODE_PATH": str(folder / "node_modules")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        found: dict[str, Any] = json.loads(ran.stdout)
        found["requests"] = fake.stats()["requests"]
        found["url"] = server.url
    fake.close()
    return found


def test_it_signs_in_and_reads_users(seen) -> None:
    assert (seen["me"]["id"], seen["me"]["company_domain"]) == (BOT, "acme")
    assert seen["users"] == ["bot@acme.test", "grace@acme.test", "alan@acme.test"]


def test_it_makes_fields_and_uses_their_options(seen) -> None:
    code = seen["language"]["field_code"]
    assert code in seen["fieldCodes"]
    assert seen["created"]["custom_fields"][code] == seen["language"]["options"][0]["id"]


def test_it_creates_changes_and_pages(seen) -> None:
    """Five persons in three pages; one was changed after it was made."""
    assert (seen["created"]["first_name"], seen["created"]["update_time"]) == ("Ana", None)
    assert seen["created"]["org_id"] == seen["organization"]["id"]
    assert seen["changed"]["phones"] == [{"value": "+34600111222", "primary": True, "label": "mobile"}]
    assert seen["pages"] == {"ids": [1, 2, 3, 4, 5], "count": 3}
    assert seen["delta"] == [1]


def test_it_searches(seen) -> None:
    assert [hit["item"]["emails"] for hit in seen["found"]] == [["ana@acme.test"]]
    assert seen["byMarker"] == [{"id": 1, "name": "Ana Lopez"}]


def test_it_writes_notes_merges_and_deletes(seen) -> None:
    assert (seen["note"]["person"], seen["notes"]) == ({"name": "Ana Lopez"}, ["Called"])
    assert (seen["merged"]["id"], seen["merged"]["merge_what_id"]) == (1, 2)
    assert (seen["deleted"], seen["afterDelete"]) == ({"id": 3}, True)


def test_it_subscribes_and_unsubscribes(seen) -> None:
    assert seen["hooks"] == [4_710_827]
    assert seen["hookRemoved"] == {"status": "ok", "success": True}


def test_it_reads_refusals(seen) -> None:
    """The bodies reach the program that uses the client."""
    assert seen["badOwner"] == {
        "success": False,
        "error": "Validation failed: owner_id: User not found or not accessible.",
        "code": "ERR_SCHEMA_VALIDATION_FAILED",
    }
    assert seen["missing"]["code"] == "ERR_NOT_FOUND"
    assert (seen["stranger"]["error"], seen["stranger"]["errorCode"]) == ("unauthorized access", 401)


def test_it_goes_through_oauth_and_follows_the_company_host(seen) -> None:
    assert seen["token"]["api_domain"] == seen["url"]
    assert seen["refreshed"]["access_token"] != seen["token"]["access_token"]
    assert (seen["base"], seen["asApp"]) == (f"{seen['url']}/api/v2", 1)


def test_it_made_the_calls_of_the_session_and_no_others(seen) -> None:
    assert seen["requests"] == {
        "DELETE /api/v2/persons/{id}": 1,
        "DELETE /v1/webhooks/{id}": 1,
        "GET /api/v2/itemSearch/field": 1,
        "GET /api/v2/personFields": 1,
        "GET /api/v2/persons": 6,
        "GET /api/v2/persons/search": 1,
        "GET /api/v2/persons/{id}": 2,
        "GET /v1/notes": 1,
        "GET /v1/users": 1,
        "GET /v1/users/me": 1,
        "GET /v1/webhooks": 1,
        "PATCH /api/v2/persons/{id}": 1,
        "POST /api/v2/organizations": 1,
        "POST /api/v2/personFields": 2,
        "POST /api/v2/persons": 6,
        "POST /oauth/token": 2,
        "POST /v1/notes": 1,
        "POST /v1/webhooks": 1,
        "PUT /v1/persons/{id}/merge": 1,
    }
