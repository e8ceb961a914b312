"""Where each resource lives: the numbered path and the dated ones.

Page: https://developers.hubspot.com/docs/developer-tooling/platform/versioning
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

DATED: Final = ("2026-03", "2026-09")

_NUMBERED: Final = {
    "objects": ("/crm/v3/objects",),
    "record_associations": ("/crm/v4/objects",),
    "associations": ("/crm/v4/associations",),
    "properties": ("/crm/v3/properties",),
    "owners": ("/crm/v3/owners",),
    "preferences": ("/communication-preferences/v4",),
    "account": ("/account-info/v3",),
    "oauth": ("/oauth/v1", "/oauth/v3"),
    "installs": ("/appinstalls/v3",),
}
_DATED: Final = {
    "objects": "/crm/objects/{}",
    "record_associations": "/crm/objects/{}",
    "associations": "/crm/associations/{}",
    "properties": "/crm/properties/{}",
    "owners": "/crm/owners/{}",
    "preferences": "/communication-preferences/{}",
    "account": "/account-info/{}",
    "oauth": "/oauth/{}",
    "installs": "/appinstalls/{}",
}


def prefixes(resource: str) -> Iterator[str]:
    """Every path a resource answers on: ``/crm/v3/objects``, ``/crm/objects/2026-03``, ..."""
    yield from _NUMBERED[resource]
    for version in DATED:
        yield _DATED[resource].format(version)


def is_dated(path: str, version: str | None = None) -> bool:
    """Whether a path is one of the dated form, or of the given version."""
    return any(f"/{dated}/" in path for dated in ((version,) if version else DATED))
