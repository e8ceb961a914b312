"""What docs/ says is so: its links lead somewhere, and the commands, routes, codes and scopes that it names exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from django.core.management import get_commands
from django.urls import get_resolver

import dev
from adsapp_crm.catalogue import ENTRIES
from adsapp_crm.catalogue.document import markdown
from adsapp_crm.models.choices import NoticeKind
from crm.mapping.app_fields import APP_FIELDS
from crm.mapping.rule import STEPS, parse_transform_rule
from crm.registry import PROVIDERS

ROOT = Path(__file__).resolve().parents[2]
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
PROSE = [*PAGES, "../README.md"]


def text_of(page):
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


def anchors_of(path):
    text = path.read_text(encoding="utf-8")
    heads = {
        re.sub(r"[^\w -]", "", head.lower()).strip().replace(" ", "-")
        for head in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    return heads | set(re.findall(r'<a id="([^"]+)">', text))


def routes():
    """Every address as Django spells it: ``/api/crm/runs/<uuid:run_id>``."""
    found = set()

    def walk(patterns, prefix):
        for each in patterns:
            path = prefix + str(each.pattern)
            walk(each.url_patterns, path) if hasattr(each, "url_patterns") else found.add(path)

    walk(get_resolver().url_patterns, "/")
    return found


@pytest.mark.parametrize("page", PROSE)
def test_links_lead_somewhere(page):
    """To a file of the repository, and to a heading of it where one is named."""
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"https?:", target):
            continue
        name, _hash, anchor = target.partition("#")
        path = (ROOT / "docs" / page).resolve() if not name else ((ROOT / "docs" / page).parent / name).resolve()
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors_of(path)):
            lost.append(target)
    assert lost == []


def test_every_page_is_in_the_index():
    linked = set(re.findall(r"\]\(([\w-]+\.md)", PAGES["README.md"]))
    assert linked == set(PAGES) - {"README.md"}


@pytest.mark.parametrize("page", PROSE)
def test_commands_that_are_named_exist(page):
    text = text_of(page)
    named = set(re.findall(r"(?:manage\.py|dev\.py manage) (\w+)", text))
    assert named - set(get_commands()) == set()
    parts = set(re.findall(r"dev\.py (\w+)", text))
    assert parts - {"demo", "test", "check", "serve", "services", "manage", *dev.HARNESSES} == set()


@pytest.mark.parametrize("page", PROSE)
def test_routes_that_are_named_exist(page):
    """Whatever stands for an id: ``{run_id}`` here is ``<uuid:run_id>`` there."""
    served = {re.sub(r"<(?:\w+:)?\w+>", "{}", each) for each in routes()}
    prose = re.sub(r"\]\([^)]*\)|https?://\S+(?=/)", "", text_of(page))
    named = {
        re.sub(r"\{\w+\}", "{}", each.rstrip("/.,"))
        for each in re.findall(r"(?<![\w.])(/(?:api/|dashboard/|docs/errors)[\w/{}.-]*)", prose)
    }
    known = (*(each for each in served), "/api/crm/connect/callback/{}")
    patterns = [re.compile(re.escape(each).replace(r"\{\}", r"[^/]+")) for each in known]
    lost = {each for each in named if not any(pattern.match(each) for pattern in patterns)}
    assert {each for each in lost if not any(one.startswith(each) for one in served)} == set()


@pytest.mark.parametrize("page", PROSE)
def test_codes_and_variables_that_are_named_exist(page):
    text = text_of(page)
    families = {code.partition(".")[0] for code in ENTRIES}
    named = {code for code in re.findall(r"`([a-z]+\.[a-z_]+)`", text) if code.partition(".")[0] in families}
    assert named - {*ENTRIES, *NoticeKind.values} == set()
    prefix = r"\b((?:CRM|HUBSPOT|SALESFORCE|PIPEDRIVE|DJANGO|FERNET|CRON|DATABASE|REDIS)_[A-Z_]+)\b"
    known = re.findall(r"^#?\s*([A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(prefix, text)) - set(known) == set()


def test_the_page_of_error_codes_follows_the_catalogue():
    """Run ``python3 dev.py manage crm_error_codes --file docs/errors.md`` when it does not."""
    assert PAGES["errors.md"] == markdown()


@pytest.mark.parametrize("key", PROVIDERS)
def test_each_crm_is_told_its_scopes_and_its_addresses(key):
    """Exactly those that are asked for, in the page and in the text beside the button."""
    found, page = PROVIDERS[key], PAGES[f"connect-{key}.md"]
    assert {scope for scope in (*found.scopes, *found.optional_scopes) if f"`{scope}`" not in page} == set()
    assert "/api/crm/connect/callback" in page
    assert f"/api/crm/connect/callback/{key}" in page
    assert f"crm_webhook Acme {key}" in page
    setup = (ROOT / f"templates/adsapp_crm/dashboard/setup/{key}.html").read_text(encoding="utf-8")
    if key != "pipedrive":
        assert {scope for scope in found.scopes if scope != "oauth" and f"<code>{scope}</code>" not in setup} == set()


def test_the_hubspot_app_s_file_asks_for_what_the_code_asks_for():
    files = [
        json.loads(each)
        for each in re.findall(r"```json\n(.*?)```", PAGES["connect-hubspot.md"].replace("\n   ", "\n"), re.DOTALL)
    ]
    asked = files[0]["config"]["auth"]
    assert (tuple(asked["requiredScopes"]), tuple(asked["optionalScopes"])) == (
        PROVIDERS["hubspot"].scopes,
        PROVIDERS["hubspot"].optional_scopes,
    )


def test_the_mapping_page_knows_every_step_and_field_and_its_examples_are_rules():
    page = PAGES["mapping.md"]
    assert {name for name in (*STEPS, *APP_FIELDS) if f"`{name}`" not in page} == set()
    rules = [json.loads(each) for each in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    tried = [parse_transform_rule(each) for each in rules if "steps" in each]
    assert len(tried) == 6
