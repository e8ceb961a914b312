"""What the attacks are played on: a throwaway database and broker, fakes on loopback, people with browsers.

Nothing of Django may be imported before ``opened`` has set the environment, so modules that need it are imported late.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator
from typing import Any

from tests.harness import environment, services


@contextlib.contextmanager
def opened() -> Iterator[io.StringIO]:
    """Services are up, tables migrated, Django set up; yields everything that is logged meanwhile."""
    with services.throwaway({}) as urls:
        os.environ.update(environment.testing(urls))
        import django
        from django.core.management import call_command

        django.setup()
        _log_in_quickly()
        call_command("migrate", database="owner", verbosity=0)
        with captured_logs() as logs:
            yield logs
        from django.db import connections

        connections.close_all()


def _log_in_quickly() -> None:
    from django.conf import settings

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
    settings.ALLOWED_HOSTS = ["*"]


@contextlib.contextmanager
def captured_logs() -> Iterator[io.StringIO]:
    """Every line at every level, by the application's own formatter, in place of standard error."""
    root = logging.getLogger()
    kept, level = list(root.handlers), root.level
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(kept[0].formatter if kept else None)
    root.handlers, root.level = [handler], logging.DEBUG
    try:
        yield stream
    finally:
        root.handlers, root.level = kept, level


def organization(name: str) -> Any:
    """(organization, owner) of a new organization."""
    from adsapp_crm.services.organizations import create_organization

    return create_organization(name, email=f"{name.lower()}@example.com")


def browser(user: Any) -> Any:
    from django.test import Client

    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def use(*servers: Any) -> None:
    """Let the installation know these fakes, and nothing else."""
    from django.conf import settings

    settings.CRM_PROVIDERS = {each.key: each.settings for each in servers}
    settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
