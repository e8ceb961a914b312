"""System checks: what makes an installation unsafe is said before it serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004  Django's own name
from django.db import connections

from adsapp_crm import conf
from adsapp_crm.services.keys import count_by_key, encrypted_columns
from crm.registry import PROVIDERS

UNIT_SECONDS = 30
"""A task is one unit of work: a page, at most this long."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")

UNPROTECTED_TABLES = """
    SELECT c.relname, NOT c.relrowsecurity OR NOT c.relforcerowsecurity
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
      AND (NOT c.relrowsecurity OR NOT c.relforcerowsecurity OR NOT EXISTS (
        SELECT FROM pg_policies p WHERE p.schemaname = current_schema() AND p.tablename = c.relname
          AND p.cmd = 'ALL' AND p.qual LIKE '%app.org%' AND p.with_check LIKE '%app.org%'))
    ORDER BY 1
"""


def register_checks() -> None:
    """Called once, when the application is ready."""
    register(check_keys, Tags.security)
    register(check_broker, "broker")
    register(check_environment_tokens, Tags.security)
    register(check_provider_settings, "crm")
    register(check_deployment, Tags.security, deploy=True)
    register(check_database, Tags.database)
    register(check_stored_values, Tags.database)


def check_keys(**_kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if not settings.DEBUG and not getattr(settings, "FERNET_KEYS", None):
        found.append(
            Error(
                "FERNET_KEYS is empty: CRM credentials cannot be encrypted.",
                hint="Set FERNET_KEYS to one key of at least 32 random bytes; later ones are put in front of it.",
                id="crmsync.E001",
            )
        )
    short = [secret for secret in conf.cron_secrets() if len(secret.encode()) < conf.MINIMUM_SECRET_BYTES]
    if short:
        found.append(
            Error(
                f"CRON_SECRET holds a secret of fewer than {conf.MINIMUM_SECRET_BYTES} bytes.",
                hint="Make each one at least 32 random bytes: anybody can call the cron address and guess.",
                id="crmsync.E002",
            )
        )
    return found


def check_broker(**_kwargs: Any) -> list[CheckMessage]:
    timeout, needed = conf.visibility_timeout_seconds(), 10 * UNIT_SECONDS
    if timeout >= needed and timeout > conf.task_time_limit_seconds():
        return []
    return [
        Error(
            f"The broker hands a task to a second worker after {timeout:g} s, while the first may still run it.",
            hint=f"Set visibility_timeout in CELERY_BROKER_TRANSPORT_OPTIONS to at least {needed} s and beyond"
            " CELERY_TASK_TIME_LIMIT.",
            id="crmsync.E005",
        )
    ]


def check_environment_tokens(**_kwargs: Any) -> list[CheckMessage]:
    providers = conf.environment_tokens()
    if not providers or conf.single_organization():
        return []
    return [
        Warning(
            f"The environment holds an API token for {', '.join(providers)}, and CRM_SINGLE_ORGANIZATION is not set:"
            " the token is not used.",
            hint="Set CRM_SINGLE_ORGANIZATION to the id of the organization that owns the CRM account, or remove the"
            " token and connect each organization with its own.",
            id="crmsync.W007",
        )
    ]


def check_provider_settings(**_kwargs: Any) -> list[CheckMessage]:
    """A value that a provider does not have is said here, not by the first connection that meets it."""
    return [
        Error(f"{each.environment} has a value that it cannot have.", hint=each.fix, id="crmsync.E013")
        for key, found in PROVIDERS.items()
        for each in found.settings
        if (value := conf.provider_settings(key).get(each.name)) and not each.takes(value)
    ]


def check_deployment(**_kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if not conf.cron_secrets():
        found.append(
            Error(
                "CRON_SECRET is not set: the cron address answers 503 to everyone.",
                hint="Set it to at least 32 random bytes.",
                id="crmsync.E003",
            )
        )
    public = urlsplit(conf.public_url())
    if public.scheme != "https" and public.hostname not in _LOOPBACK:
        found.append(
            Error(
                "CRM_PUBLIC_URL does not begin with https://: log-ins at the CRMs would come back in the clear.",
                hint="Give the https address under which this installation is reached.",
                id="crmsync.E006",
            )
        )
    if conf.extra_hosts():
        found.append(
            Warning(
                f"CRM_EXTRA_HOSTS lets connectors send credentials to {', '.join(conf.extra_hosts())}.",
                hint="Leave it empty in production; it is for stand-ins of the CRMs.",
                id="crmsync.W008",
            )
        )
    return found


def check_database(databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """Runs when a database is named (``check --database default``); the owner's alias is not judged."""
    if not databases or "default" not in databases:
        return []
    found: list[CheckMessage] = []
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
        role, superuser, bypasses = cursor.fetchone()
        cursor.execute(UNPROTECTED_TABLES)
        unprotected = cursor.fetchall()
    if superuser or bypasses:
        found.append(
            Error(
                f"The application's database role {role} {'is a superuser' if superuser else 'has BYPASSRLS'}:"
                " row-level security does not bind it.",
                hint="Let DATABASE_URL name the role of docs/roles.sql, which is neither.",
                id="crmsync.E004",
            )
        )
    found += [
        Error(
            f"The table {table} belongs to organizations and "
            + ("row-level security is not forced on it." if loose else "has no policy that compares app.org."),
            hint="Name its model in an Isolate operation of a migration (migrations/_tenancy.py).",
            id="crmsync.E010",
        )
        for table, loose in unprotected
    ]
    return found


def check_stored_values(databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """Runs when the application's database is named: which keys its encrypted values need. Reads all of them."""
    if not databases or "default" not in databases:
        return []
    if not {column.table for column in encrypted_columns()} <= set(connections["default"].introspection.table_names()):
        return []  # not migrated yet
    use = count_by_key()
    found: list[CheckMessage] = [
        Error(
            f"No key in FERNET_KEYS opens {count} values of {column}.",
            hint="Put back the key they were written with, behind the current one, and run manage.py rotate_keys.",
            id="crmsync.E011",
        )
        for column, count in use.lost.items()
    ]
    if use.retired:
        found.append(
            Warning(
                f"{use.retired} encrypted values still need a retired key of FERNET_KEYS.",
                hint="Run manage.py rotate_keys before you drop it.",
                id="crmsync.W012",
            )
        )
    return found
