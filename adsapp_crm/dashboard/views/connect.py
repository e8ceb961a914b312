"""Connecting a CRM: what to do there first, then a token or a log-in. Nothing is synced by it."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.loader import TemplateDoesNotExist, get_template
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from adsapp_crm import conf
from adsapp_crm.dashboard.access import actor_of, attempt, organization_of, page, show, tell_crm_error, tell_refusal
from adsapp_crm.models import CrmAppRegistration
from adsapp_crm.models.choices import Role
from adsapp_crm.services.connections import MAX_TOKEN_CHARACTERS, connect_with_token, open_connection
from adsapp_crm.services.oauth import Person, begin_log_in, redirect_uri
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.services.seats import asking_outside
from adsapp_crm.services.staff import check_no_visit
from adsapp_crm.tenancy import organization_context
from crm.errors import CrmError
from crm.registry import PROVIDERS, Provider


class TokenForm(forms.Form):
    token = forms.CharField(
        label=lazy("Token"),
        max_length=MAX_TOKEN_CHARACTERS,
        strip=True,
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": lazy("Paste the token from the CRM.")},
    )


@page(role=Role.VIEWER, writes=Role.ADMIN, calls_crm=True)
def connect(request: HttpRequest, crm: str) -> HttpResponse:
    found = PROVIDERS.get(crm)
    if found is None:
        raise Http404
    if request.method == "POST":
        check_no_visit(getattr(request, "staff_access_id", None))
    form = TokenForm(request.POST or None) if "token" in request.POST else TokenForm()
    if request.method == "POST" and "log_in" in request.POST:
        return _log_in(request, found)
    if request.method == "POST" and form.is_valid():
        return _with_token(request, found, form.cleaned_data["token"])
    return show(request, "connect.html", _context(request, found, form), status=422 if form.errors else 200)


def _context(request: HttpRequest, found: Provider, form: TokenForm) -> dict[str, Any]:
    with organization_context(organization_of(request)):
        row = open_connection(found.key)
        registered = CrmAppRegistration.objects.filter(crm_type=found.key).exists()
    said = conf.provider_settings(found.key)
    return {
        "provider": found,
        "row": row,
        "form": form,
        "can_log_in": found.oauth is not None and (registered or bool(said.get("client_id"))),
        "setup": _setup_of(found.key),
        "callback": redirect_uri(found.key),
        "environments": _environments_of(found),
        "environment": row.environment if row is not None else said.get("environment", ""),
    }


def _environments_of(found: Provider) -> tuple[str, ...]:
    """What a person chooses from before the log-in: a CRM's sandboxes log in at another address."""
    return next((setting.choices for setting in found.settings if setting.name == "environment"), ())


def _setup_of(key: str) -> str:
    name = f"adsapp_crm/dashboard/setup/{key}.html"
    try:
        get_template(name)
    except TemplateDoesNotExist:
        return "adsapp_crm/dashboard/setup/other.html"
    return name


def _with_token(request: HttpRequest, found: Provider, token: str) -> HttpResponse:
    def done(made: Any) -> str:
        name = made.account.name or made.account.remote_account_id
        if made.reconnected:
            return _("%(crm)s account %(name)s is connected again; nothing is imported twice.") % {
                "crm": found.label,
                "name": name,
            }
        return _("%(crm)s account %(name)s is connected. %(fields)d fields were read, %(mappings)d are mapped.") % {
            "crm": found.label,
            "name": name,
            "fields": made.fields,
            "mappings": made.mappings,
        }

    return attempt(
        request,
        asking_outside()(
            lambda: connect_with_token(organization_of(request), found.key, token, actor=actor_of(request))
        ),
        back=reverse("dashboard:connect", args=[found.key]),
        done=done,
        goes_to=lambda _made: reverse("dashboard:connection", args=[found.key]),
        atomic=False,
    )


def _log_in(request: HttpRequest, found: Provider) -> HttpResponse:
    """On to the CRM's consent page; the page that names the account waits where it sends people back to.

    By a page that moves on by itself, not by a redirect: the policy ``form-action`` holds for every redirect that a
    form leads to, and a CRM's log-in goes over hosts that only the CRM knows.
    """
    back = reverse("dashboard:connect", args=[found.key])
    person = Person(uuid.UUID(str(request.user.pk)), request.session.session_key or "")
    try:
        begun = begin_log_in(
            organization_of(request),
            found.key,
            person,
            environment=chosen if (chosen := request.POST.get("environment", "")) in _environments_of(found) else "",
            return_route="dashboard:home",
            reconnect="again" in request.POST,
        )
    except RefusedError as error:
        tell_refusal(request, error)
        return HttpResponseRedirect(back)
    except CrmError as error:
        tell_crm_error(request, error)
        return HttpResponseRedirect(back)
    answer = render(request, "adsapp_crm/connect/away.html", {"address": begun.auth_url, "crm": found.label})
    answer["Cache-Control"] = "no-store"
    return answer
