"""What may be shown or kept of a CRM's text: no token, no address, no number of a person."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from typing import Any, Final, Self

MASK: Final = "***"


class Secret(str):
    """A token or password that no log, traceback, template, JSON, pickle or dump shows by accident.

    To everything that treats it as text it *is* ``***``; only ``reveal()`` gives the value. Equality is of the
    values, in constant time; an empty secret is false.
    """

    __slots__ = ("_value",)
    _value: str

    def __new__(cls, value: str = "") -> Self:
        secret = super().__new__(cls, MASK)
        secret._value = value.reveal() if isinstance(value, Secret) else value
        return secret

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, str):
            return NotImplemented
        theirs = other.reveal() if isinstance(other, Secret) else other
        return hmac.compare_digest(
            self._value.encode("utf-8", "surrogatepass"), theirs.encode("utf-8", "surrogatepass")
        )

    def __ne__(self, other: object) -> bool:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return (str, (MASK,))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self


def revealed(value: str) -> str:
    """The text to send: of a Secret its value, of any other string itself."""
    return value.reveal() if isinstance(value, Secret) else value


_TEXT_RULES: Final = (
    # A query string, and the user name and password of an address.
    (re.compile(r"(?i)\b(https?://)[^\s/@\"'<>]*@"), rf"\1{MASK}@"),
    (re.compile(r"(?i)((?:https?://|/)[^\s?\"'<>]*\?)[^\s\"'<>]+"), rf"\1{MASK}"),
    # Authorization values, and names of secrets followed by a value.
    (re.compile(r"(?i)\b(bearer|basic|token)\s+[A-Za-z0-9._~+/=!-]{8,}"), rf"\1 {MASK}"),
    (
        re.compile(
            r"""(?ix)(["']?\b[\w-]{0,30}(?:token|secret|password|passwd|api[_-]?key
            |authorization|signature|code_verifier|client_id|assertion|session_?id)\b["']?\s*[:=]\s*)
            (?:"[^"]*"|'[^']*'|[^\s,;&}\]]+)"""
        ),
        rf"\1{MASK}",
    ),
    # Tokens by their shape: JSON web tokens, session ids, vendor prefixes, long random words.
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?"), MASK),
    (re.compile(r"\b00D[A-Za-z0-9]{12,15}![A-Za-z0-9._]{20,}"), MASK),
    (re.compile(r"\b(?:pat|sk|rk|pk|ghp|xox[abp])[-_][\w-]{12,}"), MASK),
    (re.compile(r"\b[0-9a-fA-F]{32,}\b"), MASK),
    (re.compile(r"(?<![\w/+-])(?=[\w+/-]*\d)(?=[\w+/-]*[A-Za-z])[\w+/-]{40,}={0,2}"), MASK),
    # E-mail addresses in any script; phone numbers: at least seven digits with the usual separators.
    (re.compile(r"[^\s@<>\"'(),;:\[\]{}=]{1,64}@[^\s@<>\"'(),;:\[\]{}=]+"), MASK),
    (re.compile(r"(?<![\w-])(?:\+|00)[ ]?\d(?:[ ().\-/]{0,2}\d){5,15}(?![\w-])"), MASK),
    (re.compile(r"(?<![\w-])(?!\d{4}-\d\d-\d\d)\(?\d{2,5}\)?(?:[ .\-/]\d{2,5}){2,5}(?![\w-])"), MASK),
    (re.compile(r"(?<![\w.-])0\d{6,14}(?![\w-])"), MASK),
)

MAX_TEXT: Final = 2_000
"""Characters kept of a text: enough to see what a CRM complained about."""
_SCANNED: Final = 4 * MAX_TEXT


def redact_text(text: str, *, max_length: int = MAX_TEXT) -> str:
    """``text`` without tokens, e-mail addresses, phone numbers and query strings, cut to ``max_length``.

    Total on any string. It is a net for text that we do not understand, not a licence to log it.
    """
    scanned = text[:_SCANNED]
    for pattern, replacement in _TEXT_RULES:
        scanned = pattern.sub(replacement, scanned)
    was_cut = len(scanned) > max_length or len(text) > _SCANNED
    return scanned[:max_length] + ("..." if was_cut else "")


_SAFE_KEYS: Final = frozenset({
    "status", "category", "subcategory", "code", "errorcode", "statuscode", "error", "errortype", "policyname",
    "groupname", "correlationid", "requestid", "name", "type", "in", "field", "fields", "propertyname", "isvalid",
    "success", "message", "error_info", "error_description", "id", "total", "limit", "created", "hasmore",
})  # fmt: skip
"""Keys of error envelopes whose strings say what went wrong; every other string is masked outright."""
MAX_DEPTH: Final = 12
MAX_ITEMS: Final = 50


def redact_payload(payload: Any) -> Any:
    """A JSON value for diagnosis: shape, numbers' types and error words stay, people's values go.

    Strings under keys that error envelopes use pass ``redact_text``; all others become ``***`` (blank stays
    blank). Numbers outside those keys become ``0``. Long lists and deep trees are cut.
    """
    return _redact(payload, safe=True, depth=0)


def shape_of(payload: Any) -> str:
    """``redact_payload`` as JSON text of at most MAX_TEXT characters."""
    text = json.dumps(redact_payload(payload), ensure_ascii=True, separators=(",", ":"))
    return text[:MAX_TEXT] + ("..." if len(text) > MAX_TEXT else "")


def _redact(value: Any, *, safe: bool, depth: int) -> Any:
    if depth > MAX_DEPTH:
        return "..."
    if isinstance(value, Mapping):
        shown = list(value.items())[:MAX_ITEMS]
        redacted = {
            redact_text(str(key), max_length=100): _redact(item, safe=str(key).lower() in _SAFE_KEYS, depth=depth + 1)
            for key, item in shown
        }
        return redacted | ({"...": len(value) - MAX_ITEMS} if len(value) > MAX_ITEMS else {})
    if isinstance(value, list | tuple):
        redacted_items = [_redact(item, safe=safe, depth=depth + 1) for item in value[:MAX_ITEMS]]
        return redacted_items + (["..."] if len(value) > MAX_ITEMS else [])
    return _redact_leaf(value, safe=safe)


def _redact_leaf(value: Any, *, safe: bool) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return redact_text(value, max_length=500) if safe else value and MASK
    if isinstance(value, int | float):
        return value if safe else 0
    return MASK
