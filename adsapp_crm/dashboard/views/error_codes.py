"""What each error code means and what to do: where the ``type`` of a problem document leads."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from adsapp_crm.catalogue.document import NEXT, by_family


@require_safe
def error_codes(request: HttpRequest) -> HttpResponse:
    """For everybody: it tells nothing of anybody."""
    families = [(family, [(each, NEXT[each.retry]) for each in entries]) for family, entries in by_family()]
    number = sum(len(entries) for _family, entries in families)
    return render(request, "adsapp_crm/dashboard/error_codes.html", {"families": families, "number": number})
