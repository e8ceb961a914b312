"""What a mapping would do, before it is saved; and going back to an earlier one."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, ClassVar

from rest_framework.request import Request

from adsapp_crm.api.access import OrganizationView, actor_of
from adsapp_crm.api.caller import hides_values
from adsapp_crm.api.conditions import etag
from adsapp_crm.api.lookups import find_connection
from adsapp_crm.api.operations import Operation
from adsapp_crm.api.paging import listed, page_of
from adsapp_crm.api.serializers import ReachSerializer, reach_of, wanted_mapping
from adsapp_crm.api.shapes.mappings import (
    EXAMPLE,
    FindingsSerializer,
    MappingSetSerializer,
    PreviewRequestSerializer,
    PreviewSerializer,
    VersionQuery,
    VersionSerializer,
    WantedMappingsSerializer,
    WholeVersionSerializer,
)
from adsapp_crm.api.views.contacts import find_contact
from adsapp_crm.api.views.mapping import shape_set
from adsapp_crm.models import CrmConnection, CrmMappingVersion
from adsapp_crm.models.choices import Role
from adsapp_crm.services.conflict_rules import wanted_of
from adsapp_crm.services.mapping_changes import question_of
from adsapp_crm.services.mapping_preview import is_for_readers, preview_of
from adsapp_crm.services.mappings import (
    WantedMapping,
    current_mappings,
    described_types,
    findings_of,
    pointer_of,
    replace_mappings,
)
from adsapp_crm.services.refusals import refuse
from crm.mapping.lint import Finding


class MappingLintView(OrganizationView):
    operations: ClassVar = {
        "POST": Operation(
            Role.VIEWER,
            "Say what is wrong with mappings, saving nothing",
            FindingsSerializer,
            body=WantedMappingsSerializer,
            problems=(404,),
            example={"mappings": [EXAMPLE]},
        )
    }

    def post(self, request: Request, connection_id: uuid.UUID) -> Any:
        rows = self.body(request)["mappings"]
        with self.work(request):
            connection = find_connection(connection_id)
            wanted = [wanted_mapping(row, _first_type(connection)) for row in rows]
            found = findings_of(connection, wanted, blind=hides_values(request))
            items = [shape_finding(each, wanted, hides=hides_values(request)) for each in found]
            asks = question_of(connection, current_mappings(connection), wanted)
            return self.answer(request, {"items": items, "asks": asks})


class MappingPreviewView(OrganizationView):
    operations: ClassVar = {
        "POST": Operation(
            Role.VIEWER,
            "Try a mapping on up to three real contacts",
            PreviewSerializer,
            body=PreviewRequestSerializer,
            problems=(404,),
            example={"mapping": EXAMPLE},
        )
    }

    def post(self, request: Request, connection_id: uuid.UUID) -> Any:
        """Nothing is saved, and no CRM is asked: the values are those that were seen last.

        A key that only reads is shown no contact where either side holds a sensitive field.
        """
        asked = self.body(request)
        contact_ids = asked.get("contactIds", [])
        with self.work(request):
            connection = find_connection(connection_id)
            for contact_id in contact_ids:
                find_contact(contact_id, field="contactIds")
            wanted = wanted_mapping(asked["mapping"], _first_type(connection))
            others = [
                wanted_of(row)
                for row in current_mappings(connection)
                if (row.record_type, row.adsapp_field, row.crm_field)
                != (wanted.record_type, wanted.app_field, wanted.remote_field)
            ]
            blind = hides_values(request) and not is_for_readers(connection, wanted)
            preview = preview_of(connection, wanted, others, contact_ids, blind=blind)
            found = {
                "findings": [
                    shape_finding(each, [wanted], hides=hides_values(request), prefix="/mapping")
                    for each in preview.findings
                ],
                "pushes": preview.pushes,
                "pulls": preview.pulls,
                "tried": preview.tried,
            }
            return self.told(PreviewSerializer(found).data)


class VersionsView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(
            Role.VIEWER,
            "List the versions of the mappings",
            listed(VersionSerializer),
            query=VersionQuery,
            problems=(404,),
        )
    }

    def get(self, request: Request, connection_id: uuid.UUID) -> Any:
        asked = self.query(request)
        with self.work(request):
            rows = CrmMappingVersion.objects.filter(connection=find_connection(connection_id)).defer("mappings")
            return self.answer(request, page_of(rows, asked, order="-version"))


class VersionView(OrganizationView):
    operations: ClassVar = {
        "GET": Operation(Role.VIEWER, "Read a version of the mappings", WholeVersionSerializer, problems=(404,))
    }

    def get(self, request: Request, connection_id: uuid.UUID, version: int) -> Any:
        with self.work(request):
            return self.answer(request, _version(find_connection(connection_id), version))


class VersionRestoreView(OrganizationView):
    operations: ClassVar = {
        "POST": Operation(
            Role.ADMIN,
            "Save an earlier version again, as a new one",
            MappingSetSerializer,
            body=ReachSerializer,
            problems=(404,),
            example={"applyTo": "existing"},
        )
    }

    def post(self, request: Request, connection_id: uuid.UUID, version: int) -> Any:
        asked = self.body(request)
        with self.work(request):
            connection = find_connection(connection_id)
            then = _version(connection, version)
            wanted = [wanted_mapping(row, _first_type(connection)) for row in then.mappings]
            replace_mappings(connection, wanted, actor=actor_of(request), applies_to=reach_of(asked))
            connection.refresh_from_db(fields=["mapping_version"])
            return self.answer(request, shape_set(connection), headers=etag(connection.mapping_version))


def shape_finding(
    finding: Finding, wanted: Sequence[WantedMapping], *, hides: bool, prefix: str = ""
) -> dict[str, str]:
    place = pointer_of(finding, wanted[int(finding.mapping_id)] if finding.mapping_id.isdecimal() else wanted[0])
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "pointer": f"{prefix or f'/mappings/{finding.mapping_id}'}{place}",
        "message": finding.message,
        "fix": finding.fix,
        "example": "" if hides else finding.example,
    }


def _version(connection: CrmConnection, version: int) -> CrmMappingVersion:
    # The column is a 32 bit integer; a larger number is no version either.
    found = CrmMappingVersion.objects.filter(connection=connection, version=min(version, 2**31 - 1)).first()
    if found is None:
        raise refuse("mapping.version_unknown", "The mappings have no such version.", field="version")
    return found


def _first_type(connection: CrmConnection) -> str:
    return next(iter(described_types(connection)), "")
