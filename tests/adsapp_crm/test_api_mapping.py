"""GET and PUT /api/crm/mapping: the guide's keys, the linter in front, and all or nothing."""

from __future__ import annotations

import pytest

from adsapp_crm.models import (
    Contact,
    CrmConnection,
    CrmFieldMapping,
    CrmMappingVersion,
    CrmSyncState,
    Membership,
)
from adsapp_crm.services.mappings import described
from crm.model import FieldDefinition

pytestmark = pytest.mark.django_db(transaction=True)

FIELDS = [
    FieldDefinition("firstname", "First name", "name", "string"),
    FieldDefinition("lastname", "Last name", "name", "string"),
    FieldDefinition("email", "E-mail", "email", "string"),
    FieldDefinition("createdate", "Created", "datetime", "datetime", writable=False),
    FieldDefinition("score", "Score", "number", "number"),
    FieldDefinition("tier", "Tier", "choice", "enumeration", options=(("gold", "Gold"), ("tin", "Tin"))),
]


@pytest.fixture
def connection(tenant):
    with tenant.context():
        return CrmConnection.objects.create(crm_type="hubspot", schema=described({"contacts": FIELDS}))


def put(browser, *rows, **more):
    body = {"crmType": "hubspot", "mappings": list(rows), **more}
    return browser.put("/api/crm/mapping", body, content_type="application/json")


def row(app_field, remote_field, **more):
    return {"adsappField": app_field, "crmField": remote_field, **more}


def stored(tenant):
    with tenant.context():
        rows = CrmFieldMapping.objects.filter(deleted_at__isnull=True).order_by("position")
        return [(each.adsapp_field, each.crm_field, each.direction) for each in rows]


def test_rows_are_replaced_and_those_that_stay_keep_their_id(browser, tenant, connection):
    """A row's id carries the agreed values of every link, so a pair that stays is the same row."""
    first = put(browser, row("firstName", "firstname"), row("email", "email")).json()
    kept = first["mappings"][1]["id"]

    second = put(browser, row("email", "email", direction="to_crm"), row("lastName", "lastname")).json()

    assert [each["adsappField"] for each in second["mappings"]] == ["email", "lastName"]
    assert second["mappings"][0]["id"] == kept
    assert (first["version"], second["version"]) == (1, 2)
    assert stored(tenant) == [("email", "email", "to_crm"), ("lastName", "lastname", "bidirectional")]
    assert browser.get("/api/crm/mapping?crm_type=hubspot").json() == second
    with tenant.context():
        assert CrmMappingVersion.objects.count() == 2


def test_what_was_read_can_be_sent_back(browser, connection):
    """A front end reads the rows, changes one and sends all."""
    shown = put(browser, row("firstName", "firstname", blankRule="never")).json()

    again = put(browser, *shown["mappings"])

    assert again.status_code == 200
    assert again.json()["mappings"] == shown["mappings"]


@pytest.mark.parametrize(
    ("wrong", "code", "key"),
    [
        (row("firstName", "no_such_field"), "field.missing", "crmField"),
        (row("shoeSize", "lastname"), "mapping.unknown_field", "adsappField"),
        (row("birthday", "createdate"), "field.readonly", "crmField"),
        (row("emailOptOut", "score"), "field.bad_type", "crmField"),
        (row("lastName", "lastname", transformRule={"steps": [{"step": "levitate"}]}), None, "transformRule"),
        (row("lastName", "email"), "mapping.two_writers", "crmField"),
        (row("lastName", "lastname", recordType="deals"), "config.unsupported", "recordType"),
    ],
)
def test_a_wrong_row_is_named_and_nothing_changes(browser, tenant, connection, wrong, code, key):
    """400, a pointer to the field of the row, its code and the fix; the rows that were there stay."""
    put(browser, row("email", "email"))

    answer = put(browser, row("email", "email"), wrong)
    errors = answer.json()["errors"]

    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert [error["pointer"].split("/")[2:4] for error in errors] == [["1", key]]
    assert code in (None, errors[0]["code"])
    assert errors[0]["fix"]
    assert stored(tenant) == [("email", "email", "bidirectional")]


def test_a_value_that_does_not_come_back_is_shown(browser, tenant, connection):
    """The linter tries real values: the one that breaks the round trip is named to people who may see it."""
    with tenant.context():
        Contact.objects.create(job_title="GOLD")

    answer = put(browser, row("jobTitle", "tier"))
    (error,) = answer.json()["errors"]

    assert (answer.status_code, error["code"]) == (400, "mapping.round_trip")
    assert "'GOLD' -> 'gold'" in error["example"]
    assert stored(tenant) == []


def test_the_guide_s_body_for_salesforce_is_about_its_contacts(browser, tenant):
    """It names no record type; however the database orders the described ones, people are Contacts first."""
    fields = [FieldDefinition("FirstName", "First name", "name", "string")]
    with tenant.context():
        CrmConnection.objects.create(crm_type="salesforce", schema=described({"Lead": fields, "Contact": fields}))

    answer = put(browser, row("firstName", "FirstName", direction="bidirectional"), crmType="salesforce")

    assert [each["recordType"] for each in answer.json()["mappings"]] == ["Contact"]


def test_unknown_keys_are_refused(browser, tenant, connection):
    """A misspelt key would be ignored in silence otherwise."""
    answer = put(browser, row("firstName", "firstname", directon="to_crm"), organization="another")

    assert answer.status_code == 400
    assert [each["pointer"] for each in answer.json()["errors"]] == ["/organization"]
    assert stored(tenant) == []


def test_another_organizations_connection_is_not_there(client, other, connection):
    """404, as if the CRM were not connected at all."""
    client.force_login(other.user)

    answer = client.get("/api/crm/mapping?crm_type=hubspot")

    assert (answer.status_code, answer.json()["code"]) == (404, "connection.unknown")


def test_a_viewer_reads_and_does_not_write(browser, tenant, connection):
    """The role decides, and a refusal changes nothing."""
    with tenant.context():
        Membership.objects.update(role="viewer")

    assert browser.get("/api/crm/mapping?crm_type=hubspot").status_code == 200
    answer = put(browser, row("firstName", "firstname"))
    assert (answer.status_code, answer.json()["code"]) == (403, "request.forbidden")
    assert stored(tenant) == []


def test_the_answer_for_existing_records_is_taken_kept_and_shown(browser, tenant, connection):
    """Without linked records nothing waits; with one, a changed row says what was answered until the next scan."""
    put(browser, row("firstName", "firstname"))
    assert put(browser, row("firstName", "firstname", direction="to_crm")).json()["mappings"][0]["pending"] is None
    with tenant.context():
        contact = Contact.objects.create(first_name="Ada")
        CrmSyncState.objects.create(
            connection=connection, contact=contact, crm_record_type="contacts", crm_record_id="1", state="live"
        )
    rows = [row("firstName", "firstname"), row("email", "email")]
    lint = f"/api/crm/connections/{connection.pk}/mapping-lint"
    asks = browser.post(lint, {"mappings": rows}, content_type="application/json").json()["asks"]
    assert asks == {"adsappFields": ["firstName", "email"], "records": 1}

    first = put(browser, *rows).json()
    assert [each["pending"] for each in first["mappings"]] == ["new", "existing"]
    second = put(browser, *first["mappings"], applyTo="existing").json()
    assert [each["pending"] for each in second["mappings"]] == ["existing", "existing"]
    restore = f"/api/crm/connections/{connection.pk}/mapping-versions/2/restore"
    third = browser.post(restore, {"applyTo": "existing"}, content_type="application/json").json()
    assert [each["pending"] for each in third["mappings"]] == ["existing"]
    assert browser.post(restore, {"applyTo": "all"}, content_type="application/json").status_code == 400
    refused = put(browser, *rows, applyTo="some").json()
    assert [each["pointer"] for each in refused["errors"]] == ["/applyTo"]
