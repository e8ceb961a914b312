"""Who one is, who belongs to the organization, and API keys."""

# ruff: noqa: N815  JSON keys are camelCase
from __future__ import annotations

from rest_framework import serializers

from adsapp_crm.api.paging import PageQuery
from adsapp_crm.api.serializers import StrictSerializer
from adsapp_crm.models.choices import Role
from adsapp_crm.services.api_keys import Scope
from adsapp_crm.services.staff import DEFAULT_HOURS, MOST_HOURS, MOST_REASON_CHARACTERS
from adsapp_crm.services.staff import ROLES as STAFF_ROLES

_SCOPES = [each.value for each in Scope]


class PlaceSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    name = serializers.CharField()
    role = serializers.ChoiceField(choices=Role.choices)


class MeSerializer(serializers.Serializer):  # type: ignore[type-arg]
    actor = serializers.CharField(help_text="As ledger and history name it.")
    email = serializers.CharField(help_text="Empty for an API key.")
    emailNotices = serializers.BooleanField(help_text="Whether notices come by e-mail; False for an API key.")
    organization = PlaceSerializer(help_text="The one that this request is about.")
    organizations = PlaceSerializer(many=True, help_text="All that X-Organization may name.")


class WantedMeSerializer(StrictSerializer):
    emailNotices = serializers.BooleanField(
        help_text="Owners and administrators are told when a connection needs somebody."
    )


class MemberQuery(PageQuery):
    pass


class MemberSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    email = serializers.CharField(source="user.email")
    role = serializers.ChoiceField(choices=Role.choices)
    emailNotices = serializers.BooleanField(source="email_notices")
    createdAt = serializers.DateTimeField(source="created_at")


class InvitationSerializer(StrictSerializer):
    email = serializers.CharField(max_length=254)
    role = serializers.ChoiceField(choices=Role.choices)


class RoleSerializer(StrictSerializer):
    role = serializers.ChoiceField(choices=Role.choices)


class LeavingQuery(StrictSerializer):
    revokeKeys = serializers.BooleanField(
        default=True, help_text="Whether the API keys that the person made are revoked with it."
    )


class KeyNameSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="How the key begins.")


class TakenOutSerializer(serializers.Serializer):  # type: ignore[type-arg]
    revokedKeys = KeyNameSerializer(many=True, source="revoked")
    keptKeys = KeyNameSerializer(many=True, source="kept", help_text="They go on working.")


class StaffAccessQuery(PageQuery):
    pass


class StaffAccessSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    email = serializers.CharField(source="user.email", help_text="Whom of our staff it lets in.")
    role = serializers.ChoiceField(choices=Role.choices)
    reason = serializers.CharField()
    grantedBy = serializers.CharField(source="granted_by")
    grantedAt = serializers.DateTimeField(source="granted_at")
    expiresAt = serializers.DateTimeField(source="expires_at")
    endedAt = serializers.DateTimeField(source="ended_at", allow_null=True)
    lastUsedAt = serializers.DateTimeField(source="last_used_at", allow_null=True)


class WantedStaffAccessSerializer(StrictSerializer):
    email = serializers.CharField(max_length=254)
    role = serializers.ChoiceField(choices=[(role.value, role.label) for role in STAFF_ROLES], default=Role.VIEWER)
    hours = serializers.IntegerField(min_value=1, max_value=MOST_HOURS, default=DEFAULT_HOURS)
    reason = serializers.CharField(max_length=MOST_REASON_CHARACTERS)


class KeyQuery(PageQuery):
    pass


class KeySerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="How the key begins.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=_SCOPES))
    createdBy = serializers.CharField(source="created_by")
    createdAt = serializers.DateTimeField(source="created_at")
    lastUsedAt = serializers.DateTimeField(source="last_used_at", allow_null=True)
    expiresAt = serializers.DateTimeField(source="expires_at", allow_null=True)
    revokedAt = serializers.DateTimeField(source="revoked_at", allow_null=True)
    revokedBy = serializers.CharField(source="revoked_by", help_text="Empty while it is not revoked.")


class NewKeySerializer(KeySerializer):
    secret = serializers.CharField(help_text="The whole key. It is shown this once.")


class WantedKeySerializer(StrictSerializer):
    name = serializers.CharField(max_length=200)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=_SCOPES), min_length=1, max_length=3)
    expiresAt = serializers.DateTimeField(required=False, allow_null=True)
