"""Lists, a page at a time: what comes after a row is found by its key, however far down the list it is."""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from django.db.models import Model, QuerySet
from rest_framework import serializers

from adsapp_crm.api.serializers import StrictSerializer
from adsapp_crm.services.refusals import refuse

MOST_ROWS: Final = 200
USUAL_ROWS: Final = 50


class PageQuery(StrictSerializer):
    limit = serializers.IntegerField(min_value=1, max_value=MOST_ROWS, default=USUAL_ROWS)
    cursor = serializers.CharField(required=False, max_length=200, help_text="nextCursor of the page before.")


@dataclass(frozen=True, slots=True)
class Page:
    items: list[Any]
    next_cursor: str | None


def page_of(
    rows: QuerySet[Any],
    asked: dict[str, Any],
    *,
    order: str = "-id",
    put: Callable[[QuerySet[Any], str], QuerySet[Any]] = QuerySet.order_by,
) -> Page:
    """A page of ``rows`` in the order of one unique column; raises RefusedError for a cursor that is none of ours.

    ``put`` puts rows in that order.
    """
    column = order.removeprefix("-")
    if asked.get("cursor"):
        after = _position(asked["cursor"], rows.model, column)
        rows = rows.filter(**{f"{column}__{'lt' if order.startswith('-') else 'gt'}": after})
    limit = asked["limit"]
    found = list(put(rows, order)[: limit + 1])
    more = len(found) > limit
    return Page(found[:limit], _cursor(getattr(found[limit - 1], column)) if more else None)


@cache
def listed(kind: type[serializers.BaseSerializer[Any]]) -> type[serializers.BaseSerializer[Any]]:
    """The shape of a page of such items."""
    fields = {
        "items": kind(many=True),
        "nextCursor": serializers.CharField(source="next_cursor", allow_null=True),
    }
    return type(f"{kind.__name__.removesuffix('Serializer')}Page", (serializers.Serializer,), fields)


def _cursor(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, default=str).encode()).decode().rstrip("=")


def _position(cursor: str, model: type[Model], column: str) -> Any:
    try:
        value = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise ValueError(cursor)  # noqa: TRY004, TRY301 - one answer for all that is no cursor
        if model._meta.get_field(column).get_internal_type() == "UUIDField":
            return uuid.UUID(str(value))
        if not 0 <= int(value) < 2**63:
            raise ValueError(cursor)  # noqa: TRY301
        return int(value)
    except (ValueError, binascii.Error, RecursionError):
        raise refuse(
            "request.invalid",
            "The cursor is none of this list's.",
            field="cursor",
            fix="Take nextCursor of the page before, unchanged, or leave it out to begin anew.",
        ) from None
