"""What Pipedrive's refusals mean: bodies as documented or recorded, and the same through HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from crm import errors
from crm.http.answer import Answer
from crm.ports import CreateItem, UpdateItem
from crm.providers.pipedrive.wire import classify
from crm.testing.faults import Fault
from tests.providers.pipedrive.stand import PipedriveStand, pipedrive_stand

UNAUTHORIZED = {"success": False, "error": "unauthorized access", "errorCode": 401}
UNKNOWN_OWNER = {
    "success": False,
    "error": "Validation failed: owner_id: User not found or not accessible.",
    "code": "ERR_SCHEMA_VALIDATION_FAILED",
}
NOT_FOUND = {"success": False, "error": "Person not found", "code": "ERR_NOT_FOUND"}
NOT_FOUND_V1 = {"success": False, "error": "requested lead not found", "error_info": "Object was not found."}
NO_WEBHOOK = {"status": "error", "success": False, "errors": {"id": ["not found"]}}
CAPPED = {"success": False, "error": "Open deals limit reached.", "code": "feature_capping_deals_limit"}


def answer(status: int, body: Any = None, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, body, "", is_json=body is not None)


@pytest.mark.parametrize("status", [200, 201])
def test_success_is_what_says_so_itself(status: int) -> None:
    """Status and body are both looked at."""
    assert classify(answer(status, {"success": True, "data": {"id": 1}})) is None
    for body in ({"success": False, "error": "x"}, {"data": {"id": 1}}, [], None):
        assert isinstance(classify(answer(status, body)), errors.UnexpectedAnswerError)


@pytest.mark.parametrize(
    ("status", "body", "error", "code"),
    [
        (400, UNKNOWN_OWNER, errors.RecordInvalidError, "rule.validation"),
        (400, {}, errors.RecordInvalidError, "rule.validation"),
        (400, {"error": "Validation failed: cursor: is invalid"}, errors.CursorExpiredError, "net.cursor_expired"),
        (401, UNAUTHORIZED, errors.AuthorizationExpiredError, "auth.expired"),
        (402, {"success": False}, errors.ConnectionBlockedError, "auth.user_inactive"),
        (403, {"success": False, "error": "Forbidden"}, errors.PermissionMissingError, "auth.scope_missing"),
        (403, CAPPED, errors.RejectedError, "perm.object"),
        (403, None, errors.RateLimitedError, "quota.rate"),
        (404, NOT_FOUND, errors.RecordGoneError, "state.deleted"),
        (404, NOT_FOUND_V1, errors.RecordGoneError, "state.deleted"),
        (404, NO_WEBHOOK, errors.RecordGoneError, "state.deleted"),
        (404, {"success": False, "error": "Unknown method GET /x"}, errors.UnexpectedAnswerError, "net.bad_response"),
        (404, None, errors.UnexpectedAnswerError, "net.bad_response"),
        (405, {"success": False}, errors.RejectedError, "rule.validation"),
        (410, {"success": True, "data": {"id": 11}}, errors.RecordGoneError, "state.deleted"),
        (410, {"success": False, "error": "Gone"}, errors.ConfigurationError, "config.unsupported"),
        (410, None, errors.ConfigurationError, "config.unsupported"),
        (415, {"success": False}, errors.UnsupportedFeatureError, "config.unsupported"),
        (422, {"success": False}, errors.RejectedError, "rule.validation"),
        (500, None, errors.ProviderUnavailableError, "net.unavailable"),
        (524, None, errors.ProviderUnavailableError, "net.unavailable"),
        (304, None, errors.UnexpectedAnswerError, "net.bad_response"),
    ],
)
def test_a_status_means_what_happens_next(status: int, body: Any, error: type[errors.CrmError], code: str) -> None:
    """Closed by default: an unknown refusal is a refusal, and an endpoint that is no more is no deleted record."""
    found = classify(answer(status, body))
    assert (type(found), found.code) == (error, code)


@pytest.mark.parametrize(
    ("headers", "seconds", "daily"),
    [
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": "1"}, 1.0, False),
        ({"x_ratelimit_remaining": "0", "x_daily_ratelimit_token_remaining": "900"}, 2.0, False),
        ({"x_ratelimit_remaining": "7", "x_daily_ratelimit_token_remaining": "0"}, 3_600.0, True),
        ({"x_ratelimit_remaining": "7"}, 3_600.0, True),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": "soon"}, 2.0, False),
        ({"retry_after": "9"}, 9.0, False),
        ({}, 2.0, False),
    ],
)
def test_the_headers_tell_the_burst_from_the_day(headers: dict[str, str], seconds: float, daily: bool) -> None:
    """One status and no documented body: only the headers differ."""
    found = classify(answer(429, {"success": False, "error": "request over limit"}, **headers))
    assert isinstance(found, errors.RateLimitedError)
    assert (found.retry_after_seconds, found.daily) == (seconds, daily)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("Validation failed: owner_id: User not found or not accessible.", {"owner_id": "field.picklist"}),
        ("Validation failed: custom_fields.abc: is not allowed", {"custom_fields.abc": "field.missing"}),
        ("Validation failed: custom_fields.abc: option 9 does not exist", {"custom_fields.abc": "field.picklist"}),
        ("Validation failed: name: length must be less than or equal to 255", {"name": "field.too_long"}),
        ("Validation failed: name: is required", {"name": "field.required"}),
        ("Validation failed: emails[0].value: must be a string", {"emails": "field.bad_type"}),
        ("phones: must be an array; visible_to: must be one of [1, 3]",
         {"phones": "field.bad_type", "visible_to": "field.picklist"}),
        ("Something else went wrong", {}),
    ],
)  # fmt: skip
def test_a_refusal_names_the_field_and_why(text: str, fields: dict[str, str]) -> None:
    found = classify(answer(400, {"success": False, "error": text}))
    assert isinstance(found, errors.RecordInvalidError)
    assert {name: refusal.code for name, refusal in found.fields.items()} == fields


def test_no_error_shows_contact_data() -> None:
    """Not in its text, nor in the vendor's words that are kept."""
    text = "Validation failed: emails: ada@example.com and +34 600 111 222 must be strings"
    found = classify(answer(400, {"error": text}))
    shown = f"{found} {found.provider_message} {[each.provider_message for each in found.fields.values()]}"
    assert "ada@example.com" not in shown
    assert "600 111" not in shown


# through HTTP


def test_the_edges_block_stops_the_connection_at_once(stand: PipedriveStand) -> None:
    """One request, no second try: going on makes the block longer, and the limiter holds everyone back."""
    stand.fake.faults.add(Fault("rate_limited", policy="cloudflare"))
    connector = stand.connector()
    with pytest.raises(errors.RateLimitedError) as refused:
        connector.account()
    assert (refused.value.retry_after_seconds, connector.calls) == (1_800.0, 1)


def test_a_closed_company_blocks_the_connection(stand: PipedriveStand) -> None:
    stand.fake.is_company_open = False
    with pytest.raises(errors.ConnectionBlockedError):
        stand.connector().scan("persons", ["name"], None)


def test_a_withdrawn_version_is_a_setting_to_change_and_no_deletion() -> None:
    """With v1 switched off at Pipedrive nothing counts as gone."""
    with pipedrive_stand({"api_version": "v1"}, v1_records=False) as stand:
        (remote_id,) = stand.add([{"name": "Ada"}])
        connector = stand.connector()
        for act in (
            lambda: connector.scan("persons", ["name"], None),
            lambda: connector.fetch("persons", [remote_id], ["name"]),
        ):
            with pytest.raises(errors.ConfigurationError) as refused:
                act()
            assert refused.value.code == "config.unsupported"
        result = connector.delete("persons", [UpdateItem("k", remote_id, {})])["k"]
        assert isinstance(result.error, errors.ConfigurationError)


def test_half_a_body_is_no_result(stand: PipedriveStand) -> None:
    """A read fails; a write is unknown and sent once."""
    stand.learn()
    stand.fake.faults.add(Fault("half_body", method="GET", times=5))
    with pytest.raises(errors.CrmError):
        stand.connector().scan("persons", ["name"], None)
    stand.fake.faults.clear()
    stand.fake.faults.add(Fault("half_body", method="POST"))
    connector = stand.connector()
    result = connector.create("persons", [CreateItem("k", "org:1", {"name": "Ada"})])["k"]
    assert isinstance(result.error, errors.OutcomeUnknownError)
    assert (len(stand.live_ids()), connector.calls) == (1, 1)


def test_an_error_carries_pipedrives_own_id_of_the_request(stand: PipedriveStand) -> None:
    stand.learn()
    (remote_id,) = stand.add([{"name": "Ada"}])
    error = stand.connector().update("persons", [UpdateItem("k", remote_id, {"owner_id": "1"})])["k"].error
    assert isinstance(error, errors.RecordInvalidError)
    with pytest.raises(errors.CursorExpiredError) as refused:
        stand.connector().scan("persons", ["name"], "scan:x")
    assert len(refused.value.request_id) == 36
