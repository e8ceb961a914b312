"""Values in CSV files that a spreadsheet must not run as formulas."""

from __future__ import annotations

from typing import Final

_STARTS: Final = tuple("=+-@\t\r\n\0＝＋－＠")


def guarded(value: str) -> str:
    """With an apostrophe in front where a spreadsheet would take it for a formula, or for a guarded one."""
    return f"'{value}" if value.lstrip("'").startswith(_STARTS) else value


def unguarded(value: str) -> str:
    """What ``guarded`` was given: one apostrophe of those before a formula's start goes."""
    return value[1:] if value.startswith("'") and value.lstrip("'").startswith(_STARTS) else value
