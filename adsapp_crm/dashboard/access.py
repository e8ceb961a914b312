"""Who may see a page: a logged-in person, in the organization chosen, by their role there."""

from __future__ import annotations

import functools
import uuid
import zoneinfo
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, cast

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from adsapp_crm.catalogue import explain
from adsapp_crm.middleware import opens_own_transactions
from adsapp_crm.models import CrmConflict, Organization
from adsapp_crm.models.choices import QuestionStatus, Role
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.services.staff import log_staff_access
from adsapp_crm.tenancy import current_organization_or_none, organization_context
from crm.errors import CrmError

RANK: Final[Mapping[str, int]] = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2, Role.OWNER: 3}
_GONE: Final = ("unknown", "expired")
_STATUS: Final[Mapping[str, int]] = {"staff.by_grant": 403, "request.forbidden": 403, "request.busy": 503}
"""Of refusals whose page is neither 404 nor 409."""


class View(Protocol):
    def __call__(self, request: HttpRequest, /, *args: Any, **kwargs: Any) -> HttpResponseBase: ...


def page(
    role: str = Role.VIEWER, *, writes: str = "", calls_crm: bool = False
) -> Callable[[View], Callable[..., HttpResponseBase]]:
    """Make a view a page of the dashboard.

    ``role`` is the least role that may look, ``writes`` the least one for a POST. ``calls_crm``: the view opens its
    own transactions, because it waits for a CRM. A refusal that nobody caught becomes a page that says what to do.
    """

    def wrap(view: View) -> Callable[..., HttpResponseBase]:
        @functools.wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            if organization_id_or_none(request) is None:
                return HttpResponseRedirect(reverse("dashboard:organizations"))
            needed = (writes or role) if request.method == "POST" else role
            with timezone.override(_zone(request)):
                if not may(request, needed):
                    return _problem(request, "request.forbidden", 403)
                _note_staff(request)
                try:
                    answer = view(request, *args, **kwargs)
                except RefusedError as error:
                    usual = 404 if error.code.endswith(_GONE) else 409
                    answer = _problem(request, error.code, _STATUS.get(error.code, usual), error)
            # People's data: not for the next person at this browser, nor for a proxy.
            answer.setdefault("Cache-Control", "no-store")
            return answer

        return opens_own_transactions(guarded) if calls_crm else guarded

    return wrap


def organization_id_or_none(request: HttpRequest) -> uuid.UUID | None:
    return cast("uuid.UUID | None", getattr(request, "organization_id", None))


def organization_of(request: HttpRequest) -> uuid.UUID:
    found = organization_id_or_none(request)
    if found is None:
        raise RuntimeError("A page without @page asked for the organization.")
    return found


def actor_of(request: HttpRequest) -> str:
    return f"user:{request.user.pk}"


def may(request: HttpRequest, role: str) -> bool:
    return RANK.get(getattr(request, "organization_role", ""), -1) >= RANK[role]


def show(
    request: HttpRequest, template: str, context: Mapping[str, Any] | None = None, *, status: int = 200
) -> HttpResponse:
    """Render a page with what stands round all of them. Opens the organization's context where none is open."""
    with organization_context(organization_of(request)):
        frame = {
            "organization": getattr(request, "organization", None) or Organization.objects.get(),
            "open_conflicts": CrmConflict.objects.filter(status=QuestionStatus.OPEN).count(),
            "may_operate": may(request, Role.OPERATOR),
            "may_administer": may(request, Role.ADMIN),
            "own_role": Role(getattr(request, "organization_role", Role.VIEWER)).label,
        }
        full = f"adsapp_crm/dashboard/{template}"
        return render(request, full, {**frame, **(context or {})}, status=status)


def attempt(
    request: HttpRequest,
    act: Callable[[], Any],
    *,
    back: str,
    done: str | Callable[[Any], str] = "",
    goes_to: Callable[[Any], str] | None = None,
    atomic: bool = True,
) -> HttpResponse:
    """Do what a form asked for and go on to a page; a refusal is told there, and then nothing was changed.

    ``atomic`` False: the act calls a CRM, so nothing may be open round it.
    """
    try:
        if atomic:
            with organization_context(organization_of(request)):
                result = act()
        else:
            result = act()
    except RefusedError as error:
        tell_refusal(request, error)
        return HttpResponseRedirect(back)
    except CrmError as error:
        tell_crm_error(request, error)
        return HttpResponseRedirect(back)
    text = done(result) if callable(done) else done
    if text:
        messages.success(request, text)
    return HttpResponseRedirect(goes_to(result) if goes_to else back)


def tell_refusal(request: HttpRequest, error: RefusedError) -> None:
    for each in error.refusals:
        messages.error(request, " ".join(filter(None, (each.message, each.fix))))


def tell_crm_error(request: HttpRequest, error: CrmError) -> None:
    entry = explain(error.code)
    messages.error(request, f"{entry.title}. {entry.cause} {entry.fix} ({entry.code})")


def _problem(request: HttpRequest, code: str, status: int, error: RefusedError | None = None) -> HttpResponse:
    refusal = error.refusals[0] if error else None
    return show(request, "problem.html", {"entry": explain(code), "refusal": refusal}, status=status)


def _note_staff(request: HttpRequest) -> None:
    access_id = getattr(request, "staff_access_id", None)
    if access_id is not None:
        log_staff_access(organization_of(request), access_id, method=request.method or "", path=request.path)


def _zone(request: HttpRequest) -> zoneinfo.ZoneInfo:
    """The person's zone, else the organization's."""
    name = getattr(request.user, "time_zone", "")
    if current_organization_or_none() is not None:
        request.organization = Organization.objects.get()  # type: ignore[attr-defined]  # read once for the whole page
        name = name or request.organization.time_zone  # type: ignore[attr-defined]
    try:
        return zoneinfo.ZoneInfo(name or "UTC")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return zoneinfo.ZoneInfo("UTC")
