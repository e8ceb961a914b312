"""Deliveries that nobody sent: a genuine one of each CRM, changed in every way that must not go through."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from crm.providers.hubspot.fake.webhooks import signed_headers

NOW_MS = 1_790_000_000_500
PUBLIC = "https://crm.example.com"


@dataclass(frozen=True)
class Forged:
    kind: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"


@dataclass(frozen=True)
class Genuine:
    secret: str
    delivery: Forged


def genuine_hubspot(url: str, secret: str, events: list[dict[str, Any]], now_ms: int) -> Genuine:
    body = json.dumps(events, separators=(",", ":")).encode()
    return Genuine(secret, Forged("genuine", url, signed_headers(secret, url, body, now_ms), body))


_EVENT = {
    "eventId": 3001, "subscriptionId": 501, "portalId": 8800001, "appId": 770011, "occurredAt": NOW_MS - 500,
    "subscriptionType": "contact.propertyChange", "attemptNumber": 0, "objectId": 90210, "propertyName": "phone",
    "propertyValue": "+4930123456", "changeSource": "CRM_UI", "sourceId": "userId:42",
}  # fmt: skip
_HUBSPOT = genuine_hubspot(
    f"{PUBLIC}/api/crm/webhooks/hubspot/app", "11111111-2222-3333-4444-555555555555", [_EVENT], NOW_MS
)
_PIPEDRIVE_SECRET = "pT5-3cuAqyy0pUQeOPSgp3vHCz0UkOV7Vrz8HxQy7hA"
_PIPEDRIVE = Genuine(
    _PIPEDRIVE_SECRET,
    Forged(
        "genuine",
        f"{PUBLIC}/api/crm/webhooks/pipedrive/abc",
        {"Authorization": "Basic " + base64.b64encode(f"adsapp:{_PIPEDRIVE_SECRET}".encode()).decode()},
        b'{"meta":{"action":"change","entity":"person","entity_id":"7","company_id":"1"}}',
    ),
)
_SALESFORCE_SECRET = "Zk9c2m3t0vYxq4b1WJ8rLhS7uN6eKdPaQfGiToRyXUw"
_SALESFORCE = Genuine(
    _SALESFORCE_SECRET,
    Forged("genuine", f"{PUBLIC}/api/crm/webhooks/salesforce/{_SALESFORCE_SECRET}", {}, b"<soapenv:Envelope/>"),
)
GENUINE = {"hubspot": _HUBSPOT, "pipedrive": _PIPEDRIVE, "salesforce": _SALESFORCE}

Change = Callable[[Forged, random.Random, str], Forged]


def forge(key: str, draw: random.Random, count: int, genuine: Genuine | None = None) -> Iterator[Forged]:
    """Variants in turn of each kind; each differs from the genuine delivery in what proves it."""
    given = genuine or GENUINE[key]
    changes = list(_CHANGES[key].items())
    made = 0
    while made < count:
        kind, change = changes[made % len(changes)]
        changed = replace(change(given.delivery, draw, given.secret), kind=kind)
        if changed != replace(given.delivery, kind=kind):
            made += 1
            yield changed


# HubSpot ---------------------------------------------------------------------------------------------------

_V3, _STAMP = "X-HubSpot-Signature-v3", "X-HubSpot-Request-Timestamp"


def _with(delivery: Forged, **headers: str | None) -> Forged:
    merged = {**delivery.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return replace(delivery, headers={name: value for name, value in merged.items() if value is not None})


def _signature(delivery: Forged, change: Callable[[str], str], name: str = _V3) -> Forged:
    return replace(delivery, headers={**delivery.headers, name: change(str(delivery.headers[name]))})


def _flipped(text: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(text))
    return text[:place] + bytes([text[place] ^ (1 << draw.randrange(8))]) + text[place + 1 :]


def _body_bit(delivery: Forged, draw: random.Random, _secret: str) -> Forged:
    return replace(delivery, body=_flipped(delivery.body, draw))


def _body_cut(delivery: Forged, draw: random.Random, _secret: str) -> Forged:
    return replace(delivery, body=delivery.body[: draw.randrange(len(delivery.body))])


def _body_anew(delivery: Forged, draw: random.Random, _secret: str) -> Forged:
    """The same events, written otherwise: blanks, order of keys, escapes."""
    events = json.loads(delivery.body)
    shuffled = [dict(draw.sample(sorted(event.items()), len(event))) for event in events]
    return replace(delivery, body=json.dumps(shuffled, indent=draw.choice([None, 1, 2])).encode())


def _body_more(delivery: Forged, draw: random.Random, _secret: str) -> Forged:
    events = json.loads(delivery.body)
    return replace(delivery, body=json.dumps([*events, {**events[0], "objectId": draw.randrange(10**9)}]).encode())


def _other_secret(delivery: Forged, draw: random.Random, secret: str) -> Forged:
    """Another tenant's app, an empty secret, one with a blank, half of it."""
    other = draw.choice(["", secret + " ", secret[:-1], secret.upper() + "x", f"tenant-{draw.random()}"])
    return replace(delivery, headers=signed_headers(other, delivery.url, delivery.body, _stamp_of(delivery)))


def _other_path(delivery: Forged, draw: random.Random, secret: str) -> Forged:
    """Signed for another address: of another host, scheme, app, with a query, an end that differs."""
    other = draw.choice(
        [
            delivery.url.replace("https:", "http:").replace("://", "://evil."),
            delivery.url + "?" + str(draw.random()),
            delivery.url + "/",
            delivery.url.replace("/hubspot/", "/pipedrive/"),
            delivery.url[:-1] + str(draw.randrange(10**6)),
            delivery.url.upper(),
        ]
    )
    return replace(delivery, headers=signed_headers(secret, other, delivery.body, _stamp_of(delivery)))


def _other_method(delivery: Forged, draw: random.Random, secret: str) -> Forged:
    message = draw.choice(["GET", "PUT", ""]).encode() + delivery.url.encode() + delivery.body
    stamp = str(_stamp_of(delivery) + draw.randrange(50))
    return _with_signature(delivery, secret, message + stamp.encode(), stamp)


def _stale(delivery: Forged, draw: random.Random, secret: str) -> Forged:
    """Signed well, at a time that is over or has not come."""
    off = draw.choice([-1, 1]) * draw.randrange(301_000, 10**9)
    stamp = _stamp_of(delivery) + (off if off < 0 else max(off, 61_000))
    return replace(delivery, headers=signed_headers(secret, delivery.url, delivery.body, stamp))


def _moved_stamp(delivery: Forged, draw: random.Random, _secret: str) -> Forged:
    return _signature(delivery, lambda text: str(int(text) + draw.choice([-1, 1]) * draw.randrange(1, 50_000)), _STAMP)


def _strange_stamp(delivery: Forged, draw: random.Random, secret: str) -> Forged:
    """Digits of other scripts, signs, fractions, words; signed as they stand."""
    plain = str(_stamp_of(delivery))
    arabic = plain.translate({ord(str(digit)): 0x660 + digit for digit in range(10)})
    strange = draw.choice(
        [arabic, f"+{plain}", f" {plain}", f"{plain}.0", plain[:-3] + "e3", "", "now", f"{plain}\u200b", f"0x{plain}"]
    )
    message = b"POST" + delivery.url.encode() + delivery.body + strange.encode()
    return _with_signature(delivery, secret, message, strange)


def _old_version(delivery: Forged, draw: random.Random, secret: str) -> Forged:
    """Version 1 or 2, which carry no time, alone or in the place of version 3."""
    v1 = hashlib.sha256(secret.encode() + delivery.body).hexdigest()
    v2 = hashlib.sha256(secret.encode() + b"POST" + delivery.url.encode() + delivery.body).hexdigest()
    value, version = draw.choice([(v1, "v1"), (v2, "v2")])
    moved = {_V3: value} if draw.random() < 0.5 else {}
    headers = {"X-HubSpot-Signature": value, "X-HubSpot-Signature-Version": version, **moved}
    return replace(delivery, headers={**headers, _STAMP: str(_stamp_of(delivery) + draw.randrange(1000))})


def _bent_signature(delivery: Forged, draw: random.Random, _secret: str) -> Forged:
    """Bits, case, padding, two in one, the digest in hexadecimal, other letters that look the same."""

    def bend(text: str) -> str:
        raw = base64.b64decode(text)
        return draw.choice(
            [
                base64.b64encode(_flipped(raw, draw)).decode(),
                text.swapcase(),
                text.rstrip("="),
                f"{text},{text}",
                f"{text} ",
                raw.hex(),
                text[: draw.randrange(len(text))],
                base64.urlsafe_b64encode(raw).decode() + "=",
                text.translate({ord(letter): ord(letter) + 0xFEE0 for letter in "abcABC123"}),
                "",
            ]
        )

    return _signature(delivery, bend)


def _with_signature(delivery: Forged, secret: str, message: bytes, stamp: str) -> Forged:
    digest = base64.b64encode(hmac.new(secret.encode(), message, hashlib.sha256).digest()).decode()
    return replace(delivery, headers={**delivery.headers, _V3: digest, _STAMP: stamp})


def _stamp_of(delivery: Forged) -> int:
    return int(delivery.headers[_STAMP])


# Pipedrive and Salesforce ------------------------------------------------------------------------------------


def _basic(value: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(value.encode("utf-8", "surrogatepass")).decode()}


def _password(delivery: Forged, draw: random.Random, secret: str) -> Forged:
    bent = draw.choice(
        [_flipped(secret.encode(), draw).decode("latin-1"), secret[: draw.randrange(len(secret))], secret + "x"]
    )
    return replace(delivery, headers=_basic(f"adsapp:{bent}"))


def _user(delivery: Forged, draw: random.Random, secret: str) -> Forged:
    name = draw.choice(["", "Adsapp", "adsapp ", "admin", f"user{draw.randrange(10**6)}", "adsapp:x"])
    return replace(delivery, headers=_basic(f"{name}:{secret}"))


def _scheme(delivery: Forged, draw: random.Random, secret: str) -> Forged:
    word = draw.choice(["Bearer", "Digest", "", "Basic Basic", f"B{draw.randrange(10**6)}"])
    return replace(delivery, headers={"Authorization": f"{word} {_basic(f'adsapp:{secret}')['Authorization'][6:]}"})


def _doubled(delivery: Forged, draw: random.Random, _secret: str) -> Forged:
    """What a server makes of two headers of one name."""
    value = delivery.headers["Authorization"]
    return replace(
        delivery, headers={"Authorization": draw.choice([f"{value},{value}", f"{value}, Basic {draw.random()}"])}
    )


def _encoded(delivery: Forged, draw: random.Random, _secret: str) -> Forged:
    encoded = delivery.headers["Authorization"][6:]
    bent = draw.choice(
        [_flipped(encoded.encode(), draw).decode("latin-1"), encoded[: draw.randrange(len(encoded) - 4)], "=" + encoded]
    )
    return replace(delivery, headers={"Authorization": f"Basic {bent}"})


def _elsewhere(delivery: Forged, draw: random.Random, secret: str) -> Forged:
    """The right secret in the wrong place."""
    places: list[dict[str, str]] = [
        {},
        {"X-Authorization": secret},
        {"Cookie": secret},
        {"Proxy-Authorization": secret},
    ]
    url = f"{delivery.url}?auth={secret}&n={draw.randrange(10**6)}"
    return replace(delivery, headers=draw.choice(places), url=url)


def _token(delivery: Forged, draw: random.Random, secret: str) -> Forged:
    bent = draw.choice(
        [
            _flipped(secret.encode(), draw).decode("latin-1"),
            secret[: draw.randrange(len(secret))],
            secret.swapcase(),
            secret + "x",
        ]
    )
    return replace(
        delivery, url=delivery.url.removesuffix(secret) + bent.replace("/", "_").replace("?", "_").replace("#", "_")
    )


def _token_elsewhere(delivery: Forged, draw: random.Random, secret: str) -> Forged:
    base = delivery.url.removesuffix(secret)
    number = draw.randrange(10**6)
    return replace(
        delivery,
        url=draw.choice(
            [f"{base}{number}?{secret}", f"{base}{secret}/{number}", f"{base}#{secret}", f"{base}{number}?x=/{secret}"]
        ),
    )


def _token_method(delivery: Forged, draw: random.Random, _secret: str) -> Forged:
    return replace(delivery, method=draw.choice(["GET", "PUT", "DELETE", "HEAD"]), body=str(draw.random()).encode())


def _token_header(delivery: Forged, draw: random.Random, secret: str) -> Forged:
    return replace(
        delivery, url=f"{delivery.url.removesuffix(secret)}{draw.randrange(10**6)}", headers={"Authorization": secret}
    )


def _token_escaped(delivery: Forged, draw: random.Random, secret: str) -> Forged:
    place = draw.randrange(len(secret))
    escaped = f"{secret[:place]}%{ord(secret[place]):02X}{secret[place + 1 :]}"
    return replace(delivery, url=delivery.url.removesuffix(secret) + escaped)


def _token_doubled(delivery: Forged, draw: random.Random, secret: str) -> Forged:
    return replace(
        delivery, url=f"{delivery.url}{draw.choice(['', '-', ';', ','])}{secret[: draw.randrange(1, len(secret))]}"
    )


_CHANGES: dict[str, dict[str, Change]] = {
    "hubspot": {
        "body bit": _body_bit,
        "body cut": _body_cut,
        "body written anew": _body_anew,
        "body with one more event": _body_more,
        "another secret": _other_secret,
        "another address": _other_path,
        "another method": _other_method,
        "stale": _stale,
        "time moved": _moved_stamp,
        "strange time": _strange_stamp,
        "old version": _old_version,
        "bent signature": _bent_signature,
    },
    "pipedrive": {
        "password": _password,
        "user": _user,
        "scheme": _scheme,
        "doubled": _doubled,
        "encoding": _encoded,
        "elsewhere": _elsewhere,
    },
    "salesforce": {
        "token": _token,
        "token elsewhere": _token_elsewhere,
        "method": _token_method,
        "token in a header": _token_header,
        "token escaped": _token_escaped,
        "token doubled": _token_doubled,
    },
}
