"""Fields that could belong together, for a person to judge."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from adsapp_crm.dashboard.access import organization_of, page, show, tell_crm_error
from adsapp_crm.dashboard.views.mapping import kinds_of
from adsapp_crm.models.choices import Role
from adsapp_crm.services.connections import find_connection
from adsapp_crm.services.mapping_suggestions import read_held, suggestions_of
from adsapp_crm.services.seats import asking_outside
from adsapp_crm.tenancy import organization_context
from crm.errors import CrmError
from crm.registry import PROVIDERS


@page(role=Role.VIEWER, writes=Role.OPERATOR, calls_crm=True)
def suggestions(request: HttpRequest, crm: str) -> HttpResponse:
    """Fields that could belong together. A POST also compares values, which asks the CRM once and stores nothing."""
    organization_id = organization_of(request)
    with organization_context(organization_id):
        connection = find_connection(crm)
        kinds = kinds_of(connection)
    asked = request.POST.get("type") or request.GET.get("type", "")
    kind = asked if asked in kinds else next(iter(kinds), "")
    held = None
    if request.method == "POST":
        try:
            with asking_outside():
                held = read_held(organization_id, crm, kind)
        except CrmError as error:
            tell_crm_error(request, error)
    with organization_context(organization_id):
        found = suggestions_of(connection, kind, held)
        context = {
            "row": connection,
            "provider": PROVIDERS[crm],
            "kinds": kinds,
            "kind": kind,
            "found": found,
            "compared": held is not None,
        }
        return show(request, "mapping_suggestions.html", context)
