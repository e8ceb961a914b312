"""Whether a phase of a run would find anything: its own first page, asked for as a yes or no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from adsapp_crm.storage.links import DUE, DUE_MARKED_IDS, MISSING
from adsapp_crm.storage.marking import UNMARKED
from adsapp_crm.storage.observing import UNPAIRED as UNPAIRED_RECORDS
from adsapp_crm.storage.pairing import UNPAIRED as UNPAIRED_CONTACTS
from adsapp_crm.storage.pairing import UNPAIRED_MARKED_IDS
from adsapp_crm.storage.scope import Scope
from crm.model import Phase


def _first(statement: str) -> str:
    """The statement's first row from the beginning. No id and no uuid lies before these."""
    from_start = statement.replace("%(after)s::uuid", "NULL::uuid").replace("%(after)s", "''")
    return f"EXISTS ({from_start.replace('%(limit)s', '1')})"


_FIRST_PAGES: Final[Mapping[Phase, str]] = {
    Phase.MISSING: _first(MISSING),
    Phase.CHANGED: _first(DUE),
    Phase.PAIR: _first(UNPAIRED_RECORDS),
    Phase.UNPAIRED: _first(UNPAIRED_CONTACTS),
}
_MARKED: Final[Mapping[Phase, str]] = {
    **_FIRST_PAGES,
    Phase.CHANGED: f"({UNMARKED} OR {_first(DUE_MARKED_IDS)})",
    Phase.UNPAIRED: f"({UNMARKED} OR {_first(UNPAIRED_MARKED_IDS)})",
}


class Work:
    """The verb of ``crm.ports.Unit`` that lets a run pass phases by."""

    _scope: Scope

    def phases_with_work(
        self, run_id: str, record_type: str, phases: Sequence[Phase], *, recheck_matches: bool, marked: bool = False
    ) -> set[Phase]:
        if not phases:
            return set()
        questions = _MARKED if marked else _FIRST_PAGES
        statement = f"SELECT {', '.join(questions[phase] for phase in phases)}"
        (row,) = self._scope.rows(statement, run=run_id, record_type=record_type, recheck=recheck_matches)
        return {phase for phase, found in zip(phases, row, strict=True) if found}
