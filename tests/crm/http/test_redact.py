"""Secrets and people's values do not survive."""

from __future__ import annotations

import copy
import json
import pickle
import pprint
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.http.redact import MAX_TEXT, Secret, redact_payload, redact_text

SHOWN = {
    "str": str,
    "repr": repr,
    "format": lambda secret: f"{secret} {secret:>5} {secret!r}",
    "percent": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031
    "concatenation": lambda secret: "a" + secret,
    "join": lambda secret: "-".join(2 * [secret]),
    "json": lambda secret: json.dumps({"token": secret}),
    "json key": lambda secret: json.dumps({secret: 1}),
    "pickle": lambda secret: pickle.dumps(secret).decode("latin-1"),
    "pickle of the oldest protocol": lambda secret: pickle.dumps(secret, 0).decode("latin-1"),
    "pprint": lambda secret: pprint.pformat([secret]),
    "container": lambda secret: str({"a": [secret]}),
    "slice": lambda secret: secret[:],
    "upper": lambda secret: secret.upper(),
    "encode": lambda secret: secret.encode().decode(),
}


@pytest.mark.parametrize("way", SHOWN)
def test_a_secret_shows_its_mask_in_every_way(way):
    """Only ``reveal`` gives it."""
    shown = SHOWN[way](Secret("Canary-Value"))

    assert "canary" not in shown.lower()
    assert "***" in shown


def test_a_secret_is_revealed_compared_and_kept():
    """Equality is of values, copies keep the value, an empty one is false."""
    secret = Secret("value")

    assert "value" == secret.reveal() == copy.deepcopy(secret).reveal() == Secret(secret).reveal()
    assert (secret == "value", secret == Secret("value"), secret == "***", secret == 1) == (True, True, False, False)
    assert secret != Secret("other")
    assert {secret: 1} == {Secret("value"): 1}
    assert not Secret("")


@pytest.mark.parametrize(
    ("text", "leak"),
    [
        ("Contact anna.müller@example.de already exists", "anna"),
        ("user 用户@例子.广告 refused", "用户"),
        ("phone +49 (30) 123-456 78 is invalid", "123"),
        ("phone 0301234567 is invalid", "0301234567"),
        ("call (555) 123-4567 now", "4567"),
        ("see https://api.example.com/x?email=anna&token=1 for more", "anna"),
        ("GET /crm/v3/objects?q=anna failed", "anna"),
        ("https://anna:pass@example.com/", "pass"),
        ("Authorization: Bearer abcdefgh12345678", "abcdefgh"),
        ('{"access_token":"abc-1"}', "abc-1"),
        ("refresh_token=abc-1&x=2", "abc-1"),
        ("client_secret: 'abc-1'", "abc-1"),
        ("x-api-token: abc-1", "abc-1"),
        ("password = abc-1", "abc-1"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln here", "eyJ"),
        ("session 00D5g000000abcd!AQEAQabcdefghijklmnopqrstuv is bad", "AQEAQ"),
        ("key pat-na1-11111111-2222-3333-4444-555555555555 expired", "11111111"),
        ("hash d41d8cd98f00b204e9800998ecf8427e seen", "d41d8"),
        ("code AbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCdEfGh used", "AbCdEf"),
    ],
)
def test_text_loses_what_is_private(text, leak):
    """Addresses, numbers, tokens by name and by shape, query strings."""
    redacted = redact_text(text)

    assert leak not in redacted
    assert "***" in redacted


@pytest.mark.parametrize(
    "text",
    [
        'Property "favourite_colour" does not exist',
        "Cannot set PROPERTY_DOESNT_EXIST on 2026-01-05",
        "INVALID_OPTION: value was not one of the allowed options",
        "You have reached your ten_secondly_rolling limit.",
        "Contact already exists. Existing ID: 12345",
        "resource not found",
    ],
)
def test_text_that_says_what_went_wrong_stays(text):
    """Words, names of fields and record ids help the operator."""
    assert text == redact_text(text)


def test_long_text_is_cut_and_says_so():
    """A diagnosis has a size."""
    assert redact_text("é" * 1_000_000) == "é" * MAX_TEXT + "..."


def test_a_payload_keeps_its_shape_and_loses_its_values():
    """Keys of error envelopes stay readable, contact data does not."""
    payload = {
        "status": "error",
        "message": "Email anna@example.com is bad",
        "errors": [{"code": "INVALID_EMAIL", "context": {"propertyName": ["email"], "value": "anna"}}],
        "properties": {"firstname": "Anna", "salary": 90210, "vip": True, "blank": "", "none": None},
        "anna@example.com": 1,
    }

    assert redact_payload(payload) == {
        "status": "error",
        "message": "Email *** is bad",
        "errors": [{"code": "INVALID_EMAIL", "context": {"propertyName": ["email"], "value": "***"}}],
        "properties": {"firstname": "***", "salary": 0, "vip": True, "blank": "", "none": None},
        "***": 0,
    }


def test_a_huge_payload_is_cut():
    """Wide and deep trees have an end."""
    deep: object = "x"
    for _ in range(500):
        deep = [deep]

    assert len(redact_payload(list(range(10_000)))) == 51
    assert len(redact_payload({str(number): 1 for number in range(10_000)})) == 51
    assert str(redact_payload(deep)) == "[[[[[[[[[[[[['...']]]]]]]]]]]]]"


@given(st.text(max_size=300))
def test_redaction_is_total(text):
    """No text breaks it."""
    assert isinstance(redact_text(text), str)


@given(st.from_regex(r"[a-z0-9]{1,10}(\.[a-z]{1,5})?@[a-z]{1,8}\.(com|de)", fullmatch=True))
def test_no_mail_address_survives(address):
    """Wherever it stands in a sentence."""
    assert address not in redact_text(f'Value <{address}>, or {address}; of "{address}" is taken.')


@pytest.mark.parametrize(
    "text", ["a@" * 5_000, "0 " * 5_000, "https://" + "?" * 10_000, '"token' * 2_000, "-" * 10_000, "a1" * 5_000]
)
def test_hostile_text_takes_no_time(text):
    """The patterns do not backtrack without end."""
    started = time.process_time()
    redact_text(text)
    assert time.process_time() - started < 0.1
