"""Every page of the dashboard, read from the URL configuration, with what fills its addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from django.urls import get_resolver
from django.urls.resolvers import RegexPattern

from tests.adsapp_crm.api_matrix import MODEL_OF, patterns

MODELS = {**MODEL_OF, "mapping_id": "CrmFieldMapping"}
"""Argument that names a row -> its model."""
SAID = {"crm": "hubspot", "version": "1", "form": "csv"}
"""The other arguments."""


def dashboard_pages() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(name, path with {argument}s, arguments)."""
    for pattern, prefix in patterns(get_resolver(), "/"):
        if not prefix.startswith("/dashboard/"):
            continue
        if isinstance(pattern.pattern, RegexPattern):
            names = tuple(pattern.pattern.regex.groupindex)
            text = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", str(pattern.pattern)).strip("^$").replace("\\", "")
            yield pattern.name or "", prefix.removesuffix(str(pattern.pattern)) + text, names
            continue
        yield pattern.name or "", re.sub(r"<\w+:(\w+)>", r"{\1}", prefix), tuple(pattern.pattern.converters)
