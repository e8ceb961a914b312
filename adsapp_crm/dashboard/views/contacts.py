"""Why is this contact where it is? Found by e-mail, name or id; explained field by field."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import TemplateDoesNotExist, render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from adsapp_crm.dashboard.access import actor_of, attempt, organization_of, page, show
from adsapp_crm.models import Contact, ContactChange, CrmConnection, CrmSyncState
from adsapp_crm.models.choices import Role, RunTrigger
from adsapp_crm.services.actor_names import names_of
from adsapp_crm.services.contact_names import name_of
from adsapp_crm.services.contact_search import find_contacts, in_order
from adsapp_crm.services.explain import FieldStand, Stand, explain_contacts
from adsapp_crm.services.record_actions import exclude_links, include_links, retry_links, unlink
from adsapp_crm.services.refusals import refuse
from adsapp_crm.services.round_trip import try_round_trip
from adsapp_crm.services.seats import asking_outside
from adsapp_crm.services.syncing import start_run
from adsapp_crm.tasks import send_after_commit, sync_now
from adsapp_crm.tenancy import organization_context
from crm.model import RunKind
from crm.normalize import email_key
from crm.registry import PROVIDERS, Provider

MOST_FOUND: Final = 25
CHANGES: Final = 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where the contact stands at one CRM."""

    stand: Stand
    provider: Provider
    address: str
    """The record's page in the CRM; empty where it has none that can be trusted."""
    fields: tuple[FieldStand, ...]
    blank: tuple[FieldStand, ...]
    """Fields that neither side has a value for."""


@page()
def search(request: HttpRequest) -> HttpResponse:
    wanted = request.GET.get("q", "").strip()
    found = _find(wanted) if wanted else []
    if len(found) == 1:
        return HttpResponseRedirect(reverse("dashboard:contact", args=[found[0].pk]))
    for each in found:
        each.shown_name = name_of(each)  # type: ignore[attr-defined]  # for the template
    return show(request, "contacts.html", {"wanted": wanted, "found": found, "most": MOST_FOUND})


def _find(wanted: str) -> list[Contact]:
    """By id or e-mail address also those that are gone, else live ones by a number or the beginning of a name."""
    try:
        return list(Contact.objects.filter(pk=uuid.UUID(wanted)))
    except ValueError:
        pass
    key = email_key(wanted)
    exact = list(Contact.objects.filter(email_normalized=key).order_by("id")[:MOST_FOUND]) if key else []
    return exact or list(in_order(find_contacts({"search": wanted}), "id")[:MOST_FOUND])


@page(writes=Role.OPERATOR)
def contact(request: HttpRequest, contact_id: uuid.UUID) -> HttpResponse:
    explanation = explain_contacts(str(contact_id))[0]
    if request.method == "POST":
        return _act(request, explanation.contact)
    connections = explanation.connections
    places = [
        Place(
            stand,
            PROVIDERS[stand.crm_type],
            record_address(connections[stand.connection_id], stand.record_type, stand.remote_id),
            tuple(each for each in stand.fields if not _is_blank(each)),
            tuple(filter(_is_blank, stand.fields)),
        )
        for stand in explanation.stands
    ]
    changes = list(ContactChange.objects.filter(contact=explanation.contact).order_by("-version")[:CHANGES])
    history = explanation.history
    context = {
        "contact": explanation.contact,
        "name": name_of(explanation.contact),
        "places": places,
        "history": history,
        "changes": changes,
        "names": names_of([*(each.who for each in changes), *(each.actor for each in history)]),
        "crms": {key: PROVIDERS[row.crm_type].label for key, row in connections.items()},
    }
    return show(request, "contact.html", context)


def _is_blank(stand: FieldStand) -> bool:
    return not (stand.app_value or stand.crm_value or stand.base_app or stand.code)


def _act(request: HttpRequest, found: Contact) -> HttpResponse:
    """``act`` on the link that the form names: resync, exclude, include, unlink."""
    here = reverse("dashboard:contact", args=[found.pk])
    what = request.POST.get("act", "")

    def act() -> str:
        link = CrmSyncState.objects.filter(contact=found)
        chosen = link.filter(pk=_uuid(request.POST.get("link", "")))
        connection_id = _uuid(request.POST.get("connection", ""))
        if what == "exclude":
            exclude_links(chosen, actor=actor_of(request))
            return _("Left out. Both sides keep what they have until you take it in again.")
        if what == "unlink":
            unlink(_uuid(request.POST.get("link", "")), actor=actor_of(request))
            return _("Unlinked. Both records stay, and neither follows the other any more.")
        if what not in ("resync", "include") or connection_id is None:
            raise refuse("request.invalid", "There is no such action.")
        if what == "include":
            include_links(chosen)
        else:
            retry_links(chosen)
        _resync(request, found, connection_id)
        return _("It is being synced now. Reload the page in a moment to see what came of it.")

    return attempt(request, act, back=here, done=str)


@require_POST
@page(role=Role.OPERATOR, calls_crm=True)
def round_trip(request: HttpRequest, contact_id: uuid.UUID) -> HttpResponse:
    """Make a test record of the contact's values in the CRM that the form names, and show what came back."""
    organization_id = organization_of(request)
    connection_id = _uuid(request.POST.get("connection", ""))
    if connection_id is None:
        raise refuse("connection.unknown", _("There is no active connection with this id."))
    with asking_outside():
        tried = try_round_trip(organization_id, contact_id, connection_id, actor=actor_of(request))
    with organization_context(organization_id):
        found = Contact.objects.get(pk=contact_id)
        row = CrmConnection.objects.get(pk=connection_id)
    context = {"contact": found, "name": name_of(found), "provider": PROVIDERS[row.crm_type], "tried": tried}
    return show(request, "round_trip.html", context)


def _resync(request: HttpRequest, found: Contact, connection_id: uuid.UUID) -> None:
    run_id = start_run(
        organization_of(request),
        connection_id,
        RunKind.MANUAL,
        trigger=RunTrigger.USER,
        actor=actor_of(request),
        contact_ids=[str(found.pk)],
    )
    send_after_commit(sync_now, str(run_id))


def record_address(row: CrmConnection, record_type: str, remote_id: str) -> str:
    """From the CRM's own template of addresses; only https, and only on the account's own host."""
    home = row.remote_account_url.rstrip("/")
    if not remote_id or not home.startswith("https://"):
        return ""
    named = {"home": home, "account": row.remote_account_id, "record_type": record_type, "remote_id": remote_id}
    try:
        address = render_to_string(f"adsapp_crm/dashboard/addresses/{row.crm_type}.txt", named).strip()
    except TemplateDoesNotExist:
        return ""
    return address if urlsplit(address).netloc == urlsplit(home).netloc else ""


def _uuid(text: str) -> Any:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
