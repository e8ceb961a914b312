"""One connection: health, syncing now, its runs, and the settings that decide what a sync may do."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from django.views.decorators.http import require_POST

from adsapp_crm.dashboard.access import actor_of, attempt, organization_of, page, show
from adsapp_crm.dashboard.standings import card_of, waiting_plans, with_names
from adsapp_crm.models import CrmConnection, CrmWebhook, CrmWebhookEvent
from adsapp_crm.models.choices import ConflictStrategy, OnDeletion, Role, SyncMode, TieRule
from adsapp_crm.services.actor_names import names_of
from adsapp_crm.services.audits import drifted, last_audit, plan_of
from adsapp_crm.services.connection_rules import COLUMNS, CRM_SETTINGS, change_rules, set_debug_mode
from adsapp_crm.services.connections import disconnect, find_connection, pause_connection, resume_connection
from adsapp_crm.services.examining import examine
from adsapp_crm.services.quota import quota_of
from adsapp_crm.services.seats import asking_outside
from adsapp_crm.services.standing import now_beside
from adsapp_crm.services.syncing import RunBusyError, start_run
from adsapp_crm.tasks import send_after_commit, sync_page
from adsapp_crm.tenancy import organization_context
from adsapp_crm.wiring import own_settings, settings_in_force
from crm.model import RunKind
from crm.registry import PROVIDERS

HISTORY_RUNS: Final = 25
DEBUG_SPANS: Final = {"30": lazy("30 minutes"), "120": lazy("2 hours"), "1440": lazy("a day")}
CRM_PREFIX: Final = "crm_"
API_NAMES: Final = {column: name for name, column in COLUMNS.items()}
TRIAL_CONTACTS: Final = 20
"""The guide's advice for a first look at what a sync does."""


class RulesForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    class Meta:
        model = CrmConnection
        fields = (
            "mode",
            "strategy",
            "tie_rule",
            "on_app_deleted",
            "on_crm_deleted",
            "create_in_crm",
            "create_in_app",
            "create_type",
            "max_count_deleted",
            "max_count_created",
        )
        labels = {
            "mode": lazy("Mode"),
            "strategy": lazy("When both sides changed a field"),
            "tie_rule": lazy("When nobody can say which is newer"),
            "on_app_deleted": lazy("When a contact is deleted in ADSapp, the CRM's record is"),
            "on_crm_deleted": lazy("When a record is deleted in the CRM, the contact is"),
            "create_in_crm": lazy("Create records in the CRM for contacts it does not have"),
            "create_in_app": lazy("Create contacts in ADSapp for records it does not have"),
            "create_type": lazy("New contacts become"),
            "max_count_deleted": lazy("Brake: ask before more than this many deletions"),
            "max_count_created": lazy("Brake: ask before more than this many creations"),
        }
        widgets = {
            "mode": forms.RadioSelect(choices=SyncMode.choices),
            "strategy": forms.Select(choices=ConflictStrategy.choices),
            "tie_rule": forms.Select(choices=TieRule.choices),
            "on_app_deleted": forms.Select(choices=OnDeletion.choices),
            "on_crm_deleted": forms.Select(choices=OnDeletion.choices),
        }

    def __init__(self, data: QueryDict | None = None, *, instance: CrmConnection) -> None:
        super().__init__(data, instance=instance)
        own = PROVIDERS[instance.crm_type]
        if len(own.record_types) > 1:
            usual = _("%(type)s, as usual") % {"type": own.capabilities.create_type}
            kinds = [("", usual), *((each, each) for each in own.record_types)]
            self.fields["create_type"] = forms.ChoiceField(
                choices=kinds, required=False, label=self.fields["create_type"].label
            )
        else:
            del self.fields["create_type"]
        given, in_force = own_settings(instance), settings_in_force(instance)
        for each in own.connection_settings:
            name = f"{CRM_PREFIX}{each.key}"
            usual = _("%(value)s, as the installation says") % {"value": in_force[each.name]}
            said = given.get(each.name, "")
            field: forms.Field
            if each.choices:
                blank = usual if not said else _("as the installation says")
                field = forms.ChoiceField(choices=[("", blank), *((one, one) for one in each.choices)], required=False)
            else:
                widget = forms.TextInput(attrs={"placeholder": in_force[each.name], "inputmode": "decimal"})
                field = forms.CharField(max_length=100, widget=widget, required=False)
            field.label, field.help_text, field.initial = each.label, each.help, said
            self.fields[name] = field

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        for each in PROVIDERS[self.instance.crm_type].connection_settings:
            name = f"{CRM_PREFIX}{each.key}"
            value = cleaned.get(name)
            if value and not each.takes(value):
                self.add_error(name, each.fix)
        return cleaned

    def wanted(self) -> dict[str, Any]:
        """What was changed, as ``change_rules`` takes it; a setting of the CRM that is left blank is given back."""
        changed = {name: self.cleaned_data[name] for name in self.changed_data}
        rules = {API_NAMES[name]: value for name, value in changed.items() if name in API_NAMES}
        crm = {
            name.removeprefix(CRM_PREFIX): value or None
            for name, value in changed.items()
            if name.startswith(CRM_PREFIX)
        }
        return {**rules, CRM_SETTINGS: crm} if crm else rules


@page(writes=Role.ADMIN)
def connection(request: HttpRequest, crm: str) -> HttpResponse:
    row = find_connection(crm)
    form = RulesForm(request.POST or None, instance=row)
    if request.method == "POST" and form.is_valid():
        return attempt(
            request,
            lambda: change_rules(row.pk, form.wanted()),
            back=reverse("dashboard:connection", args=[crm]),
            done=_("The settings are saved. The next run goes by them."),
        )
    stored = CrmConnection.objects.get(pk=row.pk) if form.errors else row
    return show(request, "connection.html", _context(stored, form), status=422 if form.errors else 200)


def _context(row: CrmConnection, form: RulesForm) -> dict[str, Any]:
    runs = with_names(list(row.runs.select_related("plan").order_by("-started_at", "-id")[:HISTORY_RUNS]))
    running = next((run for run in runs if run.completed_at is None), None)
    plan = waiting_plans([row]).get(row.pk)
    audit = last_audit(row.pk)
    names = names_of([row.connected_by, row.paused_by, row.first_sync_approved_by])
    now = now_beside(row)
    return {
        "card": card_of(row, now, running, plan),
        "quota": quota_of(row, now),
        "row": row,
        "provider": PROVIDERS[row.crm_type],
        "runs": runs,
        "form": form,
        "connected_by": names.get(row.connected_by, ""),
        "paused_by": names.get(row.paused_by, ""),
        "approved_by": names.get(row.first_sync_approved_by, ""),
        "trial": TRIAL_CONTACTS,
        "debug_spans": DEBUG_SPANS.items(),
        "audit": audit,
        "drifted": drifted(audit) if audit is not None else 0,
        "repairs": plan_of(audit) if audit is not None else [],
        **_webhooks(row),
    }


@require_POST
@page(role=Role.OPERATOR)
def sync(request: HttpRequest, crm: str) -> HttpResponse:
    """``kind``: delta, full, dry (plan only) or trial (a few contacts). A run on its way is shown instead."""
    asked = request.POST.get("kind", "delta")

    def act() -> Any:
        row = find_connection(crm)
        try:
            run_id = start_run(
                organization_of(request),
                row.pk,
                RunKind.DELTA if asked == "delta" else RunKind.FULL,
                actor=actor_of(request),
                limit=TRIAL_CONTACTS if asked == "trial" else None,
                dry_run=asked == "dry",
            )
        except RunBusyError as busy:
            return busy.run_id
        send_after_commit(sync_page, str(run_id))
        return run_id

    return attempt(
        request,
        act,
        back=reverse("dashboard:connection", args=[crm]),
        goes_to=lambda run_id: reverse("dashboard:run", args=[run_id]),
    )


@require_POST
@page(role=Role.OPERATOR)
def change(request: HttpRequest, crm: str) -> HttpResponse:
    """Pause or resume."""
    resume = "resume" in request.POST

    def act() -> None:
        row = find_connection(crm)
        (resume_connection if resume else pause_connection)(row.pk, actor=actor_of(request))

    done = _("Resumed. The next run starts on schedule.") if resume else _("Paused. No run starts until you resume it.")
    return attempt(request, act, back=reverse("dashboard:connection", args=[crm]), done=done)


@require_POST
@page(role=Role.ADMIN)
def mode(request: HttpRequest, crm: str) -> HttpResponse:
    """Only watch from the next run on (``mode`` observe), or write again (sync)."""
    asked = request.POST.get("mode", "")
    wanted = SyncMode.OBSERVE if asked == SyncMode.OBSERVE else SyncMode.SYNC
    watched = _("Observe mode: everything is planned and shown, nothing is written.")
    return attempt(
        request,
        lambda: change_rules(find_connection(crm).pk, {"mode": wanted.value}),
        back=reverse("dashboard:connection", args=[crm]),
        done=watched if wanted is SyncMode.OBSERVE else _("Runs write again, as the plans say."),
    )


@require_POST
@page(role=Role.ADMIN)
def debug(request: HttpRequest, crm: str) -> HttpResponse:
    """Start or end debug mode; ``minutes`` 0 ends it."""
    asked = request.POST.get("minutes", "")
    minutes = int(asked) if asked in DEBUG_SPANS or asked == "0" else -1
    done = _("Each request to the CRM is logged until then.") if minutes else _("Debug mode has ended.")
    return attempt(
        request,
        lambda: set_debug_mode(find_connection(crm).pk, minutes),
        back=reverse("dashboard:connection", args=[crm]),
        done=done,
    )


@page(writes=Role.OPERATOR, calls_crm=True)
def examination(request: HttpRequest, crm: str) -> HttpResponse:
    """Test the connection; a GET only offers to."""
    organization_id = organization_of(request)
    with organization_context(organization_id):
        row = find_connection(crm)
    found = None
    if request.method == "POST":
        with asking_outside():
            found = examine(organization_id, row.pk)
    context = {"row": row, "provider": PROVIDERS[row.crm_type], "examination": found}
    return show(request, "examination.html", context)


@require_POST
@page(role=Role.ADMIN, calls_crm=True)
def end(request: HttpRequest, crm: str) -> HttpResponse:
    return attempt(
        request,
        asking_outside()(lambda: disconnect(organization_of(request), crm, actor=actor_of(request))),
        back=reverse("dashboard:home"),
        done=_("Disconnected. Links, mappings and history are kept for the day you connect the same account again."),
        atomic=False,
    )


def _webhooks(row: CrmConnection) -> dict[str, Any]:
    """How the CRM tells us of changes; events of an app's own address come without a subscription of ours."""
    hook = CrmWebhook.objects.filter(connection=row).order_by("-created_at").first()
    if hook is not None:
        return {"webhook": hook}
    events = CrmWebhookEvent.objects.filter(connection=row).order_by("-received_at")
    return {"webhook": None, "last_event_at": events.values_list("received_at", flat=True).first()}
