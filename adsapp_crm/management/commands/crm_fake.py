"""Serve a provider's fake: ``manage.py crm_fake hubspot --port 8901``. Needs no database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from crm.fakes import FAKES
from crm.testing.wsgi import LoopbackServer

LAST_PORT = 65_535
REFUSED = 2  # the commands' exit code for refused input; their module needs the database, which a fake does not


class Command(BaseCommand):
    help = "Serve a stand-in for a CRM, with rules, limits, webhooks and faults, until interrupted."
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("provider", choices=sorted(FAKES))
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
        parser.add_argument("--port", type=int, default=0, help="port; 0 takes a free one")
        parser.add_argument("--data", type=Path, default=None, metavar="FILE", help="keep the records in this file")
        parser.add_argument("--seed", type=int, default=0, help="for ids, shuffles and faults (default 0)")
        parser.add_argument("--limits", choices=("real", "count", "none"), default="real", help="rate limits")
        parser.add_argument("--search-lag", type=float, default=2.0, metavar="SECONDS", help="how late search is")
        parser.add_argument("--pidfile", type=Path, default=None, metavar="FILE", help="write the process id here")
        parser.add_argument("--token", default=None, help="the access token it accepts")

    def handle(self, *_args: Any, **options: Any) -> None:
        if not 0 <= options["search_lag"] < float("inf"):
            raise _refused("--search-lag: must not be negative or endless; use 0 for a search that is never late")
        if not 0 <= options["port"] <= LAST_PORT:
            raise _refused(f"--port: must be between 0 and {LAST_PORT}; 0 takes a free one")
        if options["pidfile"] and not options["pidfile"].parent.is_dir():
            raise _refused(f"--pidfile: there is no folder {options['pidfile'].parent}. Choose one that there is")
        given = {"token": options["token"]} if options["token"] else {}
        try:
            fake: Any = FAKES[options["provider"]](
                seed=options["seed"],
                limits=options["limits"],
                search_lag_seconds=options["search_lag"],
                data_path=options["data"],
                **given,
            )
        except OSError as error:
            raise _refused(f"--data: {error}. Choose a file in a folder that can be written") from error
        except ValueError as error:
            raise _refused(f"--data: {error}. Choose another file") from error
        try:
            server = LoopbackServer(fake, host=options["host"], port=options["port"])
        except OSError as error:
            fake.close()
            raise _refused(f"--port: {error}. Choose another one; 0 takes a free one") from error
        server.start()
        if options["pidfile"]:
            options["pidfile"].write_text(str(os.getpid()))
        self.stdout.write(f"{options['provider']} fake at {server.url} (records and switches: {server.url}/_fake/)")
        self.stdout.write(f"token  {fake.token}")
        self.stdout.flush()
        try:
            server.join()
        except KeyboardInterrupt:
            server.stop()
            fake.close()


def _refused(text: str) -> CommandError:
    return CommandError(text, returncode=REFUSED)
