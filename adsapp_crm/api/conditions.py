"""``ETag`` and ``If-Match``: a change is made only to what its maker has seen (RFC 9110 section 13.1.1)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from rest_framework.request import Request

from adsapp_crm.services.refusals import RefusedError, refuse

_TAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"', re.ASCII)
_VERSION: Final = re.compile(r"[0-9]{1,18}")
MOST_TAGS: Final = 20


def etag(version: int | str) -> dict[str, str]:
    return {"ETag": f'"{version}"'}


def wanted_tag(request: Request, current: Callable[[], str]) -> str | None:
    """The tag that ``If-Match`` names; None without the header, and for ``*``. Of several the current one.

    ``current`` is asked only where several are named. A weak tag is never the same as another (RFC 9110 section
    8.8.3.2), so it fits nothing. Raises RefusedError (``request.precondition``) for what none of our answers had.
    """
    given = request.headers.get("If-Match", "").strip()
    if given in {"", "*"}:
        return None
    found = [_TAG.fullmatch(each.strip()) for each in given.split(",")[: MOST_TAGS + 1]]
    tags = [each.group(2) for each in found if each is not None and not each.group(1)]
    if None in found or not tags or len(found) > MOST_TAGS:
        raise _no_tag_of_ours()
    if len(tags) == 1:
        return tags[0]
    now = current()
    return now if now in tags else tags[0]


def wanted_version(request: Request, current: Callable[[], int]) -> int | None:
    """As ``wanted_tag``, where the tags are versions."""
    tag = wanted_tag(request, lambda: str(current()))
    if tag is None:
        return None
    if _VERSION.fullmatch(tag) is None:
        raise _no_tag_of_ours()
    return int(tag)


def _no_tag_of_ours() -> RefusedError:
    return refuse(
        "request.precondition", "If-Match is no ETag of ours.", fix="Send the ETag unchanged, or leave it out."
    )
