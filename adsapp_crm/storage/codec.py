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
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, float):
        text = repr(value)
        plain = "e" not in text and "n" not in text and text != "-0.0"
        return value if plain else {_FLOAT: text}
    return {_UNKNOWN: True} if value is UNKNOWN else value


def decode_value(document: Any) -> Any:
    if isinstance(document, list):
        return tuple(document)
    if isinstance(document, dict):
        return float(document[_FLOAT]) if _FLOAT in document else UNKNOWN
    return document


_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def dump(document: Any) -> str:
    """JSON text that PostgreSQL accepts as ``jsonb``, whatever text stands in it."""
    text = _ENCODE(document)
    if "\\u0000" in text or (not text.isascii() and _UNSTORABLE.search(text)):
        text = _ENCODE(_storable(document))
    return text


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


_ENUM: Final = operator.attrgetter("value")


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
        found = _ENUM, hint
    elif hint is datetime:
        found = datetime.isoformat, datetime.fromisoformat
    elif hint in (str, int, bool, Any):
        found = _same, _same
    else:
        raise TypeError(f"no JSON form for {hint!r}")
    return found


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
    fields: list[_Field] = []
    for spec in dataclasses.fields(kind):
        default = spec.default if spec.default_factory is dataclasses.MISSING else spec.default_factory()
        fields.append((spec.name, *_converters(hints[spec.name]), default))
    return _writer(kind.__name__, fields), _reader(kind, fields)


_Field = tuple[str, Convert, Convert, Any]
"""Name, how it is written, how it is read, its default or MISSING."""


def _writer(name: str, fields: Sequence[_Field]) -> Convert:
    """A function written out field by field: a page writes some thousand records."""
    known: dict[str, Any] = {}
    lines = ["def write(instance):", " document = {}"]
    for place, (field, write, _, default) in enumerate(fields):
        known |= {f"w{place}": write, f"d{place}": default}
        given = "value" if write is _same else "value.value" if write is _ENUM else f"w{place}(value)"
        lines.append(f" value = instance.{field}")
        indent = " "
        if default is not dataclasses.MISSING:
            indent = "  "
            lines.append(f" if not (value is d{place} or value == d{place}):")
        lines.append(f"{indent}document[{field!r}] = {given}")
    lines.append(" return document")
    return _defined(name, "write", lines, known)


def _reader(kind: type[Any], fields: Sequence[_Field]) -> Convert:
    """Its reverse; what a document does not name gets its default."""
    known: dict[str, Any] = {"kind": kind}
    lines = ["def read(document):", " given = {}"]
    for place, (field, _, read, _) in enumerate(fields):
        known[f"r{place}"] = read
        value = f"document[{field!r}]"
        lines.append(f" if {field!r} in document:")
        lines.append(f"  given[{field!r}] = {value if read is _same else f'r{place}({value})'}")
    lines.append(" return kind(**given)")
    return _defined(kind.__name__, "read", lines, known)


def _defined(name: str, function: str, lines: Sequence[str], known: dict[str, Any]) -> Convert:
    exec(compile("\n".join(lines), f"<codec of {name}>", "exec"), known)  # noqa: S102  # nosec B102 - made of field names alone
    return cast("Convert", known[function])
