"""Logging in and out, and choosing the organization to work in."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from adsapp_crm.dashboard.access import organization_id_or_none
from adsapp_crm.middleware import choose_organization, opens_own_transactions
from adsapp_crm.models.choices import Role
from adsapp_crm.selectors import organization_name, places_of


class LogIn(LoginView):
    """For everybody, staff or not; too many failures lock the name at that address for a while."""

    template_name = "adsapp_crm/dashboard/log_in.html"
    redirect_authenticated_user = True


@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponseRedirect(reverse("dashboard:log-in"))


@opens_own_transactions
@login_required
@never_cache
def organizations(request: HttpRequest) -> HttpResponse:
    """Names several organizations, so none's transaction is opened round it."""
    if request.method == "POST":
        return _choose(request)
    current = organization_id_or_none(request)
    user_id = request.user.pk
    places = [
        {
            "id": place.organization_id,
            "name": organization_name(place.organization_id),
            "role": Role(place.role).label,
            "granted": place.staff_access_id is not None,
            "current": place.organization_id == current,
        }
        for place in (places_of(user_id) if user_id is not None else [])
    ]
    return render(request, "adsapp_crm/dashboard/organizations.html", {"places": places})


def _choose(request: HttpRequest) -> HttpResponse:
    try:
        wanted = uuid.UUID(request.POST.get("organization", ""))
    except ValueError:
        wanted = None
    if wanted is None or not choose_organization(request, wanted):
        messages.error(request, _("You may not enter this organization. Choose one of the list."))
        return HttpResponseRedirect(reverse("dashboard:organizations"))
    return HttpResponseRedirect(reverse("dashboard:home"))
