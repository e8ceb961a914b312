"""Move encrypted values to the first key of FERNET_KEYS: ``manage.py rotate_keys``, or ``--check`` to look only."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from adsapp_crm.management.command import OK, WRONG, CrmCommand
from adsapp_crm.services.keys import ROWS_A_BATCH, count_by_key, rotate_values
from adsapp_crm.services.refusals import refuse

PROGRESS_SECONDS = 1.0


class Command(CrmCommand):
    help = (
        "Re-encrypt every stored credential with the first key of FERNET_KEYS while everything runs. To change keys:"
        " put the new one in front, restart, run this, run it with --check, then drop the old one and restart. It can"
        " be interrupted and run again. Exit code 1: values are left under another key, or no key opens them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing; fail while a retired key is in use")
        parser.add_argument(
            "--batch", type=int, default=ROWS_A_BATCH, metavar="ROWS", help=f"rows a batch (default {ROWS_A_BATCH})"
        )

    def work(self, options: Mapping[str, Any]) -> int:
        if options["batch"] < 1:
            raise refuse("request.invalid", "A batch has at least one row.", field="--batch", fix="Leave it out.")
        return self._look() if options["check"] else self._rotate(options["batch"])

    def _rotate(self, rows_a_batch: int) -> int:
        started = shown_at = time.monotonic()

        def progress(seen: int, rotated: int) -> None:
            nonlocal shown_at
            if time.monotonic() - shown_at >= PROGRESS_SECONDS:
                shown_at = time.monotonic()
                self.progress(f"{seen} seen, {rotated} re-encrypted")

        done = rotate_values(progress=progress, rows_a_batch=rows_a_batch)
        seconds = time.monotonic() - started
        self.say(f"re-encrypted  {done.rotated} in {seconds:.1f} s")
        self.say(f"current       {done.current}")
        if done.left:
            self.say(f"left          {done.left} were locked all the time: run it again")
        self._say_lost(done.lost)
        is_done = not done.left and not done.lost
        told = {"ok": is_done, "rotated": done.rotated, "current": done.current, "left": done.left}
        self.give(told | {"unreadable": done.lost, "seconds": round(seconds, 3)})
        return OK if is_done else WRONG

    def _look(self) -> int:
        use = count_by_key()
        for place, count in use.by_key.items():
            role = "encrypts" if place == 0 else "in use: keep it" if count else "not in use: it can be dropped"
            self.say(f"key {place + 1}  {count} values, {role}")
        self._say_lost(use.lost)
        is_clean = not use.retired and not use.lost
        keys = [{"place": place + 1, "values": count} for place, count in use.by_key.items()]
        self.give({"ok": is_clean, "keys": keys, "retiredInUse": use.retired, "unreadable": use.lost})
        return OK if is_clean else WRONG

    def _say_lost(self, lost: Mapping[str, int]) -> None:
        for column, count in lost.items():
            self.say(f"unreadable    {count} in {column}: put back the key they were written with")
