"""The admin's forms for one pair of fields and for a file of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from unfold.widgets import UnfoldAdminFileFieldWidget

from adsapp_crm.admin.wording import connection_label
from adsapp_crm.models import CrmConnection, CrmFieldMapping
from adsapp_crm.models.choices import BlankHandling, ConflictStrategy, ConnectionStatus, DriftHandling, SyncDirection
from adsapp_crm.services.mappings import WantedMapping, described_types
from adsapp_crm.wiring import definitions_of

OF_POINTER: Final[Mapping[str, str]] = {
    "recordType": "record_type",
    "adsappField": "app_field",
    "crmField": "crm_field",
    "direction": "direction",
    "blankRule": "blank_rule",
    "strategy": "strategy",
    "drift": "drift",
}
"""First part of a refusal's pointer -> field of the form; what is wrong with the steps is told beside them."""


class MappingForm(forms.Form):
    """One pair of fields. What it allows is what the CRM described; whether it works is the judge's to say."""

    record_type = forms.ChoiceField(label=lazy("Record type"))
    app_field = forms.CharField(
        label=lazy("ADSapp field"), help_text=lazy("A field of contacts, or custom.<key>."), strip=True
    )
    crm_field = forms.ChoiceField(label=lazy("CRM field"))
    direction = forms.ChoiceField(label=lazy("Direction"), choices=SyncDirection.choices)
    blank_rule = forms.ChoiceField(label=lazy("When one side is cleared"), choices=BlankHandling.choices)
    strategy = forms.ChoiceField(label=lazy("When both have changed"), required=False)
    drift = forms.ChoiceField(label=lazy("When the other side of a one-way field drifts"), required=False)

    def __init__(self, *args: Any, connection: CrmConnection, **named: Any) -> None:
        super().__init__(*args, **named)
        kinds = described_types(connection)
        kind = self.data.get("record_type") or self.initial.get("record_type") or next(iter(kinds), "")
        described = definitions_of(connection, kind) if kind in connection.schema else {}
        fields = sorted(described.values(), key=lambda each: each.label.casefold())
        chosen = self.data.get("crm_field") or self.initial.get("crm_field") or ""
        gone = [(chosen, _("%s (not in the CRM any more)") % chosen)] if chosen and chosen not in described else []
        choices: dict[str, Sequence[tuple[str, Any]]] = {
            "record_type": [(each, each) for each in kinds],
            "crm_field": [("", "–"), *gone, *((each.name, _field_label(each)) for each in fields)],
            "strategy": [("", _("As the connection says")), *ConflictStrategy.choices],
            "drift": [("", _("As the connection says")), *DriftHandling.choices],
        }
        for name, offered in choices.items():
            self.fields[name].choices = offered  # type: ignore[attr-defined]
        for field in self.fields.values():
            field.widget.attrs["class"] = "crm-input"
        self.fields["app_field"].widget.attrs["list"] = "app-fields"

    def wanted(self, rule: dict[str, Any] | None) -> WantedMapping:
        said = self.cleaned_data
        return WantedMapping(
            record_type=said["record_type"],
            app_field=said["app_field"],
            remote_field=said["crm_field"],
            direction=said["direction"],
            transform_rule=rule,
            blank_rule=said["blank_rule"],
            strategy=said["strategy"] or None,
            drift=said["drift"] or None,
        )


class FileForm(forms.Form):
    connection = forms.ModelChoiceField(queryset=CrmConnection.unscoped.none(), label=lazy("Connection"))
    file = forms.FileField(label=lazy("JSON or CSV file"), widget=UnfoldAdminFileFieldWidget)
    keep_others = forms.BooleanField(label=lazy("Keep pairs that the file does not name"), required=False, initial=True)

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        open_ones = CrmConnection.objects.exclude(status=ConnectionStatus.DISCONNECTED).order_by("crm_type")
        self.fields["connection"].queryset = open_ones  # type: ignore[attr-defined]
        self.fields["connection"].label_from_instance = connection_label  # type: ignore[attr-defined]
        self.fields["connection"].empty_label = None  # type: ignore[attr-defined]
        self.fields["connection"].widget.attrs["class"] = "crm-input"


def initial_of(stored: CrmFieldMapping | None) -> dict[str, Any]:
    if stored is None:
        return {}
    return {
        "record_type": stored.record_type,
        "app_field": stored.adsapp_field,
        "crm_field": stored.crm_field,
        "direction": stored.direction,
        "blank_rule": stored.blank_rule,
        "strategy": stored.strategy or "",
        "drift": stored.drift or "",
    }


def _field_label(field: Any) -> str:
    marks = [field.kind, *([] if field.writable else [_("read only")]), *([_("required")] if field.required else [])]
    return f"{field.label} · {field.name} ({', '.join(marks)})"
