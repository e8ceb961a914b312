"""Who is told what happens: e-mail to oneself, outgoing webhooks, and what became of the last messages."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from adsapp_crm import conf
from adsapp_crm.catalogue import explain
from adsapp_crm.dashboard.access import actor_of, attempt, may, organization_of, page, show
from adsapp_crm.dashboard.pages import slice_of
from adsapp_crm.models import CrmMessage, CrmOutgoingWebhook, Membership
from adsapp_crm.models.choices import MessageStatus, Role
from adsapp_crm.services.members import set_email_notices
from adsapp_crm.services.outgoing import CHOICES, add_webhook, change_webhook, remove_webhook
from adsapp_crm.services.refusals import RefusedError, refuse
from adsapp_crm.services.seats import asking_outside
from adsapp_crm.services.sending import send_test
from adsapp_crm.services.staff import check_no_visit
from adsapp_crm.tenancy import organization_context

PAGE_SIZE: Final = 30


class WebhookForm(forms.Form):
    url = forms.CharField(
        label=lazy("Address"),
        widget=forms.TextInput(attrs={"placeholder": "https://", "inputmode": "url", "autocomplete": "off"}),
        strip=True,
    )
    kinds = forms.MultipleChoiceField(
        label=lazy("It is told"),
        choices=[(kind.value, kind.label) for kind in CHOICES],
        widget=forms.CheckboxSelectMultiple,
        initial=[kind.value for kind in CHOICES],
    )


@page(calls_crm=True)
def listing(request: HttpRequest) -> HttpResponse:
    """Adding and testing ask the network, so the view opens its own transactions."""
    acts: dict[str, Any] = {"add": _add, "test": _test, "switch": _switch, "remove": _remove, "mail": _mail}
    act = acts.get(request.POST.get("act", "")) if request.method == "POST" else None
    if act is None:
        return _page(request)
    if act is not _mail and not may(request, Role.ADMIN):
        raise refuse("request.forbidden", _("Outgoing webhooks are an administrator's."))
    answer: HttpResponse = act(request)
    return answer


def _page(request: HttpRequest, *, secret: str = "", form: WebhookForm | None = None) -> HttpResponse:
    with organization_context(organization_of(request)):
        administers = may(request, Role.ADMIN)
        webhooks = list(CrmOutgoingWebhook.objects.defer("secret").order_by("created_at")) if administers else []
        own = Membership.objects.filter(user=request.user.pk).first()
        found = slice_of(request, CrmMessage.objects.select_related("user", "webhook"), size=PAGE_SIZE)
        context = {
            "webhooks": webhooks,
            "secret": secret,
            "form": form or WebhookForm(),
            "own": own,
            "mails": bool(conf.mail_from()),
            "is_mailed": own is not None and own.role in (Role.OWNER, Role.ADMIN),
            "slice": found,
        }
        answer = show(request, "notices.html", context)
    if secret:
        answer["Cache-Control"] = "no-store"
    return answer


def _add(request: HttpRequest) -> HttpResponse:
    """The answer shows the secret, once; so it is no redirect."""
    check_no_visit(getattr(request, "staff_access_id", None))
    form = WebhookForm(request.POST)
    if not form.is_valid():
        return _page(request, form=form)
    said = form.cleaned_data
    try:
        with asking_outside():
            made = add_webhook(organization_of(request), said["url"], said["kinds"], actor=actor_of(request))
    except RefusedError as error:
        form.add_error("url", f"{error.refusals[0].message} {error.refusals[0].fix}")
        return _page(request, form=form)
    return _page(request, secret=made.secret)


def _test(request: HttpRequest) -> HttpResponse:
    back = reverse("dashboard:notices")
    with asking_outside():
        made = send_test(organization_of(request), _named(request), actor=actor_of(request))
    if made.status == MessageStatus.DELIVERED:
        messages.success(request, _("The test arrived."))
    else:
        entry = explain(made.code)
        messages.error(request, f"{entry.title}. {entry.cause} {entry.fix}")
    return HttpResponseRedirect(back)


def _switch(request: HttpRequest) -> HttpResponse:
    check_no_visit(getattr(request, "staff_access_id", None))
    on = request.POST.get("on") == "1"
    return attempt(
        request,
        lambda: change_webhook(_named(request), active=on),
        back=reverse("dashboard:notices"),
        done=_("It is told again.") if on else _("It is told nothing until it is switched on."),
    )


def _remove(request: HttpRequest) -> HttpResponse:
    return attempt(
        request,
        lambda: remove_webhook(_named(request)),
        back=reverse("dashboard:notices"),
        done=_("The outgoing webhook is removed."),
    )


def _mail(request: HttpRequest) -> HttpResponse:
    on = request.POST.get("on") == "1"
    return attempt(
        request,
        lambda: set_email_notices(uuid.UUID(str(request.user.pk)), wanted=on),
        back=reverse("dashboard:notices"),
        done=_("You are told by e-mail.") if on else _("You are not told by e-mail any more."),
    )


def _named(request: HttpRequest) -> uuid.UUID:
    try:
        return uuid.UUID(request.POST.get("webhook", ""))
    except ValueError:
        raise refuse("outgoing.unknown", _("There is no such outgoing webhook.")) from None
