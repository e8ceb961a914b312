"""How a service says no: which field, by which rule, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.core.exceptions import ValidationError


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that is wrong with the input. ``code`` stands in ``adsapp_crm.catalogue``."""

    code: str
    message: str
    """Names the rule, never the value: it may end in a log."""
    field: str = ""
    """Name of the input's field; empty when it is about the whole."""
    fix: str = ""

    @property
    def pointer(self) -> str:
        """JSON pointer into the input (RFC 6901)."""
        return "/" + self.field.replace("~", "~0").replace("/", "~1") if self.field else ""


class RefusedError(Exception):
    """The input is refused and nothing was changed."""

    def __init__(self, refusals: Iterable[Refusal]) -> None:
        self.refusals = tuple(refusals)
        super().__init__("; ".join(f"{each.field or 'input'}: {each.message} [{each.code}]" for each in self.refusals))

    @property
    def code(self) -> str:
        return self.refusals[0].code


def refuse(code: str, message: str, *, field: str = "", fix: str = "") -> RefusedError:
    """The error of a single refusal."""
    return RefusedError([Refusal(code, message, field, fix)])


def from_validation(error: ValidationError, code: str) -> RefusedError:
    """Django's field errors under one code of ours."""
    return RefusedError(
        Refusal(code, " ".join(str(text) for text in texts), "" if field == "__all__" else field)
        for field, texts in error.message_dict.items()
    )
