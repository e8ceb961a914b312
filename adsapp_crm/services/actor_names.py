"""What to call who did something: a person by name or address, what is no person by words."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _

from adsapp_crm.models import ApiKey, User

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

ACTORS: Final[Mapping[str, _StrPromise]] = {
    "beat": _("the schedule"),
    "service:connect": _("on connecting"),
    "cron": _("the schedule"),
    "webhook": _("the CRM's webhook"),
    "service:webhook": _("the CRM's webhook"),
    "service:realtime": _("a change in ADSapp"),
    "realtime": _("a change in ADSapp"),
}
"""Who set off what no person did."""


def names_of(actors: Iterable[str]) -> dict[str, str]:
    """Actor -> the person's name or address (``user:<id>``), the key's name and prefix (``key:<id>``).

    What is neither gets words, or keeps its own. Keys are those of the current organization.
    """
    wanted = {actor for actor in actors if actor}
    users, keys = ids_of("user:", wanted), ids_of("key:", wanted)
    known = {f"user:{user.pk}": user.name or user.email for user in User.objects.filter(pk__in=users)} if users else {}
    if keys:
        known |= {
            f"key:{key.pk}": _("key %(name)s (%(prefix)s)") % {"name": key.name, "prefix": key.prefix}
            for key in ApiKey.objects.filter(pk__in=keys).only("name", "prefix")
        }
    return {actor: known.get(actor) or str(ACTORS.get(actor, actor.partition(":")[2] or actor)) for actor in wanted}


def ids_of(kind: str, actors: Iterable[str]) -> list[uuid.UUID]:
    """Of the actors of this kind (``user:``, ``key:``) that name a row."""
    found = []
    for actor in actors:
        with suppress(ValueError):
            if actor.startswith(kind):
                found.append(uuid.UUID(actor.removeprefix(kind)))
    return found
