"""An organization with HubSpot on loopback, and a person who clicks through the dashboard without a browser."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.test import Client

from adsapp_crm.models import Contact, CrmConflict, CrmConnection, CrmFieldMapping, CrmPlan, CrmSyncLog, User
from adsapp_crm.models.choices import Role
from adsapp_crm.services import syncing
from adsapp_crm.services.connections import connect_with_token
from adsapp_crm.services.contacts import create_contact
from adsapp_crm.services.organizations import add_member
from crm.model import RunKind
from tests.adsapp_crm.hubspot_account import TOKEN, HubSpotAccount, hubspot_account

BASE = "/dashboard/settings/crm"
MAPPED = {
    "firstName": "firstname",
    "lastName": "lastname",
    "email": "email",
    "phone": "phone",
    "jobTitle": "jobtitle",
    "city": "city",
}


class Stand:
    """``client`` is logged in as the organization's owner."""

    def __init__(self, tenant: Any, account: HubSpotAccount) -> None:
        self.tenant, self.account = tenant, account
        self.client = Client()
        self.client.force_login(tenant.user)
        self.connection_id: uuid.UUID | None = None

    @property
    def inside(self) -> Any:
        return self.tenant.context(actor=f"user:{self.tenant.user.pk}", origin="user")

    def connect(self) -> None:
        made = connect_with_token(self.tenant.id, "hubspot", TOKEN, actor=f"user:{self.tenant.user.pk}")
        self.connection_id = made.connection_id
        with self.inside:
            CrmFieldMapping.objects.all().delete()
            for position, (ours, theirs) in enumerate(MAPPED.items()):
                CrmFieldMapping.objects.create(
                    connection_id=self.connection_id,
                    record_type="contacts",
                    adsapp_field=ours,
                    crm_field=theirs,
                    position=position,
                )

    def contact(self, **values: Any) -> str:
        with self.inside:
            return str(create_contact(values).pk)

    def run(self, kind: RunKind = RunKind.FULL, **named: Any) -> CrmSyncLog:
        assert self.connection_id is not None
        run_id = syncing.start_run(self.tenant.id, self.connection_id, kind, actor="user:test", **named)
        return self.finish(run_id)

    def finish(self, run_id: uuid.UUID | str) -> CrmSyncLog:
        """As a worker would, to its end."""
        step = syncing.step_run(self.tenant.id, run_id, seconds=60)
        assert step.left is syncing.Left.ENDED, step
        with self.inside:
            return CrmSyncLog.objects.get(pk=run_id)

    def approve(self) -> CrmSyncLog:
        with self.inside:
            plan = CrmPlan.objects.filter(status__in=["planned", "held"]).latest("created_at")
            run_id = syncing.approve_plan(plan.pk, actor="user:test").pk
        return self.finish(run_id)

    def sync(self) -> CrmSyncLog:
        """The first sync, planned, approved and carried out."""
        self.run()
        return self.approve()

    def with_three_people(self) -> Stand:
        """Connected, and three people in step on both sides."""
        self.connect()
        self.contact(firstName="Ada", lastName="Lovelace", email="ada@x.example", jobTitle="Countess")
        self.contact(firstName="Bea", lastName="Smith", email="bea@x.example", city="Ghent")
        self.account.add({"firstname": "Cyd", "lastname": "Jones", "email": "cyd@x.example"})
        self.sync()
        return self

    def with_two_conflicts(self) -> Stand:
        """Both sides have changed the job title of two of the three, and the connection asks."""
        with self.inside:
            CrmConnection.objects.update(strategy="manual")
            for first_name in ("Ada", "Bea"):
                Contact.objects.filter(first_name=first_name).update(job_title=f"{first_name} here")
        for each in self.account.back_door("GET", "records")["results"]:
            name = each["properties"]["firstname"]
            if name in ("Ada", "Bea"):
                self.account.edit(each["id"], jobtitle=f"{name} there")
        self.run(RunKind.DELTA)
        return self

    def get(self, path: str = "", status: int = 200) -> str:
        answer = self.client.get(f"{BASE}{path}")
        assert answer.status_code == status, (path, answer.status_code, text_of(answer.content.decode()))
        return answer.content.decode()

    def post(self, path: str, **values: Any) -> Any:
        return self.client.post(f"{BASE}{path}", values)

    def follow(self, path: str, **values: Any) -> str:
        """Post a form and read the page it leads to."""
        answer = self.client.post(f"{BASE}{path}", values, follow=True)
        assert answer.status_code == 200, (answer.status_code, text_of(answer.content.decode()))
        return answer.content.decode()

    def member(self, role: Role) -> Client:
        with self.inside:
            add_member(f"{role}@example.com", role)
        client = Client()
        client.force_login(User.objects.get(email=f"{role}@example.com"))
        return client


def pages_of(stand: Stand) -> list[str]:
    """Every page that there is something to see on, by the rows there are."""
    with stand.inside:
        runs = [f"/runs/{run}" for run in CrmSyncLog.objects.values_list("pk", flat=True)]
        plans = [f"/plans/{plan}" for plan in CrmPlan.objects.values_list("pk", flat=True)]
        contacts = [f"/contacts/{each}" for each in Contact.objects.values_list("pk", flat=True)]
        conflicts = [f"/conflicts/{each}" for each in CrmConflict.objects.values_list("pk", flat=True)]
        rows = CrmFieldMapping.objects.filter(deleted_at__isnull=True).values_list("pk", flat=True)
        mapping = [f"/connections/hubspot/mapping/{each}" for each in rows]
    fixed = ["", "/connections/hubspot", "/connections/hubspot/mapping", "/connections/hubspot/mapping/new"]
    fixed += ["/connections/hubspot/mapping/suggestions", "/connections/hubspot/mapping/import"]
    fixed += ["/conflicts", "/records", "/records?state=excluded", "/contacts", "/contacts?q=a", "/webhooks", "/people"]
    fixed += ["/connections/hubspot/schedule"]
    fixed += ["/activity", "/activity?kind=settings&crm=hubspot", "/figures", "/figures?days=90"]
    fixed += ["/connect/hubspot", "/connect/pipedrive", "/connect/salesforce", "/organizations"]
    return [*fixed, *runs, *[f"{run}/progress" for run in runs], *plans, *contacts, *conflicts, *mapping]


@contextmanager
def dashboard_stand(tenant: Any, settings: Any) -> Iterator[Stand]:
    with hubspot_account() as account:
        settings.CRM_PROVIDERS = {"hubspot": {"api_base": account.url}}
        settings.CRM_EXTRA_HOSTS = ("127.0.0.1",)
        yield Stand(tenant, account)


def text_of(html: str) -> str:
    """What a page says, without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)).strip()
