"""Serve a provider's fake: ``manage.py crm_fake hubspot --port 8901``. Needs no database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from crm.fakes import FAKES
from crm.testing.wsgi import LoopbackServer


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
        if options["search_lag"] < 0:
            raise CommandError("--search-lag: must not be negative; use 0 for a search that is never late")
        given = {"token": options["token"]} if options["token"] else {}
        try:
            fake = FAKES[options["provider"]](
                seed=options["seed"],
                limits=options["limits"],
                search_lag_seconds=options["search_lag"],
                data_path=options["data"],
                **given,
            )
        except OSError as error:
            raise CommandError(f"--data: {error}. Choose a file in a folder that can be written") from error
        except ValueError as error:
            raise CommandError(f"--data: {error}. Choose another file") from error
        try:
            server = LoopbackServer(fake, host=options["host"], port=options["port"])
        except OSError as error:
            fake.close()
            raise CommandError(f"--port: {error}. Choose another one; 0 takes a free one") from error
        server.start()
        if options["pidfile"]:
            options["pidfile"].write_text(str(os.getpid()))
        self.stdout.write(f"{options['provider']} fake at {server.url} (records and switches: {server.url}/_fake/)")
        self.stdout.flush()
        try:
            server.join()
        except KeyboardInterrupt:
            server.stop()
            fake.close()
