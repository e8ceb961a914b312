"""Every code somebody can meet is explained, shortly and usefully."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest
from django.utils.translation import override

import crm.errors
from adsapp_crm.catalogue import ENTRIES, explain
from adsapp_crm.models.choices import NoticeKind

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = {code.partition(".")[0] for code in ENTRIES}
CODE = re.compile(r"[a-z]+\.[a-z_]+")
NOT_CODES = {
    *NoticeKind.values,
    "auth.group",
    "auth.permission",
    "auth.user",
    "state.json",
    "config.settings",
    "config.urls",
}

NAMED_BY_DESIGN = {
    "auth": "revoked expired scope_missing user_inactive wrong_org",
    "quota": "rate daily concurrency",
    "field": "missing readonly too_long bad_type picklist required encoding",
    "match": "ambiguous duplicate_in_crm email_taken no_key",
    "rule": "validation duplicate_rule automation_pingpong",
    "perm": "object record field",
    "state": "deleted merged converted locked",
    "net": "timeout unavailable bad_response outcome_unknown",
    "internal": "error limit",
}


def codes_in(source: str) -> set[str]:
    """String literals that look like a code: of a known family, or passed as `code=`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
            found |= {node.value} if node.value.partition(".")[0] in FAMILIES else set()
        if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
            found |= {value for value in (node.value.value,) if isinstance(value, str) and "." in value}
    return {code for code in found if not code.endswith(".html")} - NOT_CODES


def sources() -> list[Path]:
    files = [path for folder in ("crm", "adsapp_crm") for path in (ROOT / folder).rglob("*.py")]
    return [path for path in files if not {"fake", "migrations", "testing", "catalogue"} & set(path.parts)]


def test_codes_are_found_as_literals_and_as_arguments():
    """The search sees a code wherever one is written, and leaves other dotted words alone."""
    source = 'raise E("x", code="new.family")\nX = "net.timeout"\nY = "adsapp_crm.User"\nraise E(code="plain")'
    assert codes_in(source) == {"new.family", "net.timeout"}


def test_every_code_in_the_source_has_an_entry():
    """No code reaches a person without explanation."""
    missing = {
        f"{path.relative_to(ROOT)}: {code}"
        for path in sources()
        for code in codes_in(path.read_text(encoding="utf-8"))
        if code not in ENTRIES
    }
    assert missing == set()


def test_every_default_of_the_error_tree_has_an_entry():
    """An error raised without a code of its own is explained too."""
    errors = [
        kind for _name, kind in inspect.getmembers(crm.errors, inspect.isclass) if issubclass(kind, crm.errors.CrmError)
    ]
    assert len(errors) > 20
    assert {kind.default_code for kind in errors} - set(ENTRIES) == set()


def test_every_code_of_the_design_has_an_entry():
    """The first set of codes is whole."""
    designed = {f"{family}.{word}" for family, words in NAMED_BY_DESIGN.items() for word in words.split()}
    assert len(designed) == 35
    assert designed - set(ENTRIES) == set()


@pytest.mark.parametrize("code", sorted(ENTRIES))
def test_texts_follow_the_rules(code):
    """Title of at most 60 characters, cause in one sentence, fix as an instruction, never just "try again later"."""
    entry = explain(code)
    assert entry.code == code
    with override("en"):
        title, cause, fix = str(entry.title), str(entry.cause), str(entry.fix)
    assert 0 < len(title) <= 60
    assert not title.endswith(".")
    assert cause.endswith(".")
    assert cause.count(". ") == 0
    assert fix.endswith(".")
    assert "try again later" not in fix.lower()
    assert entry.example
    assert entry.anchor == code.replace(".", "-")


def test_a_code_without_entry_is_explained_as_an_error_of_ours():
    """A page never breaks over an unknown code."""
    assert explain("no.such_code").code == "internal.error"


def test_every_code_is_explained_where_the_type_of_a_problem_leads(client):
    """To anybody, without a log-in and without a query."""
    page = client.get("/docs/errors")
    assert page.status_code == 200
    text = page.content.decode()
    assert {code for code, entry in ENTRIES.items() if text.count(f'<article id="{entry.anchor}">') != 1} == set()
    assert client.post("/docs/errors").status_code == 405

    with override("en"):
        problem = client.get("/api/crm/contacts").json()
    address, _, anchor = problem["type"].partition("#")
    assert (address, anchor) == ("/docs/errors", ENTRIES[problem["code"]].anchor)
