"""Who belongs to the organization, and the keys by which programs come in."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from adsapp_crm.dashboard.access import actor_of, attempt, page, show
from adsapp_crm.models import ApiKey, Membership
from adsapp_crm.models.choices import Role
from adsapp_crm.services.actor_names import names_of
from adsapp_crm.services.api_keys import Scope, make_key, revoke_key, scopes_now, usable_keys
from adsapp_crm.services.members import TakenOut, invite, remove_member
from adsapp_crm.services.refusals import RefusedError, refuse
from adsapp_crm.services.staff import MOST_REASON_CHARACTERS, check_no_visit, end_access, grants, let_in
from adsapp_crm.services.staff import ROLES as STAFF_ROLES

ROLES: Final = (
    (Role.VIEWER, lazy("sees everything, changes nothing")),
    (Role.OPERATOR, lazy("syncs, answers conflicts, retries and excludes")),
    (Role.ADMIN, lazy("also connects CRMs, approves plans, undoes runs and edits mappings and rules")),
    (Role.OWNER, lazy("also appoints owners")),
)


SHOWN_GRANTS: Final = 20
STAFF_IDS: Final = "staff_%s"
"""Of the fields' elements: the form beside it has an e-mail address and a role as well."""


class MemberForm(forms.Form):
    email = forms.EmailField(label=lazy("E-mail address"))
    role = forms.ChoiceField(label=lazy("Role"), choices=Role.choices, initial=Role.VIEWER)


class StaffForm(forms.Form):
    email = forms.EmailField(label=lazy("E-mail address of the person at ADSapp"))
    role = forms.ChoiceField(
        label=lazy("May do what this role may"), choices=[(role.value, role.label) for role in STAFF_ROLES]
    )
    hours = forms.TypedChoiceField(
        label=lazy("For"),
        coerce=int,
        choices=[(1, lazy("an hour")), (4, lazy("4 hours")), (24, lazy("a day")), (72, lazy("3 days"))],
        initial=4,
    )
    reason = forms.CharField(label=lazy("What for"), max_length=MOST_REASON_CHARACTERS)


class KeyForm(forms.Form):
    name = forms.CharField(label=lazy("What the key is for"), max_length=100)
    scope = forms.ChoiceField(
        label=lazy("May"),
        choices=[(Scope.READ, lazy("read")), (Scope.WRITE, lazy("sync and answer")), (Scope.ADMIN, lazy("administer"))],
    )


@page(writes=Role.ADMIN)
def listing(request: HttpRequest) -> HttpResponse:
    acts: dict[str, Any] = {
        "member": _add,
        "out": _take_out,
        "key": _make,
        "revoke": _revoke,
        "staff": _let_in,
        "end": _end,
    }
    act = acts.get(request.POST.get("act", "")) if request.method == "POST" else None
    return act(request) if act else _page(request)


def _page(request: HttpRequest, *, new_key: str = "", forms_: dict[str, forms.Form] | None = None) -> HttpResponse:
    members = list(Membership.objects.select_related("user").order_by("created_at"))
    keys = list(ApiKey.objects.order_by("-created_at")[:100])
    names = names_of(actor for key in keys for actor in (key.created_by, key.revoked_by))
    made, scopes = usable_keys(), scopes_now(keys)
    for key in keys:
        key.scope_now = "" if scopes[key.pk] in key.scopes else str(scopes[key.pk])  # type: ignore[attr-defined]  # for the template
        key.by = names.get(key.created_by, "")  # type: ignore[attr-defined]  # for the template
        key.ended_by = names.get(key.revoked_by, "")  # type: ignore[attr-defined]  # for the template
    for member in members:
        member.keys_made = [key.name for key in made.get(f"user:{member.user_id}", ())]  # type: ignore[attr-defined]  # for the template
    context = {
        "members": members,
        "keys": keys,
        "new_key": new_key,
        "roles": [(role.label, text) for role, text in ROLES],
        "member_form": MemberForm(),
        "key_form": KeyForm(),
        "staff_form": StaffForm(auto_id=STAFF_IDS),
        "grants": _grants(),
        **(forms_ or {}),
    }
    answer = show(request, "people.html", context)
    if new_key:
        answer["Cache-Control"] = "no-store"
    return answer


def _add(request: HttpRequest) -> HttpResponse:
    form = MemberForm(request.POST)
    if not form.is_valid():
        return _page(request, forms_={"member_form": form})
    role = Role(form.cleaned_data["role"])

    def act() -> None:
        check_no_visit(getattr(request, "staff_access_id", None))
        invite(form.cleaned_data["email"], role, by_role=getattr(request, "organization_role", ""))

    done = _("%(email)s is %(role)s now.") % {"email": form.cleaned_data["email"], "role": role.label}
    return attempt(request, act, back=reverse("dashboard:people"), done=done)


def _take_out(request: HttpRequest) -> HttpResponse:
    try:
        member_id = uuid.UUID(request.POST.get("member", ""))
    except ValueError:
        raise refuse("member.unknown", _("There is no such member.")) from None

    def act() -> TakenOut:
        check_no_visit(getattr(request, "staff_access_id", None))
        role, revoke = getattr(request, "organization_role", ""), "revoke_keys" in request.POST
        return remove_member(member_id, by_role=role, revoke_keys=revoke)

    return attempt(request, act, back=reverse("dashboard:people"), done=_told_of)


def _told_of(taken_out: TakenOut) -> str:
    said = [_("The person is out of this organization.")]
    if taken_out.revoked:
        said.append(_("Revoked with them: %(keys)s.") % {"keys": _named(taken_out.revoked)})
    if taken_out.kept:
        said.append(_("Keys of theirs that go on working: %(keys)s.") % {"keys": _named(taken_out.kept)})
    return " ".join(said)


def _named(keys: tuple[ApiKey, ...]) -> str:
    return ", ".join(f"{key.name} ({key.prefix}…)" for key in keys)


def _grants() -> list[Any]:
    found = list(grants()[:SHOWN_GRANTS])
    names = names_of(each.granted_by for each in found)
    for each in found:
        each.by = names.get(each.granted_by, "")  # type: ignore[attr-defined]  # for the template
    return found


def _let_in(request: HttpRequest) -> HttpResponse:
    form = StaffForm(request.POST, auto_id=STAFF_IDS)
    if not form.is_valid():
        return _page(request, forms_={"staff_form": form})
    asked = form.cleaned_data

    def act() -> Any:
        check_no_visit(getattr(request, "staff_access_id", None))
        return let_in(
            asked["email"],
            asked["role"],
            hours=asked["hours"],
            reason=asked["reason"],
            by=actor_of(request),
            by_role=getattr(request, "organization_role", ""),
        )

    done = _("%(email)s may come in. Every page they open here is written down.") % {"email": asked["email"]}
    return attempt(request, act, back=reverse("dashboard:people"), done=done)


def _end(request: HttpRequest) -> HttpResponse:
    def act() -> None:
        try:
            access_id = uuid.UUID(request.POST.get("grant", ""))
        except ValueError:
            raise refuse("request.invalid", _("There is no such grant.")) from None
        end_access(access_id)

    return attempt(request, act, back=reverse("dashboard:people"), done=_("The grant has ended; it opens nothing."))


def _make(request: HttpRequest) -> HttpResponse:
    """The answer shows the key, once; so it is no redirect."""
    form = KeyForm(request.POST)
    if not form.is_valid():
        return _page(request, forms_={"key_form": form})
    try:
        check_no_visit(getattr(request, "staff_access_id", None))
        made = make_key(form.cleaned_data["name"], [form.cleaned_data["scope"]], actor=actor_of(request))
    except RefusedError as error:
        form.add_error("name", f"{error.refusals[0].message} {error.refusals[0].fix}")
        return _page(request, forms_={"key_form": form})
    return _page(request, new_key=made.text)


def _revoke(request: HttpRequest) -> HttpResponse:
    def act() -> None:
        try:
            key_id = uuid.UUID(request.POST.get("key", ""))
        except ValueError:
            raise refuse("request.invalid", _("There is no such key.")) from None
        revoke_key(key_id)

    return attempt(
        request, act, back=reverse("dashboard:people"), done=_("The key is revoked; programs that use it are refused.")
    )
