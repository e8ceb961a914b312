"""Every text of a template is marked for gettext, so that a language is a file and no search."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
NAMES = {"ADSapp", "CRM", "ADSapp CRM", "·"}
"""Which no language translates."""
MARKED = re.compile(r"\{%\s*(blocktranslate|comment)\b.*?%\}.*?\{%\s*end\1\s*%\}", re.DOTALL)
TAG = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", re.DOTALL)
VERBATIM = re.compile(r"<(script|style|code)\b.*?</\1>|<span class=\"material-symbols-outlined.*?</span>", re.DOTALL)
SPOKEN = re.compile(r'(?:aria-label|title|placeholder|alt|data-label)="([^"]*)"')


def unmarked(source):
    text = VERBATIM.sub(" ", TAG.sub(" ", MARKED.sub(" ", source)))
    found = [*SPOKEN.findall(text), *re.sub(r"<[^>]*>", "\n", text).splitlines()]
    words = {each.strip().removeprefix("· ") for each in found if re.search(r"[A-Za-z]{2,}", each)}
    return words - NAMES


def test_the_search_sees_text_and_what_is_read_aloud():
    source = '<p title="Read">Plain {{ value }}</p><p aria-label="{% translate "Marked" %}">{% translate "Too" %}</p>'
    assert unmarked(source) == {"Read", "Plain"}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_texts_of_templates_are_marked_and_can_be_read_out(path):
    source = path.read_text(encoding="utf-8")
    assert unmarked(source) == set()
    assert templatize(source, origin=str(path)) is not None
