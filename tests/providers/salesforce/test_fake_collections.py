"""Up to 200 records a call: a row for each, in order, with its own kind of error."""

from __future__ import annotations

import pytest

from tests.providers.salesforce.fake_org import DATA, EXTERNAL_ID, Org


def row(kind="Contact", **fields):
    return {"attributes": {"type": kind}, **fields}


def save(org, method, rows, path="/composite/sobjects", **more):
    return org.call(method, path, {"records": rows, **more})


def failed(code, message, *fields):
    return {"success": False, "errors": [{"statusCode": code, "message": message, "fields": list(fields)}]}


REQUIRED = failed("REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]", "LastName")


def test_each_row_has_its_answer_in_order():
    """200 although one failed; a row error says statusCode and has no id."""
    org = Org()
    answer = save(org, "POST", [row(LastName="A"), row(), row("Lead", LastName="B", Company="C")])
    first, second, third = answer.json()
    assert answer.status_code == 200
    assert first == {"id": first["id"], "success": True, "errors": []}
    assert second == REQUIRED
    assert third["id"].startswith("00Q")


def test_all_or_none_rolls_the_innocent_back():
    """Nothing stays, not in the journal either; a failed row keeps its own reason."""
    org = Org()
    answer = save(org, "POST", [row(LastName="A"), row()], allOrNone=True)
    rolled_back = failed(
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "Record rolled back because not all records were valid and the request was using AllOrNone header",
    )
    assert answer.json() == [rolled_back, REQUIRED]
    assert org.names("Id != null") == []
    assert org.person("GET", "journal")["results"] == []
    record_id = org.create(Title="before")
    answer = save(org, "PATCH", [row(id=record_id, Title="after"), row(id="003000000000000")], allOrNone=True)
    assert answer.json()[0] == rolled_back
    assert org.fields(record_id, "Title") == {"Title": "before"}


def test_updates_name_their_record_in_either_case():
    """``id`` and ``Id`` are taken, in 15 or 18 characters; a missing or foreign id fails its row."""
    org = Org()
    one, two, gone = org.create(), org.create(), org.create()
    org.call("DELETE", f"/sobjects/Contact/{gone}")
    rows = [
        row(id=one[:15], Title="1"),
        row(Id=two, Title="2"),
        row(Title="3"),
        row(id="001000000000000AAA"),
        row(id="003000000000000AAA"),
        row(id=gone, Title="x"),
    ]
    answer = save(org, "PATCH", rows).json()
    assert [each.get("id") for each in answer] == [one, two, None, None, None, None]
    codes = [each["errors"][0]["statusCode"] for each in answer[2:]]
    assert codes == ["MISSING_ARGUMENT", "MALFORMED_ID", "INVALID_CROSS_REFERENCE_KEY", "ENTITY_IS_DELETED"]
    assert org.names("Title != null") == ["Lovelace", "Lovelace"]


def test_upserts_by_external_id_say_what_was_created():
    """The value stands in each row; a row without it, and one with a used value of another type, fail alone."""
    org = Org()
    path = f"/composite/sobjects/Contact/{EXTERNAL_ID}"
    first = save(org, "PATCH", [row(**{EXTERNAL_ID: "a"}, LastName="A")], path).json()[0]
    rows = [row(**{EXTERNAL_ID: "a"}, LastName="A2"), row(**{EXTERNAL_ID: "b"}, LastName="B"), row(LastName="C")]
    again, created, without = save(org, "PATCH", rows, path).json()
    assert (first["created"], again["created"], created["created"]) == (True, False, True)
    assert again["id"] == first["id"]
    assert without == failed("MISSING_ARGUMENT", f"{EXTERNAL_ID} not specified")
    assert org.names("Id != null") == ["A2", "B"]
    answer = save(org, "PATCH", [row(LastName="x")], "/composite/sobjects/Contact/Nope__c")
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (404, "NOT_FOUND")


def test_deletes_mix_types_and_report_missing_ones():
    """Ids come in the address; the second delete of one record fails."""
    org = Org()
    contact, lead = org.create(), org.create("Lead", LastName="x", Company="y")
    path = f"/composite/sobjects?ids={contact},{lead}&allOrNone=false"
    assert [each["success"] for each in org.call("DELETE", path).json()] == [True, True]
    again = org.call("DELETE", path).json()
    assert again == [failed("ENTITY_IS_DELETED", "entity is deleted")] * 2
    bad = org.call("DELETE", "/composite/sobjects?ids=zzz,003000000000000AAA").json()
    assert [each["errors"][0]["statusCode"] for each in bad] == ["MALFORMED_ID", "INVALID_CROSS_REFERENCE_KEY"]


def test_retrieve_keeps_the_order_and_says_null_for_the_missing():
    """One unknown field fails the whole call; the same by GET and by POST."""
    org = Org()
    one, gone = org.create(Title="a"), org.create()
    org.call("DELETE", f"/sobjects/Contact/{gone}")
    body = {"ids": [gone, one[:15], "nothing"], "fields": ["Title"]}
    found = org.call("POST", "/composite/sobjects/Contact", body).json()
    shown = {"attributes": {"type": "Contact", "url": f"{DATA}/sobjects/Contact/{one}"}, "Title": "a", "Id": one}
    assert found == [None, shown, None]
    assert org.call("GET", f"/composite/sobjects/Contact?ids={gone},{one}&fields=Title").json() == [None, shown]
    answer = org.call("POST", "/composite/sobjects/Contact", {**body, "fields": ["Title", "Nope__c"]})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_FIELD")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"records": [row(LastName="x")] * 201}, "LIMIT_EXCEEDED"),
        ({"records": [row(kind, LastName="x", Company="y") for kind in ("Contact", "Lead") * 6]}, "INVALID_INPUT"),
        ({"records": "x"}, "JSON_PARSER_ERROR"),
        ([], "JSON_PARSER_ERROR"),
    ],
)
def test_a_call_that_is_too_large_or_misshapen_writes_nothing(body, code):
    """More than 200 rows or more than ten chunks of one type fail whole."""
    org = Org()
    answer = org.call("POST", "/composite/sobjects", body)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)
    assert org.names("Id != null") == []


def test_attributes_come_first_in_each_row():
    """A row without them, or with them last, is a JSON error of that row."""
    org = Org()
    answer = save(org, "POST", [{"LastName": "x"}, {"LastName": "x", "attributes": {"type": "Contact"}}])
    message = "Nested object for polymorphic foreign key must have an attributes field before any other fields."
    assert answer.json() == [failed("JSON_PARSER_ERROR", message)] * 2


def test_a_body_that_is_no_json_is_a_parser_error():
    """Half a body changes nothing."""
    answer = Org().call("POST", "/composite/sobjects", data=b'{"records": [')
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")


def test_composite_calls_refer_to_earlier_answers():
    """A later call uses an id of an earlier one; a failed dependency halts what needs it, not the rest."""
    org = Org()
    calls = [
        {"method": "POST", "url": f"{DATA}/sobjects/Account", "referenceId": "a", "body": {"Name": "Acme"}},
        {
            "method": "POST",
            "url": f"{DATA}/sobjects/Contact",
            "referenceId": "c",
            "body": {"LastName": "x", "AccountId": "@{a.id}"},
        },
        {"method": "POST", "url": f"{DATA}/sobjects/Contact", "referenceId": "bad", "body": {}},
        {"method": "GET", "url": f"{DATA}/sobjects/Contact/@{{bad.id}}", "referenceId": "halted"},
        {"method": "GET", "url": f"{DATA}/sobjects/Contact/@{{c.id}}?fields=LastName", "referenceId": "read"},
    ]
    found = org.call("POST", "/composite", {"compositeRequest": calls}).json()["compositeResponse"]
    assert [each["httpStatusCode"] for each in found] == [201, 201, 400, 400, 200]
    assert found[3]["body"][0]["errorCode"] == "PROCESSING_HALTED"
    assert found[1]["httpHeaders"]["Location"].endswith(found[4]["body"]["Id"])
    assert org.rows("SELECT Account.Name FROM Contact")[0]["Account"]["Name"] == "Acme"


def test_a_composite_call_of_all_or_none_leaves_nothing():
    """One failed subrequest rolls the others back."""
    org = Org()
    calls = [
        {"method": "POST", "url": f"{DATA}/sobjects/Contact", "referenceId": "a", "body": {"LastName": "x"}},
        {"method": "POST", "url": f"{DATA}/sobjects/Contact", "referenceId": "b", "body": {}},
    ]
    body = {"allOrNone": True, "compositeRequest": calls}
    found = org.call("POST", "/composite", body).json()["compositeResponse"]
    assert [each["body"][0]["errorCode"] for each in found] == ["PROCESSING_HALTED", "REQUIRED_FIELD_MISSING"]
    assert org.names("Id != null") == []
    too_many = {"compositeRequest": [{**calls[0], "referenceId": f"r{number}"} for number in range(26)]}
    assert org.call("POST", "/composite", too_many).status_code == 400


def test_a_batch_halts_after_an_error_when_asked():
    """Later calls are skipped with 412."""
    org = Org()
    calls = [{"method": "GET", "url": "v59.0/limits"}, {"method": "GET", "url": "v59.0/sobjects/Nope/describe"}]
    found = org.call("POST", "/composite/batch", {"batchRequests": [*calls, calls[0]], "haltOnError": True}).json()
    assert (found["hasErrors"], [each["statusCode"] for each in found["results"]]) == (True, [200, 404, 412])
    found = org.call("POST", "/composite/batch", {"batchRequests": [*calls, calls[0]]}).json()
    assert [each["statusCode"] for each in found["results"]] == [200, 404, 200]
