"""What each error code means and what to do: where the ``type`` of a problem document leads."""

from __future__ import annotations

from itertools import groupby
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from adsapp_crm.catalogue import ENTRIES, Entry, Retry

NEXT: Final = {
    Retry.NO: _("Nothing happens by itself."),
    Retry.SOON: _("It is tried again by itself, with growing pauses."),
    Retry.AT_TIME: _("It is tried again by itself at the time that is told."),
    Retry.SLOW: _("It is tried again by itself from time to time."),
    Retry.LOOK_UP: _("It is looked up first, and sent again only if it has not happened."),
}


@require_safe
def error_codes(request: HttpRequest) -> HttpResponse:
    """For everybody: it tells nothing of anybody."""
    entries = sorted(ENTRIES.values(), key=lambda each: each.code)
    families = [
        (family, [(each, NEXT[each.retry]) for each in found]) for family, found in groupby(entries, _family_of)
    ]
    return render(request, "adsapp_crm/dashboard/error_codes.html", {"families": families, "number": len(entries)})


def _family_of(entry: Entry) -> str:
    return entry.family
