"""Which of our fields is which of theirs, and what the whole looked like before each change."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from adsapp_crm.models.base import OrganizationModel, indexed, one_of, unique
from adsapp_crm.models.choices import BlankHandling, ConflictStrategy, DriftHandling, MappingReach, SyncDirection
from adsapp_crm.models.connection import CrmConnection

_ARROWS = {"to_crm": "→", "from_crm": "←", "bidirectional": "↔"}


class CrmFieldMapping(OrganizationModel):
    """One pair of fields. ``adsapp_field`` is in the API's camelCase; custom fields are ``custom.<key>``.

    ``applies_to`` is what was answered at the last change that asked. ``changed_at`` is set while a change waits for a
    complete scan; ``former`` then holds the rules before it where it is only from now on.
    """

    connection = models.ForeignKey(
        CrmConnection, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="mappings"
    )
    record_type = models.TextField(_("record type"))
    adsapp_field = models.TextField(_("ADSapp field"))
    crm_field = models.TextField(_("CRM field"))
    direction = models.TextField(_("direction"), choices=SyncDirection.choices, default=SyncDirection.BIDIRECTIONAL)
    transform_rule = models.JSONField(_("transform"), null=True, blank=True)
    is_custom = models.BooleanField(_("custom"), default=False)
    blank_rule = models.TextField(_("blank rule"), choices=BlankHandling.choices, default=BlankHandling.PROPAGATE)
    strategy = models.TextField(  # noqa: DJ001  NULL: the connection's
        _("conflict strategy"), choices=ConflictStrategy.choices, null=True, blank=True
    )
    drift = models.TextField(  # noqa: DJ001  NULL: the connection's
        _("drift"), choices=DriftHandling.choices, null=True, blank=True
    )
    position = models.PositiveIntegerField(_("position"), default=0)
    definition = models.TextField(blank=True, default="", editable=False)
    broken_code = models.TextField(_("broken"), blank=True, default="")
    broken_since = models.DateTimeField(_("broken since"), null=True, blank=True)
    version = models.PositiveIntegerField(_("version"), default=1, editable=False)
    applies_to = models.TextField(
        _("applies to"), choices=MappingReach.choices, blank=True, default="", db_default="", editable=False
    )
    revisits_before = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    former = models.JSONField(null=True, blank=True, editable=False)
    keeps_questions = models.BooleanField(default=False, db_default=False, editable=False)
    changed_at = models.DateTimeField(_("changed at"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True, editable=False)
    deleted_at = models.DateTimeField(_("removed at"), null=True, blank=True, editable=False)

    class Meta(OrganizationModel.Meta):
        db_table = "crm_field_mappings"
        verbose_name = _("field mapping")
        verbose_name_plural = _("field mappings")
        ordering = ["record_type", "position", "id"]
        constraints = [
            unique(
                "connection",
                "record_type",
                "adsapp_field",
                "crm_field",
                name="crm_field_mappings_pair",
                condition=models.Q(deleted_at__isnull=True),
            ),
            one_of(SyncDirection.choices, "direction", name="crm_field_mappings_direction"),
            one_of(BlankHandling.choices, "blank_rule", name="crm_field_mappings_blank_rule"),
        ]

    def __str__(self) -> str:
        return f"{self.adsapp_field} {_ARROWS.get(self.direction, '?')} {self.record_type}.{self.crm_field}"


class CrmMappingVersion(OrganizationModel):
    """All mappings of a connection as they were saved once; rolling back saves an older one again."""

    connection = models.ForeignKey(
        CrmConnection, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="mapping_versions"
    )
    version = models.PositiveIntegerField(_("version"))
    mappings = models.JSONField(_("mappings"))
    actor = models.TextField(_("saved by"), blank=True, default="")
    comment = models.TextField(_("comment"), blank=True, default="")
    created_at = models.DateTimeField(_("saved at"), db_default=Now(), editable=False)

    class Meta(OrganizationModel.Meta):
        db_table = "crm_mapping_versions"
        verbose_name = _("mapping version")
        verbose_name_plural = _("mapping versions")
        constraints = [unique("connection", "version", name="crm_mapping_versions_version")]
        indexes = [indexed("connection", "created_at", name="crm_mapping_versions_at")]

    def __str__(self) -> str:
        return f"Mapping version {self.version}"
