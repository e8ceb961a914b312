"""What Salesforce's refusals mean: bodies as documented or recorded, of a call and of a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from crm.errors import (
    AuthorizationExpiredError,
    ConfigurationError,
    CrmError,
    CursorExpiredError,
    DuplicateRecordError,
    PermissionMissingError,
    ProviderUnavailableError,
    RateLimitedError,
    RecordGoneError,
    RecordInvalidError,
    RecordLockedError,
    RejectedError,
    StaleWriteError,
    UnexpectedAnswerError,
)
from crm.providers.salesforce import endpoints
from crm.providers.salesforce.wire import classify, classify_row, unknown_relation


@dataclass
class Sample:
    status: int
    body: Any = None
    text: str = ""

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status < 300

    def retry_after_seconds(self) -> float | None:
        return None


def entry(code: str, message: str = "", fields: list[str] | None = None, **more: Any) -> dict[str, Any]:
    return {"errorCode": code, "message": message, **({} if fields is None else {"fields": fields}), **more}


@pytest.mark.parametrize(
    ("status", "body", "error", "code"),
    [
        (401, [entry("INVALID_SESSION_ID", "Session expired or invalid")], AuthorizationExpiredError, "auth.expired"),
        (401, None, AuthorizationExpiredError, "auth.expired"),
        (403, [entry("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")], RateLimitedError, "quota.daily"),
        (403, [entry("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.")],
         RateLimitedError, "quota.concurrency"),
        (403, [entry("API_DISABLED_FOR_ORG")], PermissionMissingError, "auth.scope_missing"),
        (403, [entry("INSUFFICIENT_ACCESS")], RejectedError, "perm.record"),
        (403, None, UnexpectedAnswerError, "net.bad_response"),
        (404, [entry("NOT_FOUND", "The requested resource does not exist")], RecordGoneError, "state.deleted"),
        (404, [entry("ENTITY_IS_DELETED", "entity is deleted", [])], RecordGoneError, "state.deleted"),
        (404, None, UnexpectedAnswerError, "net.bad_response"),
        (404, {"some": "page"}, UnexpectedAnswerError, "net.bad_response"),
        (410, None, ConfigurationError, "config.invalid"),
        (412, None, StaleWriteError, "state.changed"),
        (420, None, RateLimitedError, "quota.rate"),
        (429, None, RateLimitedError, "quota.rate"),
        (400, [entry("INVALID_QUERY_LOCATOR")], CursorExpiredError, "net.cursor_expired"),
        (400, [entry("QUERY_TIMEOUT")], ProviderUnavailableError, "net.unavailable"),
        (400, [entry("MALFORMED_QUERY")], UnexpectedAnswerError, "net.bad_response"),
        (400, [entry("INVALID_TYPE", "sObject type 'X' is not supported.")], PermissionMissingError, "perm.object"),
        (400, [entry("SOMETHING_NEW", "never seen")], RejectedError, "rule.validation"),
        (400, None, UnexpectedAnswerError, "net.bad_response"),
        (500, [entry("UNKNOWN_EXCEPTION")], ProviderUnavailableError, "net.unavailable"),
        (503, None, ProviderUnavailableError, "net.unavailable"),
    ],
)  # fmt: skip
def test_answers_of_a_call(status: int, body: Any, error: type[CrmError], code: str) -> None:
    """The code decides, whatever the language of the text; a page of the edge is judged by its status."""
    found = classify(Sample(status, body))
    assert type(found) is error
    assert found.code == code


def test_a_success_is_none() -> None:
    assert classify(Sample(200, [])) is None
    assert classify(Sample(204)) is None


def test_a_bad_token_page_of_the_user_information_is_an_expired_grant() -> None:
    assert isinstance(classify(Sample(403, None, "Bad_OAuth_Token")), AuthorizationExpiredError)


def test_the_days_allowance_closes_the_day_and_concurrency_only_some_seconds() -> None:
    day = classify(Sample(403, [entry("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")]))
    busy = classify(Sample(403, [entry("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests Limit exceeded.")]))
    assert isinstance(day, RateLimitedError)
    assert isinstance(busy, RateLimitedError)
    assert (day.daily, day.retry_after_seconds) == (True, endpoints.DAILY_WAIT)
    assert (busy.daily, busy.retry_after_seconds) == (False, endpoints.CONCURRENCY_WAIT)


@pytest.mark.parametrize("key", ["errorCode", "statusCode"])
@pytest.mark.parametrize(
    ("code", "message", "fields", "error", "refused"),
    [
        ("REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]", ["LastName"],
         RecordInvalidError, {"LastName": "field.required"}),
        ("STRING_TOO_LONG", "First Name: data value too large: Ada (max length=40)", ["FirstName"],
         RecordInvalidError, {"FirstName": "field.too_long"}),
        ("INVALID_EMAIL_ADDRESS", "Email: invalid email address: badone", ["Email"],
         RecordInvalidError, {"Email": "field.bad_type"}),
        ("INVALID_EMAIL_ADDRESS", "Email: invalid email address: badone", [],
         RecordInvalidError, {"Email": "field.bad_type"}),
        ("INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: Name.", ["Name"],
         RecordInvalidError, {"Name": "field.readonly"}),
        ("INVALID_FIELD", "No such column 'Tier__c' on sobject of type Contact", None,
         RecordInvalidError, {"Tier__c": "field.missing"}),
        ("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", ["OwnerId"],
         RecordInvalidError, {"OwnerId": "field.picklist"}),
        ("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [], RecordGoneError, None),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "A phone is needed", [], RecordInvalidError, {}),
        ("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access", [], RecordLockedError, None),
        ("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", [], RecordGoneError, None),
        ("DUPLICATES_DETECTED", "Use one of these records?", [], DuplicateRecordError, None),
        ("INVALID_PERSON_ACCOUNT_OPERATION", "", [], RejectedError, None),
    ],
)  # fmt: skip
def test_rows_and_calls_say_the_same_in_two_shapes(
    key: str,
    code: str,
    message: str,
    fields: list[str] | None,
    error: type[CrmError],
    refused: dict[str, str] | None,
) -> None:
    """``errorCode`` of a call and ``statusCode`` of a row mean one thing."""
    body = {key: code, "message": message, **({} if fields is None else {"fields": fields})}
    for found in (classify_row([body]), classify(Sample(400, [body]))):
        assert type(found) is error
        if refused is not None:
            assert isinstance(found, RecordInvalidError)
            assert {name: refusal.code for name, refusal in found.fields.items()} == refused


def test_a_taken_unique_value_names_its_holder() -> None:
    message = "duplicate value found: ADSapp_Contact_Id__c duplicates value on record with id: 003dM00000A1b2C"
    found = classify_row([{"statusCode": "DUPLICATE_VALUE", "message": message, "fields": []}])
    assert isinstance(found, DuplicateRecordError)
    assert found.remote_id == "003dM00000A1b2C"


@pytest.mark.parametrize(("ids", "remote_id"), [(["003aj000002oTldAAE"], "003aj000002oTldAAE"), (["a", "b"], "")])
def test_a_duplicate_rule_names_a_record_only_when_it_found_one(ids: list[str], remote_id: str) -> None:
    """Which of several is meant, a person decides."""
    matches = [{"record": {"attributes": {"type": "Contact"}, "Id": each}} for each in ids]
    body = entry("DUPLICATES_DETECTED", "Use one of these records?",
                 duplicateResult={"allowSave": True, "matchResults": [{"matchRecords": matches}]})  # fmt: skip
    found = classify(Sample(400, [body]))
    assert isinstance(found, DuplicateRecordError)
    assert found.remote_id == remote_id


def test_several_refusals_of_a_row_are_put_together() -> None:
    found = classify_row(
        [
            {"statusCode": "INVALID_EMAIL_ADDRESS", "message": "", "fields": ["Email"]},
            {"statusCode": "STRING_TOO_LONG", "message": "", "fields": ["City", "Title"]},
        ]
    )
    assert isinstance(found, RecordInvalidError)
    assert set(found.fields) == {"Email", "City", "Title"}


@pytest.mark.parametrize(
    ("code", "message", "kept"),
    [
        ("INVALID_EMAIL_ADDRESS", "Email: invalid email address: ada lovelace", "Email: invalid email address: ***"),
        ("STRING_TOO_LONG", "First Name: data value too large: Ada Ada (max length=40)",
         "First Name: data value too large: *** (max length=40)"),
        ("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "bad value for restricted picklist field: Secret",
         "bad value for restricted picklist field: ***"),
    ],
)  # fmt: skip
def test_refused_values_are_not_kept(code: str, message: str, kept: str) -> None:
    """The text that a person sees says why, not what."""
    found = classify_row([{"statusCode": code, "message": message, "fields": ["F"]}])
    assert isinstance(found, RecordInvalidError)
    assert found.fields["F"].provider_message == kept
    assert found.provider_message == f"{code}: {kept}"


@pytest.mark.parametrize("errors", [[], [{}], [{"statusCode": 5, "fields": "x", "message": None}]])
def test_a_row_error_of_no_known_shape_is_a_refusal(errors: list[dict[str, Any]]) -> None:
    assert type(classify_row(errors)) is RejectedError


def test_a_relation_that_cannot_be_followed_is_named() -> None:
    error = classify(Sample(400, [entry("INVALID_FIELD", "Didn't understand relationship 'Account' in field path.")]))
    assert error is not None
    assert unknown_relation(error) == "Account"
