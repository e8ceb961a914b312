"""Takes a delivery and answers: no session, no parser, no remote call."""

from __future__ import annotations

import uuid
from typing import Final
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from kombu.exceptions import OperationalError

from adsapp_crm import conf
from adsapp_crm.middleware import opens_own_transactions
from adsapp_crm.services.refusal_counter import REFUSALS
from adsapp_crm.tasks import refetch
from adsapp_crm.webhooks.intake import MAX_BODY_BYTES, Message, find_address, take
from crm.errors import WebhookRejectedError
from crm.registry import PROVIDERS

_STATUS: Final = {
    "webhook.address": 404,
    "webhook.method": 405,
    "webhook.length": 411,
    "webhook.too_large": 413,
    "webhook.compressed": 415,
    "webhook.rate": 429,
    "webhook.no_secret": 503,
    "webhook.foreign": 403,
    "webhook.signature": 401,
    "webhook.stale": 401,
}
"""Everything else is 400."""


@csrf_exempt
@opens_own_transactions
def receive(request: HttpRequest, crm_type: str, token: str) -> HttpResponse:
    """Answer a delivery: as its CRM wants it when it was taken, else with a status that says why, and no body."""
    known = crm_type if crm_type in PROVIDERS else "?"
    try:
        _check_shape(request)
        address = find_address(crm_type, token)
        taken = take(address, _message(request))
    except WebhookRejectedError as refusal:
        REFUSALS.add(known, refusal.code)
        response = HttpResponse(status=_STATUS.get(refusal.code, 400))
        if refusal.code == "webhook.rate":
            response["Retry-After"] = "5"
        if refusal.code == "webhook.method":
            response["Allow"] = "POST"
        return response
    finally:
        REFUSALS.write_if_due()
    for _ in range(taken.foreign):
        REFUSALS.add(known, "webhook.foreign")
    for _ in range(taken.unknown):
        REFUSALS.add(known, "webhook.unknown_event")
    for connection_id in taken.to_wake:
        _wake(connection_id)
    answer = address.provider.webhook_answer
    return HttpResponse(answer.body, content_type=answer.content_type)


def _check_shape(request: HttpRequest) -> None:
    """What the request line and the headers say, before a byte of the body is read."""
    if request.method != "POST":
        raise WebhookRejectedError("Deliveries are posted", code="webhook.method")
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise WebhookRejectedError("The delivery is compressed", code="webhook.compressed")
    length = request.META.get("CONTENT_LENGTH") or ""
    if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in request.headers:
        raise WebhookRejectedError("The delivery does not say how long it is", code="webhook.length")
    if len(length) > 10 or int(length) > MAX_BODY_BYTES:
        raise WebhookRejectedError("The delivery is too large", code="webhook.too_large")


def _message(request: HttpRequest) -> Message:
    """The address is ours, from the settings: what a caller writes into ``Host`` proves nothing."""
    query = request.META.get("QUERY_STRING", "")
    url = f"{conf.public_url()}{quote(request.path_info)}{f'?{query}' if query else ''}"
    try:
        body = request.body
    except OSError:
        raise WebhookRejectedError("The delivery broke off", code="webhook.malformed") from None
    return Message(request.method or "", url, dict(request.headers), body)


def _wake(connection_id: uuid.UUID) -> None:
    """A broker that is away delays nobody's answer: the events are stored, and the sweep finds them."""
    try:
        refetch.apply_async((str(connection_id),), retry=False)
    except OperationalError:
        return
