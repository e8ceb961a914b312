"""An organization with a HubSpot on loopback, whose runs are started, stepped and approved."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import requests

from adsapp_crm.models import Contact, CrmConnection, CrmFieldMapping, CrmPlan, CrmPlanLine, CrmSyncLog, CrmSyncState
from adsapp_crm.services import syncing
from adsapp_crm.services.connections import connect_with_token
from adsapp_crm.services.contacts import create_contact
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.services.syncing import Left
from crm.model import RunKind
from crm.providers.hubspot.fake import DEFAULT_TOKEN, HubSpotFake
from crm.testing.wsgi import LoopbackServer

MAPPED = {
    "firstName": "firstname",
    "lastName": "lastname",
    "email": "email",
    "phone": "phone",
    "company": "company",
    "jobTitle": "jobtitle",
}


class Site:
    """An organization with a connected HubSpot."""

    def __init__(self, tenant, url, fake):
        self.tenant, self.url, self.fake = tenant, url, fake
        self.connection_id = connect_with_token(tenant.id, "hubspot", DEFAULT_TOKEN, actor="user:test").connection_id
        with self.inside:
            CrmFieldMapping.objects.all().delete()
            for app_field, remote_field in MAPPED.items():
                CrmFieldMapping.objects.create(
                    connection_id=self.connection_id,
                    record_type="contacts",
                    adsapp_field=app_field,
                    crm_field=remote_field,
                )

    @property
    def inside(self):
        return self.tenant.context(actor="user:test", origin="user")

    def contact(self, **values):
        with self.inside:
            return str(create_contact(values).pk)

    def record(self, **values):
        return self.door("POST", "bulk", {"records": [values]})["ids"][0]

    def door(self, method, path, body=None):
        answer = requests.request(method, f"{self.url}/_fake/{path}", json=body, timeout=10)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def start(self, kind=RunKind.FULL, **named):
        return syncing.start_run(self.tenant.id, self.connection_id, kind, actor="user:test", **named)

    def step(self, run_id, **named):
        return syncing.step_run(self.tenant.id, run_id, **named)

    def run(self, kind=RunKind.FULL, **named):
        run_id = self.start(kind, **named)
        assert self.step(run_id, seconds=60).left is Left.ENDED
        return self.row(run_id)

    def row(self, run_id):
        with self.inside:
            return CrmSyncLog.objects.get(pk=run_id)

    def approve(self, plan_id):
        with self.inside:
            run_id = syncing.approve_plan(plan_id, actor="user:test").pk
        assert self.step(run_id, seconds=60).left is Left.ENDED
        return self.row(run_id)

    def connection(self):
        with self.inside:
            return CrmConnection.objects.defer(None).get(pk=self.connection_id)

    def live_ids(self):
        return {each["id"] for each in self.door("GET", "records")["results"]}

    def counts(self):
        """What exists of everything that a refusal must leave alone."""
        with self.inside:
            return [model.objects.count() for model in (CrmSyncLog, CrmPlan, CrmPlanLine, CrmSyncState, Contact)]


@contextmanager
def standing_site(tenant, settings):
    fake = HubSpotFake(limits="none", search_lag_seconds=0)
    with LoopbackServer(fake) as server:
        settings.CRM_PROVIDERS = {"hubspot": {"api_base": server.url}}
        settings.CRM_EXTRA_HOSTS = ("127.0.0.1",)
        yield Site(tenant, server.url, fake)


@contextmanager
def refused(site, code):
    before = site.counts()
    with pytest.raises(RefusedError) as caught:
        yield caught
    assert caught.value.code == code
    assert site.counts() == before
