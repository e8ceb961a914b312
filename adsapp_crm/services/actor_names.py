"""What to call who did something: a person by name or address, what is no person by words."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _

from adsapp_crm.models import User

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
    """Actor (``user:<id>``) -> the person's name or address; what is no person gets words, or keeps its own."""
    wanted = {actor for actor in actors if actor}
    ids = [each for each in map(_user_id, wanted) if each is not None]
    people = {f"user:{user.pk}": user.name or user.email for user in User.objects.filter(pk__in=ids)} if ids else {}
    return {actor: people.get(actor) or str(ACTORS.get(actor, actor.partition(":")[2] or actor)) for actor in wanted}


def _user_id(actor: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(actor.removeprefix("user:"))
    except ValueError:
        return None
