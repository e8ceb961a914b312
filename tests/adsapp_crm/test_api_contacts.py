"""Contacts over the API: found, written, merged, forgotten, exported; refusals change nothing."""

from __future__ import annotations

import csv
import io
import uuid

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from adsapp_crm.models import Contact, ContactChange
from adsapp_crm.services import contact_search
from adsapp_crm.services.contact_import import import_contacts
from adsapp_crm.services.contacts import create_contact, merge_contacts
from adsapp_crm.services.formulas import guarded, unguarded

CONTACTS = "/api/crm/contacts"


@pytest.fixture
def make(tenant):
    def made(**values):
        with tenant.context():
            return create_contact(values)

    return made


def send(browser, method, path, body=None, **headers):
    return getattr(browser, method)(path, body or {}, content_type="application/json", headers=headers)


def problem(answer):
    assert answer["Content-Type"] == "application/problem+json", answer.content
    return answer.status_code, answer.json()["code"]


pytestmark = pytest.mark.django_db(transaction=True)


def test_a_contact_is_made_read_changed_and_deleted(browser, tenant):
    """What was sent is what is told; the ETag is the version."""
    body = {"firstName": "Ann", "email": "ann@example.com", "tags": ["vip"], "customFields": {"tier": "gold"}}

    made = send(browser, "post", CONTACTS, body)
    where = made["Location"]
    changed = send(
        browser, "patch", where, {"lastName": "Bakker", "customFields": {"tier": None}}, **{"If-Match": made["ETag"]}
    )
    read = browser.get(where)
    gone = browser.delete(where, headers={"If-Match": read["ETag"]})

    assert made.status_code == 201
    assert made.json() | body == made.json()
    assert (made["ETag"], changed["ETag"], read["ETag"]) == ('"1"', '"2"', '"2"')
    assert (read.json()["lastName"], read.json()["customFields"]) == ("Bakker", {})
    assert read.json() == changed.json()
    assert (gone.status_code, gone.content) == (204, b"")
    assert browser.get(where).json()["state"] == "deleted"
    assert browser.get(CONTACTS).json() == {"items": [], "nextCursor": None}
    assert send(browser, "post", f"{where}/restore").json()["state"] == "live"


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({}, "contact.empty", None),
        ({"surname": "x"}, "request.invalid", "/surname"),
        ({"firstName": 7}, "request.invalid", "/firstName"),
        ({"email": "nobody"}, "contact.invalid", "/email"),
        ({"firstName": "x", "birthday": "31.31.1980"}, "contact.invalid", "/birthday"),
        ({"firstName": "x", "customFields": {"a": {"b": 1}}}, "contact.invalid", "/customFields/a"),
        ({"firstName": "x", "customFields": {"not a key!": 1}}, "contact.unknown_field", "/customFields/not a key!"),
        ({"firstName": "x", "version": 9, "organization": str(uuid.uuid4())}, "request.invalid", "/organization"),
    ],
)
def test_a_bad_body_makes_nobody(browser, tenant, body, code, pointer):
    """400 with a pointer to the field."""
    answer = send(browser, "post", CONTACTS, body)
    assert problem(answer) == (400, code)
    if pointer:
        assert pointer in [each["pointer"] for each in answer.json()["errors"]]
    with tenant.context():
        assert Contact.objects.count() == 0


@pytest.mark.parametrize(
    ("tag", "code"), [('"7"', "contact.changed"), ("W/1", "request.precondition"), ("x", "request.precondition")]
)
def test_a_change_of_what_was_not_seen_is_refused(browser, make, tag, code):
    """412; neither a change nor a deletion happens. A star takes any version."""
    contact = make(firstName="Ann")
    where = f"{CONTACTS}/{contact.pk}"
    assert problem(send(browser, "patch", where, {"firstName": "Bea"}, **{"If-Match": tag})) == (412, code)
    assert problem(browser.delete(where, headers={"If-Match": tag})) == (412, code)
    assert (browser.get(where).json()["firstName"], browser.get(where).json()["version"]) == ("Ann", 1)
    assert send(browser, "patch", where, {"firstName": "Bea"}, **{"If-Match": "*"}).json()["version"] == 2


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("search=ann", ["Ann", "Anne"]),
        ("search=ANN@", ["Ann"]),
        ("search=öz", ["Bea"]),
        ("name=Özd", ["Bea"]),
        ("email=anne.", ["Anne"]),
        ("phone=%2B3161", ["Bea"]),
        ("phone=06 1234 5678", ["Bea"]),
        ("search=0612345678", ["Bea"]),
        ("search=%25", []),
        ("tag=vip", ["Anne"]),
        ("state=deleted", []),
        ("", ["Ann", "Anne", "Bea"]),
    ],
)
def test_contacts_are_found_by_how_they_begin(browser, make, query, found):
    """Names without regard to case, numbers as people write them here."""
    make(firstName="Ann", email="ann@example.com")
    make(firstName="Anne", email="anne.b@example.com", tags=["vip"])
    make(firstName="Bea", lastName="özdemir", phone="06 12345678")
    assert sorted(each["firstName"] for each in browser.get(f"{CONTACTS}?{query}").json()["items"]) == found


def test_pages_hold_each_contact_once(browser, make):
    """The cursor goes on where the page ended; the newest come first."""
    made = [str(make(firstName=f"Contact {number}").pk) for number in range(5)]
    seen, cursor, pages = [], "", 0
    while cursor is not None:
        page = browser.get(f"{CONTACTS}?limit=2&cursor={cursor}" if cursor else f"{CONTACTS}?limit=2").json()
        seen += [each["id"] for each in page["items"]]
        cursor, pages = page["nextCursor"], pages + 1
    assert (sorted(seen), seen[0], pages) == (sorted(made), max(made), 3)


@pytest.mark.parametrize("most", [-1, 200_000])
def test_pages_of_a_search_are_in_the_same_order_however_they_are_found(browser, make, monkeypatch, most):
    """Sorted where few hits are expected, walked where many are: newest first, each once."""
    monkeypatch.setattr(contact_search, "_SORTED_AT_MOST", most)
    made = [str(make(firstName=f"Hit {number}").pk) for number in range(5)]
    make(firstName="Other")
    seen, cursor = [], ""
    while cursor is not None:
        page = browser.get(f"{CONTACTS}?limit=2&search=hit{f'&cursor={cursor}' if cursor else ''}").json()
        seen += [each["id"] for each in page["items"]]
        cursor = page["nextCursor"]
    assert seen == made[::-1]


@pytest.mark.django_db
def test_a_search_hides_its_order_so_that_no_index_is_walked_for_it(tenant, make):
    """With every other way forbidden the newest hit is still found by sorting."""
    make(firstName="Hit")
    with tenant.context(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off")
        rows = Contact.objects.filter(first_name_key="hit")
        plans = [contact_search.in_order(rows, *order).explain() for order in (("-id",), ("-updated_at", "-id"))]
    assert all("Sort" in plan for plan in plans), plans


@pytest.mark.parametrize(
    "query", ["limit=201", "limit=0", "cursor=x", "cursor=MQ", "order=name", "state=odd", "updatedSince=x"]
)
def test_a_bad_query_is_refused(browser, query):
    """400 with a pointer."""
    answer = browser.get(f"{CONTACTS}?{query}")
    assert problem(answer) == (400, "request.invalid")
    assert answer.json()["errors"][0]["pointer"] == f"/{query.partition('=')[0]}"


def test_merging_keeps_one_and_history_tells(browser, make):
    """The other becomes a pointer."""
    ann, other = make(firstName="Ann"), make(lastName="Bakker", email="ann@example.com")

    merged = send(browser, "post", f"{CONTACTS}/{ann.pk}/merge", {"otherId": str(other.pk)})
    history = browser.get(f"{CONTACTS}/{ann.pk}/history").json()["items"]

    assert (merged.json()["lastName"], merged.json()["email"]) == ("Bakker", "ann@example.com")
    assert browser.get(f"{CONTACTS}/{other.pk}").json()["mergedInto"] == str(ann.pk)
    assert [each["version"] for each in history] == [2, 1]
    assert {"field": "lastName", "before": "", "after": "Bakker"} in history[0]["changes"]
    assert problem(send(browser, "post", f"{CONTACTS}/{ann.pk}/merge", {"otherId": str(ann.pk)})) == (
        400,
        "contact.merge",
    )
    assert problem(send(browser, "post", f"{CONTACTS}/{ann.pk}/merge", {"otherId": str(uuid.uuid4())}))[0] == 404


def test_an_erased_contact_holds_nothing(browser, tenant, make):
    """Its values are gone from the answer and from its history; it cannot be written again."""
    contact = make(firstName="Canary", email="canary@example.com")
    where = f"{CONTACTS}/{contact.pk}"

    answer = send(browser, "post", f"{where}/erase")

    assert answer.json() == {"contactIds": [str(contact.pk)], "historyRows": 2, "deletionsPlanned": 0, "tasks": 0}
    assert "anary" not in browser.get(where).content.decode() + browser.get(f"{where}/history").content.decode()
    assert problem(send(browser, "patch", where, {"firstName": "Ann"})) == (409, "contact.erased")


def test_an_export_can_be_imported_and_runs_no_formula(browser, tenant, other, make):
    """Every value comes back as it was; a cell that begins like a formula has an apostrophe."""
    make(firstName="=1+1", lastName="'@x", email="ann@example.com", phone="+31612345678", tags=["a", "b"])
    make(firstName="Bea", notes="one\ntwo")

    answer = browser.get(f"{CONTACTS}/export")
    text = b"".join(answer.streaming_content).decode()

    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    for row in csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")):
        assert not any(cell.startswith(tuple("=+-@\t\r\n")) for cell in row)
    with other.context():
        report = import_contacts(io.StringIO(text, newline=""))
        assert (report.created, report.refused) == (2, [])
        stored = {each.email: each for each in Contact.objects.all()}
    assert (stored["ann@example.com"].first_name, stored["ann@example.com"].last_name) == ("=1+1", "'@x")
    assert (stored["ann@example.com"].phone, stored["ann@example.com"].tags) == ("+31612345678", ["a", "b"])
    assert stored[""].notes == "one\ntwo"


@given(st.text(alphabet="'=+-@\t\r\n＝a1 \0", max_size=6))
def test_guarding_loses_nothing(text):
    """Whatever the value, it comes back; and what is written begins like no formula."""
    assert unguarded(guarded(text)) == text
    assert not guarded(text).startswith(tuple("=+-@\t\r\n\0＝＋－＠"))


def test_history_and_list_take_few_queries(browser, tenant, make, django_assert_max_num_queries):
    """As many for 3 contacts as for 30."""
    counts = []
    for rows in (3, 27):
        for _ in range(rows):
            make(firstName="Ann", email="ann@example.com")
        with django_assert_max_num_queries(15) as queries:
            assert len(browser.get(f"{CONTACTS}?search=ann").json()["items"]) > 2
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_merged_contact_is_told_from_a_deleted_one(browser, tenant, make):
    """Each state has its list."""
    ann, bea = make(firstName="Ann"), make(firstName="Bea")
    with tenant.context():
        merge_contacts(ann.pk, bea.pk)
        assert ContactChange.objects.filter(contact=bea).count() == 2
    for state, names in (("live", ["Ann"]), ("merged", ["Bea"]), ("deleted", []), ("erased", [])):
        assert [each["firstName"] for each in browser.get(f"{CONTACTS}?state={state}").json()["items"]] == names


def upload(browser, text, **headers):
    body = text if isinstance(text, bytes) else text.encode()
    return browser.post(f"{CONTACTS}/import", body, content_type="text/csv; charset=utf-8", headers=headers)


def test_a_file_of_contacts_is_taken_row_by_row(browser, tenant):
    """Each refused row is told with its line, field and fix; the others are stored, and guarded cells come back."""
    lines = (
        "firstName,email,phone,custom.tier",
        "Ann,ann@x.nl,'+31612345678,'=1+1",
        "Bo,bo@x.nl,,,,",
        "Ann,ann@x.nl,,",
    )
    answer = upload(browser, "\n".join(lines))
    counts = {name: answer.json()[name] for name in ("rows", "created", "refused")}
    assert (answer.status_code, counts) == (200, {"rows": 3, "created": 1, "refused": 2})
    told = {row["line"]: [each["code"] for each in row["errors"]] for row in answer.json()["refusedRows"]}
    assert told == {3: ["import.columns"], 4: ["contact.exists"]}
    assert all(each["fix"] and each["detail"] for row in answer.json()["refusedRows"] for each in row["errors"])
    with tenant.context():
        (contact,) = Contact.objects.all()
        assert (contact.phone, contact.custom_fields) == ("+31612345678", {"tier": "=1+1"})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "import.unreadable"),
        ("nickname\nAnn\n", "contact.unknown_field"),
        ("firstName,firstName\nAnn,Bo\n", "import.columns"),
        (b"firstName\n\xff\n", "import.unreadable"),
        ('firstName\n"Ann\n', "import.unreadable"),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing(browser, tenant, text, code):
    assert problem(upload(browser, text)) == (400, code)
    assert problem(send(browser, "post", f"{CONTACTS}/import")) == (415, "request.media_type")
    with tenant.context():
        assert Contact.objects.count() == 0


def test_a_repeated_upload_is_answered_again(browser, tenant):
    """Once, by its Idempotency-Key."""
    first, second = (upload(browser, "firstName\nAnn\n", **{"Idempotency-Key": "file"}) for _ in range(2))
    assert first.json() == second.json() == {"rows": 1, "created": 1, "refused": 0, "refusedRows": []}
    with tenant.context():
        assert Contact.objects.count() == 1
