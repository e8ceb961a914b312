"""Finding contacts by how a name, an address or a number begins.

Only ``=`` and ``^@`` on stored columns use their index under row-level security.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.db.models import Q, QuerySet, Value
from django.db.models.expressions import F
from django.db.models.functions import Coalesce, Lower
from django.db.models.lookups import Lookup

from adsapp_crm.models import Contact, Organization
from crm.normalize import phone_key

_STATES: Final[Mapping[str, Q]] = {
    "live": Q(deleted_at__isnull=True, merged_into__isnull=True, erased_at__isnull=True),
    "deleted": Q(deleted_at__isnull=False, merged_into__isnull=True, erased_at__isnull=True),
    "merged": Q(merged_into__isnull=False, erased_at__isnull=True),
    "erased": Q(erased_at__isnull=False),
}
STATES: Final = tuple(_STATES)
_SORTED_AT_MOST: Final = 200_000
"""Rows that the database finds and sorts within a third of a second."""


class Begins(Lookup):
    """``column ^@ text``."""

    lookup_name = "begins"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        left, left_params = self.process_lhs(compiler, connection)
        right, right_params = self.process_rhs(compiler, connection)
        return f"{left} ^@ {right}", [*left_params, *right_params]


def find_contacts(asked: Mapping[str, Any]) -> QuerySet[Contact]:
    """Contacts of the current organization; keys of ``asked``: search, name, email, phone, tag, state and times.

    ``search`` looks where the text could belong: an address, a number, or the beginning of a name or an address.
    """
    found: QuerySet[Contact] = Contact.objects.filter(_STATES[asked.get("state", "live")])
    for key, by in _BY.items():
        if text := (asked.get(key) or "").strip():
            found = found.filter(by(text))
    if asked.get("tag"):
        found = found.filter(tags__contains=[asked["tag"]])
    if asked.get("updatedSince"):
        found = found.filter(updated_at__gte=asked["updatedSince"])
    if asked.get("updatedBefore"):
        found = found.filter(updated_at__lt=asked["updatedBefore"])
    return found


def in_order(found: QuerySet[Contact], *order: Any) -> QuerySet[Contact]:
    """What was searched for, in this order of columns, the last ones or the first ones wherever they stand.

    The database takes hits to be spread evenly and walks along the order until it has a page of them: past nearly
    everything when they all stand at its far end. So where the hits can be sorted they are, and the order is hidden
    from it. Asks the database how many it expects; an estimate that is wrong costs time only.
    """
    expected = json.loads(found.order_by().explain(format="json"))[0]["Plan"]["Plan Rows"]
    if expected > _SORTED_AT_MOST:
        return found.order_by(*order)
    return found.order_by(*map(_hidden, order))


def _hidden(column: Any) -> Any:
    """The same order by what no index holds; of an expression, as it is."""
    if not isinstance(column, str):
        return column
    name = column.removeprefix("-")
    expression = Coalesce(F(name), F(name))
    return expression.desc() if column.startswith("-") else expression.asc()


def is_search(asked: Mapping[str, Any]) -> bool:
    """Whether the answer's size depends on what was typed: those lists are put ``in_order``."""
    return any((asked.get(key) or "").strip() for key in (*_BY, "tag"))


def _name(text: str) -> Q:
    # Lower-cased by the database, as the columns are.
    return Q(_begins("first_name_key", Lower(Value(text)))) | Q(_begins("last_name_key", Lower(Value(text))))


def _email(text: str) -> Q:
    return Q(_begins("email_normalized", Value(text.lower())))


def _phone(text: str) -> Q:
    """A whole number as people write it here, or the beginning of one with its country code."""
    whole = phone_key(text, str(Organization.objects.values_list("region", flat=True).get()))
    digits = "".join(filter(str.isdecimal, text))
    begins = Q(_begins("phone_normalized", Value(f"+{digits}")))
    return begins | Q(phone_normalized=whole) if whole else begins


def anything(text: str) -> Q:
    """By the beginning of an address, a number, or a name, in whatever state the contact is."""
    if "@" in text:
        return _email(text)
    if text.startswith("+") or text[:1].isdecimal():
        return _phone(text)
    return _name(text) | _email(text)


_BY: Final[Mapping[str, Callable[[str], Q]]] = {
    "search": anything,
    "name": _name,
    "email": _email,
    "phone": _phone,
}


def _begins(column: str, text: Any) -> Begins:
    return Begins(F(column), text)
