"""Salesforce's outbound messages: whether one may be believed, and which records it says to read again. Pure.

https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_om_outboundmessaging.htm (checked 2026-11).
There is no signature: a delivery is known by the secret at the end of its address, and by its organization id, which
the caller compares. Only ids are taken from it. Deletions are never told.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from crm.errors import WebhookRejectedError
from crm.http.redact import Secret, revealed
from crm.http.signatures import is_same
from crm.providers.base import ChangeHint, Delivery, HintKind
from crm.providers.salesforce import mapping

STEPS: Final = (
    "In Salesforce Setup open Outbound Messages and make one for Contact (and one for Lead if leads are synced).",
    "Set the endpoint URL to {address}, choose the field Id alone, and leave Send Session ID off.",
    "Keep the address secret: Salesforce signs nothing, and the end of the address is what proves a delivery.",
    "In Flow Builder make a record-triggered flow on Contact, for records created or updated, after save.",
    "Let it run the action of the outbound message, leave out changes by the user that ADSapp logs in as, activate it.",
    "Deletions are never told by outbound messages: the regular sync finds them.",
)
MAX_NOTIFICATIONS: Final = 100
_ENVELOPE: Final = "{http://schemas.xmlsoap.org/soap/envelope/}"
_MESSAGE: Final = "{http://soap.sforce.com/2005/09/outbound}"
_TYPE: Final = "{http://www.w3.org/2001/XMLSchema-instance}type"

ACKNOWLEDGED: Final = (
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    '<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>'
    "</soapenv:Body></soapenv:Envelope>"
)
"""The body (``text/xml``) that a delivery is answered with; anything else and Salesforce sends it again for a day."""


def verify(
    *,
    method: str,
    url: str,
    headers: Mapping[str, str],  # noqa: ARG001 - nothing but the address tells who sends
    body: bytes,  # noqa: ARG001
    secret: Secret,
    now: datetime,  # noqa: ARG001
) -> None:
    """Accept a POST whose address ends in the connection's secret."""
    if not revealed(secret):
        raise WebhookRejectedError("No secret is set to check the delivery with", code="webhook.no_secret")
    given = urlsplit(url).path.rstrip("/").rpartition("/")[2]
    if method.upper() != "POST" or not is_same(given, secret):
        raise WebhookRejectedError("The delivery's address does not hold the secret", code="webhook.signature")


def parse(body: bytes) -> Delivery:
    """The hints of one message of up to 100 records; raises WebhookRejectedError when it is none."""
    try:
        envelope = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        raise WebhookRejectedError("The delivery is no XML", code="webhook.malformed") from None
    message = envelope.find(f"{_ENVELOPE}Body/{_MESSAGE}notifications")
    organization_id = mapping.to18(_text(message, "OrganizationId")) if message is not None else None
    notifications = message.findall(f"{_MESSAGE}Notification") if message is not None else []
    if organization_id is None or not 1 <= len(notifications) <= MAX_NOTIFICATIONS:
        raise WebhookRejectedError("The delivery is no outbound message", code="webhook.malformed")
    hints: list[ChangeHint] = []
    ignored: list[str] = []
    unknown: list[str] = []
    for notification in notifications:
        record = notification.find(f"{_MESSAGE}sObject")
        name = record.get(_TYPE, "").rpartition(":")[2] if record is not None else ""
        remote_id = _record_id(record) if record is not None else None
        event = mapping.to18(_text(notification, "Id"))
        if name and name not in mapping.KEY_PREFIXES:
            ignored.append(name[:100])
        elif remote_id is None or event is None or mapping.id_of_type(name, remote_id) is None:
            unknown.append(name[:100] or "?")
        else:
            hints.append(ChangeHint(organization_id, name, remote_id, HintKind.CHANGED, event))
    return Delivery(tuple(hints), tuple(ignored), tuple(unknown))


def _text(element: Element, name: str) -> str:
    return (element.findtext(f"{_MESSAGE}{name}") or "").strip()


def _record_id(record: Element) -> str | None:
    """``Id`` in the namespace of the record's own schema."""
    for child in record:
        if child.tag.rpartition("}")[2] == "Id":
            return mapping.to18((child.text or "").strip())
    return None
