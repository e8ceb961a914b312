"""What is left after a blow, judged from the database and from the CRM's own journal, never from what a run reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.harness.torture.people import FIELDS, Edit, Town

_OVERRULING = {"adsapp_wins", "crm_wins", "newest_wins", "tie", "opt_out_wins", "chosen", "merged"}


@dataclass
class Findings:
    """Accusations by invariant; empty lists are what is wanted."""

    accusations: dict[str, list[str]] = field(default_factory=dict)
    edits: int = 0
    named: int = 0
    """Edits that lost, and are named as losers in the ledger or a question."""

    def accuse(self, invariant: str, text: str) -> None:
        self.accusations.setdefault(invariant, []).append(text)


@dataclass(frozen=True)
class Seen:
    """Both sides as they are."""

    contacts: Mapping[str, list[dict[str, Any]]]
    """E-mail -> contacts in any state."""
    records: Mapping[str, list[dict[str, str]]]
    links: list[Any]
    """Rows by column."""


def marks(town: Town) -> dict[str, int]:
    """What grows with every effect of the sync: equal before and after means that nothing was done."""
    from adsapp_crm.models import ContactChange, CrmConflict, CrmLedgerEntry, CrmSyncState

    with town.inside():
        database = {
            "ledger lines": CrmLedgerEntry.objects.count(),
            "contact changes": ContactChange.objects.filter(origin__startswith="pull:").count(),
            "questions": CrmConflict.objects.count(),
            "links": CrmSyncState.objects.count(),
        }
    return {**database, "writes to the CRM": town.crm.write_count()}


def linked(town: Town) -> list[tuple[str, str, str]]:
    """(e-mail, contact id, record id) of live links without an open question, in a fixed order."""
    from adsapp_crm.models import CrmSyncState

    with town.inside():
        rows = CrmSyncState.objects.filter(state="live", conflict_detected=False, error_code="")
        found = rows.values_list("contact__email", "contact_id", "crm_record_id")
        return sorted((email, str(contact_id), remote_id or "") for email, contact_id, remote_id in found)


def judge(town: Town) -> Findings:
    findings = Findings(edits=len(town.edits))
    seen = _look(town)
    _judge_people(town, seen, findings)
    _judge_journal(town, findings)
    _judge_convergence(town, seen, findings)
    _judge_edits(town, seen, findings)
    _judge_leftovers(town, findings)
    return findings


def _look(town: Town) -> Seen:
    from adsapp_crm.models import Contact, CrmSyncState

    contacts: dict[str, list[dict[str, Any]]] = {}
    with town.inside():
        for row in Contact.objects.values("id", "email", "deleted_at", *FIELDS.values()):
            contacts.setdefault(row["email"], []).append(row)
        links = list(
            CrmSyncState.objects.filter(state="live").values(
                "id", "contact_id", "contact__email", "crm_record_id", "conflict_detected", "troubles", "error_code"
            )
        )
    records: dict[str, list[dict[str, str]]] = {}
    for record in town.crm.records():
        records.setdefault(record["email"], []).append(record)
    return Seen(contacts, records, links)


def _judge_people(town: Town, seen: Seen, findings: Findings) -> None:
    """I5, I6: everybody is there once on each side; who was deleted on a side has not come back."""
    for email in town.everybody:
        contacts, records = seen.contacts.get(email, []), seen.records.get(email, [])
        live = [contact for contact in contacts if contact["deleted_at"] is None]
        if len(contacts) > 1 or len(records) > 1:
            findings.accuse("I5", f"{email}: {len(contacts)} contacts, {len(records)} records")
        if email in town.gone_in_app and live:
            findings.accuse("I6", f"{email} was deleted in the app and is there")
        if email in town.gone_in_crm and records:
            findings.accuse("I6", f"{email} was deleted in the CRM and is there")
        if (not live and email not in town.gone_in_app) or (not records and email not in town.gone_in_crm):
            findings.accuse("I1", f"{email}: {len(live)} live contacts, {len(records)} live records")
    if strangers := (set(seen.contacts) | set(seen.records)) - set(town.everybody):
        findings.accuse("I7", f"nobody entered {sorted(strangers)[:3]}")
    for what in ("contact_id", "crm_record_id"):
        if double := [key for key, count in Counter(link[what] for link in seen.links).items() if count > 1]:
            findings.accuse("I5", f"{len(double)} {what} with two live links")


def _judge_journal(town: Town, findings: Findings) -> None:
    """I5 by the CRM's own word: whom we created there, and how often, whatever became of it."""
    for email, count in Counter(town.crm.created_by_us()).items():
        if count > 1:
            findings.accuse("I5", f"{email} was created {count} times in the CRM")
        if email in town.records:
            findings.accuse("I5", f"{email} was created in the CRM, which knew it")


def _judge_convergence(town: Town, seen: Seen, findings: Findings) -> None:
    """I1: both sides of a link hold the same, or the link says what stands between them."""
    contacts = {row["id"]: row for rows in seen.contacts.values() for row in rows}
    records = {row["id"]: row for rows in seen.records.values() for row in rows}
    for link in seen.links:
        contact, record = contacts.get(link["contact_id"]), records.get(link["crm_record_id"])
        if contact is None or record is None:
            findings.accuse("I1", f"a live link of {link['contact__email']} has lost a side")
            continue
        different = [name for name in town.crm.edited if contact[FIELDS[name]] != record[name]]
        if different and not (link["conflict_detected"] or link["troubles"] or link["error_code"]):
            findings.accuse("I1", f"{contact['email']} differs in {different}, unexplained")


def _judge_edits(town: Town, seen: Seen, findings: Findings) -> None:
    """I4: the last edit of every field is there, or is named as the loser of a decision."""
    losers = _losers(town)
    for edits in town.last_edits():
        last = {edit.side: edit for edit in edits}
        for edit in last.values():
            shown = _values(edit, seen, town)
            if all(value == edit.value for value in shown):
                continue
            if (edit.email, edit.value) in losers:
                findings.named += 1
            elif not (edit.email in town.gone_in_app | town.gone_in_crm and edit.value in shown):
                findings.accuse("I4", f"{edit.email}: {edit.value!r} became {shown}")


def _values(edit: Edit, seen: Seen, town: Town) -> list[str]:
    contacts = seen.contacts.get(edit.email, [])
    records = seen.records.get(edit.email, [])
    found = [contact[FIELDS[edit.name]] for contact in contacts]
    return found + [record[edit.name] for record in records]


def _losers(town: Town) -> set[tuple[str, str]]:
    """(e-mail, value) of what a decision overruled, or an open question names."""
    from adsapp_crm.models import CrmConflict, CrmLedgerEntry

    found: set[tuple[str, str]] = set()
    with town.inside():
        for email, effects in CrmLedgerEntry.objects.values_list("contact__email", "effects"):
            for effect in effects:
                if effect.get("overrules") or effect["rule"] in _OVERRULING:
                    found |= {(email, str(effect.get(name))) for name in ("lost", "before")}
        for email, values in CrmConflict.objects.values_list("contact__email", "values"):
            found |= {(email, str(values.get(name))) for name in ("app", "crm")}
    return found


def _judge_leftovers(town: Town, findings: Findings) -> None:
    """I12: nothing hangs: no intent is open, no line is claimed, no run is unfinished."""
    from adsapp_crm.models import CrmIntent, CrmPlanLine, CrmSyncLog

    with town.inside():
        counts = {
            "intents are open": CrmIntent.objects.filter(status__in=["sent", "unknown"]).count(),
            "lines are claimed": CrmPlanLine.objects.filter(claim_token__isnull=False).count(),
            "lines are planned": CrmPlanLine.objects.filter(status="planned").count(),
            "runs are unfinished": CrmSyncLog.objects.filter(completed_at__isnull=True).count(),
        }
    for what, count in counts.items():
        if count:
            findings.accuse("I12", f"{count} {what}")
