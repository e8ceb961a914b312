"""What an examination of a connection says, and how its answers are judged. Nothing here asks anybody."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from adsapp_crm.catalogue import explain
from adsapp_crm.limiter import DayUse
from adsapp_crm.models import CrmFieldMapping
from crm.errors import CrmError
from crm.mapping.build import BrokenMapping
from crm.model import FieldDefinition

CHECKS: Final = ("token", "scopes", "schema", "mapping", "quota", "webhook", "clock", "records")
SIGNED_SECONDS: Final = 300.0
"""Signed webhooks and tokens are refused by clocks that differ by more (HubSpot's window)."""
COARSE_SECONDS: Final = 2.0
"""A server's ``Date`` has whole seconds and was written before it came."""
LOW_SHARE: Final = 0.8


class Verdict(enum.StrEnum):
    OK = "ok"
    SKIPPED = "skipped"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. ``code`` is empty for what is well."""

    check: str
    verdict: Verdict
    said: str
    code: str = ""
    fix: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "verdict": self.verdict.value,
            "code": self.code or None,
            "said": self.said,
            "fix": self.fix or None,
        }


@dataclass(frozen=True, slots=True)
class Examination:
    """Every check of ``CHECKS`` in its order; a check may have several findings."""

    connection_id: uuid.UUID
    crm_type: str
    account: str
    examined_at: datetime
    findings: tuple[Finding, ...]

    @property
    def worst(self) -> Verdict:
        order = list(Verdict)
        return max((each.verdict for each in self.findings), key=order.index, default=Verdict.OK)

    def as_json(self) -> dict[str, Any]:
        return {
            "connectionId": self.connection_id,
            "crmType": self.crm_type,
            "account": self.account,
            "examinedAt": self.examined_at,
            "ok": self.worst is not Verdict.FAILED,
            "worst": self.worst.value,
            "findings": [each.as_json() for each in self.findings],
        }


def fine(check: str, said: str) -> Finding:
    return Finding(check, Verdict.OK, said)


def trouble(check: str, code: str, *, verdict: Verdict = Verdict.FAILED, detail: str = "", fix: str = "") -> Finding:
    """A finding in the catalogue's words; ``detail`` says where, ``fix`` replaces the catalogue's."""
    entry = explain(code)
    said = f"{entry.title}: {detail}" if detail else f"{entry.title}. {entry.cause}"
    return Finding(check, verdict, said, code, fix or str(entry.fix))


def untested(check: str) -> Finding:
    return trouble(check, "connection.untested", verdict=Verdict.SKIPPED)


def error_found(check: str, error: CrmError) -> Finding:
    return trouble(check, error.code)


# Judgements ------------------------------------------------------------------------------------------------


def judge_scopes(wanted: Sequence[str], optional: Sequence[str], granted: Sequence[str]) -> list[Finding]:
    """``granted`` empty: the token came without a list, so what it opens shows when the fields are read."""
    if not granted:
        return [fine("scopes", "The token names no scopes; what it opens was tried by reading the fields.")]
    missing = [each for each in wanted if each not in granted]
    if missing:
        return [trouble("scopes", "auth.scope_missing", detail=", ".join(missing))]
    left_out = [each for each in optional if each not in granted]
    without = f" Not granted, and not needed: {', '.join(left_out)}." if left_out else ""
    return [fine("scopes", f"All {len(wanted)} needed scopes are granted.{without}")]


def judge_schema(rows: Sequence[CrmFieldMapping], fields: Mapping[str, Mapping[str, FieldDefinition]]) -> list[Finding]:
    """Mapped fields against the CRM's description of now, by record type and name."""
    found = []
    for row in rows:
        definition = fields.get(row.record_type, {}).get(row.crm_field)
        if definition is None:
            found.append(trouble("schema", "field.missing", detail=f"{row.record_type}.{row.crm_field}"))
        elif row.definition and definition.fingerprint != row.definition:
            where = f"{row.record_type}.{row.crm_field}"
            found.append(trouble("schema", "field.changed", detail=where))
    if found:
        return found
    number = sum(map(len, fields.values()))
    return [fine("schema", f"The CRM describes {number} fields; all {len(rows)} mapped ones are as they were mapped.")]


def judge_mapping(rows: Sequence[CrmFieldMapping], broken: Sequence[BrokenMapping]) -> list[Finding]:
    if not rows:
        return [trouble("mapping", "mapping.none")]
    found = [
        trouble("mapping", each.code, detail=each.message, fix=each.fix)
        for each in broken
        if each.code not in ("field.missing", "field.changed")  # the schema's findings
    ]
    usable = len(rows) - len(broken)
    return found or [fine("mapping", f"{usable} of {len(rows)} rows can be used.")]


def judge_quota(use: DayUse | None, parked_seconds: float) -> list[Finding]:
    """``parked_seconds``: how long the connection still waits, 0 when it does not."""
    if use is None:
        return [trouble("quota", "internal.queue", verdict=Verdict.WARNING, detail="the limits cannot be read")]
    waits = max(parked_seconds, use.waits_seconds)
    if waits > 0:
        return [trouble("quota", "quota.daily", detail=f"work goes on in {_span(waits)}{_share(use)}")]
    if use.limit is not None and use.used > use.limit * use.usable_share * LOW_SHARE:
        return [trouble("quota", "quota.low", verdict=Verdict.WARNING, detail=_share(use).removeprefix(", "))]
    if use.limit is None:
        return [fine("quota", f"{use.used:,} requests today; the CRM has told no daily allowance.")]
    return [fine("quota", f"{use.used:,} of {use.limit:,} requests of the account's day are used.")]


def judge_records(counts: Mapping[str, int]) -> list[Finding]:
    """Links by state. What fails is no fault of the connection, so it is a warning."""
    failing, total = counts["failing"], sum(counts.values())
    if failing:
        detail = f"{failing:,} of {total:,}"
        return [trouble("records", "record.failing", verdict=Verdict.WARNING, detail=detail)]
    return [fine("records", f"None of {total:,} linked records fails.")]


def judge_clocks(database_ahead: float, crm_ahead: Sequence[float], allowed_seconds: float) -> list[Finding]:
    """Seconds that the database's and the CRM's clock are ahead of this machine's; ``crm_ahead`` one an answer."""
    clocks = {"the database": database_ahead}
    if crm_ahead:
        clocks["the CRM"] = min(crm_ahead, key=abs)  # the answer that was on its way for the shortest time
    found = []
    if crm_ahead:
        between = clocks["the CRM"] - database_ahead
        clocks_differ = abs(between) > allowed_seconds + COARSE_SECONDS
        if clocks_differ:
            found.append(_skewed("the CRM", "the database", between))
    if abs(database_ahead) > allowed_seconds:
        found.append(_skewed("the database", "this machine", database_ahead))
    told = "; ".join(f"{name} {seconds:+.1f} s" for name, seconds in clocks.items())
    return found or [fine("clock", f"Against this machine: {told}.")]


def _skewed(one: str, other: str, seconds: float) -> Finding:
    verdict = Verdict.FAILED if abs(seconds) > SIGNED_SECONDS else Verdict.WARNING
    way = "ahead of" if seconds > 0 else "behind"
    return trouble("clock", "clock.skewed", verdict=verdict, detail=f"{one} is {_span(abs(seconds))} {way} {other}")


def _share(use: DayUse) -> str:
    return f", {use.used:,} of {use.limit:,} requests used" if use.limit is not None else ""


def _span(seconds: float) -> str:
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
