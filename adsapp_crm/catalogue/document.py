"""The catalogue as a document: by family for a page, and as the Markdown that ``docs/errors.md`` holds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from django.utils.translation import gettext_lazy as _
from django.utils.translation import override

from adsapp_crm.catalogue import ENTRIES
from adsapp_crm.catalogue.entry import Entry, Retry

NEXT: Final = {
    Retry.NO: _("Nothing happens by itself."),
    Retry.SOON: _("It is tried again by itself, with growing pauses."),
    Retry.AT_TIME: _("It is tried again by itself at the time that is told."),
    Retry.SLOW: _("It is tried again by itself from time to time."),
    Retry.LOOK_UP: _("It is looked up first, and sent again only if it has not happened."),
}
"""What happens without a person."""

_HEAD: Final = """\
# Error codes

What each code means, what to do, and what happens by itself. A code never changes its meaning. Pages, API answers
(`code`, `title`, `fix`) and this page speak with the same text; the `type` of an API error leads to the same
explanation at `/docs/errors` of your installation.

This file is made from the catalogue in `adsapp_crm/catalogue` by
`python3 dev.py manage crm_error_codes --file docs/errors.md`.
"""


def by_family() -> list[tuple[str, Sequence[Entry]]]:
    """Families in the order of the alphabet, each with its entries."""
    entries = sorted(ENTRIES.values(), key=lambda each: each.code)
    return [(family, list(found)) for family, found in groupby(entries, lambda each: each.family)]


def markdown() -> str:
    """In English, whatever the language of the process is."""
    with override("en"):
        parts = [_HEAD, "Families: " + " · ".join(f"[`{family}`](#{family})" for family, _found in by_family()) + "\n"]
        for family, entries in by_family():
            parts.append(f"## {family}\n")
            parts += [_entry(each) for each in entries]
    return "\n".join(parts)


def _entry(entry: Entry) -> str:
    return (
        f'<a id="{entry.anchor}"></a>\n\n'
        f"### `{entry.code}`\n\n"
        f"**{_plain(entry.title)}.** {_plain(entry.cause)}\n\n"
        f"- Do: {_plain(entry.fix)}\n"
        f"- By itself: {NEXT[entry.retry]}\n"
        f"- For example: {_plain(entry.example)}\n"
    )


def _plain(text: object) -> str:
    """Free of what Markdown would take for markup."""
    shown = str(text)
    for mark in "\\`*_<>[]|":
        shown = shown.replace(mark, f"\\{mark}")
    return shown
