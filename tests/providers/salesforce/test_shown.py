"""What a record shows and what it hides: fields, accounts, leads, person accounts, the marker, other objects."""

from __future__ import annotations

import pytest
import requests
import responses

from crm.errors import (
    OutcomeUnknownError,
    PermissionMissingError,
    RecordGoneError,
    UnexpectedAnswerError,
)
from crm.http.redact import shape_of
from crm.model import RemoteState
from crm.ports import CreateItem, UpdateItem
from crm.providers.salesforce.mapping import MARKER_FIELD
from crm.providers.salesforce.wire import PERSON_ACCOUNT
from tests.providers.salesforce.calls import ALL, COMPOSITE, DESCRIBE, FIELDS, QUERY, STARTED, people, walked
from tests.providers.salesforce.stand import SalesforceStand, salesforce_stand


def test_a_hidden_field_is_unknown_and_never_blank(stand: SalesforceStand) -> None:
    """Field-level security withholds the opt-out: the app's own is not touched by a blank."""
    (remote_id,) = stand.add([{"LastName": "Ada", "HasOptedOutOfEmail": True}])
    stand.back_door("POST", "fields/access", {"object": "Contact", "name": "HasOptedOutOfEmail", "access": "hidden"})
    connector = stand.connector(definitions={})
    assert "HasOptedOutOfEmail" not in {each.name for each in connector.describe("Contact")}
    record = connector.fetch("Contact", [remote_id], ["LastName", "HasOptedOutOfEmail"])[remote_id]
    assert dict(record.values) == {"LastName": "Ada"}


def test_a_field_hidden_since_the_description_costs_one_more_look(stand: SalesforceStand) -> None:
    """The query fails as a whole, the description is read again, and the field is unknown from then on."""
    (remote_id,) = stand.add([{"LastName": "Ada", "HasOptedOutOfEmail": True}])
    stand.back_door("POST", "fields/access", {"object": "Contact", "name": "HasOptedOutOfEmail", "access": "hidden"})
    connector = stand.connector()
    page, received = stand.counted(lambda: connector.scan("Contact", FIELDS, None))
    assert dict(page.records[0].values) == {
        "FirstName": None, "LastName": "Ada", "Email": None, "Account.Name": None,
    }  # fmt: skip
    assert received == {QUERY: 2, DESCRIBE: 1}
    _, received = stand.counted(lambda: connector.fetch("Contact", [remote_id], FIELDS))
    assert received == {ALL: 1}


def test_without_access_to_accounts_the_company_is_unknown(stand: SalesforceStand) -> None:
    """The reference that leads to the account is hidden, so its name is no field any more."""
    stand.add(people(1))
    stand.back_door("POST", "fields/access", {"object": "Contact", "name": "AccountId", "access": "hidden"})
    for connector in (stand.connector(), stand.connector(definitions={})):
        record = connector.scan("Contact", FIELDS, None).records[0]
        assert "Account.Name" not in record.values
        assert record.values["LastName"] == "P0"


@responses.activate
def test_a_relation_that_cannot_be_followed_is_left_out_like_a_hidden_field(stand: SalesforceStand) -> None:
    """The account's id is described, but the user may not see accounts."""
    base = "https://acme.my.salesforce.com/services/data/v59.0"
    refused = [{"errorCode": "INVALID_FIELD", "message": "Didn't understand relationship 'Account' in field path."}]
    described = {"fields": [{"name": "LastName", "type": "string"}, {"name": "AccountId", "type": "reference"}]}
    responses.add("GET", f"{base}/query", json=refused, status=400)
    responses.add("GET", f"{base}/sobjects/Contact/describe", json=described)
    responses.add("GET", f"{base}/query", json={"totalSize": 0, "done": True, "records": []})
    settings = {"instance_url": "https://acme.my.salesforce.com"}
    connector = stand.connector(definitions={}, settings=settings, session=requests.Session())
    connector.prepare("Contact")
    assert connector.scan("Contact", ["LastName", "Account.Name"], None).records == ()
    asked = [call.request.params["q"] for call in responses.calls if "q" in call.request.params]
    assert ["Account.Name" in each for each in asked] == [True, False]


def test_contacts_and_leads_are_described_by_one_request(stand: SalesforceStand) -> None:
    """And anew when they are asked for again; one that is hidden is told of when it is asked for."""
    connector = stand.connector(definitions={})
    for _ in range(2):
        found, received = stand.counted(lambda: {name: connector.describe(name) for name in ("Contact", "Lead")})
        assert received == {COMPOSITE: 1}
        assert found == stand.definitions
    stand.back_door("POST", "settings", {"hiddenObjects": ["Lead"]})
    assert connector.describe("Contact") == stand.definitions["Contact"]
    with pytest.raises(RecordGoneError):
        connector.describe("Lead")


def test_a_hidden_object_is_a_lack_of_permission(stand: SalesforceStand) -> None:
    stand.back_door("POST", "settings", {"hiddenObjects": ["Lead"]})
    with pytest.raises(PermissionMissingError) as caught:
        stand.connector().scan("Lead", ["LastName"], None)
    assert caught.value.code == "perm.object"


def test_the_company_is_the_accounts_name(stand: SalesforceStand) -> None:
    (account,) = stand.add([{"Name": "Acme"}], "Account")
    stand.add([{"LastName": "In", "AccountId": account}, {"LastName": "Out"}])
    records = walked(lambda after: stand.connector().scan("Contact", ["LastName", "Account.Name"], after))
    assert [dict(record.values) for record in records] == [
        {"LastName": "In", "Account.Name": "Acme"},
        {"LastName": "Out", "Account.Name": None},
    ]


def test_leads_are_read_as_contacts_are(stand: SalesforceStand) -> None:
    """And a converted one leads to the contact it became."""
    open_id, converted_id = stand.add(
        [{"LastName": "Open", "Company": "Acme"}, {"LastName": "Done", "Company": "Acme"}], "Lead"
    )
    stand.pass_time(5)
    made = stand.back_door("POST", "convert", {"leadId": converted_id})
    contact_id = made["lead"]["ConvertedContactId"]
    connector = stand.connector()
    fields = ["LastName", "Company"]
    for records in (
        walked(lambda after: connector.scan("Lead", fields, after)),
        walked(lambda after: connector.changes("Lead", fields, STARTED, after)),
        connector.fetch("Lead", [open_id, converted_id], fields).values(),
    ):
        found = {record.remote_id: record for record in records}
        assert found[open_id].state is RemoteState.LIVE
        assert dict(found[open_id].values) == {"LastName": "Open", "Company": "Acme"}
        assert found[converted_id].state is RemoteState.MERGED
        assert found[converted_id].merged_into == f"Contact:{contact_id}"
    assert connector.fetch("Lead", [f"Contact:{contact_id}", open_id], fields).keys() == {open_id}
    error = connector.update("Lead", [UpdateItem("k", converted_id, {"Title": "CTO"})])["k"].error
    assert (error.code, error.merged_into) == ("state.converted", f"Contact:{contact_id}")


def test_person_accounts_carry_a_reason_to_be_skipped(stand: SalesforceStand) -> None:
    stand.set_up(personAccounts=True)
    stand.add([{"LastName": "Person", "FirstName": "Ada"}], "Account")
    stand.add([{"LastName": "Plain"}])
    found = walked(lambda after: stand.connector().scan("Contact", ["LastName"], after))
    reasons = {record.values["LastName"]: record.skip_reason for record in found}
    assert reasons == {"Person": PERSON_ACCOUNT, "Plain": ""}


# the marker


def test_prepare_says_whether_an_administrator_has_made_the_marker_field(stand: SalesforceStand) -> None:
    """It cannot be made by us: one description, nothing written."""
    found, received = stand.counted(lambda: stand.connector().prepare("Contact"))
    assert (found, received) == (True, {DESCRIBE: 1})
    with salesforce_stand(marked=False) as bare:
        connector = bare.connector()
        assert not connector.capabilities.marker_lookup
        assert not connector.prepare("Contact")
        assert not connector.capabilities.marker_lookup
        assert connector.find_by_markers("Contact", ["org:1"], FIELDS).get("org:1") is None


def test_a_marker_field_that_is_not_unique_is_none() -> None:
    """It could lead to two records."""
    with salesforce_stand(marked=False) as stand:
        body = {"object": "Contact", "name": MARKER_FIELD, "type": "string", "length": 80, "externalId": True}
        stand.back_door("POST", "fields", body)
        connector = stand.connector()
        assert not connector.prepare("Contact")
        connector.create("Contact", [CreateItem("k", "org:1", {"LastName": "Ada"})])
        assert [record[MARKER_FIELD] for record in stand.records()] == [None]


def test_marked_records_are_found_by_one_direct_query(stand: SalesforceStand) -> None:
    connector = stand.connector()
    made = connector.create("Contact", [CreateItem("k", "org:a'b", {"LastName": "Ada"})])["k"].record
    connector.create("Contact", [CreateItem(f"k{n}", f"org:{n}", {"LastName": f"P{n}"}) for n in range(3)])
    markers = ["org:a'b", "ORG:A'B", "org:0", "org:2", "org:9"]
    found, received = stand.counted(lambda: connector.find_by_markers("Contact", markers, ["LastName"]))
    marked = found["org:a'b"]
    assert (marked.remote_id, marked.marker, dict(marked.values)) == (made.remote_id, "org:a'b", {"LastName": "Ada"})
    assert (set(found), received) == ({"org:a'b", "org:0", "org:2"}, {QUERY: 1})


@pytest.mark.parametrize(
    ("record_type", "values", "change"),
    [
        ("Opportunity", {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2026-12-31"}, {"NextStep": "Call"}),
        ("Task", {"Subject": "Call", "Status": "Not Started", "Priority": "Normal"}, {"Subject": "Called"}),
        ("Lead", {"LastName": "Ada", "Company": "Acme"}, {"Title": "CTO"}),
    ],
)
def test_other_objects_go_through_the_same_calls(stand: SalesforceStand, record_type, values, change) -> None:
    """Describe, create, list, change, read, delete."""
    connector = stand.connector()
    assert {*values, *change} <= {each.name for each in connector.describe(record_type)}
    made = connector.create(record_type, [CreateItem("k", "org:1", values)])["k"].record
    names = [*values, *change]
    assert [each.remote_id for each in connector.scan(record_type, names, None).records] == [made.remote_id]
    assert connector.update(record_type, [UpdateItem("k", made.remote_id, change)])["k"].error is None
    (changed,) = connector.changes(record_type, names, STARTED, None).records
    assert dict(changed.values) == {**values, **change}
    assert connector.delete(record_type, [UpdateItem("k", made.remote_id, {})])["k"].error is None
    assert connector.fetch(record_type, [made.remote_id], names)[made.remote_id].state is RemoteState.ARCHIVED


def test_an_expired_session_is_renewed_once_and_the_call_repeated(stand: SalesforceStand) -> None:
    """A token has no stated lifetime: the refusal is how one learns of its end."""
    ids = stand.add(people(2))
    renewed: list[str] = []
    stand.fail("unauthorized")
    connector = stand.connector(reauthorize=lambda: renewed.append("once"))
    assert [record.remote_id for record in connector.scan("Contact", FIELDS, None).records] == ids
    assert (renewed, connector.calls) == (["once"], 2)


def test_a_long_list_of_fields_travels_in_a_body(stand: SalesforceStand) -> None:
    """Hundreds of mapped fields would not fit into an address; the page stays one request."""
    names = [f"Rather_long_name_of_a_field_{number:03}__c" for number in range(350)]
    for name in names:
        stand.back_door("POST", "fields", {"object": "Contact", "name": name, "type": "string", "length": 20})
    stand.learn()
    (remote_id,) = stand.add([{"LastName": "Ada", names[349]: "x"}])
    connector = stand.connector()
    for step in (
        lambda: connector.scan("Contact", names, None).records,
        lambda: connector.changes("Contact", names, STARTED, None).records,
        lambda: connector.fetch("Contact", [remote_id], names).values(),
    ):
        (record,), received = stand.counted(lambda step=step: list(step()))
        assert (record.values[names[349]], received) == ("x", {COMPOSITE: 1})


@responses.activate
def test_calls_say_who_sends_them_and_writes_keep_automation_out(stand: SalesforceStand) -> None:
    """The name shows in the customer's logs and change events; assignment rules are switched off."""
    base = "https://acme.my.salesforce.com/services/data/v59.0"
    responses.add("GET", f"{base}/query", json={"totalSize": 0, "done": True, "records": []})
    responses.add("PATCH", f"{base}/composite/sobjects", json=[{"id": "003aj000002oTldAAE", "success": True}])
    settings = {"instance_url": "https://acme.my.salesforce.com"}
    connector = stand.connector(settings=settings, session=requests.Session())
    connector.scan("Contact", FIELDS, None)
    connector.update("Contact", [UpdateItem("k", "003aj000002oTldAAE", {"Title": "x"})])
    read, written = (call.request.headers for call in responses.calls)
    assert (read["Sforce-Call-Options"], written["Sforce-Call-Options"]) == ("client=ADSapp", "client=ADSapp")
    assert written["Sforce-Auto-Assign"] == "FALSE"
    assert written["Sforce-Duplicate-Rule-Header"] == "allowSave=false; includeRecordDetails=true"


@pytest.mark.parametrize(
    ("method", "body", "error"),
    [
        ("GET", {"records": []}, UnexpectedAnswerError),
        ("GET", {"done": True, "records": [{"LastName": "no id"}]}, UnexpectedAnswerError),
        ("GET", {"done": False, "records": [], "nextRecordsUrl": "https://evil.example/x"}, UnexpectedAnswerError),
        (
            "GET",
            {"totalSize": 0, "done": False, "records": [], "nextRecordsUrl": "/services/data/v59.0/query/x"},
            UnexpectedAnswerError,
        ),
        ("GET", [], UnexpectedAnswerError),
        ("PATCH", [], OutcomeUnknownError),
        ("PATCH", [{"id": "003aj000002oTldAAE"}], OutcomeUnknownError),
        ("PATCH", [{"success": True}], OutcomeUnknownError),
        ("PATCH", [{"id": "1", "success": True}, {"id": "2", "success": True}], OutcomeUnknownError),
        ("PATCH", {"success": True}, OutcomeUnknownError),
    ],
)
@responses.activate
def test_an_answer_of_another_shape_is_neither_empty_nor_done(stand: SalesforceStand, method, body, error) -> None:
    """A read raises; a write may have happened, so its outcome is not known."""
    base = "https://acme.my.salesforce.com/services/data/v59.0"
    responses.add(method, f"{base}/{'query' if method == 'GET' else 'composite/sobjects'}", json=body)
    settings = {"instance_url": "https://acme.my.salesforce.com"}
    connector = stand.connector(settings=settings, session=requests.Session())
    if method == "GET":
        with pytest.raises(error) as caught:
            connector.scan("Contact", FIELDS, None)
        leads_nowhere = isinstance(body, dict) and str(body.get("nextRecordsUrl")).startswith("/")
        assert caught.value.payload == ("" if leads_nowhere else shape_of(body))
    else:
        result = connector.update("Contact", [UpdateItem("k", "003aj000002oTldAAE", {"Title": "x"})])["k"]
        assert type(result.error) is error
