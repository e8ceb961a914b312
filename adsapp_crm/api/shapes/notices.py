"""Outgoing webhooks, and the messages that told people and programs of something. No answer holds a secret again."""

# ruff: noqa: N815  JSON keys are camelCase
from __future__ import annotations

from typing import Final

from rest_framework import serializers

from adsapp_crm.api.paging import PageQuery
from adsapp_crm.api.serializers import StrictSerializer
from adsapp_crm.models.choices import MessageStatus, NoticeKind
from adsapp_crm.services.outgoing import CHOICES, MAX_URL_CHARACTERS

KINDS: Final = [(kind.value, kind.label) for kind in CHOICES]


class OutgoingQuery(PageQuery):
    pass


class OutgoingSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    url = serializers.CharField()
    kinds = serializers.ListField(child=serializers.ChoiceField(choices=KINDS))
    active = serializers.BooleanField(help_text="False: a person switched it off, or it took nothing for a day.")
    offCode = serializers.CharField(source="off_code", help_text="Why it was switched off by itself; else empty.")
    lastSuccessAt = serializers.DateTimeField(source="last_success_at", allow_null=True)
    createdBy = serializers.CharField(source="created_by")
    createdAt = serializers.DateTimeField(source="created_at")


class NewOutgoingSerializer(OutgoingSerializer):
    secret = serializers.CharField(help_text="Signs each message (Standard Webhooks). It is shown this once.")


class WantedOutgoingSerializer(StrictSerializer):
    url = serializers.CharField(max_length=MAX_URL_CHARACTERS, help_text="A public https address.")
    kinds = serializers.ListField(child=serializers.ChoiceField(choices=KINDS), min_length=1, max_length=len(KINDS))


class ChangedOutgoingSerializer(StrictSerializer):
    kinds = serializers.ListField(
        child=serializers.ChoiceField(choices=KINDS), min_length=1, max_length=len(KINDS), required=False
    )
    active = serializers.BooleanField(required=False)


class MessageQuery(PageQuery):
    status = serializers.ChoiceField(choices=MessageStatus.choices, required=False)
    kind = serializers.ChoiceField(choices=NoticeKind.choices, required=False)


class MessageSerializer(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField(help_text="The message's webhook-id is msg_ and this id without hyphens.")
    kind = serializers.ChoiceField(choices=NoticeKind.choices)
    webhookId = serializers.UUIDField(source="webhook_id", allow_null=True, help_text="Null for an e-mail.")
    email = serializers.CharField(source="user.email", allow_null=True, default=None)
    connectionId = serializers.UUIDField(source="connection_id", allow_null=True)
    payload = serializers.DictField(help_text="What was sent.")
    status = serializers.ChoiceField(choices=MessageStatus.choices)
    attempts = serializers.IntegerField()
    code = serializers.CharField(help_text="Why the last attempt failed; else empty.")
    httpStatus = serializers.IntegerField(source="http_status", allow_null=True)
    createdAt = serializers.DateTimeField(source="created_at")
    nextAttemptAt = serializers.SerializerMethodField()
    settledAt = serializers.DateTimeField(source="settled_at", allow_null=True)

    def get_nextAttemptAt(self, row: object) -> str | None:  # noqa: N802  DRF names it after the field
        """None once it arrived or was given up."""
        if getattr(row, "status", "") != MessageStatus.WAITING:
            return None
        return str(serializers.DateTimeField().to_representation(row.next_attempt_at))  # type: ignore[attr-defined]
