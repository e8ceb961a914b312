"""One organization with as many links as are asked for, made by the database itself in one statement a table."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any, Final

from tests.harness.attack import stage

FAILING: Final = 10_000
CONFLICTS: Final = 5_000
RUNS: Final = 2_000
EVENTS: Final = 100_000
_TABLES: Final = "contacts links conflicts runs plans lines ledger changes observations events"
_PLACE: Final = {name: number for number, name in enumerate(_TABLES.split(), 1)}


@dataclass(frozen=True)
class Seeded:
    organization: Any
    user: Any
    rows: dict[str, uuid.UUID]
    """A row to look at by model name."""


def seed(links: int) -> Seeded:
    """Every hundredth contact was edited since its sync; records fail for ten reasons; a conflict each in between."""
    from adsapp_crm import models
    from adsapp_crm.tenancy import organization_context

    organization, user = stage.organization("Large")
    models.User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    failing, conflicts = min(FAILING, links), min(CONFLICTS, links)
    runs, events = min(RUNS, links), min(EVENTS, links)
    _without_triggers()
    with organization_context(organization.pk):
        row = models.CrmConnection.objects.create(
            crm_type="hubspot", remote_account_id="42", remote_account_name="Large", mapping_version=1
        )
        row.seal_credentials({"token": "of nothing"})
        row.save()
        field = models.CrmFieldMapping.objects.create(
            connection=row, record_type="contact", adsapp_field="firstName", crm_field="firstname"
        )
        version = models.CrmMappingVersion.objects.create(connection=row, version=1, mappings=[])
        webhook = models.CrmWebhook.objects.create(connection=row, path_token="token")
        audit = models.CrmAudit.objects.create(connection=row)
        member = models.Membership.objects.get()
        outgoing = models.CrmOutgoingWebhook(url="https://hooks.example.com/", kinds=["run.finished"])
        outgoing.organization_id = organization.pk
        outgoing.seal("whsec_b2YgYSByZWNlaXZlciB0aGF0IGlzIG5vd2hlcmU=")
        outgoing.save()
        on = {"connection_id": f"'{row.pk}'"}
        base = json.dumps({str(field.pk): {"app": "Ann", "crm": "Ann", "definition": "1"}})
        _fill(
            models.Contact,
            links,
            "contacts",
            first_name="'First' || n",
            last_name="'Last' || (n % 5000)",
            email="'person' || n || '@example.com'",
            phone="'+3161' || lpad(n::text, 7, '0')",
            email_normalized="'person' || n || '@example.com'",
            phone_normalized="'+3161' || lpad(n::text, 7, '0')",
            keys_of="'person' || n || '@example.com' || chr(10) || '+3161' || lpad(n::text, 7, '0')",
            version="CASE WHEN n % 100 = 0 THEN 2 ELSE 1 END",
        )
        _fill(
            models.CrmSyncState,
            links,
            "links",
            **on,
            contact_id=_id("contacts"),
            crm_record_id="n::text",
            crm_record_type="'contact'",
            base=f"'{base}'::jsonb",
            synced_version="1",
            error_code=f"CASE WHEN n <= {failing} THEN 'field.too_long_' || (n % 10) ELSE '' END",
            excluded_at="CASE WHEN n % 1000 = 999 THEN now() END",
        )
        _fill(
            models.CrmSyncLog,
            runs,
            "runs",
            **on,
            sync_type="'delta'",
            status="'completed'",
            started_at=f"now() - ({runs} - n) * interval '15 minutes'",
            completed_at=f"now() - ({runs} - n) * interval '15 minutes'",
        )
        _fill(models.CrmPlan, runs, "plans", **on, run_id=_id("runs"))
        _fill(
            models.CrmPlanLine,
            events,
            "lines",
            plan_id=_id("plans", str(runs)),
            seq="n",
            stage="0",
            kind="'sync'",
            record_type="'contact'",
            contact_id=_id("contacts"),
            action="""'{"kind": "sync", "record_type": "contact"}'::jsonb""",
            status="CASE WHEN n % 50 = 0 THEN 'failed' ELSE 'planned' END",
        )
        _fill(
            models.CrmConflict,
            conflicts,
            "conflicts",
            **on,
            kind="'field'",
            link_id=_id("links", f"(n * {links // conflicts})"),
            contact_id=_id("contacts", f"(n * {links // conflicts})"),
            record_type="'contact'",
            mapping_id=f"'{field.pk}'",
            app_field="'firstName'",
        )
        _fill(
            models.CrmLedgerEntry,
            links,
            "ledger",
            **on,
            kind="'update'",
            contact_id=_id("contacts"),
            run_id=_id("runs", f"(1 + n % {runs})"),
        )
        _fill(
            models.ContactChange, links, "changes", contact_id=_id("contacts"), version="1", changes="'{}'", at="now()"
        )
        _fill(models.CrmObservation, events, "observations", **on, record_type="'contact'", remote_id="'x' || n")
        _fill(
            models.CrmWebhookEvent,
            events,
            "events",
            **on,
            webhook_id=f"'{webhook.pk}'",
            event_key="n::text",
            event_type="'changed'",
            status="'done'",
        )
    _settle()
    place = {name: uuid.UUID(int=int(f"01900000000070008{number:03x}{1:012x}", 16)) for name, number in _PLACE.items()}
    return Seeded(
        organization,
        user,
        {
            "Contact": place["contacts"],
            "CrmSyncState": place["links"],
            "CrmSyncLog": uuid.UUID(int=place["runs"].int + runs - 1),
            "CrmPlan": uuid.UUID(int=place["plans"].int + runs - 1),
            "CrmPlanLine": place["lines"],
            "CrmConflict": place["conflicts"],
            "CrmLedgerEntry": place["ledger"],
            "ContactChange": place["changes"],
            "CrmWebhookEvent": place["events"],
            "CrmConnection": row.pk,
            "CrmFieldMapping": field.pk,
            "CrmMappingVersion": version.pk,
            "CrmWebhook": webhook.pk,
            "Membership": member.pk,
            "ApiKey": uuid.UUID(int=0),
            "CrmAudit": audit.pk,
            "CrmOutgoingWebhook": outgoing.pk,
        },
    )


def _id(table: str, n: str = "n") -> str:
    """The id of a table's n-th row: ordered by time, as ids are."""
    return f"('01900000000070008{_PLACE[table]:03x}' || lpad(to_hex({n}), 12, '0'))::uuid"


def _fill(model: Any, count: int, table: str, **said: str) -> None:
    """``count`` rows; what is not said is the field's default, or the column's."""
    from django.db import connection
    from psycopg import sql

    from adsapp_crm.tenancy import current_organization

    columns = {"id": _id(table), "organization_id": f"'{current_organization()}'", **said}
    for field in model._meta.concrete_fields:
        if field.column in columns or field.null or field.generated or field.has_db_default():
            continue
        if getattr(field, "auto_now", False):
            columns[field.column] = "now()"
            continue
        value = field.get_default()
        value = json.dumps(value) if isinstance(value, dict | list) else value
        columns[field.column] = sql.Literal(value).as_string(None)
    names = ", ".join(f'"{name}"' for name in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{model._meta.db_table}" ({names})'
            f" SELECT {', '.join(columns.values())} FROM generate_series(1, {count}) AS n"
        )


def _without_triggers() -> None:
    """What they would write for each contact is filled in by hand."""
    from django.db import connections

    with connections["owner"].cursor() as cursor:
        cursor.execute("ALTER TABLE contacts DISABLE TRIGGER USER")


def _settle() -> None:
    """As autovacuum would have it after a while."""
    from django.db import connections

    with connections["owner"].cursor() as cursor:
        cursor.execute("ALTER TABLE contacts ENABLE TRIGGER USER")
        cursor.execute("VACUUM (ANALYZE)")
