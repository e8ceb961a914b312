"""System checks of this application."""

from __future__ import annotations


def register_checks() -> None:
    """Filled below."""
