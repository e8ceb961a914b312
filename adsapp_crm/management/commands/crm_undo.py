"""Take back what a run did: ``manage.py crm_undo RUN`` shows it, ``--yes`` does it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from adsapp_crm.catalogue import explain
from adsapp_crm.management.command import OK, WRONG, CrmCommand, uuid_of
from adsapp_crm.models import CrmSyncLog
from adsapp_crm.models.choices import RunState
from adsapp_crm.selectors import place_of_run
from adsapp_crm.services.refusals import refuse
from adsapp_crm.services.run_shapes import shape_result
from adsapp_crm.services.undoing import UndoPreview, apply_undo, drop_undo, preview_undo
from adsapp_crm.tenancy import organization_context

ACTOR = "command:crm_undo"
LISTED = 50


class Command(CrmCommand):
    help = (
        "Show what taking a run back would do, and what cannot be taken back; with --yes, or a yes on the terminal,"
        " do it. An undo is a run like any other and can itself be undone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="RUN", help="id of the run to take back")
        parser.add_argument("--yes", action="store_true", help="do it without asking")

    def work(self, options: Mapping[str, Any]) -> int:
        run_id = uuid_of(options["run"], "RUN", "run.unknown")
        place = place_of_run(run_id)
        if place is None:
            raise refuse("run.unknown", "There is no run with this id.", field="RUN")
        organization_id = place[0]
        preview = preview_undo(organization_id, run_id, actor=ACTOR)
        self._tell(preview)
        shown = {"records": preview.records, "counts": preview.counts, "notUndoable": list(preview.not_undoable)}
        if not preview.records or not (options["yes"] or self._asked()):
            drop_undo(organization_id, preview, actor=ACTOR)
            self.say("nothing to take back" if not preview.records else "nothing was changed; --yes does it")
            self.give({"ok": True, "applied": False, **shown})
            return OK
        undo_id = apply_undo(organization_id, preview, actor=ACTOR)
        with organization_context(organization_id):
            run = CrmSyncLog.objects.get(pk=undo_id)
        done = run.status == RunState.COMPLETED
        self.say(f"run {run.pk}: {run.status}; {run.records_success} done, {run.records_failed} failed")
        self.give({"ok": done, "applied": True, **shown, "result": shape_result(run)})
        return OK if done else WRONG

    def _asked(self) -> bool:
        """No prompt without a terminal."""
        if self.as_json or not sys.stdin.isatty():
            return False
        self.stderr.write("Take this back? [y/N] ", ending="")
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    def _tell(self, preview: UndoPreview) -> None:
        for kind, number in preview.counts.items():
            self.say(f"would      {number:,} {kind.replace('_', ' ')}")
        for code, number in sorted(Counter(str(each["code"]) for each in preview.not_undoable).items()):
            self.say(f"stays      {number:,} [{code}] {explain(code).title}")
        for each in preview.not_undoable[:LISTED]:
            field = f" {each['field']}" if each["field"] else ""
            self.say(f"  contact {each['contactId']} record {each['remoteId']}{field}: {each['code']}")
