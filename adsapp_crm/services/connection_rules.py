"""A connection's rules, changed one by one."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from django.db.models.functions import Now

from adsapp_crm import wiring
from adsapp_crm.models import CrmConnection
from adsapp_crm.models.choices import ConnectionStatus
from adsapp_crm.services.connection_history import note_settings
from adsapp_crm.services.record_actions import begin_creates
from adsapp_crm.services.refusals import Refusal, RefusedError, refuse
from crm.registry import provider

COLUMNS: Final[Mapping[str, str]] = {
    "mode": "mode",
    "strategy": "strategy",
    "tieRule": "tie_rule",
    "clockSkewSeconds": "clock_skew_seconds",
    "onAppDeleted": "on_app_deleted",
    "onCrmDeleted": "on_crm_deleted",
    "drift": "drift",
    "createInCrm": "create_in_crm",
    "createInApp": "create_in_app",
    "createType": "create_type",
    "fightLimit": "fight_limit",
    "maxShareDeleted": "max_share_deleted",
    "maxCountDeleted": "max_count_deleted",
    "maxShareCreated": "max_share_created",
    "maxCountCreated": "max_count_created",
    "maxAttempts": "max_attempts",
    "syncIntervalSeconds": "sync_interval_seconds",
}
SETTINGS: Final = (wiring.BATCH_SETTING, wiring.DELAY_SETTING, wiring.SHARE_SETTING)
"""Keys of ``CrmConnection.settings`` that people may set; None removes one."""

CRM_SETTINGS: Final = "crmSettings"
"""The rule that holds the provider's own settings, by ``Setting.key``; None gives one back to the installation."""
LONGEST_DEBUG_MINUTES: Final = 1440


def rules_of(row: CrmConnection) -> dict[str, Any]:
    """Every rule that people may set, by its name."""
    rules = {name: getattr(row, column) for name, column in COLUMNS.items()}
    own = wiring.own_settings(row)
    crm = {each.key: own.get(each.name) for each in provider(row.crm_type).connection_settings}
    return rules | {key: row.settings.get(key) for key in SETTINGS} | {CRM_SETTINGS: crm}


def crm_settings_of(row: CrmConnection) -> list[dict[str, Any]]:
    """The settings of the CRM that this connection may have its own value of: what each is about and what holds."""
    own, in_force = wiring.own_settings(row), wiring.settings_in_force(row)
    return [
        {
            "name": each.key,
            "label": each.label,
            "help": each.help,
            "rule": each.fix,
            "choices": list(each.choices),
            "value": own.get(each.name),
            "inForce": in_force[each.name],
        }
        for each in provider(row.crm_type).connection_settings
    ]


def tag_of(row: CrmConnection) -> str:
    """Another one as soon as a rule is another: runs, which change the row too, leave it alone."""
    text = json.dumps(rules_of(row), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def change_rules(connection_id: uuid.UUID, wanted: Mapping[str, Any], *, tag: str | None = None) -> CrmConnection:
    """Set the rules that are named, in the current organization's context; the next run goes by them.

    ``tag`` is what ``tag_of`` said of the rules that the change was made from. Raises RefusedError:
    ``connection.unknown``, ``request.precondition``, ``config.unsupported``, ``config.invalid``.
    """
    row = CrmConnection.objects.select_for_update().filter(pk=connection_id).first()
    if row is None or row.status == ConnectionStatus.DISCONNECTED:
        raise refuse("connection.unknown", "There is no open connection with this id.", field="id")
    if tag is not None and tag != tag_of(row):
        raise refuse("request.precondition", "The connection's rules have been changed since.")
    kind = wanted.get("createType")
    if kind and kind not in wiring.record_types_of(row):
        raise refuse(
            "config.unsupported",
            "The CRM has no such record type.",
            field="createType",
            fix=f"Use one of {', '.join(wiring.record_types_of(row))}, or an empty text for the CRM's own.",
        )
    crm = _crm_settings(row, wanted.get(CRM_SETTINGS) or {})
    made_none = not row.create_in_crm
    columns = {COLUMNS[name]: value for name, value in wanted.items() if name in COLUMNS}
    before = {name: getattr(row, COLUMNS[name]) for name in wanted if name in COLUMNS} | _flat(row)
    for column, value in columns.items():
        setattr(row, column, value)
    said = {key: wanted[key] for key in SETTINGS if key in wanted}
    kept = {**wiring.own_settings(row), **crm}
    said[wiring.CRM_SETTING] = {name: value for name, value in kept.items() if value is not None} or None
    row.settings = {key: value for key, value in {**row.settings, **said}.items() if value is not None}
    row.save(update_fields=[*columns, "settings", "updated_at"])
    if made_none and row.create_in_crm:
        begin_creates(row.pk)
    note_settings(row.pk, before, {name: wanted[name] for name in wanted if name in COLUMNS} | _flat(row))
    return CrmConnection.objects.get(pk=row.pk)


def _crm_settings(row: CrmConnection, wanted: Mapping[str, Any]) -> dict[str, str | None]:
    """By ``Setting.name``. Raises RefusedError (``config.unsupported``, ``config.invalid``) for all that is wrong."""
    declared = {each.key: each for each in provider(row.crm_type).connection_settings}
    refusals: list[Refusal] = []
    for key, value in wanted.items():
        setting = declared.get(key)
        if setting is None:
            known = f"Use one of {', '.join(declared)}."
            refusals.append(Refusal("config.unsupported", "The CRM has no such setting.", _pointer(key[:100]), known))
        elif value is not None and not setting.takes(str(value)):
            rule = f"The setting {key} has a value that it cannot have."
            refusals.append(Refusal("config.invalid", rule, _pointer(key), setting.fix))
    if refusals:
        raise RefusedError(refusals)
    return {declared[key].name: None if value is None else str(value) for key, value in wanted.items()}


def _pointer(key: str) -> str:
    return f"/{CRM_SETTINGS}/{key.replace('~', '~0').replace('/', '~1')}"


def _flat(row: CrmConnection) -> dict[str, Any]:
    """The settings by the names that people know, each by itself."""
    own = {each.key: value for each in provider(row.crm_type).connection_settings
           if (value := wiring.own_settings(row).get(each.name)) is not None}  # fmt: skip
    return {name: value for name, value in row.settings.items() if name != wiring.CRM_SETTING} | own


def set_debug_mode(connection_id: uuid.UUID, minutes: int) -> CrmConnection:
    """Log each request to the CRM for so many minutes by the database's clock; 0 ends it now.

    In the current organization's context. Raises RefusedError: ``connection.unknown``, ``config.invalid``.
    """
    if not 0 <= minutes <= LONGEST_DEBUG_MINUTES:
        raise refuse(
            "config.invalid",
            f"Debug mode lasts at most {LONGEST_DEBUG_MINUTES} minutes.",
            field="minutes",
            fix=f"Give a whole number from 0 (end it now) to {LONGEST_DEBUG_MINUTES}.",
        )
    until = Now() + timedelta(minutes=minutes) if minutes else None
    open_rows = CrmConnection.objects.filter(pk=connection_id).exclude(status=ConnectionStatus.DISCONNECTED)
    if not open_rows.update(debug_until=until):
        raise refuse("connection.unknown", "There is no open connection with this id.", field="id")
    return CrmConnection.objects.get(pk=connection_id)
