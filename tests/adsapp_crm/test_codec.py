"""What is stored comes back as the same value."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adsapp_crm.storage import codec
from crm import model

storable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
values = st.one_of(
    st.none(), st.booleans(), storable, st.integers(), st.floats(), st.lists(storable, max_size=3).map(tuple)
)
moments = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001  the strategy adds the zone
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-11))]),
)
st.register_type_strategy(datetime, moments)


def records(kind):
    """Any instance of the class, with any stored value where a field value stands."""
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{spec.name: _strategy(hints[spec.name]) for spec in dataclasses.fields(kind)})


def _strategy(hint):
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint == model.Value:
        found = values
    elif dataclasses.is_dataclass(hint):
        found = records(hint)
    elif origin is types.UnionType:
        found = st.one_of(*(st.none() if one is type(None) else _strategy(one) for one in arguments))
    elif origin is tuple:
        found = st.lists(_strategy(arguments[0]), max_size=2).map(tuple)
    elif origin is Mapping:
        found = st.dictionaries(storable, _strategy(arguments[1]), max_size=2)
    elif origin is dict:
        found = st.dictionaries(storable, st.one_of(storable, st.integers(), st.none()), max_size=2)
    else:
        found = storable if hint is str else st.from_type(hint)
    return found


STORED = [
    model.Action,
    model.Counts,
    model.Flips,
    model.FieldTrouble,
    model.BasePair,
    model.Intent,
    model.LedgerEntry,
    model.Link,
    model.Observation,
    model.OpenConflict,
    model.Precondition,
    model.Resolution,
    model.RunState,
]


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.__name__)
@settings(max_examples=20)
@given(data=st.data())
def test_a_record_comes_back_as_it_was(kind, data):
    """Through JSON text every stored class round-trips, types of its values included."""
    record = data.draw(records(kind))
    document = json.loads(codec.dump(codec.encode(record)))
    back = codec.decode(kind, document)
    assert repr(_in_utc(back)) == repr(_in_utc(record))


def _in_utc(record):
    """Compared by text, so that 1 and True and 1.0, -0.0 and nan are told apart."""
    if isinstance(record, datetime):
        return record.astimezone(UTC).isoformat()
    if dataclasses.is_dataclass(record):
        return {spec.name: _in_utc(getattr(record, spec.name)) for spec in dataclasses.fields(record)}
    if isinstance(record, Mapping):
        return {key: _in_utc(value) for key, value in record.items()}
    if isinstance(record, tuple):
        return tuple(_in_utc(value) for value in record)
    return record


@given(st.dictionaries(storable, st.one_of(values, st.just(model.UNKNOWN)), max_size=4))
def test_field_values_come_back_with_their_type(drawn):
    """A tuple stays a tuple, a float a float, and unknown is neither blank nor anything else."""
    back = codec.decode_values(json.loads(codec.dump(codec.encode_values(drawn))))
    assert repr(back) == repr(drawn)


def test_a_default_takes_no_space():
    """A line that says only what it must is two keys long."""
    action = model.Action(model.ActionKind.REVIEW, "contact")
    assert codec.encode(action) == {"kind": "review", "record_type": "contact"}


def test_a_key_of_a_newer_worker_is_passed_over():
    """A document with a field that this code does not know is read without it."""
    assert codec.decode(model.Precondition, {"app_version": 3, "moon_phase": "full"}) == model.Precondition(3)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("a\x00b", "a\ufffdb"),
        ("\ud83d alone", "\ufffd alone"),
        ("\U0001f600", "\U0001f600"),
        ("\\u0000", "\\u0000"),
        ("back\\\\u0000slash", "back\\\\u0000slash"),
    ],
)
def test_text_that_the_database_refuses_is_replaced_and_other_text_is_not(text, stored):
    """Only NUL and lone surrogates change, in values and in keys."""
    assert json.loads(codec.dump({text: [text]})) == {stored: [stored]}
    assert codec.storable_text(text) == stored


def test_a_type_without_json_form_is_refused():
    """A class that would be stored wrong is refused by name when it is first used."""

    @dataclasses.dataclass
    class Odd:
        path: complex = 0j

    with pytest.raises(TypeError, match="complex"):
        codec.encode(Odd())
