"""What to do about a key of a request that is wrong, by the rule that it breaks and the field it belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rest_framework import serializers

_BY_RULE: Final[Mapping[str, str]] = {
    "required": "Send it.",
    "null": "Give a value, or leave the key out where it may be missing.",
    "blank": "Give a text that is not empty.",
    "unknown": "Leave it out, or correct its spelling.",
    "twice": "Send it once.",
    "max_length": "Shorten it.",
    "min_length": "Give more.",
    "max_value": "Give a smaller number.",
    "min_value": "Give a larger number.",
    "max_string_length": "Give a shorter number.",
    "not_a_list": "Send a list.",
    "empty": "Name at least one.",
    "null_characters_not_allowed": "Take the NUL characters out.",
    "surrogate_characters_not_allowed": "Send whole characters: each half of a surrogate pair with its other half.",
}
_BY_KIND: Final[Sequence[tuple[type[serializers.Field[Any, Any, Any, Any]], str]]] = (
    (serializers.UUIDField, "Give an id of the form 0198b1f0-0000-7000-8000-000000000001."),
    (serializers.DateTimeField, "Give a time such as 2026-01-31T08:00:00Z."),
    (serializers.DateField, "Give a date such as 2026-01-31."),
    (serializers.TimeField, "Give a time of day such as 08:00."),
    (serializers.BooleanField, "Give true or false."),
    (serializers.IntegerField, "Give a whole number."),
    (serializers.FloatField, "Give a number."),
    (serializers.EmailField, "Give an address such as ann@example.com."),
    (serializers.CharField, "Give a text."),
    (serializers.ListField, "Send a list."),
    (serializers.ListSerializer, "Send a list."),
    (serializers.BaseSerializer, "Send a JSON object."),
)
_GENERAL: Final = "Give it in the form that /api/docs shows."


def fix_of(rule: str, path: Sequence[str | int], serializer: Any) -> str:
    """``rule`` is DRF's code of the error, ``path`` leads to the key, ``serializer`` took the input (None: unknown)."""
    field = _field_at(serializer, path)
    if rule == "invalid_choice" and isinstance(field, serializers.ChoiceField):
        return f"Use one of {', '.join(str(each) for each in field.choices if each != '')}."
    if rule in _BY_RULE:
        return _BY_RULE[rule]
    return next((fix for kind, fix in _BY_KIND if isinstance(field, kind)), _GENERAL)


def _field_at(field: Any, path: Sequence[str | int]) -> Any:
    for step in path:
        if isinstance(field, serializers.ListSerializer | serializers.ListField):
            field = field.child
        elif isinstance(field, serializers.Serializer) and isinstance(step, str):
            field = field.fields.get(step)
        else:
            return None
    return field
