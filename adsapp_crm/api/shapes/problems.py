"""What every error looks like (RFC 9457)."""

from __future__ import annotations

from rest_framework import serializers


class FieldProblemSerializer(serializers.Serializer):  # type: ignore[type-arg]
    pointer = serializers.CharField(help_text="JSON pointer into the body, or the query's key.")
    code = serializers.CharField()
    detail = serializers.CharField()
    fix = serializers.CharField(required=False)
    example = serializers.CharField(required=False, help_text="A value that shows it.")


class ProblemSerializer(serializers.Serializer):  # type: ignore[type-arg]
    type = serializers.CharField(help_text="Where the documentation explains the code.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField(help_text="Never changes its meaning.")
    fix = serializers.CharField(required=False, help_text="What to do.")
    errors = FieldProblemSerializer(many=True, required=False)  # type: ignore[assignment]  # the RFC's extension
