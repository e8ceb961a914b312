"""``ETag`` and ``If-Match``: a change is made only to what its maker has seen (RFC 9110 section 13.1.1)."""

from __future__ import annotations

import re
from typing import Final

from rest_framework.request import Request

from adsapp_crm.services.refusals import refuse

_TAG: Final = re.compile(r'"(\d{1,18})"', re.ASCII)


def etag(version: int | str) -> dict[str, str]:
    return {"ETag": f'"{version}"'}


def wanted_tag(request: Request) -> str | None:
    """What ``If-Match`` names, without its quotes; None without the header, and for ``*``."""
    given = request.headers.get("If-Match", "").strip()
    return None if given in {"", "*"} else given.strip('"')


def wanted_version(request: Request) -> int | None:
    """The version that ``If-Match`` names; None without the header, and for ``*``.

    Raises RefusedError (``request.precondition``) for a tag that none of our answers had.
    """
    given = request.headers.get("If-Match", "").strip()
    if given in {"", "*"}:
        return None
    tag = _TAG.fullmatch(given)
    if tag is None:
        raise refuse(
            "request.precondition", "If-Match is no ETag of ours.", fix="Send the ETag unchanged, or leave it out."
        )
    return int(tag.group(1))
