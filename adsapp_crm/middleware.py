"""Opens the organization's transaction round view and rendering."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, UnreadablePostError
from django.urls import Resolver404, resolve

from adsapp_crm.catalogue import explain
from adsapp_crm.selectors import Place, places_of
from adsapp_crm.tenancy import organization_context

SESSION_KEY = "organization_id"
HEADER = "X-Organization"
_FORMS: Final = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})

_View = TypeVar("_View", bound=Callable[..., Any])


def opens_own_transactions(view: _View) -> _View:
    """Mark a view, or a class of views, that calls a CRM or waits for a run: nothing is opened round it.

    It finds the organization as ``request.organization_id`` and opens contexts itself, through services,
    for as long as it touches the database and no longer.
    """
    view.opens_own_transactions = True  # type: ignore[attr-defined]
    return view


class OrganizationMiddleware:
    """Finds the organization of a request and, unless the view opts out, opens its transaction.

    The organization is the one named by the ``X-Organization`` header, else the one chosen in the session,
    else the person's only one. A header that names a place the person may not enter is answered with 404,
    as if it did not exist. ``request.organization_id`` is None when none is chosen: reading organization
    data then raises NoOrganizationError. An answer of 400 or above undoes what the view wrote: by the time
    it comes by here, Django has turned exceptions into answers.

    A form is read before that: it may take as long as its sender likes, and neither does a transaction wait for it nor
    does it count what the person was allowed when it began.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.organization_id = None  # type: ignore[attr-defined]
        request.organization_role = ""  # type: ignore[attr-defined]
        request.staff_access_id = None  # type: ignore[attr-defined]
        user = request.user
        if not user.is_authenticated or user.pk is None:
            return self.get_response(request)
        if request.content_type in _FORMS and not _opts_out(request):
            with suppress(UnreadablePostError):
                _ = request.POST
        if not find_place(request):
            return _unknown_organization()
        organization_id = getattr(request, "organization_id", None)
        if organization_id is None or _opts_out(request):
            return self.get_response(request)
        with organization_context(organization_id, actor=f"user:{user.pk}", origin="user"):
            response = self.get_response(request)
            if response.streaming:
                # It would be read after the transaction has ended, on a connection without organization.
                response.close()
                raise RuntimeError(
                    f"{request.path} answers with a stream: build the answer inside the transaction, or mark the view"
                    " with opens_own_transactions."
                )
            if response.status_code >= 400:
                transaction.set_rollback(True)
        return response


def find_place(request: HttpRequest) -> bool:
    """Note on the request where the logged-in person is and what they may do there, as of now.

    False where the header names a place that they may not enter. Once more after a body was read that took its time.
    """
    user_id = request.user.pk
    places = places_of(user_id) if user_id is not None else []
    named = request.headers.get(HEADER)
    place = _named(places, named) if named else _chosen(request, places)
    request.organization_id = place.organization_id if place else None  # type: ignore[attr-defined]
    request.organization_role = place.role if place else ""  # type: ignore[attr-defined]
    request.staff_access_id = place.staff_access_id if place else None  # type: ignore[attr-defined]
    return place is not None or not named


def choose_organization(request: HttpRequest, organization_id: uuid.UUID) -> bool:
    """Remember the organization in the session; False, and nothing changed, when the person may not enter it."""
    user_id = request.user.pk
    if user_id is None or not any(place.organization_id == organization_id for place in places_of(user_id)):
        return False
    request.session[SESSION_KEY] = str(organization_id)
    return True


def _named(places: list[Place], text: str | None) -> Place | None:
    try:
        wanted = uuid.UUID(text or "")
    except ValueError:
        return None
    return next((place for place in places if place.organization_id == wanted), None)


def _chosen(request: HttpRequest, places: list[Place]) -> Place | None:
    chosen = _named(places, request.session.get(SESSION_KEY))
    if chosen is not None:
        return chosen
    memberships = [place for place in places if place.staff_access_id is None]
    return memberships[0] if len(memberships) == 1 else None


def _opts_out(request: HttpRequest) -> bool:
    try:
        view = resolve(request.path_info, getattr(request, "urlconf", settings.ROOT_URLCONF)).func
    except Resolver404:
        return False
    behind = getattr(view, "cls", None) or getattr(view, "view_class", None)
    return bool(getattr(view, "opens_own_transactions", False) or getattr(behind, "opens_own_transactions", False))


def _unknown_organization() -> HttpResponse:
    entry = explain("organization.unknown")
    told = {
        "type": f"/docs/errors#{entry.anchor}",
        "title": str(entry.title),
        "status": 404,
        "detail": f"The {HEADER} header names no organization that you belong to.",
        "code": entry.code,
        "fix": str(entry.fix),
    }
    headers = {"Cache-Control": "no-store"}
    return JsonResponse(told, status=404, headers=headers, content_type="application/problem+json")
