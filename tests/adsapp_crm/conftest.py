"""Organizations for tests: `make_organization` makes one, `inside` runs the whole test in one's context."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.utils import timezone

from adsapp_crm import models
from adsapp_crm.models import Organization, User
from adsapp_crm.services.organizations import create_organization
from adsapp_crm.tenancy import organization_context


@dataclass(frozen=True)
class Tenant:
    """An organization and its owner."""

    organization: Organization
    user: User

    @property
    def id(self) -> Any:
        return self.organization.pk

    def context(self, **said: str) -> Any:
        return organization_context(self.id, **said)


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
    return _fill


def _fill(tenant: Tenant) -> dict[str, Any]:
    now = timezone.now()
    with tenant.context():
        rows: dict[str, Any] = {}

        def add(model: Any, **values: Any) -> Any:
            rows[model.__name__] = model.objects.create(**values)
            return rows[model.__name__]

        contact = add(models.Contact, first_name="Ann", last_name="Canary", email="ann@canary.example")
        rows["ContactChange"] = models.ContactChange.objects.get()
        rows["Membership"] = models.Membership.objects.get()
        access = add(models.StaffAccess, user=tenant.user, reason="support", expires_at=now)
        add(models.StaffAccessEvent, access=access, method="GET", path="/")
        add(models.ContactTombstone, contact=contact, digest="00")
        add(models.CrmAppRegistration, crm_type="hubspot", client_id="app")
        connection = add(models.CrmConnection, crm_type="hubspot", remote_account_id="42")
        on = {"connection": connection}
        add(models.CrmLease, **on, stream="contact", expires_at=now)
        add(
            models.CrmOAuthState,
            **on,
            user=tenant.user,
            crm_type="hubspot",
            state_hash="s",
            session_hash="h",
            redirect_uri="https://crm.example.com/",
            expires_at=now,
        )
        add(models.CrmFieldMapping, **on, record_type="contact", adsapp_field="firstName", crm_field="firstname")
        add(models.CrmMappingVersion, **on, version=1, mappings=[])
        run = add(models.CrmSyncLog, **on, sync_type="full")
        link = add(models.CrmSyncState, **on, contact=contact, crm_record_type="contact", crm_record_id="1")
        add(models.CrmObservation, **on, record_type="contact", remote_id="2")
        plan = add(models.CrmPlan, **on, run=run)
        add(models.CrmPlanLine, plan=plan, seq=1, stage=0, kind="sync", record_type="contact", action={})
        add(models.CrmIntent, **on, contact=contact, kind="update", record_type="contact")
        add(models.CrmLedgerEntry, **on, contact=contact, kind="sync")
        add(models.CrmConflict, **on, link=link, contact=contact, kind="field", mapping_id="m")
        webhook = add(models.CrmWebhook, **on, path_token="token")
        add(models.CrmWebhookEvent, **on, webhook=webhook, event_key="e", event_type="changed")
        add(models.IdempotencyKey, actor="u", key="k", method="POST", path="/", body_digest="d", expires_at=now)
        add(models.ApiKey, name="key", prefix="crm_live_a")
        add(models.CrmNotice, **on, kind="held")
    return rows
