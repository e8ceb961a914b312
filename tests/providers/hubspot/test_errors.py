"""What HubSpot's refusals mean: bodies as documented or captured, and the same through HTTP."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import responses

from crm import errors
from crm.http.answer import Answer
from crm.http.redact import Secret
from crm.ports import CreateItem, UpdateItem
from crm.providers.hubspot import PROVIDER
from crm.providers.hubspot.wire import classify, classify_item, subjects
from crm.testing.faults import Fault
from tests.providers.hubspot.stand import HubSpotStand, context_for

PAYLOADS = Path(__file__).parent / "payloads"


def answer(status: int, body: Any = None, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, body, "", is_json=body is not None)


def payload(name: str) -> Any:
    return json.loads((PAYLOADS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("status", [200, 201, 204, 207])
def test_any_success_is_no_error(status: int) -> None:
    """A partial success names its failures inside."""
    assert classify(answer(status, {"results": [], "errors": [{"category": "CONFLICT"}]})) is None


@pytest.mark.parametrize(
    ("status", "body", "error", "code"),
    [
        (400, {}, errors.RecordInvalidError, "rule.validation"),
        (400, {"message": "Cannot deserialize value of type `long`"}, errors.CursorExpiredError, "net.cursor_expired"),
        (401, {"category": "EXPIRED_AUTHENTICATION"}, errors.AuthorizationExpiredError, "auth.expired"),
        (403, {"category": "MISSING_SCOPES"}, errors.PermissionMissingError, "auth.scope_missing"),
        (404, {"message": "resource not found"}, errors.RecordGoneError, "state.deleted"),
        (404, {"category": "OBJECT_NOT_FOUND"}, errors.RecordGoneError, "state.deleted"),
        (404, {"message": "No route"}, errors.UnexpectedAnswerError, "net.bad_response"),
        (404, None, errors.UnexpectedAnswerError, "net.bad_response"),
        (409, {"message": "Contact already exists"}, errors.DuplicateRecordError, "match.duplicate_in_crm"),
        (414, {}, errors.RejectedError, "rule.validation"),
        (418, {}, errors.RejectedError, "rule.validation"),
        (423, {}, errors.RecordLockedError, "state.locked"),
        (500, None, errors.ProviderUnavailableError, "net.unavailable"),
        (502, None, errors.ProviderUnavailableError, "net.unavailable"),
        (524, None, errors.ProviderUnavailableError, "net.unavailable"),
        (530, None, errors.AuthorizationExpiredError, "auth.expired"),
        (304, None, errors.UnexpectedAnswerError, "net.bad_response"),
    ],
)
def test_a_status_means_what_happens_next(status: int, body: Any, error: type[errors.CrmError], code: str) -> None:
    """Closed by default: an unknown refusal is a refusal, an unknown 404 is no absence."""
    found = classify(answer(status, body))
    assert (type(found), found.code) == (error, code)


@pytest.mark.parametrize(
    ("policy", "headers", "seconds", "daily"),
    [
        ("TEN_SECONDLY_ROLLING", {}, 10.0, False),
        ("SECONDLY", {}, 1.0, False),
        ("DAILY", {}, 3600.0, True),
        ("A_POLICY_OF_NEXT_YEAR", {}, 10.0, False),
        ("TEN_SECONDLY_ROLLING", {"retry_after": "3"}, 3.0, False),
    ],
)
def test_a_rate_limit_says_how_long(policy: str, headers: dict[str, str], seconds: float, daily: bool) -> None:
    """Retry-After is not promised: without it the policy's own window is the wait."""
    found = classify(answer(429, {"policyName": policy, "errorType": "RATE_LIMIT"}, **headers))
    assert isinstance(found, errors.RateLimitedError)
    assert (found.retry_after_seconds, found.daily) == (seconds, daily)


def test_a_moving_account_waits_as_long_as_it_says() -> None:
    """477 gives seconds, up to a day; it is no allowance that was used up."""
    found = classify(answer(477, {"message": "migrating"}, retry_after="7200"))
    assert isinstance(found, errors.RateLimitedError)
    assert (found.retry_after_seconds, found.code, found.daily) == (7200.0, "net.unavailable", False)


def test_every_refused_property_is_named() -> None:
    """They stand in a list inside the message and in ``errors``; repeats count once."""
    found = classify(answer(400, payload("validation__several_properties")))
    assert isinstance(found, errors.RecordInvalidError)
    assert {name: refusal.code for name, refusal in found.fields.items()} == {
        "no_such_property": "field.missing",
        "hs_object_id": "field.readonly",
        "hs_language": "field.picklist",
        "email": "field.bad_type",
        "score": "field.bad_type",
    }


def test_what_is_kept_of_a_refusal_holds_no_address() -> None:
    """The vendor's text quotes the value: a person's address in it is masked, in the whole and for each field."""
    found = classify(answer(400, payload("validation__several_properties")))
    shown = found.provider_message + "".join(refusal.provider_message for refusal in found.fields.values())
    assert "broken@@" not in shown
    assert "klingon" not in shown
    assert found.fields["email"].provider_message == "Email address *** is invalid"
    assert found.fields["hs_language"].provider_message.startswith("*** was not one of the allowed options")
    assert found.request_id == "00000000-0000-4000-8000-000000000001"
    assert "example" not in str(found)


def test_a_missing_scope_is_named() -> None:
    found = classify(answer(403, payload("forbidden__missing_scopes")))
    assert found.missing == ("crm.objects.contacts.write", "crm.objects.contacts.sensitive.write")


@pytest.mark.parametrize(
    ("name", "remote_id"),
    [
        ("conflict__existing_id_in_text", "171591000198"),
        ("conflict__without_id", ""),
        ("conflict__unique_value", "734"),
    ],
)
def test_an_existing_record_is_named_when_hubspot_names_it(name: str, remote_id: str) -> None:
    body = payload(name)
    found = classify(answer(409 if body["category"] == "CONFLICT" else 400, body))
    assert isinstance(found, errors.DuplicateRecordError)
    assert found.remote_id == remote_id


def test_the_entries_of_a_partial_success_are_classified_one_by_one() -> None:
    """By category, with the trace ids or record ids they are about."""
    found = [(type(classify_item(each)), subjects(each)) for each in payload("batch__partial_success")["errors"]]
    assert found == [
        (errors.DuplicateRecordError, (["key-0"], [])),
        (errors.RecordInvalidError, (["key-2"], [])),
        (errors.RecordGoneError, ([], ["171596044870", "171596044871"])),
        (errors.RateLimitedError, (["key-5"], [])),
        (errors.RejectedError, ([], [])),
    ]
    assert classify_item(payload("batch__partial_success")["errors"][0]).remote_id == "171591000198"


@pytest.mark.parametrize(
    "body",
    [
        [],
        "text",
        {"message": 7, "errors": "x", "context": [], "correlationId": {}},
        {"message": "[{not json}]", "errors": [None, {"context": "x"}, {"context": {"propertyName": None}}]},
        {"message": '[{"name": 3}]', "errors": [{"code": 1, "context": {"propertyName": [True, "a"]}}]},
        {"message": "[" * 10_000 + "{" + "}" + "]" * 10_000},
    ],
)
@pytest.mark.parametrize("status", [400, 403, 409, 429])
def test_an_odd_error_body_is_still_classified(status: int, body: Any) -> None:
    """Every field of an error is optional, and none is trusted to have its type."""
    assert isinstance(classify(answer(status, body)), errors.CrmError)


# through HTTP


def test_a_burst_refusal_without_a_wait_told_ends_the_call_with_one(stand: HubSpotStand) -> None:
    """The whole window is waited for, by a due time rather than by a worker."""
    stand.add([{"firstname": "Ada"}])
    stand.fake.faults.add(Fault("rate_limited", times=10))
    with pytest.raises(errors.RateLimitedError) as refused:
        stand.connector().scan("contacts", ["firstname"], None)
    assert refused.value.retry_after_seconds == 10.0


def test_a_search_refusal_is_waited_out(stand: HubSpotStand) -> None:
    """One second, then the same search again."""
    (remote_id,) = stand.add([{"firstname": "Ada"}])
    stand.fake.faults.add(Fault("rate_limited", policy="SECONDLY", times=1))
    connector = stand.connector()
    page = connector.changes("contacts", ["firstname"], stand.now(), None)
    assert [record.remote_id for record in page.records] == [remote_id]
    assert connector.calls == 2


def test_a_locked_record_is_tried_again(stand: HubSpotStand) -> None:
    """423 had no effect."""
    (remote_id,) = stand.add([{"firstname": "Ada"}])
    stand.fake.faults.add(Fault("locked", times=1))
    connector = stand.connector()
    result = connector.update("contacts", [UpdateItem("k", remote_id, {"city": "Ulm"})])["k"]
    assert (result.error, connector.calls) == (None, 2)
    assert stand.stored(remote_id, "city") == "Ulm"


def test_a_gateway_error_after_a_write_is_an_unknown_outcome(stand: HubSpotStand) -> None:
    """A 504 comes from a machine in between: the write may have happened, and here it did."""
    (remote_id,) = stand.add([{"firstname": "Ada"}])
    stand.fake.faults.add(Fault("server_error_after", times=1))
    connector = stand.connector()
    result = connector.update("contacts", [UpdateItem("k", remote_id, {"city": "Ulm"})])["k"]
    assert isinstance(result.error, errors.OutcomeUnknownError)
    assert (connector.calls, stand.stored(remote_id, "city")) == (1, "Ulm")


def test_a_fetch_that_meets_a_proxy_page_does_not_call_the_record_missing(stand: HubSpotStand) -> None:
    """The second request of the look-up fails: no id is taken for deleted."""
    (remote_id,) = stand.add([{"firstname": "Ada"}])
    stand.remove(remote_id)
    stand.fake.faults.add(Fault("html_ok", method="GET", times=1))
    with pytest.raises(errors.UnexpectedAnswerError):
        stand.connector().fetch("contacts", [remote_id], ["firstname"])


def test_a_missing_permission_names_the_scope(stand: HubSpotStand) -> None:
    token = stand.back_door("POST", "tokens", {"scopes": ["crm.objects.contacts.read"]})["token"]
    (remote_id,) = stand.add([{"firstname": "Ada"}])
    connector = stand.connector(token=lambda: Secret(token))
    result = connector.update("contacts", [UpdateItem("k", remote_id, {"city": "Ulm"})])["k"]
    assert isinstance(result.error, errors.PermissionMissingError)
    assert result.error.missing == ("crm.objects.contacts.write",)
    assert stand.stored(remote_id, "city") == ""


def test_an_error_tells_the_request_by_hubspots_own_id(stand: HubSpotStand) -> None:
    (remote_id,) = stand.add([{"firstname": "Ada"}])
    item = UpdateItem("k", remote_id, {"hs_language": "klingon"})
    error = stand.connector().update("contacts", [item])["k"].error
    assert (error.code, error.fields["hs_language"].code) == ("rule.validation", "field.picklist")
    assert len(error.request_id) == len("00000000-0000-4000-8000-000000000001")
    assert str(error) == "The CRM refuses the values of some fields. [rule.validation] (hubspot batch)"


# answers that HubSpot's documentation does not describe


def person(remote_id: object, **more: object) -> dict[str, object]:
    return {"id": remote_id, "properties": {"firstname": "Ada"}, **more}


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"results": None},
        {"results": [None]},
        {"results": [{"id": "1"}]},
        {"results": [person(None)]},
        {"results": [person(True)]},
        {"results": [person("")]},
        {"results": [], "paging": {"next": {"after": "7"}}},
        {"results": [person("1")], "paging": {"next": {"after": "0"}}},
        {"results": [person("1")], "paging": {"next": {"after": "x"}}},
    ],
)
@responses.activate
def test_a_page_of_another_shape_is_never_a_short_one(body: Any) -> None:
    """A scan that ended early would be taken for complete, and what it left out for deleted."""
    responses.get("https://api.hubapi.com/crm/v3/objects/contacts", json=body)
    connector = PROVIDER.connect(context_for(""))
    with pytest.raises(errors.UnexpectedAnswerError):
        connector.scan("contacts", ["firstname"], None)


@responses.activate
def test_a_search_that_ignores_its_filter_does_not_go_round_in_circles() -> None:
    """Ids at or below the last one say that the page was not the next one."""
    body = {"results": [person("5")], "paging": {"next": {"after": "1"}}}
    responses.post("https://api.hubapi.com/crm/v3/objects/contacts/search", json=body)
    connector = PROVIDER.connect(context_for(""))
    page = connector.changes("contacts", ["firstname"], datetime(2026, 1, 1, tzinfo=UTC), None)
    assert page.next == "search:5"
    with pytest.raises(errors.UnexpectedAnswerError):
        connector.changes("contacts", ["firstname"], datetime(2026, 1, 1, tzinfo=UTC), page.next)


@pytest.mark.parametrize("body", [[], {}, {"results": [{}]}, {"results": [person(None)]}])
@responses.activate
def test_a_write_answered_in_another_shape_is_an_unknown_outcome(body: Any) -> None:
    """2xx says that something happened, and not what."""
    responses.post("https://api.hubapi.com/crm/v3/objects/contacts/batch/update", json=body)
    connector = PROVIDER.connect(context_for(""))
    result = connector.update("contacts", [UpdateItem("k", "1", {"city": "Ulm"})])["k"]
    assert isinstance(result.error, errors.OutcomeUnknownError)
    assert len(responses.calls) == 1


@responses.activate
def test_results_are_matched_by_what_they_say_never_by_their_place() -> None:
    """By id where no trace comes back; what the answer leaves out is unknown, a stranger is no one's."""
    shuffled = {"results": [person("3"), person("99"), person("1", objectWriteTraceId="a")]}
    responses.post("https://api.hubapi.com/crm/v3/objects/contacts/batch/update", json=shuffled)
    connector = PROVIDER.connect(context_for(""))
    items = [UpdateItem(key, remote_id, {"firstname": "Ada"}) for key, remote_id in zip("abc", "123", strict=True)]
    results = connector.update("contacts", items)
    assert [results[key].record and results[key].record.remote_id for key in "abc"] == ["1", None, "3"]
    assert isinstance(results["b"].error, errors.OutcomeUnknownError)


@responses.activate
def test_a_batch_refused_whole_for_a_property_is_sent_once_more_without_it() -> None:
    """Where HubSpot takes all or nothing, a hundred bad inputs cost one request more, not two hundred."""
    url = "https://api.hubapi.com/crm/v3/objects/contacts/batch/update"
    problem = {"code": "PROPERTY_DOESNT_EXIST", "message": "", "context": {"propertyName": ["gone"]}}
    responses.post(url, status=400, json={"category": "VALIDATION_ERROR", "errors": [problem]})
    responses.post(url, json={"results": [person(str(number)) for number in range(100)]})
    items = [UpdateItem(str(n), str(n), {"firstname": "Ada", "gone": "x"}) for n in range(100)]
    results = PROVIDER.connect(context_for("")).update("contacts", items)
    assert {(result.error, *result.refused) for result in results.values()} == {(None, "gone")}
    assert len(responses.calls) == 2


@responses.activate
def test_a_refused_marker_is_never_left_out() -> None:
    """A record without it could be created twice: the create fails and says which field is missing."""
    url = "https://api.hubapi.com/crm/v3/objects/contacts/batch/create"
    problem = {"code": "PROPERTY_DOESNT_EXIST", "message": "", "context": {"propertyName": ["adsapp_contact_id"]}}
    responses.post(url, status=400, json={"category": "VALIDATION_ERROR", "errors": [problem]})
    items = [CreateItem(f"k{n}", f"org:{n}", {"firstname": "Ada", "lastname": "Lovelace"}) for n in range(100)]
    results = PROVIDER.connect(context_for("")).create("contacts", items)
    assert {(type(result.error), result.error.code, result.error.field) for result in results.values()} == {
        (errors.MappingError, "field.missing", "adsapp_contact_id")
    }
    assert len(responses.calls) == 1
