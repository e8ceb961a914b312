"""What happens, or happened, to one field: in plans, in the ledger."""

# ruff: noqa: N815  JSON keys are camelCase
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rest_framework import serializers

from adsapp_crm.services.sensitive import is_sensitive
from adsapp_crm.storage import codec
from crm.model import Rule, Side


class EffectSerializer(serializers.Serializer):  # type: ignore[type-arg]
    field = serializers.CharField()
    crmField = serializers.CharField()
    side = serializers.ChoiceField(
        choices=[each.value for each in Side], allow_null=True, help_text="Where it is written; null: nowhere."
    )
    rule = serializers.ChoiceField(choices=[each.value for each in Rule], help_text="Why it got its value.")
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)
    appValue = serializers.JSONField(allow_null=True)
    crmValue = serializers.JSONField(allow_null=True)
    lost = serializers.JSONField(allow_null=True, help_text="The value of a person that this overruled.")
    overrules = serializers.BooleanField()


_VALUES = {"before": "before", "after": "after", "appValue": "app_value", "crmValue": "crm_value", "lost": "lost"}


def shape_effects(effects: Iterable[Mapping[str, Any]], *, hides: bool) -> list[dict[str, Any]]:
    """Stored effects in the API's words; ``hides`` leaves out those of sensitive fields."""
    return [
        {
            "field": each.get("app_field", ""),
            "crmField": each.get("remote_field", ""),
            "side": each.get("side"),
            "rule": each.get("rule", ""),
            **{name: shape_value(each.get(key)) for name, key in _VALUES.items()},
            "overrules": bool(each.get("overrules", False)),
        }
        for each in effects
        if not (hides and is_sensitive(each.get("app_field", "")))
    ]


def shape_value(stored: Any) -> Any:
    """A stored value as JSON; what could not be seen is null."""
    value = codec.decode_value(stored)
    return list(value) if isinstance(value, tuple) else value if isinstance(value, str | int | float) else None
