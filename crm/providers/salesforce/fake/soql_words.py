"""SOQL as words: strings, numbers, date-times, names and signs, each with its place in the text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from crm.providers.salesforce.fake.answers import AnswerError, plain

_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "\\": "\\", "'": "'", '"': '"'}
_WORD: Final = re.compile(
    r"""\s*(?:
      (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d(?![\w-]))
    | (?P<number>[+-]?\d+(?:\.\d+)?(?![\w]))
    | (?P<string>')
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
    | (?P<sign><=|>=|!=|<>|[=<>(),:])
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Word:
    """``text`` is a string's value without quotes and with LIKE escapes kept; ``at`` counts from 0."""

    kind: str
    text: str
    at: int

    def means(self, *keywords: str) -> bool:
        return self.kind in ("name", "sign") and self.text.upper() in keywords


def malformed(message: str) -> AnswerError:
    return plain(400, "MALFORMED_QUERY", message)


def pointed(text: str, at: int, message: str) -> str:
    """The error text with a caret under the place, as Salesforce writes it."""
    start = max(0, at - 40)
    line = text[start : at + 40].replace("\n", " ")
    row = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    return f"\n{line}\n{' ' * (at - start)}^\nERROR at Row:{row}:Column:{column}\n{message}"


def words_of(text: str) -> list[Word]:
    """Raises 400 MALFORMED_QUERY for what is no word."""
    found: list[Word] = []
    place = 0
    while place < len(text):
        matched = _WORD.match(text, place)
        if matched is None:
            rest = text[place:].lstrip()
            if not rest:
                break
            at = len(text) - len(rest)
            raise malformed(pointed(text, at, f"line 1:{at} no viable alternative at character '{rest[0]}'"))
        kind = matched.lastgroup or "sign"
        at = matched.start(kind)
        if kind == "string":
            value, place = _string(text, at)
            found.append(Word("string", value, at))
        else:
            found.append(Word(kind, matched.group(kind), at))
            place = matched.end()
    found.append(Word("end", "<EOF>", len(text)))
    return found


def _string(text: str, at: int) -> tuple[str, int]:
    r"""The value and the place after the closing quote. ``\%`` and ``\_`` stay escaped, for LIKE."""
    letters: list[str] = []
    place = at + 1
    while place < len(text):
        letter = text[place]
        if letter == "'":
            return "".join(letters), place + 1
        if letter in "\n\r":
            break
        if letter == "\\":
            place += 1
            escaped = text[place : place + 1]
            if escaped in ("%", "_"):
                letters.append("\\" + escaped)
            elif escaped.lower() in _ESCAPES and escaped:
                letters.append(_ESCAPES[escaped.lower()])
            elif escaped.lower() == "u" and re.fullmatch(r"[0-9A-Fa-f]{4}", text[place + 1 : place + 5]):
                letters.append(chr(int(text[place + 1 : place + 5], 16)))
                place += 4
            else:
                message = "Illegal string literal. The \\ character must be followed by one of bBfFnNrRtTuU'\"_%\\"
                raise malformed(pointed(text, place - 1, message))
        else:
            letters.append(letter)
        place += 1
    raise malformed(pointed(text, at, f"line 1:{at} mismatched character '<EOF>' expecting '''"))
