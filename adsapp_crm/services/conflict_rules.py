"""Making a person's answer the rule of its mapping, so that the question is not asked again."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from adsapp_crm.models import CrmConflict, CrmConnection, CrmFieldMapping
from adsapp_crm.models.choices import ConflictStrategy, QuestionKind
from adsapp_crm.services.mappings import WantedMapping, current_mappings, replace_mappings
from adsapp_crm.services.refusals import refuse
from crm.model import Side

_STRATEGY: Final = {Side.APP: ConflictStrategy.ADSAPP_WINS, Side.CRM: ConflictStrategy.CRM_WINS}


def remember_side(conflict: CrmConflict, side: Side | None, *, actor: str) -> None:
    """From now on this side wins in the conflict's mapping; a new version of the mappings.

    In the current organization's context. Raises RefusedError: ``conflict.answer`` for what is no field's side,
    and what ``replace_mappings`` refuses.
    """
    if conflict.kind != QuestionKind.FIELD or side is None:
        raise refuse(
            "conflict.answer",
            "Only a side chosen for a field can be remembered.",
            field="remember",
            fix="Answer with side, or leave remember out.",
        )
    connection = CrmConnection.objects.get(pk=conflict.connection_id)
    rows = current_mappings(connection)
    if not any(str(row.pk) == conflict.mapping_id for row in rows):
        raise refuse("conflict.answer", "The mapping of this conflict was removed.", field="remember")
    wanted = [
        replace(wanted_of(row), strategy=_STRATEGY[side].value)
        if str(row.pk) == conflict.mapping_id
        else wanted_of(row)
        for row in rows
    ]
    replace_mappings(connection, wanted, actor=actor)
    CrmConflict.objects.filter(pk=conflict.pk).update(remembered=True)


def wanted_of(row: CrmFieldMapping) -> WantedMapping:
    """A stored row, as somebody would ask for it."""
    return WantedMapping(
        record_type=row.record_type,
        app_field=row.adsapp_field,
        remote_field=row.crm_field,
        direction=row.direction,
        transform_rule=row.transform_rule,
        blank_rule=row.blank_rule,
        strategy=row.strategy,
        drift=row.drift,
    )
