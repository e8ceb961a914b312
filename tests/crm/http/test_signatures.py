"""Signatures against published and worked vectors, and against everything that is nearly right."""

from __future__ import annotations

import base64

import pytest

from crm.errors import WebhookRejectedError
from crm.http.redact import Secret
from crm.http.signatures import is_same, signature_v3, verify_basic, verify_v3

SECRET = "11111111-2222-3333-4444-555555555555"
URI = "https://sync.example.com/hooks/hubspot"
URI_WITH_QUERY = URI + "?tenant=acme%3Aeu&path=%2Fa%20b"
STAMP = "1790000000500"
NOW = 1790000001.0
BODY = (
    b'[{"eventId":3001,"subscriptionId":501,"portalId":8800001,"appId":770011,"occurredAt":1790000000000,'
    b'"subscriptionType":"contact.propertyChange","attemptNumber":0,"objectId":90210,"propertyName":"phone",'
    b'"propertyValue":"+4930123456","changeSource":"CRM_UI","sourceId":"userId:42"}]'
)
BODY_WITH_UMLAUT = (
    '[{"eventId":3002,"subscriptionId":502,"portalId":8800001,"appId":770011,"occurredAt":1790000000000,'
    '"subscriptionType":"contact.propertyChange","attemptNumber":0,"objectId":90210,"propertyName":"city",'
    '"propertyValue":"München","changeSource":"INTEGRATION","sourceId":"770011"}]'
).encode()
SIGNATURE = "dP9rlmewbfoYTu3Xsjp1yZp3PIUL1ZodWF2AUrmIPbY="


@pytest.mark.parametrize(
    ("uri", "body", "expected"),
    [
        (URI, BODY, SIGNATURE),
        (URI_WITH_QUERY, BODY, "mm8Ytehje236dXr1eHOCP+SbOlNO+PZ0aC+rHFBFVbM="),
        (URI_WITH_QUERY.replace("%3A", "%3a"), BODY, "mm8Ytehje236dXr1eHOCP+SbOlNO+PZ0aC+rHFBFVbM="),
        (URI, BODY_WITH_UMLAUT, "bLWqMjoFPQlzcpySNWDZNlmCTlDHiWfLehFWf6irN4g="),
    ],
)
def test_worked_examples(uri, body, expected):
    """Computed independently of this code (reference page, section 15)."""
    assert len(BODY) == 279
    assert expected == signature_v3(secret=SECRET, method="POST", uri=uri, body=body, timestamp=STAMP)


def test_the_published_example():
    """As the vendor's own clients test it."""
    signature = signature_v3(
        secret="-".join("y" * count for count in (8, 4, 4, 4, 12)),
        method="POST",
        uri="https://www.example.com/webhook_uri",
        body=b"{'example_field':'example_value'}",
        timestamp="1693657560000",
    )

    assert signature == "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y="


def verify(**changes):
    given = {
        "secret": Secret(SECRET),
        "method": "POST",
        "uri": URI,
        "body": BODY,
        "timestamp": STAMP,
        "signature": SIGNATURE,
        "now_seconds": NOW,
    }
    verify_v3(**(given | changes))


@pytest.mark.parametrize("now", [NOW, 1790000000.5 + 300, 1790000000.5 - 60])
def test_a_signed_delivery_is_accepted_for_five_minutes(now):
    """And up to a minute ahead of our clock."""
    verify(now_seconds=now)


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": ""},
        {"secret": Secret("")},
        {"secret": SECRET[:-1] + "6"},
        {"method": "GET"},
        {"uri": URI + "/"},
        {"uri": URI.replace("https", "http")},
        {"uri": URI_WITH_QUERY},
        {"body": BODY + b" "},
        {"body": BODY.replace(b"501", b"502")},
        {"body": b""},
        {"body": BODY_WITH_UMLAUT},
        {"timestamp": ""},
        {"timestamp": "1790000000501"},
        {"timestamp": "1790000000"},
        {"timestamp": "1790000000500.0"},
        {"timestamp": "+1790000000500"},
        {"timestamp": " 1790000000500"},
        {"timestamp": "１７９００００００0500"},
        {"timestamp": "1" * 5_000},
        {"signature": ""},
        {"signature": SIGNATURE.lower()},
        {"signature": SIGNATURE + "="},
        {"signature": SIGNATURE[:-1]},
        {"signature": f"{SIGNATURE},{SIGNATURE}"},
        {"signature": "ü"},
        {"signature": "84c07f8f74c38f9157f9893136b7037f44260a4c825259154350c31749bd79a0"},
        {"signature": "6f648892e23fecbe3d8dfe465ed56976b32a27ed055ac197f76f20466f537844"},
        {"uri": URI_WITH_QUERY, "signature": "O/tFMG2LUihSy1+dbd6FOxuJeTgHwLnh8/LrD52CX3A="},
        {"now_seconds": 1790000000.5 + 300.1},
        {"now_seconds": 1790000000.5 - 60.1},
    ],
)
def test_anything_else_is_rejected(changes):
    """Other secret, method, address, body, time; versions 1 and 2; an address signed without decoding."""
    with pytest.raises(WebhookRejectedError):
        verify(**changes)


def test_every_bit_of_the_body_counts():
    """One flipped bit anywhere."""
    for position in range(len(BODY)):
        flipped = bytearray(BODY)
        flipped[position] ^= 1
        with pytest.raises(WebhookRejectedError):
            verify(body=bytes(flipped))


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_basic_credentials_are_accepted():
    """Scheme names have no case; a password may hold colons and any script."""
    verify_basic(header=basic("hook:pä:ss"), username="hook", password=Secret("pä:ss"))
    verify_basic(header=basic("hook:pä:ss").replace("Basic", "basic"), username="hook", password="pä:ss")


@pytest.mark.parametrize(
    ("header", "password"),
    [
        ("", "secret"),
        ("Basic", "secret"),
        ("Basic !!!", "secret"),
        ("Basic /w==", "secret"),
        (basic("hook:other"), "secret"),
        (basic("other:secret"), "secret"),
        (basic("hook:secret").replace("Basic", "Bearer"), "secret"),
        (basic("hook:"), ""),
        (basic(":"), ""),
    ],
)
def test_other_basic_credentials_are_rejected(header, password):
    """Also when no password is set."""
    with pytest.raises(WebhookRejectedError):
        verify_basic(header=header, username="hook", password=password)


def test_two_empty_texts_are_not_the_same():
    """An unset secret opens nothing."""
    assert not is_same("", "")
    assert is_same("a", Secret("a"))
    assert not is_same("a", "ü\ud800")
