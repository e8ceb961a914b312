"""Record ids: 15 case-sensitive characters, or 18 with a checksum that tells their case.

Page: help.salesforce.com 000385008, "15 and 18 character ids"
"""

from __future__ import annotations

import re
from typing import Final

_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECKSUM: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_SHAPE: Final = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?")


def to18(short: str) -> str:
    """The 18-character form of a 15-character id."""
    parts = (short[start : start + 5] for start in (0, 5, 10))
    return short + "".join(
        _CHECKSUM[sum(1 << place for place, letter in enumerate(part) if "A" <= letter <= "Z")] for part in parts
    )


def canonical(raw: object) -> str | None:
    """The 18-character form of either; None for what is no id. An 18-character id may have lost its case."""
    if not isinstance(raw, str) or not _SHAPE.fullmatch(raw):
        return None
    if len(raw) == 15:
        return to18(raw)
    short = _recased(raw)
    return None if short is None else to18(short)


def make(prefix: str, number: int) -> str:
    """Ids of one type sort as their numbers do (digits, capitals, small letters)."""
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _LETTERS[digit] + digits
    return to18(f"{prefix}dM{digits:0>10}")


def _recased(long: str) -> str | None:
    """Put letters into the case that the checksum tells."""
    letters = []
    for start, mark in zip((0, 5, 10), long[15:].upper(), strict=True):
        bits = _CHECKSUM.find(mark)
        if bits < 0:
            return None
        for place, letter in enumerate(long[start : start + 5]):
            is_capital = bool(bits & (1 << place))
            if is_capital and not letter.isalpha():
                return None
            letters.append(letter.upper() if is_capital else letter.lower())
    return "".join(letters)
