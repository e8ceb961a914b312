"""Where a contact stands in each CRM, and why: ``manage.py crm_explain ORG ann@example.com``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from adsapp_crm.catalogue import explain
from adsapp_crm.management.command import OK, CrmCommand, organization_argument, organization_named
from adsapp_crm.services.explain import Explanation, FieldStand, LedgerLine, Stand, explain_contacts
from adsapp_crm.tenancy import organization_context
from crm.model import UNKNOWN


class Command(CrmCommand):
    help = (
        "Say of each contact with this e-mail address (or id) whether it is in each CRM, the reason where it is not,"
        " what both sides hold, and what the sync did to it last."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        organization_argument(parser)
        parser.add_argument("contact", metavar="EMAIL", help="e-mail address or id of the contact")

    def work(self, options: Mapping[str, Any]) -> int:
        organization_id = organization_named(options["organization"])
        with organization_context(organization_id, actor="command:crm_explain"):
            found = explain_contacts(options["contact"])
        for each in found:
            self._tell(each)
        self.give({"ok": True, "contacts": [_as_json(each) for each in found]})
        return OK

    def _tell(self, explanation: Explanation) -> None:
        contact = explanation.contact
        name = " ".join(filter(None, (contact.first_name, contact.last_name)))
        self.say(f"{name or '(no name)'} <{contact.email}>  {contact.pk}, version {contact.version}, {contact.state}")
        if not explanation.stands:
            self.say("  no CRM is connected")
        for stand in explanation.stands:
            self._tell_stand(stand)
        if explanation.history:
            self.say("  last changes by the sync")
        for line in explanation.history:
            self.say(f"    {line.at:%Y-%m-%d %H:%M:%S}  {line.kind} by {line.rule}{_effects(line)}")

    def _tell_stand(self, stand: Stand) -> None:
        where = f"{stand.record_type} {stand.remote_id}".strip() or "no record"
        self.say(f"  {stand.crm_type} ({stand.account or 'account unknown'}): {stand.state}, {where}")
        if stand.code:
            entry = explain(stand.code)
            self.say(f"    {stand.code}: {entry.title}. {entry.cause}")
            self.say(f"    Fix: {entry.fix}")
        if stand.next_attempt_at:
            self.say(f"    tried {stand.attempts} times, next at {stand.next_attempt_at:%Y-%m-%d %H:%M}")
        for each in stand.fields:
            base = f"agreed {each.base_app!r} / {each.base_crm!r}" if each.has_base else "never agreed"
            code = f" [{each.code}]" if each.code else ""
            self.say(
                f"    {each.app_field} -> {each.remote_field} ({each.direction}): {each.state}{code};"
                f" ADSapp {each.app_value!r}, CRM {each.crm_value!r}, {base}"
            )


def _effects(line: LedgerLine) -> str:
    shown = [
        f"{effect.get('app_field', '?')}: {effect.get('before')!r} -> {effect.get('after')!r} in {effect['side']}"
        for effect in line.effects
        if effect.get("side")
    ]
    return "; " + ", ".join(shown) if shown else ""


def _as_json(explanation: Explanation) -> dict[str, Any]:
    contact = explanation.contact
    return {
        "id": contact.pk,
        "email": contact.email,
        "state": contact.state,
        "version": contact.version,
        "connections": [_stand_json(each) for each in explanation.stands],
        "history": [
            {
                "at": line.at.isoformat(),
                "connectionId": line.connection_id,
                "kind": line.kind,
                "rule": line.rule,
                "runId": line.run_id,
                "actor": line.actor,
                "effects": list(line.effects),
            }
            for line in explanation.history
        ],
    }


def _stand_json(stand: Stand) -> dict[str, Any]:
    entry = explain(stand.code) if stand.code else None
    return {
        "connectionId": stand.connection_id,
        "crmType": stand.crm_type,
        "account": stand.account,
        "state": stand.state,
        "code": stand.code or None,
        "title": str(entry.title) if entry else None,
        "cause": str(entry.cause) if entry else None,
        "fix": str(entry.fix) if entry else None,
        "recordType": stand.record_type,
        "remoteId": stand.remote_id,
        "lastSyncedAt": stand.last_synced_at,
        "nextAttemptAt": stand.next_attempt_at,
        "conflicts": [str(each) for each in stand.conflict_ids],
        "fields": [_field_json(each) for each in stand.fields],
    }


def _field_json(each: FieldStand) -> dict[str, Any]:
    return {
        "adsappField": each.app_field,
        "crmField": each.remote_field,
        "direction": each.direction,
        "state": each.state,
        "code": each.code or None,
        "adsappValue": each.app_value,
        "crmValue": None if each.crm_value is UNKNOWN else each.crm_value,
        "base": {"adsapp": each.base_app, "crm": each.base_crm} if each.has_base else None,
    }
