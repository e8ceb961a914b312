"""A query as a tree: SELECT, FROM, WHERE, ORDER BY, LIMIT, OFFSET. Grammar only; names are checked later.

Page: SOQL and SOSL Reference, "SOQL SELECT Syntax"
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NoReturn

from crm.providers.salesforce.fake.soql_words import Word, malformed, pointed, words_of

MAX_CHARACTERS: Final = 100_000
_AFTER_FROM: Final = ("WHERE", "ORDER", "LIMIT", "OFFSET", "GROUP", "HAVING", "FOR", "ALL", "WITH", "USING")


@dataclass(frozen=True, slots=True)
class Literal:
    """``kind``: string, number, datetime, date, boolean, null, or dateliteral (``TODAY``, ``LAST_N_DAYS:3``)."""

    kind: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Compare:
    """``operator``: = != < <= > >= LIKE, IN, NOT IN, INCLUDES, EXCLUDES; a subquery only with (NOT) IN."""

    path: str
    at: int
    operator: str
    values: tuple[Literal, ...]
    subquery: Query | None = None


@dataclass(frozen=True, slots=True)
class Not:
    inner: Condition


@dataclass(frozen=True, slots=True)
class Both:
    """``word`` is AND or OR."""

    word: str
    parts: tuple[Condition, ...]


Condition = Compare | Not | Both


@dataclass(frozen=True, slots=True)
class Order:
    path: str
    at: int
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True)
class Selected:
    """A column; ``function`` is COUNT, COUNT_DISTINCT, MIN or MAX, and ``alias`` what the answer calls it."""

    path: str
    at: int
    function: str = ""
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Query:
    """``is_count`` is the bare ``SELECT COUNT()``: no rows, only a total."""

    text: str
    columns: tuple[Selected, ...]
    type_name: str
    type_at: int
    alias: str
    where: Condition | None
    order: tuple[Order, ...]
    limit: int | None
    offset: int
    is_count: bool


def parse(text: str) -> Query:
    """Raises 400 MALFORMED_QUERY."""
    if len(text) > MAX_CHARACTERS:
        raise malformed("SOQL statement is longer than 100,000 characters")
    parser = _Parser(text)
    query = parser.query()
    if parser.word.kind != "end":
        parser.refuse()
    return query


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._words = words_of(text)
        self._place = 0

    @property
    def word(self) -> Word:
        return self._words[self._place]

    def refuse(self, message: str = "") -> NoReturn:
        word = self.word
        said = message or f"unexpected token: '{word.text}'"
        if word.kind == "end" and not message:
            said = "unexpected token: <EOF>"
        raise malformed(pointed(self._text, word.at, said))

    def take(self) -> Word:
        word = self.word
        if word.kind != "end":
            self._place += 1
        return word

    def keyword(self, *names: str) -> bool:
        if self.word.means(*names):
            self._place += 1
            return True
        return False

    def expect(self, *names: str) -> Word:
        if not self.word.means(*names):
            self.refuse()
        return self.take()

    def name(self) -> Word:
        if self.word.kind != "name":
            self.refuse()
        return self.take()

    # Clauses -----------------------------------------------------------------------------------------------

    def query(self) -> Query:
        start = self.word.at
        self.expect("SELECT")
        columns, is_count = self.columns()
        self.expect("FROM")
        kind = self.name()
        alias = ""
        if self.word.kind == "name" and not self.word.means(*_AFTER_FROM):
            alias = self.take().text
        where = None
        if self.keyword("WHERE"):
            where = self.condition()
        order: tuple[Order, ...] = ()
        if self.keyword("ORDER"):
            self.expect("BY")
            order = self.orders()
        limit = self.whole_number() if self.keyword("LIMIT") else None
        offset = self.whole_number() if self.keyword("OFFSET") else 0
        text = self._text[start:]
        return Query(text, columns, kind.text, kind.at, alias, where, order, limit, offset, is_count)

    def columns(self) -> tuple[tuple[Selected, ...], bool]:
        found: list[Selected] = []
        while True:
            if self.word.means("("):
                self.refuse("this stand-in knows no subqueries in SELECT")
            word = self.name()
            if not self.word.means("("):
                found.append(Selected(word.text, word.at))
            elif self.function(word, found):
                return (), True
            if not self.keyword(","):
                return tuple(found), False

    def function(self, word: Word, found: list[Selected]) -> bool:
        """True for the bare ``COUNT()``."""
        self.expect("(")
        function = word.text.upper()
        if function not in ("COUNT", "COUNT_DISTINCT", "MIN", "MAX"):
            self.refuse(f"this stand-in knows no {word.text}() in SELECT")
        if self.keyword(")"):
            if function != "COUNT" or found:
                self.refuse()
            return True
        path = self.name()
        self.expect(")")
        number = sum(1 for each in found if each.function and each.alias.startswith("expr"))
        alias = f"expr{number}"
        if self.word.kind == "name" and not self.word.means("FROM"):
            alias = self.take().text
        found.append(Selected(path.text, path.at, function, alias))
        return False

    def orders(self) -> tuple[Order, ...]:
        found = []
        while True:
            path = self.name()
            descending = False
            if self.word.means("ASC", "DESC"):
                descending = self.take().text.upper() == "DESC"
            nulls_last = False
            if self.keyword("NULLS"):
                nulls_last = self.expect("FIRST", "LAST").text.upper() == "LAST"
            found.append(Order(path.text, path.at, descending, nulls_last))
            if not self.keyword(","):
                return tuple(found)

    def whole_number(self) -> int:
        if self.word.kind != "number" or not self.word.text.isdigit():
            self.refuse()
        return int(self.take().text)

    # Conditions --------------------------------------------------------------------------------------------

    def condition(self) -> Condition:
        """AND and OR do not mix without parentheses."""
        parts = [self.negated()]
        joined = ""
        while self.word.means("AND", "OR"):
            if joined and not self.word.means(joined):
                self.refuse()
            joined = self.take().text.upper()
            parts.append(self.negated())
        return Both(joined, tuple(parts)) if joined else parts[0]

    def negated(self) -> Condition:
        if self.keyword("NOT"):
            return Not(self.negated())
        if self.keyword("("):
            inner = self.condition()
            self.expect(")")
            return inner
        return self.comparison()

    def comparison(self) -> Compare:
        path = self.name()
        if self.keyword("NOT"):
            self.expect("IN")
            return self.among(path, "NOT IN")
        if self.word.means("IN", "INCLUDES", "EXCLUDES"):
            return self.among(path, self.take().text.upper())
        operator = self.expect("=", "!=", "<>", "<", "<=", ">", ">=", "LIKE").text.upper()
        return Compare(path.text, path.at, "!=" if operator == "<>" else operator, (self.literal(),))

    def among(self, path: Word, operator: str) -> Compare:
        self.expect("(")
        if self.word.means("SELECT"):
            if operator not in ("IN", "NOT IN"):
                self.refuse()
            inner = self.query()
            self.expect(")")
            return Compare(path.text, path.at, operator, (), inner)
        values = [self.literal()]
        while self.keyword(","):
            values.append(self.literal())
        self.expect(")")
        return Compare(path.text, path.at, operator, tuple(values))

    def literal(self) -> Literal:
        word = self.word
        if word.kind in ("string", "number", "datetime", "date"):
            self.take()
            return Literal(word.kind, word.text, word.at)
        if word.means("NULL"):
            self.take()
            return Literal("null", "", word.at)
        if word.means("TRUE", "FALSE"):
            self.take()
            return Literal("boolean", word.text.upper(), word.at)
        if word.means("TODAY", "YESTERDAY", "TOMORROW"):
            self.take()
            return Literal("dateliteral", word.text.upper(), word.at)
        if word.means("LAST_N_DAYS", "NEXT_N_DAYS"):
            self.take()
            self.expect(":")
            return Literal("dateliteral", f"{word.text.upper()}:{self.whole_number()}", word.at)
        return self.refuse()
