"""A world on PostgreSQL: the product's own store, rows, triggers and row-level security, by the world's clock.

Needs a database of its own: ``sim.now`` takes the place of the server's clock there, for the sessions of this
process and for the triggers.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.util import Finalize
from typing import Any

from crm.testing.clock import FakeClock
from tests.harness import environment, services
from tests.harness.simulate.ground import Ground

# The product asks for the time by these functions alone. A schema in front of pg_catalog answers instead.
_CLOCK = """
CREATE SCHEMA sim;
GRANT USAGE ON SCHEMA sim TO PUBLIC;
DO $$
DECLARE name text; changed regprocedure;
BEGIN
  FOREACH name IN ARRAY ARRAY['now', 'clock_timestamp', 'statement_timestamp', 'transaction_timestamp'] LOOP
    EXECUTE format('CREATE FUNCTION sim.%I() RETURNS timestamptz LANGUAGE sql STABLE AS '
                   '''SELECT pg_catalog.current_setting(''''sim.now'''')::timestamptz''', name);
  END LOOP;
  FOR changed IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
    AND p.proowner = current_user::regrole AND array_to_string(p.proconfig, ' ') LIKE 'search_path=%' LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = sim, pg_catalog, public, pg_temp', changed);
  END LOOP;
END
$$
"""


@contextmanager
def opened() -> Iterator[Ground]:
    """The tables on a server of this process, deleted afterwards."""
    with _server():
        yield Postgres()


@contextmanager
def _server() -> Iterator[None]:
    with ExitStack() as exits:
        for variable in services.VARIABLES:
            os.environ.pop(variable, None)
        urls = exits.enter_context(services.throwaway())
        os.environ.update(environment.testing(urls))
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connections
        from django.db.backends.signals import connection_created

        exits.callback(connections.close_all)
        call_command("migrate", database="owner", interactive=False, verbosity=0)
        with connections["owner"].cursor() as cursor:
            cursor.execute(_CLOCK)
        connections.close_all()
        connection_created.connect(_use_clock, dispatch_uid="simulated clock")
        yield


class Postgres:
    """The ground of worlds whose rows lie in the database that Django knows."""

    name = "postgres"

    def enter_process(self) -> None:
        """A server of its own. A delta knows by its snapshot what it has looked at, and looks again at what was written
        while anybody's transaction was open: of another world's it would send more, and users act at each call.
        """
        exits = ExitStack()
        exits.enter_context(_server())
        Finalize(None, exits.close, exitpriority=1)

    def app(self, clock: FakeClock, region: str, organization_id: str) -> Any:
        from tests.harness.simulate.postgres_app import PostgresApp

        del organization_id  # two worlds may not have the same one here
        return PostgresApp(clock, region, secrets.token_hex(6)).founded()

    def store(self, app: Any, name: str) -> Any:
        from tests.harness.simulate.postgres_store import PostgresStore

        return PostgresStore.connected(app, name)

    @contextmanager
    def aside(self, app: Any) -> Iterator[None]:
        """A transaction round everything, which is rolled back: units inside are savepoints of it."""
        from django.db import transaction

        with transaction.atomic():
            yield
            transaction.set_rollback(True)
        app.forget()


def _use_clock(connection: Any, **_named: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('search_path', 'sim, pg_catalog, public', false)")
