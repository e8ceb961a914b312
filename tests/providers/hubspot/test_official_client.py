"""HubSpot's own Python client against the fake over loopback: a session as an integration has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import hubspot
import pytest
from hubspot.crm.associations.v4.models import AssociationSpec
from hubspot.crm.contacts import ApiException
from hubspot.crm.contacts.models import (
    BatchInputSimplePublicObjectBatchInput,
    BatchInputSimplePublicObjectBatchInputForCreate,
    BatchInputSimplePublicObjectBatchInputUpsert,
    BatchInputSimplePublicObjectId,
    BatchReadInputSimplePublicObjectId,
    Filter,
    FilterGroup,
    PublicMergeInput,
    PublicObjectSearchRequest,
    SimplePublicObjectBatchInput,
    SimplePublicObjectBatchInputForCreate,
    SimplePublicObjectBatchInputUpsert,
    SimplePublicObjectId,
    SimplePublicObjectInput,
    SimplePublicObjectInputForCreate,
)
from hubspot.crm.properties.models import PropertyCreate

from crm.providers.hubspot.fake import DEFAULT_TOKEN, HubSpotFake
from crm.testing.clock import FakeClock
from crm.testing.wsgi import LoopbackServer
from tests.providers.hubspot.fake_account import NOW_MS


@pytest.fixture
def url() -> Iterator[str]:
    with LoopbackServer(HubSpotFake(clock=FakeClock(start_ms=NOW_MS))) as server:
        yield server.url


def connected(url: str, token: str = DEFAULT_TOKEN) -> Any:
    """The client takes its address from the configuration of each of its parts."""

    def api(package: Any, name: str, config: dict[str, Any]) -> Any:
        configuration = package.Configuration()
        configuration.host = url
        configuration.access_token = config["access_token"]
        made = getattr(package, name)(api_client=package.ApiClient(configuration=configuration))
        opened.append(made.api_client)
        return made

    return hubspot.Client.create(access_token=token, api_factory=api)


opened: list[Any] = []


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    yield connected(url)
    for api_client in opened:
        api_client.rest_client.pool_manager.clear()
        api_client.close()
    opened.clear()


def refused(call: Any, *arguments: Any, **named: Any) -> tuple[int, dict[str, Any]]:
    with pytest.raises(Exception, match="Reason") as caught:
        call(*arguments, **named)
    body = json.loads(caught.value.body)
    assert len(body.pop("correlationId")) == 36
    return caught.value.status, body


def new(**properties: str) -> SimplePublicObjectInputForCreate:
    return SimplePublicObjectInputForCreate(properties=properties, associations=[])


def test_a_contact_is_created_read_changed_and_archived(client: Any) -> None:
    """The client's models hold what the fake answers."""
    contacts = client.crm.contacts.basic_api
    ada = contacts.create(new(email="Ada@Example.com", firstname="Ada"))
    assert ada.properties["email"] == "ada@example.com"
    assert (ada.archived, ada.created_at.isoformat()) == (False, "2026-09-21T14:13:20+00:00")
    read = contacts.get_by_id(
        ada.id, properties=["email", "city"], properties_with_history=["email"], associations=["companies"]
    )
    assert read.properties["city"] is None
    assert read.properties_with_history["email"][0].source_type == "INTEGRATION"
    changed = contacts.update(ada.id, SimplePublicObjectInput(properties={"city": "Bonn"}))
    assert changed.properties["city"] == "Bonn"
    assert contacts.get_by_id("ada@example.com", id_property="email").id == ada.id
    contacts.archive(ada.id)
    assert contacts.get_page().results == []
    archived = contacts.get_page(archived=True).results
    assert [(row.id, row.archived) for row in archived] == [(ada.id, True)]


def test_the_clients_own_walk_sees_every_contact(client: Any) -> None:
    """get_all follows the cursor."""
    items = [SimplePublicObjectBatchInputForCreate(properties={"email": f"p{n}@x.example"}) for n in range(100)]
    client.crm.contacts.batch_api.create(BatchInputSimplePublicObjectBatchInputForCreate(inputs=items))
    client.crm.contacts.basic_api.create(new(firstname="One more"))
    assert len(client.crm.contacts.get_all()) == 101


def test_batches_create_read_change_upsert_and_archive(client: Any) -> None:
    """With a 207 decoded into its own model."""
    batch = client.crm.contacts.batch_api
    made = batch.create(
        BatchInputSimplePublicObjectBatchInputForCreate(
            inputs=[
                SimplePublicObjectBatchInputForCreate(
                    properties={"email": email}, associations=[], object_write_trace_id=str(number)
                )
                for number, email in enumerate(("a@x.example", "b@x.example"))
            ]
        )
    )
    assert made.status == "COMPLETE"
    ids = {row.properties["email"]: row.id for row in made.results}
    assert sorted(ids) == ["a@x.example", "b@x.example"]
    again = batch.create(
        BatchInputSimplePublicObjectBatchInputForCreate(
            inputs=[
                SimplePublicObjectBatchInputForCreate(
                    properties={"email": email}, associations=[], object_write_trace_id=str(number)
                )
                for number, email in enumerate(("a@x.example", "c@x.example"))
            ]
        )
    )
    assert [row.properties["email"] for row in again.results] == ["c@x.example"]
    assert [(error.category, error.context["existingId"]) for error in again.errors] == [
        ("CONFLICT", [ids["a@x.example"]])
    ]
    changed = batch.update(
        BatchInputSimplePublicObjectBatchInput(
            inputs=[SimplePublicObjectBatchInput(id=id_, properties={"city": "Bonn"}) for id_ in ids.values()]
        )
    )
    assert {row.id for row in changed.results} == set(ids.values())
    read = batch.read(
        BatchReadInputSimplePublicObjectId(
            inputs=[SimplePublicObjectId(id=id_) for id_ in [*ids.values(), "7"]],
            properties=["city"],
            properties_with_history=[],
        )
    )
    assert {row.id: row.properties["city"] for row in read.results} == dict.fromkeys(ids.values(), "Bonn")
    assert read.errors[0].context == {"ids": ["7"]}
    upserted = batch.upsert(
        BatchInputSimplePublicObjectBatchInputUpsert(
            inputs=[
                SimplePublicObjectBatchInputUpsert(id=email, id_property="email", properties={"firstname": "U"})
                for email in ("a@x.example", "new@x.example")
            ]
        )
    )
    assert sorted(row.new for row in upserted.results) == [False, True]
    batch.archive(BatchInputSimplePublicObjectId(inputs=[SimplePublicObjectId(id=id_) for id_ in ids.values()]))
    left = client.crm.contacts.basic_api.get_page(limit=100).results
    assert sorted(row.properties["email"] for row in left) == ["c@x.example", "new@x.example"]


def test_search_pages_by_offset(client: Any) -> None:
    """The client hands the cursor back as it got it."""
    for number in range(5):
        client.crm.contacts.basic_api.create(new(email=f"p{number}@x.example"))
    client.crm.contacts.basic_api.create(new(email="other@y.example"))
    request = PublicObjectSearchRequest(
        filter_groups=[
            FilterGroup(filters=[Filter(property_name="email", operator="CONTAINS_TOKEN", value="x.example")])
        ],
        sorts=[{"propertyName": "hs_object_id", "direction": "DESCENDING"}],
        properties=["email"],
        limit=2,
    )
    seen: list[str] = []
    while True:
        page = client.crm.contacts.search_api.do_search(request)
        assert page.total == 5
        seen += [row.properties["email"] for row in page.results]
        if page.paging is None:
            break
        request.after = page.paging.next.after
    assert seen == [f"p{number}@x.example" for number in (4, 3, 2, 1, 0)]


def test_properties_are_created_and_listed(client: Any) -> None:
    """A unique one serves as a key at once."""
    core = client.crm.properties.core_api
    made = core.create(
        "contacts",
        PropertyCreate(
            name="app_id",
            label="App id",
            type="string",
            field_type="text",
            group_name="contactinformation",
            has_unique_value=True,
        ),
    )
    assert (made.has_unique_value, made.modification_metadata.read_only_value) == (True, False)
    listed = {row.name: row for row in core.get_all("contacts").results}
    assert listed["app_id"].label == "App id"
    assert listed["hs_email_optout"].modification_metadata.read_only_value is True
    groups = client.crm.properties.groups_api.get_all("contacts").results
    assert [group.name for group in groups] == ["contactinformation"]
    status, body = refused(
        core.create,
        "contacts",
        PropertyCreate(name="app_id", label="x", type="string", field_type="text", group_name="contactinformation"),
    )
    assert (status, body["subCategory"]) == (409, "Properties.PROPERTY_WITH_NAME_EXISTS")
    contact = client.crm.contacts.basic_api.create(new(firstname="Ada", app_id="A1"))
    assert client.crm.contacts.basic_api.get_by_id("A1", id_property="app_id").id == contact.id


def test_a_merge_answers_with_the_survivor(client: Any) -> None:
    """Both old ids lead to it."""
    contacts = client.crm.contacts.basic_api
    one, two = contacts.create(new(email="a@x.example")), contacts.create(new(email="b@x.example"))
    survivor = contacts.merge(PublicMergeInput(primary_object_id=one.id, object_id_to_merge=two.id))
    assert survivor.id not in (one.id, two.id)
    assert survivor.properties["hs_merged_object_ids"] == f"{one.id};{two.id}"
    assert contacts.get_by_id(two.id).id == survivor.id


def test_refusals_have_hubspots_bodies(client: Any, url: str) -> None:
    """409, 400, 404 and 401 as the client shows them."""
    contacts = client.crm.contacts.basic_api
    ada = contacts.create(new(email="ada@example.com"))
    assert refused(contacts.create, new(email="ADA@example.com")) == (
        409,
        {"status": "error", "message": f"Contact already exists. Existing ID: {ada.id}", "category": "CONFLICT"},
    )
    status, body = refused(contacts.create, new(emal="x"))
    assert (status, body["category"], body["errors"][0]["code"]) == (400, "VALIDATION_ERROR", "PROPERTY_DOESNT_EXIST")
    assert refused(contacts.get_by_id, "7") == (
        404,
        {"status": "error", "message": "resource not found", "category": "OBJECT_NOT_FOUND"},
    )
    status, body = refused(connected(url, "wrong").crm.contacts.basic_api.get_page)
    assert (status, body["category"]) == (401, "INVALID_AUTHENTICATION")
    with pytest.raises(ApiException):
        contacts.get_page(limit=101)


def test_associations_owners_and_notes_go_through_the_client(client: Any) -> None:
    """The parts of the client that contact synchronisation uses beside contacts."""
    ada = client.crm.contacts.basic_api.create(new(email="ada@example.com"))
    company = client.crm.companies.basic_api.create({"properties": {"name": "Engine"}, "associations": []})
    note = client.crm.objects.notes.basic_api.create(
        {
            "properties": {"hs_timestamp": "2026-09-21T14:00:00Z", "hs_note_body": "Hi"},
            "associations": [
                {
                    "to": {"id": ada.id},
                    "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}],
                }
            ],
        }
    )
    assert note.properties["hs_note_body"] == "Hi"
    spec = [AssociationSpec(association_category="HUBSPOT_DEFINED", association_type_id=279)]
    client.crm.associations.v4.basic_api.create("contacts", ada.id, "companies", company.id, spec)
    page = client.crm.associations.v4.basic_api.get_page("contacts", ada.id, "companies")
    assert [row.to_object_id for row in page.results] == [company.id]
    owners = client.crm.owners.owners_api.get_page(email="grace@example.com").results
    assert [owner.id for owner in owners] == ["534941"]
