"""Poison through a whole sync, and a person who wants none of it kept: the tables, end to end."""

from __future__ import annotations

import pytest

from adsapp_crm.models import Contact, CrmConflict, CrmSyncLog, CrmSyncState
from adsapp_crm.services.connections import connect_with_token
from adsapp_crm.services.contacts import create_contact, update_contact
from adsapp_crm.services.erasure import erase_contact
from adsapp_crm.services.stepping import Left, step_run
from adsapp_crm.services.syncing import approve_plan, start_run
from crm.model import RunKind
from tests.adsapp_crm.hubspot_account import TOKEN
from tests.poison.corpus import TEXTS, storable

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

CANARIES = ("Zyzzyx", "zyzzyx@canary.example", "612345987", "Qwfpgj street 1", "Arstdh & Co")


def run(tenant, connection_id, kind=RunKind.FULL):
    run_id = start_run(tenant.id, connection_id, kind, actor="user:test")
    return finished(tenant, run_id)


def finished(tenant, run_id):
    while step_run(tenant.id, run_id, seconds=60).left is not Left.ENDED:
        pass
    with tenant.context():
        return CrmSyncLog.objects.get(pk=run_id)


def first_sync(tenant):
    connection_id = connect_with_token(tenant.id, "hubspot", TOKEN, actor="user:test").connection_id
    held = run(tenant, connection_id)
    with tenant.context():
        approved = approve_plan(held.plan_id, actor="user:test").pk
    return connection_id, finished(tenant, approved)


def test_a_sync_of_poison_ends_and_lists_exactly_what_it_could_not_bring_over(tenant, hubspot):
    """Both ways; no page is aborted, and the next run writes nothing: no value is sent to and fro."""
    ours = [text for text in dict.fromkeys(map(storable, TEXTS)) if len(text) <= 65_536]
    with tenant.context(actor="user:test", origin="user"):
        for number, text in enumerate(ours):
            create_contact({"firstName": f"Ours {number}", "email": f"ours{number}@x.example", "jobTitle": text})
    theirs = set()
    for number, text in enumerate(TEXTS):
        record = {"firstname": f"Theirs {number}", "email": f"theirs{number}@x.example", "jobtitle": text}
        try:
            hubspot.add(record)
        except AssertionError:
            continue  # HubSpot would not hold it either
        theirs.add(record["email"])
    assert len(theirs) > 400

    connection_id, done = first_sync(tenant)

    assert (done.status, done.error_code) == ("completed", "")
    with tenant.context():
        failing = set(CrmSyncState.objects.exclude(error_code="").values_list("contact__job_title", "error_code"))
        kept = dict(Contact.objects.filter(email__startswith="theirs").values_list("email", "job_title"))
    assert failing == set()
    assert kept.keys() == theirs
    shown = {each["email"]: storable(each.get("jobtitle") or "").strip() for each in hubspot.records()}
    assert {email: text.strip() for email, text in kept.items()} == {email: shown[email] for email in theirs}
    assert len(hubspot.records()) == len(ours) + len(theirs)

    before = hubspot.back_door("GET", "stats")["writes"]
    quiet = run(tenant, connection_id)
    assert (quiet.status, quiet.error_code) == ("completed", "")
    assert hubspot.back_door("GET", "stats")["writes"] == before
    assert {
        name: quiet.counts.get(name, 0) for name in ("updated_in_app", "updated_in_crm", "failed", "conflicts")
    } == {
        "updated_in_app": 0,
        "updated_in_crm": 0,
        "failed": 0,
        "conflicts": 0,
    }


def rows_holding(owner_sql, tenant, text):
    """Table -> rows that hold the text anywhere, over all tables there are; asked by the owner, in the organization."""
    owner_sql("SELECT set_config('app.org', %s, false)", str(tenant.id))
    tables = owner_sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
    found = {}
    for (table,) in tables:
        ((count,),) = owner_sql(f'SELECT count(*) FROM "{table}" row WHERE position(%s in row::text) > 0', text)
        if count:
            found[table] = count
    return found


def test_an_erased_person_is_in_no_table_before_and_after_the_next_sync(tenant, hubspot, owner_sql):
    """Every value, in every column of every table; the CRM's own copy stays out as well."""
    name, email, phone, street, company = CANARIES
    person = {"firstName": name, "lastName": name, "email": email, "phone": f"+31{phone}", "street": street}
    with tenant.context(actor="user:test", origin="user"):
        contact = create_contact({**person, "company": company, "notes": f"met {name}", "custom.nick": name})
        for number in range(3):
            create_contact({"firstName": f"Other {number}", "email": f"other{number}@x.example"})
    connection_id, _done = first_sync(tenant)
    with tenant.context(actor="user:test", origin="user"):
        update_contact(contact.pk, {"company": f"{company} Ltd"}, version=None)
        link = CrmSyncState.objects.get(contact=contact)
    hubspot.edit(link.crm_record_id, company=f"{company} Inc")
    run(tenant, connection_id, RunKind.DELTA)
    with tenant.context():
        assert CrmConflict.objects.filter(contact=contact).count() == 1
    for text in CANARIES:
        assert "contacts" in rows_holding(owner_sql, tenant, text), text

    with tenant.context(actor="user:test", origin="user"):
        erase_contact(contact.pk)
    assert [rows_holding(owner_sql, tenant, text) for text in CANARIES] == [{}] * len(CANARIES)

    hubspot.edit(link.crm_record_id, company=f"{company} again")
    with pytest.raises(AssertionError):
        hubspot.add({"email": email})  # HubSpot keeps addresses unique, so a second record of the person has another
    second = hubspot.add({"firstname": name, "email": f"second-{email}"})[0]
    hubspot.back_door("DELETE", f"records/{link.crm_record_id}")
    hubspot.edit(second, email=email)
    assert run(tenant, connection_id).status == "completed"
    assert [rows_holding(owner_sql, tenant, text) for text in CANARIES] == [{}] * len(CANARIES)
    with tenant.context():
        assert Contact.objects.live().count() == 3
