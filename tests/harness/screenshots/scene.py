"""An organization in the middle of its work: people on both sides, questions, failures, a plan that waits.

Everything is made by the product's own services against the CRMs' stand-ins. Needs Django set up.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import requests
from django.db.models.functions import Now

from adsapp_crm.models import (
    Contact,
    CrmConflict,
    CrmConnection,
    CrmFieldMapping,
    CrmPlan,
    CrmSyncLog,
    CrmSyncState,
    User,
)
from adsapp_crm.models.choices import Role
from adsapp_crm.services.api_keys import make_key
from adsapp_crm.services.connections import connect_with_token
from adsapp_crm.services.contacts import create_contact, update_contact
from adsapp_crm.services.organizations import add_member, create_organization
from adsapp_crm.services.staff import let_in
from adsapp_crm.services.syncing import Left, approve_plan, request_undo, start_run, step_run
from adsapp_crm.tenancy import organization_context
from crm.model import RunKind

ADMIN: Final = "/admin/adsapp_crm"
PASSWORD: Final = "harbour-Pa55word-demo"
FIRST: Final = ("Ada", "Bram", "Chiara", "Dilan", "Eun-ji", "Femke", "Goran", "Hana", "Ines", "Jules", "Kofi", "Lina")
LAST: Final = ("de Vries", "Okafor", "Rossi", "Yılmaz", "Kim", "Jansen", "Horvat", "Novák", "Silva", "Martin", "Mensah")
COMPANIES: Final = ("Harbour Freight", "Van Dijk & Zonen", "Atelier Lumière", "Nordlicht GmbH", "Cedar Health")
JOBS: Final = ("Buyer", "Head of Sales", "Office manager", "Founder", "Planner")
CITIES: Final = ("Rotterdam", "Ghent", "Lyon", "Hamburg", "Porto")
BOTH, ONLY_APP, ONLY_CRM = 90, 25, 18


class Scene:
    def __init__(self, hubspot_url: str, hubspot_token: str, pipedrive_token: str) -> None:
        self.url, self.token, self.pipedrive_token = hubspot_url, hubspot_token, pipedrive_token
        self.email = "mila@harbour.example"
        self.pages: dict[str, str] = {}
        """Name of a page -> its address below the dashboard's."""

    def play(self) -> None:
        organization, owner = create_organization(
            "Harbour & Co", email=self.email, password=PASSWORD, region="NL", time_zone="Europe/Amsterdam"
        )
        self.organization_id, self.actor = organization.pk, f"user:{owner.pk}"
        owner.name, owner.is_staff = "Mila Jansen", True
        owner.save()
        self.pages = {"log-in": "/login", "overview-empty": "", "connect": "/connect/hubspot"}
        self._people()

    def sync(self) -> None:
        """What comes after the pictures of the empty organization."""
        self.hubspot = connect_with_token(self.organization_id, "hubspot", self.token, actor=self.actor).connection_id
        with self._inside():
            for ours, theirs in (("company", "company"), ("jobTitle", "jobtitle"), ("city", "city")):
                if not CrmFieldMapping.objects.filter(adsapp_field=ours, deleted_at=None).exists():
                    CrmFieldMapping.objects.create(
                        connection_id=self.hubspot, record_type="contacts", adsapp_field=ours, crm_field=theirs
                    )
            rows = CrmFieldMapping.objects.filter(adsapp_field="company", deleted_at=None)
            rows.update(transform_rule={"steps": [{"step": "trim"}], "starts_at": "app"})
        held = self._run(RunKind.FULL)
        first = self._approve(held)
        self._questions()
        delta = self._run(RunKind.DELTA)
        self._troubles()
        undo_id = self._plan_undo(delta)
        self._second_crm()
        running = self._running()
        self._list_pages(first, delta, undo_id, running)

    def _people(self) -> None:
        names = itertools.product(LAST, FIRST)
        records = []
        with self._inside():
            for number, (last, first) in enumerate(itertools.islice(names, BOTH + ONLY_APP + ONLY_CRM)):
                person = {
                    "firstName": first,
                    "lastName": last,
                    "email": f"{first}.{last}@example.com".lower().replace(" ", "").replace("ı", "i").replace("á", "a"),
                    "company": COMPANIES[number % len(COMPANIES)],
                    "jobTitle": JOBS[number % len(JOBS)],
                    "city": CITIES[number % len(CITIES)],
                }
                if number < BOTH + ONLY_APP:
                    create_contact(person)
                if number < BOTH or number >= BOTH + ONLY_APP:
                    records.append({key.lower(): value for key, value in person.items()})
            create_contact({"firstName": "Sam", "lastName": "Reception A", "phone": "+31101234567"})
            create_contact({"firstName": "Sam", "lastName": "Reception B", "phone": "+31101234567"})
            create_contact(
                {"firstName": "<script>alert(1)</script>", "lastName": "Odd\u202etxt\u200b", "email": "odd@example.com"}
            )
        records.append({"firstname": "Reception", "phone": "+31101234567"})
        self._door("POST", "bulk", {"records": records})

    def _questions(self) -> None:
        """Both sides change the same field of some people, and the connection asks."""
        with self._inside():
            CrmConnection.objects.filter(pk=self.hubspot).update(strategy="manual")
            links = list(CrmSyncState.objects.filter(state="live").select_related("contact").order_by("id")[:40])
            for place, link in enumerate(links[:9]):
                name = "jobTitle" if place < 6 else "city"
                theirs, ours = ("jobtitle", "Purchasing lead") if place < 6 else ("city", "Antwerp")
                update_contact(link.contact_id, {name: ours}, version=None)
                self._door(
                    "PATCH",
                    f"records/{link.crm_record_id}",
                    {"properties": {theirs: "Procurement manager" if place < 6 else "Brussels"}},
                )
            for link in links[9:16]:
                update_contact(link.contact_id, {"company": "Cedar Health Group"}, version=None)
            for link in links[16:24]:
                self._door("PATCH", f"records/{link.crm_record_id}", {"properties": {"jobtitle": "Team lead"}})

    def _troubles(self) -> None:
        """Records in the states that a refusal of the CRM and a person's decision leave."""
        with self._inside():
            asked = CrmConflict.objects.exclude(link=None).values("link")
            calm = CrmSyncState.objects.filter(state="live").exclude(pk__in=asked).order_by("id")
            ids = list(calm.values_list("pk", flat=True)[30:39])
            CrmSyncState.objects.filter(pk__in=ids[:4]).update(error_code="rule.validation", attempts=3)
            CrmSyncState.objects.filter(pk__in=ids[4:6]).update(error_code="field.too_long", attempts=1)
            CrmSyncState.objects.filter(pk__in=ids[6:8]).update(excluded_at=Now(), excluded_by=self.actor)
            add_member("joris@harbour.example", Role.OPERATOR)
            make_key("Invoice export", ["read"], actor=self.actor)
            User.objects.create_user("sam@adsapp.example", is_staff=True)
            let_in("sam@adsapp.example", "viewer", hours=4, reason="ticket 812", by=self.actor)

    def _plan_undo(self, run_id: uuid.UUID) -> uuid.UUID:
        with self._inside():
            undo_id = request_undo(run_id, actor=self.actor)
        self._finish(undo_id)
        return undo_id

    def _second_crm(self) -> None:
        made = connect_with_token(self.organization_id, "pipedrive", self.pipedrive_token, actor=self.actor)
        self._finish(start_run(self.organization_id, made.connection_id, RunKind.FULL, actor=self.actor, dry_run=True))

    def _running(self) -> uuid.UUID:
        """A run that has done one page and goes on when a worker comes."""
        run_id = start_run(self.organization_id, self.hubspot, RunKind.FULL, actor=self.actor)
        for _ in range(3):
            step_run(self.organization_id, run_id, seconds=0)
        return run_id

    def _list_pages(self, first: uuid.UUID, delta: uuid.UUID, undo_id: uuid.UUID, running: uuid.UUID) -> None:
        with self._inside():
            field = CrmConflict.objects.filter(kind="field", status="open").order_by("-id").first()
            match = CrmConflict.objects.filter(kind="match", status="open").order_by("-id").first()
            mapping = CrmFieldMapping.objects.get(connection_id=self.hubspot, adsapp_field="company", deleted_at=None)
            plan = CrmPlan.objects.filter(connection__crm_type="pipedrive").latest("created_at")
            undo_plan = CrmSyncLog.objects.get(pk=undo_id).plan_id
            odd = Contact.objects.get(email="odd@example.com")
            asked = field.contact_id if field else odd.pk
        self.pages = {
            "overview": "",
            "connection": "/connections/hubspot",
            "first-sync": "/connections/pipedrive",
            "plan": f"/plans/{plan.pk}",
            "run": f"/runs/{delta}",
            "run-first": f"/runs/{first}",
            "run-live": f"/runs/{running}",
            "undo": f"/plans/{undo_plan}",
            "mapping": "/connections/hubspot/mapping",
            "mapping-row": f"/connections/hubspot/mapping/{mapping.pk}",
            "mapping-suggestions": "/connections/hubspot/mapping/suggestions",
            "mapping-import": "/connections/hubspot/mapping/import",
            "schedule": "/connections/hubspot/schedule",
            "examination": "/connections/hubspot/test",
            "activity": "/activity",
            "figures": "/figures",
            "conflicts": "/conflicts",
            "conflict": f"/conflicts/{field.pk}" if field else "/conflicts",
            "match": f"/conflicts/{match.pk}" if match else "/conflicts",
            "failing": "/records?crm=hubspot&state=failing",
            "excluded": "/records?crm=hubspot&state=excluded",
            "contacts": "/contacts?q=Lina",
            "contact": f"/contacts/{asked}",
            "contact-odd": f"/contacts/{odd.pk}",
            "webhooks": "/webhooks",
            "notices": "/notices",
            "people": "/people",
            "organizations": "/organizations",
            "admin": "/admin/",
            "admin-connection": f"{ADMIN}/crmconnection/{self.hubspot}/change/",
            "admin-contact": f"{ADMIN}/contact/{asked}/change/",
            "admin-conflicts": f"{ADMIN}/crmconflict/?status__exact=open",
            "admin-conflict": f"{ADMIN}/crmconflict/{field.pk}/change/" if field else f"{ADMIN}/crmconflict/",
            "admin-mappings": f"{ADMIN}/crmfieldmapping/",
            "admin-mapping-row": f"{ADMIN}/crmfieldmapping/{mapping.pk}/change/",
            "admin-mapping-import": f"{ADMIN}/crmfieldmapping/import/",
            "admin-runs": f"{ADMIN}/crmsynclog/",
            "admin-run": f"{ADMIN}/crmsynclog/{delta}/change/",
            "admin-links": f"{ADMIN}/crmsyncstate/?trouble=any",
            "admin-plan": f"{ADMIN}/crmplan/{plan.pk}/change/",
        }

    def files(self, folder: Path) -> dict[str, Path]:
        """What the pages that take a file are given: one more pair of fields."""
        file = folder / "mappings.json"
        added = {"recordType": "contacts", "adsappField": "custom.website", "crmField": "website"}
        file.write_text(json.dumps({"crmType": "hubspot", "mappings": [added]}), encoding="utf-8")
        return {"mapping-import": file, "admin-mapping-import": file}

    def _run(self, kind: RunKind) -> uuid.UUID:
        return self._finish(start_run(self.organization_id, self.hubspot, kind, actor=self.actor))

    def _finish(self, run_id: uuid.UUID) -> uuid.UUID:
        while (step := step_run(self.organization_id, run_id)).left is Left.MORE:
            pass
        if step.left is not Left.ENDED:
            message = f"run {run_id} was left {step.left}"
            raise RuntimeError(message)
        return run_id

    def _approve(self, run_id: uuid.UUID) -> uuid.UUID:
        with self._inside():
            plan_id = CrmSyncLog.objects.values_list("plan_id", flat=True).get(pk=run_id)
            applied = approve_plan(str(plan_id), actor=self.actor).pk
        return self._finish(applied)

    def _inside(self) -> Any:
        return organization_context(self.organization_id, actor=self.actor, origin="user")

    def _door(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        requests.request(method, f"{self.url}/_fake/{path}", json=body, timeout=30).raise_for_status()
