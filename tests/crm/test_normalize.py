"""Comparable forms are total, idempotent, blind to normal form, and blind to nothing that a person means."""

from __future__ import annotations

import unicodedata
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.normalize import (
    _email,
    _phone,
    email_key,
    normalize_country,
    normalize_email,
    normalize_name,
    normalize_phone,
    normalize_text,
    parse_date,
    parse_timestamp,
    phone_key,
    sanitize_text,
)

ANY_TEXT = st.text(st.characters(), max_size=40) | st.text(
    st.characters(categories=["Cs", "Cc", "Mn", "Lu", "Nd", "Zs"])
)
PHONE_LIKE = st.text("0123456789+() -./x,;extEXT#*\u0660\uff11", max_size=30)
REGIONS = st.sampled_from(["", "NL", "US", "BE", "IT", "GB", "XX", "nl"])


@given(ANY_TEXT)
def test_text_forms_are_total_and_idempotent(value):
    """Applying a form twice gives what applying it once gives, on any text at all."""
    for form in (normalize_text, normalize_name, normalize_email, normalize_country):
        once = form(value)
        assert form(once) == once


@given(PHONE_LIKE | ANY_TEXT, REGIONS)
def test_phone_form_is_total_and_idempotent(value, region):
    """A normalized phone normalizes to itself under the same region."""
    once = normalize_phone(value, region)
    assert normalize_phone(once, region) == once
    key = phone_key(value, region)
    assert key is None or key == once


@given(ANY_TEXT, REGIONS)
def test_normal_forms_of_one_text_are_equal(value, region):
    """NFC and NFD spellings never count as a change."""
    composed, decomposed = unicodedata.normalize("NFC", value), unicodedata.normalize("NFD", value)
    for form in (normalize_text, normalize_name, normalize_email, normalize_country):
        assert form(composed) == form(decomposed)
    assert normalize_phone(composed, region) == normalize_phone(decomposed, region)


@given(ANY_TEXT)
def test_parsers_and_keys_never_raise(value):
    """Any text has a key or none, a time or none."""
    key = email_key(value)
    assert key is None or email_key(key) == key
    assert parse_date(value) is None or isinstance(parse_date(value), date)
    moment = parse_timestamp(value)
    assert moment is None or moment.tzinfo is UTC


@given(ANY_TEXT)
def test_sanitized_text_can_be_stored(value):
    """No NUL and no lone surrogate is left, and the flag says whether one was there."""
    clean, changed = sanitize_text(value)
    assert "\0" not in clean
    clean.encode()
    assert changed == (clean != value)
    assert len(clean) == len(value)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Ann@Example.com", " ann@example.com "),
        ("ann@bücher.example", "ANN@xn--bcher-kva.example"),
        ("jose\u0301@x.example", "jos\u00e9@x.example"),
    ],
)
def test_spellings_of_one_address_have_one_key(left, right):
    """Case, blanks, IDN and normal form do not tell two people apart."""
    assert email_key(left) == email_key(right) is not None


@pytest.mark.parametrize(
    ("left", "right"),
    [("a.nn@gmail.com", "ann@gmail.com"), ("ann+x@gmail.com", "ann@gmail.com"), ("аnn@x.example", "ann@x.example")],
)
def test_dots_plus_signs_and_homoglyphs_tell_addresses_apart(left, right):
    """Nothing is folded that another mail system may treat as another person."""
    assert email_key(left) != email_key(right)


@pytest.mark.parametrize(
    "value",
    ["", "  ", "ann", "@x.example", "ann@", "a@b@x.example", "a@x.example;b@x.example", "a@x.example, b@y.example",
     "Ann <ann@x.example>", "ann@localhost", "a" * 250 + "@x.example", "a\0@x.example", "a@.x.example"],
)  # fmt: skip
def test_what_is_not_exactly_one_address_has_no_key(value):
    """A list of addresses, or half of one, never matches anybody."""
    assert email_key(value) is None


@pytest.mark.parametrize(
    "value",
    ["+31612345678", "06-12345678", "06 12 34 56 78", "(06) 1234 5678", "0031612345678", "+31 (0)6 12345678",
     "0612345678", "\uff10612345678"],
)  # fmt: skip
def test_spellings_of_one_number_are_equal(value):
    """National, international and punctuated spellings are one number in its region."""
    assert phone_key(value, "NL") == "+31612345678"


@pytest.mark.parametrize("value", ["0001-01-01", "0000-00-00", "-0001-01-01"])
def test_a_leading_zero_that_would_go_at_the_next_reading_is_no_number(value):
    """A date typed into a phone field keeps one form, however often it is read."""
    once = normalize_phone(value, "NL")
    assert normalize_phone(once, "NL") == once


def test_an_extension_is_part_of_the_number():
    """Two extensions of one switchboard are two numbers; their spellings are one."""
    assert normalize_phone("020-5551234 x12", "NL") == "+31205551234;ext=12"
    assert normalize_phone("+31 20 555 1234 ext. 12", "") == "+31205551234;ext=12"
    assert normalize_phone("020-5551234 x13", "NL") != normalize_phone("020-5551234 x12", "NL")


@pytest.mark.parametrize("value", ["0612345678 / 0687654321", "0612345678 (home)", "1-800-FLOWERS", "ask Ann", "12"])
def test_text_beside_a_number_counts(value):
    """What is not exactly one number is compared as written, so that an edit of it is seen."""
    assert phone_key(value, "NL") is None
    assert normalize_phone(value, "NL") == value


def test_a_number_without_region_compares_by_its_digits():
    """Punctuation of an unknown national number is no change."""
    assert normalize_phone("06-12345678", "") == normalize_phone("06 123 456 78", "") == "0612345678"
    assert phone_key("06-12345678", "") is None


def test_case_and_accents_of_names_count():
    """A corrected accent or capital is an edit; doubled blanks are not."""
    assert normalize_name("José") != normalize_name("Jose")
    assert normalize_name("de Vries") != normalize_name("De Vries")
    assert normalize_name(" de \u00a0 Vries\n") == "de Vries"


def test_country_codes_compare_without_case():
    """A code is a code in any case; a name stays a name."""
    assert normalize_country("nl") == "NL"
    assert normalize_country("Netherlands") == "Netherlands"
    assert normalize_country("zz") == "zz"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-24T10:00:00Z", datetime(2026, 11, 24, 10, tzinfo=UTC)),
        ("2026-11-24T10:00:00.250+02:00", datetime(2026, 11, 24, 8, 0, 0, 250_000, tzinfo=UTC)),
        ("2026-11-24 10:00:00", datetime(2026, 11, 24, 10, tzinfo=UTC)),
        ("1764000000123", datetime(2025, 11, 24, 16, 0, 0, 123_000, tzinfo=UTC)),
        ("0001-01-01T00:00:00+05:00", None),
        ("9999-12-31T23:59:59-05:00", None),
        ("20200101", None),
        ("2020-W01-1x", None),
        ("", None),
    ],
)
def test_timestamps_of_all_providers_are_understood(value, expected):
    """ISO 8601 with or without offset and epoch milliseconds become UTC; other text is None."""
    assert parse_timestamp(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1990-02-28", date(1990, 2, 28)),
        ("0001-01-01", date(1, 1, 1)),
        ("9999-12-31", date(9999, 12, 31)),
        ("1990-02-30", None),
        ("1990-02-28T00:00:00Z", date(1990, 2, 28)),
        ("-86400000000", date(1967, 4, 7)),
        ("28-02-1990", None),
    ],
)
def test_dates_of_all_providers_are_understood(value, expected):
    """A day, the UTC day of a time, or None."""
    assert parse_date(value) == expected


def test_long_texts_are_not_kept_in_memory():
    """The memos hold values of ordinary length only, so that hostile ones cannot fill a worker."""
    emails, phones = _email.cache_info().currsize, _phone.cache_info().currsize
    assert normalize_email("A" * 100_000) == "a" * 100_000
    assert normalize_phone("+1" + "0" * 100_000, "US") == "+1" + "0" * 100_000
    assert (_email.cache_info().currsize, _phone.cache_info().currsize) == (emails, phones)
