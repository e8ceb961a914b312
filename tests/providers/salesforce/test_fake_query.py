"""SOQL: what is found, in which order, on which page, and how a bad query is refused."""

from __future__ import annotations

from urllib.parse import quote_plus

import pytest

from tests.providers.salesforce.fake_org import DATA, NOW, Org


@pytest.fixture
def org() -> Org:
    """Four contacts, ten seconds apart, one of them with an account."""
    found = Org()
    account = found.create("Account", Name="Acme")
    for last, more in (
        ("Adams", {"Email": "ADA@x.example", "AccountId": account, "DoNotCall": True}),
        ("Brown", {"Title": "50% off_now"}),
        ("Clark", {"Email": "c@x.example", "Birthdate": "1990-02-28", "Title": "O'Neil"}),
        ("Dean", {"Title": "boss"}),
    ):
        found.create(LastName=last, **more)
        found.clock.advance(10)
    return found


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("Email = 'ada@X.example'", ["Adams"]),
        ("Email != 'ada@x.example'", ["Brown", "Clark", "Dean"]),
        ("Email = null", ["Brown", "Dean"]),
        ("Email = ''", ["Brown", "Dean"]),
        ("Email <> null", ["Adams", "Clark"]),
        ("LastName IN ('adams', 'DEAN', 'x')", ["Adams", "Dean"]),
        ("LastName NOT IN ('Adams', 'Brown')", ["Clark", "Dean"]),
        ("LastName LIKE '%r%'", ["Brown", "Clark"]),
        ("LastName LIKE '_e%'", ["Dean"]),
        ("Title LIKE '50\\% off\\_%'", ["Brown"]),
        ("Title = 'O\\'Neil'", ["Clark"]),
        ("DoNotCall = true", ["Adams"]),
        ("Birthdate < 1990-03-01", ["Clark"]),
        ("SystemModstamp > 2026-09-21T14:13:30Z", ["Clark", "Dean"]),
        ("SystemModstamp >= 2026-09-21T15:13:40.000+01:00", ["Clark", "Dean"]),
        (
            "SystemModstamp > 2026-09-21T14:13:40Z OR (SystemModstamp = 2026-09-21T14:13:30Z AND Title != null)",
            ["Brown", "Dean"],
        ),
        ("(Title = 'boss' OR LastName = 'Adams') AND NOT (Email = null)", ["Adams"]),
        ("NOT LastName LIKE 'a%'", ["Brown", "Clark", "Dean"]),
        ("Account.Name = 'acme'", ["Adams"]),
        ("Account.Name = null", ["Brown", "Clark", "Dean"]),
        ("AccountId IN (SELECT Id FROM Account WHERE Name = 'Acme')", ["Adams"]),
        ("CreatedDate = TODAY AND LastName > 'Brown'", ["Clark", "Dean"]),
        ("CreatedDate > LAST_N_DAYS:1 and createddate < tomorrow AND contact.lastname = 'Dean'", ["Dean"]),
        ("Id = '003000000000000'", []),
    ],
)
def test_a_condition_finds_what_it_says(org, where, expected):
    """Text ignores case, != finds empty fields, times compare in UTC, parents are followed."""
    assert org.names(where) == expected


def test_ids_are_found_in_both_lengths(org):
    """Ids compare with their case, in 15 and in 18 characters."""
    record_id = org.rows("SELECT Id FROM Contact WHERE LastName = 'Dean'")[0]["Id"]
    assert org.names(f"Id = '{record_id[:15]}'") == org.names(f"Id IN ('{record_id}')") == ["Dean"]
    first, *_, last = org.rows("SELECT Id FROM Contact ORDER BY Id")
    assert len(org.names(f"Id > '{first['Id']}'")) == 3
    assert org.names(f"Id >= '{last['Id']}'") == ["Dean"]


def test_rows_are_shaped_as_salesforce_shapes_them(org):
    """Parents are objects with attributes, a missing one is null, stamps have no colon in their offset."""
    soql = "SELECT Id, Account.Name, Owner.Name, SystemModstamp, DoNotCall FROM Contact ORDER BY LastName LIMIT 2"
    answer = org.ask(soql).json()
    first, second = answer["records"]
    assert (answer["totalSize"], answer["done"], "nextRecordsUrl" in answer) == (2, True, False)
    assert first["attributes"] == {"type": "Contact", "url": f"{DATA}/sobjects/Contact/{first['Id']}"}
    assert (first["Account"]["Name"], first["Account"]["attributes"]["type"]) == ("Acme", "Account")
    assert (first["SystemModstamp"], first["DoNotCall"]) == (NOW, True)
    assert first["Owner"]["Name"] == "Integration User"
    assert second["Account"] is None


def test_order_limit_offset_and_nulls(org):
    """Nulls come first unless asked; several keys; offset after order."""
    ordered = [
        row["LastName"]
        for row in org.rows("SELECT LastName FROM Contact ORDER BY Email DESC NULLS LAST, LastName DESC")
    ]
    assert ordered == ["Clark", "Adams", "Dean", "Brown"]
    ordered = [row["LastName"] for row in org.rows("SELECT LastName FROM Contact ORDER BY Email, LastName DESC")]
    assert ordered == ["Dean", "Brown", "Adams", "Clark"]
    page = org.rows("SELECT LastName FROM Contact ORDER BY LastName LIMIT 2 OFFSET 1")
    assert [row["LastName"] for row in page] == ["Brown", "Clark"]


def test_counts_and_aggregates(org):
    """COUNT() is a total without rows; COUNT(field) leaves out empty ones."""
    assert org.ask("SELECT COUNT() FROM Contact WHERE Title != null").json() == {
        "totalSize": 3,
        "done": True,
        "records": [],
    }
    assert org.rows("SELECT COUNT(Email) mails, MAX(SystemModstamp) FROM Contact") == [
        {"mails": 2, "expr0": "2026-09-21T14:13:50.000+0000"}
    ]


@pytest.mark.parametrize(
    ("soql", "code", "end"),
    [
        (
            "SELECT Foo FROM Lead",
            "INVALID_FIELD",
            (
                "\nSELECT Foo FROM Lead\n       ^\nERROR at Row:1:Column:8\nNo such column 'Foo' on entity 'Lead'. "
                "If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. "
                "Please reference your WSDL or the describe call for the appropriate names."
            ),
        ),
        (
            "SELECT Id FROM Contact WHERE Email = 'a' AND Title = 'b' OR Title = 'c'",
            "MALFORMED_QUERY",
            "unexpected token: 'OR'",
        ),
        ("SELECT Id FROM Contact WHERE", "MALFORMED_QUERY", "unexpected token: <EOF>"),
        ("SELECT Id Contact", "MALFORMED_QUERY", "unexpected token: 'Contact'"),
        ("SELECT Id FROM Contact WHERE Email = 'a", "MALFORMED_QUERY", "expecting '''"),
        ("SELECT Id FROM Contact WHERE Email = 'a\\x'", "MALFORMED_QUERY", "bBfFnNrRtTuU'\"_%\\"),
        ("SELECT Id FROM Contact; DROP", "MALFORMED_QUERY", "character ';'"),
        ("SELECT Id, id FROM Contact", "INVALID_FIELD", "duplicate field selected: id"),
        ("SELECT Nope.Name FROM Contact", "INVALID_FIELD", "the appropriate names."),
        (
            "SELECT Id FROM Contact WHERE Email = 3",
            "INVALID_FIELD",
            "for field 'Email' must be of type string and should be enclosed in quotes",
        ),
        (
            "SELECT Id FROM Contact WHERE SystemModstamp > '2026-01-01T00:00:00Z'",
            "INVALID_FIELD",
            "for field 'SystemModstamp' must be of type dateTime and should not be enclosed in quotes",
        ),
        ("SELECT Id FROM Contact WHERE Description = 'x'", "INVALID_FIELD", "can not be filtered in a query call"),
        ("SELECT Id FROM Contact ORDER BY Description", "MALFORMED_QUERY", "can not be sorted in a query call"),
        ("SELECT Id FROM Contact WHERE AccountId = 'x'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: x"),
        ("SELECT Id FROM Contact OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "maximum SOQL offset allowed is 2000"),
    ],
)
def test_a_bad_query_is_refused_with_its_place(org, soql, code, end):
    """400 with a caret-style message and the right code."""
    answer = org.ask(soql)
    (entry,) = answer.json()
    assert (answer.status_code, entry["errorCode"], set(entry)) == (400, code, {"errorCode", "message"})
    assert entry["message"].endswith(end)


def test_an_unknown_object_is_an_invalid_type(org):
    """INVALID_TYPE names the object."""
    (entry,) = org.ask("SELECT Id FROM Nope__c").json()
    assert entry["errorCode"] == "INVALID_TYPE"
    assert "sObject type 'Nope__c' is not supported." in entry["message"]


def test_pages_follow_the_locator_to_the_end(org):
    """totalSize is the whole; the last page has no address; a wrong or old locator is refused."""
    org.settings(maxPage=3)
    first = org.ask("SELECT LastName FROM Contact ORDER BY LastName").json()
    assert (first["totalSize"], first["done"], len(first["records"])) == (4, False, 3)
    path = first["nextRecordsUrl"]
    assert path.startswith(f"{DATA}/query/0r8")
    assert (path.endswith("-3"), len(path.rpartition("/")[2].partition("-")[0])) == (True, 18)
    second = org.call("GET", path).json()
    assert (second["done"], [row["LastName"] for row in second["records"]]) == (True, ["Dean"])
    assert "nextRecordsUrl" not in second
    org.clock.advance(2 * 86_400)
    for bad in (path, f"{DATA}/query/0r8000000000000000-3"):
        answer = org.call("GET", bad)
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")


def test_a_page_holds_2000_rows_and_fewer_with_long_text():
    """2,000 by default, 1,000 with Description, and what batchSize asks for between 200 and 2,000."""
    org = Org()
    org.person("POST", "bulk", {"records": [{"LastName": f"P{number}"} for number in range(2_050)]})
    sizes = {
        soql: len(org.ask(soql).json()["records"])
        for soql in ("SELECT Id FROM Contact", "SELECT Id, Description FROM Contact")
    }
    assert list(sizes.values()) == [2_000, 1_000]
    for asked, given in (("500", 500), ("7", 200), ("9000", 2_000)):
        answer = org.ask("SELECT Id FROM Contact", headers={"Sforce-Query-Options": f"batchSize={asked}"})
        assert len(answer.json()["records"]) == given


def test_a_late_row_appears_with_a_stamp_of_the_past(org):
    """A long transaction: the row is nowhere until it ends, then everywhere, with its earlier stamp."""
    late = {"fields": {"LastName": "Late", "Email": "late@x.example"}, "visibleAfterSeconds": 120}
    late_id = org.person("POST", "records", late)["Id"]
    stamp = org.person("GET", f"records/{late_id}")["SystemModstamp"]
    assert org.names("Email = 'late@x.example'") == []
    assert org.call("GET", f"/sobjects/Contact/{late_id}").status_code == 404
    org.clock.advance(120)
    assert org.names("Email = 'late@x.example'") == ["Late"]
    assert org.fields(late_id, "SystemModstamp") == {"SystemModstamp": stamp}


def test_a_late_change_shows_the_old_values_until_it_ends(org):
    """Readers see the state before the transaction, whichever way they look."""
    record_id = org.rows("SELECT Id FROM Contact WHERE LastName = 'Clark'")[0]["Id"]
    change = {"fields": {"Email": "new@x.example"}, "visibleAfterSeconds": 60}
    org.person("PATCH", f"records/{record_id}", change)
    assert (org.names("Email = 'c@x.example'"), org.names("Email = 'new@x.example'")) == (["Clark"], [])
    assert org.fields(record_id, "Email") == {"Email": "c@x.example"}
    org.clock.advance(61)
    assert (org.names("Email = 'c@x.example'"), org.names("Email = 'new@x.example'")) == ([], ["Clark"])


def test_too_long_an_address_is_refused_and_fits_in_a_composite_call(org):
    """414 above 16,384 bytes; the same query is answered inside a composite call."""
    soql = (
        "SELECT Id FROM Contact WHERE LastName IN ('Dean',"
        + ",".join(f"'{number:0>20}'" for number in range(900))
        + ")"
    )
    assert org.ask(soql).status_code == 414
    call = {"method": "GET", "url": f"{DATA}/query?q={quote_plus(soql)}", "referenceId": "q"}
    found = org.call("POST", "/composite", {"compositeRequest": [call]}).json()["compositeResponse"][0]
    assert (found["httpStatusCode"], found["body"]["totalSize"]) == (200, 1)


def test_an_answer_is_compressed_for_who_takes_it(org):
    """gzip on request, the plain text otherwise."""
    large = org.call("GET", "/sobjects/Contact/describe", headers={"Accept-Encoding": "gzip"})
    small = org.call("GET", "/sobjects/Contact/describe", headers={"Accept-Encoding": "identity"})
    assert (large.headers["Content-Encoding"], "Content-Encoding" in small.headers) == ("gzip", False)
    assert large.json() == small.json()
