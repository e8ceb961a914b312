"""When a connection syncs by itself, as a form."""

from __future__ import annotations

import zoneinfo
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from adsapp_crm.dashboard.access import page, show
from adsapp_crm.models.choices import Role
from adsapp_crm.services.connections import find_connection
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.services.schedules import change_schedule, shape_schedule
from crm.registry import PROVIDERS
from crm.schedule import EVERY_DAY

INTERVALS = [
    (900, lazy("every 15 minutes")),
    (1800, lazy("every 30 minutes")),
    (3600, lazy("every hour")),
    (14_400, lazy("every 4 hours")),
    (43_200, lazy("every 12 hours")),
    (0, lazy("once a day, at the time below")),
]
DAYS = [
    ("monday", lazy("Monday")),
    ("tuesday", lazy("Tuesday")),
    ("wednesday", lazy("Wednesday")),
    ("thursday", lazy("Thursday")),
    ("friday", lazy("Friday")),
    ("saturday", lazy("Saturday")),
    ("sunday", lazy("Sunday")),
    (EVERY_DAY, lazy("every day")),
]
FIELD_OF = {
    "timeZone": "time_zone",
    "intervalSeconds": "interval",
    "dailyAt": "daily_at",
    "quietFrom": "quiet_from",
    "quietUntil": "quiet_until",
    "fullDay": "full_day",
    "fullAt": "full_at",
}


def _clock() -> forms.TimeInput:
    return forms.TimeInput(attrs={"type": "time"}, format="%H:%M")


class ScheduleForm(forms.Form):
    time_zone = forms.ChoiceField(label=lazy("Time zone"))
    interval = forms.TypedChoiceField(label=lazy("What changed is synced"), coerce=int)
    daily_at = forms.TimeField(label=lazy("Time of the daily sync"), required=False, widget=_clock())
    quiet_from = forms.TimeField(label=lazy("Quiet hours from"), required=False, widget=_clock())
    quiet_until = forms.TimeField(label=lazy("Quiet hours until"), required=False, widget=_clock())
    full_day = forms.ChoiceField(label=lazy("Everything is read again on"), choices=DAYS)
    full_at = forms.TimeField(label=lazy("Time of it"), widget=_clock())

    def __init__(self, sent: Any = None, *, said: dict[str, Any]) -> None:
        initial = {FIELD_OF[key]: value for key, value in said.items() if key in FIELD_OF}
        seconds = initial["interval"] = said["intervalSeconds"] or 0
        super().__init__(sent, initial=initial)
        choices: list[tuple[int, Any]] = list(INTERVALS)
        if seconds not in dict(INTERVALS):
            choices.insert(0, (seconds, _("every %(minutes)s minutes") % {"minutes": round(seconds / 60)}))
        self.fields["interval"].choices = choices  # type: ignore[attr-defined]
        zones = sorted(zoneinfo.available_timezones() | {said["timeZone"]})
        self.fields["time_zone"].choices = [(name, name) for name in zones]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        if found.get("interval") == 0 and not found.get("daily_at"):
            self.add_error("daily_at", _("A daily sync needs its time."))
        return found

    def wanted(self) -> dict[str, Any]:
        found = self.cleaned_data
        daily = found["interval"] == 0
        said = {key: found[name] for key, name in FIELD_OF.items()}
        said = {key: f"{value:%H:%M}" if hasattr(value, "hour") else value for key, value in said.items()}
        return {
            **said,
            "intervalSeconds": None if daily else found["interval"],
            "dailyAt": said["dailyAt"] if daily else None,
        }


@page(role=Role.VIEWER, writes=Role.ADMIN)
def schedule(request: HttpRequest, crm: str) -> HttpResponse:
    row = find_connection(crm)
    said = shape_schedule(row)
    form = ScheduleForm(request.POST or None, said=said)
    if request.method == "POST" and form.is_valid():
        try:
            change_schedule(row.pk, form.wanted())
        except RefusedError as error:
            refusal = error.refusals[0]
            form.add_error(FIELD_OF.get(refusal.field), f"{refusal.message} {refusal.fix}")
        else:
            messages.success(request, _("The schedule is saved."))
            return HttpResponseRedirect(reverse("dashboard:connection", args=[crm]))
    context = {"form": form, "row": row, "said": said, "provider": PROVIDERS[row.crm_type]}
    return show(request, "schedule.html", context, status=422 if form.errors else 200)
