"""Whose log-in fails, as the lock after too many failures counts it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.http import HttpRequest

MOST_CHARACTERS: Final = 255
"""Of the column that counts. No account has a longer name, so whoever tries one fails as everybody does."""


def name_of(request: HttpRequest | None, credentials: Mapping[str, object] | None = None) -> str:
    """One name for all spellings that open the same account: otherwise each spelling would have failures of its own."""
    given = (credentials or {}).get("username") or (request.POST.get("username") if request is not None else "")
    return str(given or "").strip().casefold()[:MOST_CHARACTERS]
