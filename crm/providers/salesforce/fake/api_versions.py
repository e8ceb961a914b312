"""The API versions: which ones answer, and what they are called.

Page: REST API Developer Guide, "API End-of-Life Policy"
"""

from __future__ import annotations

from typing import Final

from crm.providers.salesforce.fake import answers
from crm.providers.salesforce.fake.answers import Json
from crm.testing.wsgi import Request

OLDEST: Final = 31
NEWEST: Final = 68
_OLDEST_RETIRED: Final = 7
_SEASONS: Final = ("Summer", "Winter", "Spring")


def listed() -> list[Json]:
    """Those that answer, oldest first; up to 40 they are deprecated."""
    found = []
    for number in range(OLDEST, NEWEST + 1):
        place = number - OLDEST
        label = f"{_SEASONS[place % 3]} '{14 + (place + 2) // 3}"
        found.append({"label": label, "url": f"/services/data/v{number}.0", "version": f"{number}.0"})
    return found


def number_of(request: Request) -> int:
    """The version number of a call. Raises 410 for a retired version and 404 for one that never was."""
    whole, dot, part = request.params["version"].removeprefix("v").partition(".")
    if not request.params["version"].startswith("v") or not whole.isdigit() or dot != "." or part != "0":
        raise answers.not_found()
    number = int(whole)
    if _OLDEST_RETIRED <= number < OLDEST:
        raise answers.plain(410, "UNSUPPORTED_API_VERSION", "The requested API version is retired")
    if not OLDEST <= number <= NEWEST:
        raise answers.not_found()
    return number
