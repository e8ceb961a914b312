"""Short fingerprints of values: what a plan line was computed from, and which value was refused.

A fingerprint only ever answers "is it still the same?"; it is no secret and no identity.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from crm.model import BasePair, RemoteRecord, Value

_ENCODE = json.JSONEncoder(ensure_ascii=True, check_circular=False, separators=(",", ":")).encode


def digest_value(value: Value) -> str:
    """Same value, same text. Blank forms are different values here: the caller canonicalises."""
    text = _ENCODE(value)
    return hashlib.blake2s(text.encode(), digest_size=9).hexdigest()


def digest_values(values: Mapping[str, Value], only: Iterable[str] | None = None) -> str:
    """Fingerprint of several fields, whatever their order. ``only`` names the fields that count."""
    names = sorted(values if only is None else (name for name in only if name in values))
    text = _ENCODE([[name, values[name]] for name in names])
    return hashlib.blake2s(text.encode(), digest_size=9).hexdigest()


def digest_record(record: RemoteRecord, fields: Iterable[str]) -> str:
    """Fingerprint of the mapped fields of a record and of whether it lives."""
    return f"{record.state.value}:{digest_values(record.values, fields)}"


def digest_base(base: Mapping[str, BasePair]) -> str:
    text = _ENCODE([[key, pair.app, pair.crm, pair.definition, pair.unread] for key, pair in sorted(base.items())])
    return hashlib.blake2s(text.encode(), digest_size=9).hexdigest()
