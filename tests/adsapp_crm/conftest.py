"""Organizations for tests: `make_organization` makes one, `inside` runs the whole test in one's context."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from django.test import Client

from adsapp_crm.services.api_keys import make_key
from adsapp_crm.services.organizations import create_organization
from tests.adsapp_crm.tenant_rows import Tenant, fill_rows


@pytest.fixture
def make_organization() -> Callable[..., Tenant]:
    """Make an organization with an owner; needs the test's `django_db` mark."""
    numbers = itertools.count(1)

    def make(name: str = "", **named: Any) -> Tenant:
        number = next(numbers)
        named.setdefault("email", f"owner{number}@example.com")
        return Tenant(*create_organization(name or f"Organization {number}", **named))

    return make


@pytest.fixture
def tenant(make_organization) -> Tenant:
    return make_organization("First", region="NL")


@pytest.fixture
def other(make_organization) -> Tenant:
    return make_organization("Second", region="US")


@pytest.fixture
def inside(tenant) -> Iterator[Tenant]:
    """The test runs in the first organization's context."""
    with tenant.context(actor="user:test", origin="user"):
        yield tenant


@pytest.fixture
def fill() -> Callable[[Tenant], dict[str, Any]]:
    """Give an organization one row of every table; returns them by model name."""
    return fill_rows


@pytest.fixture
def browser(client, tenant) -> Client:
    """The first organization's owner, logged in."""
    client.force_login(tenant.user)
    return client


@pytest.fixture
def key(tenant) -> Callable[..., Client]:
    """A client with a key of these scopes in the first organization."""

    def made(*scopes: str, **named: Any) -> Client:
        with tenant.context():
            text = make_key("test", scopes, actor="user:test", **named).text
        return Client(headers={"Authorization": f"Bearer {text}"})

    return made


@pytest.fixture
def no_queue() -> Iterator[None]:
    """Tasks are sent to nobody: what they are about is stored, and nobody works on it."""
    with mock.patch("celery.app.task.Task.delay"):
        yield
