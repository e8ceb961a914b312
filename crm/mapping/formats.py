"""Steps that rewrite dates and numbers in another notation."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from crm.mapping.kinds import Kind, TransformError, canonical
from crm.mapping.steps import Law, Parameter, Step, text_of, text_parameter
from crm.model import Value

DATE_FORMAT_PATTERN: Final = r"^(YYYY|MM|DD)[-/. ]?(YYYY|MM|DD)[-/. ]?(YYYY|MM|DD)$"
_PARTS: Final = ("YYYY", "MM", "DD")


@dataclass(frozen=True, slots=True)
class DateFormat(Step):
    name = "date_format"
    summary = "Rewrite a date; formats are made of YYYY, MM and DD once each and one of - / . or a blank between."
    parameters = (
        text_parameter("from", "source", pattern=DATE_FORMAT_PATTERN),
        text_parameter("to", "target", pattern=DATE_FORMAT_PATTERN),
    )
    source: str
    target: str

    def put(self, value: Value) -> Value:
        return _write_date(_read_date(text_of(self, value), self.source), self.target)

    def get(self, value: Value) -> Value:
        return _write_date(_read_date(text_of(self, value), self.target), self.source)

    def law(self, kind: Kind, region: str) -> Law:  # noqa: ARG002
        return Law.EXACT

    def gives(self, kind: Kind) -> Kind | None:
        if kind not in {Kind.DATE, Kind.TEXT}:
            return None
        return Kind.DATE if self.target == "YYYY-MM-DD" else Kind.TEXT

    def check(self) -> str:
        for layout in (self.source, self.target):
            if any(layout.count(part) != 1 for part in _PARTS):
                return f"{layout} does not hold YYYY, MM and DD once each"
        return ""


def _read_date(text: str, layout: str) -> date:
    text = text.strip()
    if len(text) == len(layout) and text.isascii() and _separators(text, layout) == _separators(layout, layout):
        places = ((layout.index(part), len(part)) for part in _PARTS)
        parts = [text[start : start + length] for start, length in places]
        if all(part.isdigit() for part in parts):
            with suppress(ValueError):
                return date(*map(int, parts))
    raise TransformError(
        f"The value is no date written as {layout}",
        code="field.bad_type",
        fix="Correct the value, or the step's format.",
    )


def _separators(text: str, layout: str) -> str:
    return "".join(ch for ch, place in zip(text, layout, strict=True) if place in "-/. ")


def _write_date(day: date, layout: str) -> str:
    return layout.replace("YYYY", f"{day.year:04d}").replace("MM", f"{day.month:02d}").replace("DD", f"{day.day:02d}")


@dataclass(frozen=True, slots=True)
class NumberFormat(Step):
    name = "number_format"
    summary = "Write a number as text with these separators; with a number of decimals it rounds and is one-way."
    parameters = (
        Parameter("decimal", "decimal", {"enum": [".", ","]}, required=False),
        Parameter("thousands", "thousands", {"enum": ["", ",", ".", " ", "'"]}, required=False),
        Parameter("decimals", "decimals", {"type": "integer", "minimum": 0, "maximum": 12}, required=False),
    )
    decimal: str = "."
    thousands: str = ""
    decimals: int | None = None

    def put(self, value: Value) -> Value:
        number = _finite(canonical(Kind.NUMBER, value))
        if self.decimals is not None:
            number = number.quantize(Decimal(1).scaleb(-self.decimals), rounding=ROUND_HALF_EVEN)
        whole, _, fraction = f"{number:{',' if self.thousands else ''}f}".partition(".")
        return whole.replace(",", self.thousands) + (self.decimal + fraction if fraction else "")

    def get(self, value: Value) -> Value:
        if self.decimals is not None:
            return Step.get(self, value)
        text = text_of(self, value).strip()
        whole, point, fraction = text.partition(self.decimal)
        if self.thousands:
            whole = _without_thousands(whole, self.thousands)
        plain = f"{whole}.{fraction}" if point else whole
        if not plain.isascii() or not plain.lstrip("-").replace(".", "", 1).isdigit():
            raise _no_number()
        result = canonical(Kind.NUMBER, plain)
        _finite(result)
        return result

    def law(self, kind: Kind, region: str) -> Law:  # noqa: ARG002
        return Law.EXACT if self.decimals is None and kind is Kind.NUMBER else Law.LOSSY

    def gives(self, kind: Kind) -> Kind | None:
        return Kind.TEXT if kind is Kind.NUMBER else None

    def check(self) -> str:
        return "the same sign separates decimals and thousands" if self.decimal == self.thousands else ""


def _without_thousands(whole: str, separator: str) -> str:
    """Groups have three digits but the first: "1.5" with "." for thousands is no number, not fifteen."""
    first, *groups = whole.split(separator)
    if groups and (not 1 <= len(first.lstrip("-")) <= 3 or any(len(group) != 3 for group in groups)):
        raise _no_number()
    return first + "".join(groups)


def _finite(value: Value) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _no_number()
    return Decimal(str(value))


def _no_number() -> TransformError:
    return TransformError("The value is no number", code="field.bad_type", fix="Correct the value.")
