"""The values of ``crm.model`` as JSON documents and back, exactly.

Converters are built once for each class from its type hints. A field that holds its default is
left out, which keeps plan lines and ledger rows small; a key that a class does not know is passed
over, so that an older worker can read what a newer one wrote. JSON has no tuple, enumeration, time
or "unknown", and PostgreSQL's ``jsonb`` turns ``1e23`` into an integer: those are written so that
the same value comes back. NUL and lone surrogates, which PostgreSQL refuses, leave as U+FFFD.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import operator
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar, cast

import orjson

from crm.model import UNKNOWN, Seen

T = TypeVar("T")
Convert = Callable[[Any], Any]

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_FLOAT: Final = "float"
_UNKNOWN: Final = "unknown"


def encode(value: object) -> Any:
    """A dataclass instance as JSON object."""
    return _converters(cast("Any", type(value)))[0](value)


def decode(kind: type[T], document: Any) -> T:
    """The instance that ``encode`` was given."""
    return cast("T", _converters(cast("Any", kind))[1](document))


def encode_map(kind: type[object], values: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping of dataclass instances as JSON object."""
    write = _converters(cast("Any", kind))[0]
    return {key: write(value) for key, value in values.items()}


def decode_map(kind: type[T], document: Mapping[str, Any] | None) -> dict[str, T]:
    read = _converters(cast("Any", kind))[1]
    return {key: read(value) for key, value in (document or {}).items()}


def encode_values(values: Mapping[str, Seen]) -> dict[str, Any]:
    return {key: encode_value(value) for key, value in values.items()}


def decode_values(document: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: decode_value(value) for key, value in (document or {}).items()}


def encode_value(value: Seen) -> Any:
    """One field value in JSON terms."""
    if value.__class__ in _PLAIN:
        return value
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, float):
        text = repr(value)
        plain = "e" not in text and "n" not in text and text != "-0.0"
        return value if plain else {_FLOAT: text}
    return {_UNKNOWN: True} if value is UNKNOWN else value


def decode_value(document: Any) -> Any:
    if document.__class__ in _PLAIN:
        return document
    if isinstance(document, list):
        return tuple(document)
    if isinstance(document, dict):
        return float(document[_FLOAT]) if _FLOAT in document else UNKNOWN
    return document


_ENCODE: Final = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, separators=(",", ":"), allow_nan=False
).encode
"""For what ``orjson`` refuses: integers over 64 bits, lone surrogates."""


_DECODE: Final = json.JSONDecoder().raw_decode


def parse(text: str) -> Any:
    """What PostgreSQL gives for a ``jsonb`` column: one document and nothing round it, very often an empty one."""
    if text == "{}":
        return {}
    return [] if text == "[]" else _DECODE(text)[0]


def dump(document: Any) -> str:
    """JSON text that PostgreSQL accepts as ``jsonb``, whatever text stands in it."""
    try:
        text = orjson.dumps(document).decode()
    except TypeError:
        text = _ENCODE(_storable(document))
    return _ENCODE(_storable(document)) if "\\u0000" in text else text


def storable_text(text: str) -> str:
    """The text with what PostgreSQL cannot hold replaced by U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


def _storable(document: Any) -> Any:
    if isinstance(document, str):
        return storable_text(document)
    if isinstance(document, dict):
        return {storable_text(key): _storable(value) for key, value in document.items()}
    if isinstance(document, list):
        return [_storable(value) for value in document]
    return document


def _same(value: Any) -> Any:
    return value


_PLAIN: Final = frozenset({str, int, bool, type(None)})
"""Types whose values stand in JSON as they are: by far the most, and a call for each is what writing costs."""


@functools.cache
def _converters(hint: Any) -> tuple[Convert, Convert]:
    """How values of this type are written and read."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    found: tuple[Convert, Convert]
    if float in (hint, *arguments):
        found = encode_value, decode_value
    elif dataclasses.is_dataclass(hint):
        found = _record_converters(cast("type[Any]", hint))
    elif origin in (typing.Union, types.UnionType):
        (present,) = (argument for argument in arguments if argument is not type(None))
        write, read = _converters(present)
        found = _optional(write), _optional(read)
    elif origin is tuple:
        found = _sequence_converters(*_converters(arguments[0]))
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        found = _mapping_converters(*_converters(arguments[1]))
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        found = _enum_converters(hint)
    elif hint is datetime:
        found = datetime.isoformat, datetime.fromisoformat
    elif hint in (str, int, bool, Any):
        found = _same, _same
    else:
        raise TypeError(f"no JSON form for {hint!r}")
    return found


def _enum_converters(kind: type[enum.Enum]) -> tuple[Convert, Convert]:
    """By what ``value`` and a call of the class look up themselves, by way of Python functions."""
    members = {member.value: member for member in kind}

    def read(document: Any) -> Any:
        return members.get(document) or kind(document)

    return operator.attrgetter("_value_"), read


def _sequence_converters(write: Convert, read: Convert) -> tuple[Convert, Convert]:
    return (lambda values: [write(value) for value in values]), (
        lambda document: tuple(read(value) for value in document)
    )


def _mapping_converters(write: Convert, read: Convert) -> tuple[Convert, Convert]:
    return (lambda values: {key: write(value) for key, value in values.items()}), (
        lambda document: {key: read(value) for key, value in document.items()}
    )


def _optional(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _record_converters(kind: type[Any]) -> tuple[Convert, Convert]:
    hints = typing.get_type_hints(kind)
    written: list[tuple[str, Convert, Any]] = []
    readers: dict[str, Convert] = {}
    for spec in dataclasses.fields(kind):
        default = spec.default if spec.default_factory is dataclasses.MISSING else spec.default_factory()
        write_field, readers[spec.name] = _converters(hints[spec.name])
        written.append((spec.name, write_field, default))
    unchanged = frozenset(name for name, read_field in readers.items() if read_field is _same)

    def read(document: Mapping[str, Any]) -> Any:
        given = {}
        for name, value in document.items():
            if name in unchanged:
                given[name] = value
            elif name in readers:
                given[name] = readers[name](value)
        return kind(**given)

    return _writer(written), read


def _writer(fields: Sequence[tuple[str, Convert, Any]]) -> Convert:
    """A function with a line for each field, made as ``dataclasses`` makes its own: a page holds thousands of records,
    and a loop over the fields of each was a tenth of what planning it took.
    """
    known: dict[str, Any] = {"PLAIN": _PLAIN}
    lines = ["def write(instance):", " document = {}"]
    for place, (name, write_field, default) in enumerate(fields):
        known |= {f"default_{place}": default, f"write_{place}": write_field}
        lines += [
            f" value = instance.{name}",
            f" if value is not default_{place} and value != default_{place}:",
            f"  document[{name!r}] = value if value.__class__ in PLAIN else write_{place}(value)",
        ]
    # Of our own classes' field names alone, which are identifiers.
    exec("\n".join([*lines, " return document"]), known)  # noqa: S102  # nosec B102
    return cast("Convert", known["write"])
