"""Who one is, who belongs to the organization, and the keys by which programs come in."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from rest_framework.request import Request

from adsapp_crm.api.access import RANK, OrganizationView, actor_of, organization_of, role_of
from adsapp_crm.api.operations import Operation
from adsapp_crm.api.paging import listed, page_of
from adsapp_crm.api.shapes.people import (
    InvitationSerializer,
    KeyQuery,
    KeySerializer,
    LeavingQuery,
    MemberQuery,
    MemberSerializer,
    MeSerializer,
    NewKeySerializer,
    RoleSerializer,
    StaffAccessQuery,
    StaffAccessSerializer,
    TakenOutSerializer,
    WantedKeySerializer,
    WantedMeSerializer,
    WantedStaffAccessSerializer,
)
from adsapp_crm.models import ApiKey, Membership, StaffAccess
from adsapp_crm.models.choices import Role
from adsapp_crm.selectors import organization_name, places_of
from adsapp_crm.services.api_keys import ROLE_OF, make_key, revoke_key
from adsapp_crm.services.members import change_role, invite, remove_member, set_email_notices
from adsapp_crm.services.refusals import refuse
from adsapp_crm.services.staff import check_no_visit, end_access, let_in


class MeView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(Role.VIEWER, "Say who asks, and where", MeSerializer),
        "PATCH": Operation(
            Role.VIEWER,
            "Choose whether to be told by e-mail",
            MeSerializer,
            body=WantedMeSerializer,
            problems=(404,),
            example={"emailNotices": False},
        ),
    }

    def get(self, request: Request) -> Any:
        """A person of several organizations names one by X-Organization; a key belongs to one."""
        organization_id = organization_of(request)
        here = {"id": organization_id, "name": organization_name(organization_id), "role": role_of(request)}
        places = [here]
        if request.user.is_authenticated:
            found = {each.organization_id: each.role for each in reversed(places_of(request.user.pk))}
            places = [{"id": key, "name": organization_name(key), "role": role} for key, role in sorted(found.items())]
        email = getattr(request.user, "email", "")
        with self.work(request):
            mailed = Membership.objects.filter(user=request.user.pk, email_notices=True).exists()
        me = {"actor": actor_of(request), "email": email, "emailNotices": mailed}
        return self.answer(request, {**me, "organization": here, "organizations": places})

    def patch(self, request: Request) -> Any:
        """For oneself, in this organization. An API key has no address."""
        wanted = self.body(request)["emailNotices"]
        with self.work(request):
            set_email_notices(request.user.pk, wanted=wanted)
        return self.get(request)


class MembersView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(Role.VIEWER, "List members", listed(MemberSerializer), query=MemberQuery),
        "POST": Operation(
            Role.ADMIN,
            "Let a person in",
            MemberSerializer,
            body=InvitationSerializer,
            status=201,
            problems=(409,),
            example={"email": "ann@example.com", "role": "operator"},
        ),
    }

    def get(self, request: Request) -> Any:
        asked = self.query(request)
        with self.work(request):
            return self.answer(request, page_of(Membership.objects.select_related("user"), asked))

    def post(self, request: Request) -> Any:
        """A person who is in already gets the role. Nobody gives a role above their own."""
        asked = self.body(request)
        check_no_visit(getattr(request, "staff_access_id", None))
        with self.work(request):
            return self.answer(request, invite(asked["email"], Role(asked["role"]), by_role=role_of(request)))


class MemberView(OrganizationView):
    operations: ClassVar = {
        "PATCH": Operation(
            Role.ADMIN,
            "Give a member another role",
            MemberSerializer,
            body=RoleSerializer,
            problems=(404, 409),
            example={"role": "viewer"},
        ),
        "DELETE": Operation(
            Role.ADMIN, "Take a member out", TakenOutSerializer, query=LeavingQuery, problems=(404, 409)
        ),
    }

    def patch(self, request: Request, member_id: uuid.UUID) -> Any:
        role = Role(self.body(request)["role"])
        check_no_visit(getattr(request, "staff_access_id", None))
        with self.work(request):
            return self.answer(request, change_role(member_id, role, by_role=role_of(request)))

    def delete(self, request: Request, member_id: uuid.UUID) -> Any:
        """The API keys that the person made are revoked as well, unless ``revokeKeys=false``; both are named."""
        revoke = self.query(request)["revokeKeys"]
        check_no_visit(getattr(request, "staff_access_id", None))
        with self.work(request):
            return self.answer(request, remove_member(member_id, by_role=role_of(request), revoke_keys=revoke))


class StaffAccessesView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(
            Role.VIEWER, "List grants for ADSapp's staff", listed(StaffAccessSerializer), query=StaffAccessQuery
        ),
        "POST": Operation(
            Role.ADMIN,
            "Let ADSapp's staff in for a time",
            StaffAccessSerializer,
            body=WantedStaffAccessSerializer,
            status=201,
            example={"email": "sam@adsapp.example", "role": "viewer", "hours": 4, "reason": "ticket 812"},
        ),
    }

    def get(self, request: Request) -> Any:
        asked = self.query(request)
        with self.work(request):
            return self.answer(request, page_of(StaffAccess.objects.select_related("user"), asked))

    def post(self, request: Request) -> Any:
        """Every page that is opened under it is written down. Nobody gives a role above their own."""
        asked = self.body(request)
        check_no_visit(getattr(request, "staff_access_id", None))
        with self.work(request):
            made = let_in(
                asked["email"],
                asked["role"],
                hours=asked["hours"],
                reason=asked["reason"],
                by=actor_of(request),
                by_role=role_of(request),
            )
            return self.answer(request, made)


class StaffAccessView(OrganizationView):
    operations: ClassVar = {
        "DELETE": Operation(Role.ADMIN, "End a grant for ADSapp's staff", StaffAccessSerializer, problems=(404,))
    }

    def delete(self, request: Request, access_id: uuid.UUID) -> Any:
        """It opens nothing from now on; the row stays for the history."""
        with self.work(request):
            return self.answer(request, end_access(access_id))


class KeysView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(Role.ADMIN, "List API keys", listed(KeySerializer), query=KeyQuery),
        "POST": Operation(
            Role.ADMIN,
            "Make an API key",
            NewKeySerializer,
            body=WantedKeySerializer,
            status=201,
            example={"name": "Nightly report", "scopes": ["read"], "expiresAt": "2030-01-01T00:00:00Z"},
        ),
    }

    def get(self, request: Request) -> Any:
        asked = self.query(request)
        with self.work(request):
            return self.answer(request, page_of(ApiKey.objects.all(), asked))

    def post(self, request: Request) -> Any:
        """``secret`` is the whole key and is shown this once."""
        asked = self.body(request)
        check_no_visit(getattr(request, "staff_access_id", None))
        if max(RANK[ROLE_OF[scope]] for scope in asked["scopes"]) > RANK[role_of(request)]:
            raise refuse("key.scope", "The scope is wider than your own.", field="scopes")
        with self.work(request):
            made = make_key(asked["name"], asked["scopes"], actor=actor_of(request), expires_at=asked.get("expiresAt"))
        return self.told({**KeySerializer(made.row).data, "secret": made.text}, status=201)


class KeyView(OrganizationView):
    operations: ClassVar = {"DELETE": Operation(Role.ADMIN, "Revoke an API key", KeySerializer, problems=(404,))}

    def delete(self, request: Request, key_id: uuid.UUID) -> Any:
        """It opens nothing from now on; the row stays for the history."""
        with self.work(request):
            return self.answer(request, revoke_key(key_id))
