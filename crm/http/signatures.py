"""Whether a webhook delivery is what it claims to be: pure checks on raw bytes, in constant time."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Final

from crm.errors import WebhookRejectedError
from crm.http.redact import revealed

MAX_AGE_SECONDS: Final = 300.0
MAX_AHEAD_SECONDS: Final = 60.0
"""A sender's clock may run a little before ours; a stamp from further ahead could be replayed for longer."""

_DECODED: Final = {
    "3A": ":", "2F": "/", "3F": "?", "40": "@", "21": "!", "24": "$", "27": "'",
    "28": "(", "29": ")", "2A": "*", "2C": ",", "3B": ";",
}  # fmt: skip
_ESCAPE: Final = re.compile("%(" + "|".join(_DECODED) + ")", re.IGNORECASE)


def is_same(theirs: str, ours: str) -> bool:
    """Constant-time comparison of two texts, secret or not. Two empty ones are never the same."""
    left, right = revealed(theirs).encode("utf-8", "surrogatepass"), revealed(ours).encode("utf-8", "surrogatepass")
    return hmac.compare_digest(left, right) and bool(right)


def signature_v3(*, secret: str, method: str, uri: str, body: bytes, timestamp: str) -> str:
    """The v3 request signature: base64 of HMAC-SHA256 over method, address, raw body and timestamp.

    https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation
    ``uri`` is the whole public address as it was called; of its escapes exactly those of the page are decoded.
    """
    address = _ESCAPE.sub(lambda found: _DECODED[found[1].upper()], uri)
    message = method.upper().encode() + address.encode() + body + timestamp.encode()
    return base64.b64encode(hmac.new(revealed(secret).encode(), message, hashlib.sha256).digest()).decode()


def verify_v3(
    *, secret: str, method: str, uri: str, body: bytes, timestamp: str, signature: str, now_seconds: float
) -> None:
    """Accept a delivery signed by ``signature_v3`` within the last five minutes, else raise WebhookRejectedError.

    ``timestamp`` is the header as sent, in milliseconds since 1970; ``uri`` comes from the configured public
    address, never from the request's ``Host``. The signatures v1 and v2 carry no time and are never accepted.
    """
    if not revealed(secret):
        raise WebhookRejectedError("No secret is set to check the delivery with", code="webhook.no_secret")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 16):
        raise WebhookRejectedError("The delivery's timestamp is missing or no number", code="webhook.signature")
    age_seconds = now_seconds - int(timestamp) / 1000
    if not -MAX_AHEAD_SECONDS <= age_seconds <= MAX_AGE_SECONDS:
        raise WebhookRejectedError("The delivery is too old, or from the future", code="webhook.stale")
    expected = signature_v3(secret=secret, method=method, uri=uri, body=body, timestamp=timestamp)
    if not is_same(signature, expected):
        raise WebhookRejectedError("The delivery's signature does not fit", code="webhook.signature")


def verify_basic(*, header: str, username: str, password: str) -> None:
    """Accept an ``Authorization: Basic`` header (RFC 7617) with these credentials, else raise WebhookRejectedError.

    The encoded forms are compared: base64 leaves bits unused, and a form that nobody's client makes is a forgery.
    """
    scheme, _, encoded = header.partition(" ")
    wanted = base64.b64encode(f"{revealed(username)}:{revealed(password)}".encode()).decode()
    fits = is_same(encoded.strip(), wanted)
    if not (fits and revealed(password) and scheme.lower() == "basic"):
        raise WebhookRejectedError("The delivery's credentials do not fit", code="webhook.signature")
