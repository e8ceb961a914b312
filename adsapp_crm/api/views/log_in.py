"""The browser's part of connecting: back from the CRM's consent page, and the person's word on what was found.

People get pages, programs (``Accept`` without ``text/html``) the same as JSON. Nothing of the callback's query is
shown but the CRM's own message, redacted and cut; no address in the query is ever followed.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from rest_framework.exceptions import NotFound
from rest_framework.parsers import FormParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from adsapp_crm.api.errors import problem
from adsapp_crm.api.json_bodies import BoundedJSONParser
from adsapp_crm.catalogue import explain
from adsapp_crm.selectors import organization_name
from adsapp_crm.services.connections import Connected
from adsapp_crm.services.oauth import LogInFailedError, Person, finish_log_in
from adsapp_crm.services.oauth_confirmation import Waiting, confirm_log_in, decline_log_in, waiting_log_in
from adsapp_crm.services.refusal_counter import REFUSALS
from adsapp_crm.services.refusals import RefusedError, refuse
from adsapp_crm.services.seats import RETRY_SECONDS, asking_outside
from adsapp_crm.services.uninstalls import take_uninstall
from crm.errors import CrmError, UnexpectedAnswerError, WebhookRejectedError
from crm.http.grants import Uninstalled
from crm.registry import PROVIDERS, Provider

_STATUS: Final[Mapping[str, int]] = {
    "oauth.session": 403,
    "connection.exists": 409,
    "auth.wrong_org": 409,
    "request.busy": 503,
}
_UNINSTALL_STATUS: Final[Mapping[str, int]] = {
    "webhook.signature": 401,
    "webhook.foreign": 403,
    "webhook.too_large": 413,
}
MOST_UNINSTALL_BYTES: Final = 16_384
_HEADERS: Final[Mapping[str, str]] = {"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}


class LogInView(APIView):
    """Opens its own transactions; a failed log-in is a page, or a problem document."""

    permission_classes = [AllowAny]
    parser_classes = [BoundedJSONParser, FormParser]
    opens_own_transactions: ClassVar[bool] = True

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:  # noqa: ARG002
        """A browser asks for HTML, which no renderer here makes: never a 406."""
        return super().perform_content_negotiation(request, force=True)

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, LogInFailedError):
            return self._failed(exc.code, exc.crm_type, exc.shown)
        if isinstance(exc, CrmError):
            return self._failed(exc.code, exc.provider, exc.provider_message)
        if isinstance(exc, RefusedError) and exc.code != "request.invalid":
            return self._failed(exc.code)
        answer = super().handle_exception(exc)
        code = answer.data.get("code") if isinstance(answer.data, Mapping) else None
        return self._failed(code, status=answer.status_code) if code and wants_page(self.request) else answer

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        final = super().finalize_response(request, response, *args, **kwargs)
        for name, value in _HEADERS.items():
            final.setdefault(name, value)
        if final.status_code == 503:
            final.setdefault("Retry-After", str(RETRY_SECONDS))
        return final

    def _failed(self, code: str, crm_type: str = "", shown: str = "", *, status: int = 0) -> Any:
        status = status or _STATUS.get(code, 400)
        if not wants_page(self.request):
            return problem(code, status)
        known = PROVIDERS.get(crm_type)
        values = {
            "entry": explain(code),
            "label": known.label if known else "",
            "crm_type": known.key if known else "",
            "shown": shown,
        }
        return render(_django(self.request), "adsapp_crm/connect/failed.html", values, status=status)


class CallbackView(LogInView):
    """Where the CRM's consent page sends people back to. Redirects at once: the code leaves the address bar."""

    def get(self, request: Request, provider: str = "") -> HttpResponseBase:
        query = dict(request.query_params.lists())
        with asking_outside():  # before the state is used up: who finds no seat loads the page again
            arrived = finish_log_in(query, person_of(request), path_provider=provider)
        answer = HttpResponseRedirect(
            reverse("api:connect-confirm", args=[arrived.organization_id, arrived.attempt_id]),
        )
        answer.status_code = 303
        return answer

    def delete(self, request: Request, provider: str = "") -> Response:
        """An app was uninstalled in the CRM, which proves itself by the app's client id and secret (HTTP Basic).

        The connections of that account and user need a new log-in from now on; everything else is refused.
        """
        known = next((each for each in _tellers() if provider in ("", each.key)), None)
        if known is None:
            raise NotFound
        try:
            credentials = _basic(request)
            take_uninstall(known.key, _uninstalled(request, known), *credentials)
        except WebhookRejectedError as refusal:
            REFUSALS.add(known.key, refusal.code)
            REFUSALS.write_if_due()
            return problem(refusal.code, _UNINSTALL_STATUS.get(refusal.code, 400))
        return Response(status=204)

    def get_authenticators(self) -> list[Any]:
        """A CRM has no session."""
        is_crm = getattr(self.request, "method", "") == "DELETE"  # None where the description is made
        return [] if is_crm else super().get_authenticators()


class ConfirmView(LogInView):
    """Names the CRM account that was found; only a POST connects it."""

    def get(self, request: Request, organization_id: uuid.UUID, attempt_id: uuid.UUID) -> HttpResponseBase:
        waiting = waiting_log_in(attempt_id, person_of(request), organization_id)
        if not wants_page(request):
            return Response(_shown(waiting))
        values = {"waiting": waiting, "organization": organization_name(organization_id)}
        page = render(_django(request), "adsapp_crm/connect/confirm.html", values)
        # Without any referrer a browser posts the form with "Origin: null", which the CSRF check has to refuse.
        page["Referrer-Policy"] = "same-origin"
        return page

    def post(self, request: Request, organization_id: uuid.UUID, attempt_id: uuid.UUID) -> HttpResponseBase:
        """``decision``: ``connect`` or ``decline``."""
        person = person_of(request)
        waiting = waiting_log_in(attempt_id, person, organization_id)
        decision = request.data.get("decision") if isinstance(request.data, Mapping) else None
        made: Connected | None = None
        if decision == "connect":
            with asking_outside():
                made = confirm_log_in(attempt_id, person, organization_id)
        elif decision == "decline":
            with asking_outside():
                decline_log_in(attempt_id, person, organization_id)
        else:
            raise refuse("request.invalid", "The decision is connect or decline.", field="decision")
        if not wants_page(request):
            return Response(connected_body(made) if made else {"connectionId": None, "account": None})
        back = reverse(waiting.return_route) if waiting.return_route else ""
        return render(
            _django(request), "adsapp_crm/connect/done.html", {"waiting": waiting, "made": made, "back": back}
        )


def _tellers() -> Iterator[Provider]:
    return (each for each in PROVIDERS.values() if each.oauth is not None and each.oauth.read_uninstall is not None)


def _basic(request: Request) -> tuple[str, str]:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    try:
        pair = base64.b64decode(encoded.strip(), validate=True).decode() if scheme.lower() == "basic" else ""
    except ValueError:
        pair = ""
    client_id, colon, client_secret = pair.partition(":")
    if not colon:
        raise WebhookRejectedError("There are no Basic credentials", code="webhook.signature")
    return client_id, client_secret


def _uninstalled(request: Request, known: Provider) -> Uninstalled:
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit()) or int(length[:10]) > MOST_UNINSTALL_BYTES:
        raise WebhookRejectedError("It is larger than any CRM sends", code="webhook.too_large")
    body, read = request.data, known.oauth.read_uninstall if known.oauth is not None else None
    if read is None or not isinstance(body, dict):
        raise WebhookRejectedError("It is no JSON object", code="webhook.malformed")
    try:
        return read(body)
    except UnexpectedAnswerError as error:
        raise WebhookRejectedError(error.message, code="webhook.malformed") from error


def person_of(request: Request) -> Person | None:
    """The person and the browser session; None without a log-in, or without a session (an API key)."""
    session_key = getattr(getattr(request, "session", None), "session_key", None)
    if not request.user.is_authenticated or not session_key:
        return None
    return Person(uuid.UUID(str(request.user.pk)), session_key)


def connected_body(made: Connected) -> dict[str, Any]:
    """What a connection answers with, however it was made."""
    return {
        "authUrl": None,
        "connectionId": str(made.connection_id),
        "account": {"id": made.account.remote_account_id, "name": made.account.name, "url": made.account.url},
        "mappings": made.mappings,
        "reconnected": made.reconnected,
    }


def wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("Accept", "")


def _shown(waiting: Waiting) -> dict[str, Any]:
    return {
        "crmType": waiting.crm_type,
        "account": {
            "id": waiting.account.remote_account_id,
            "name": waiting.account.name,
            "url": waiting.account.url,
        },
        "environment": waiting.environment,
        "scopes": list(waiting.scopes),
        "lackingScopes": list(waiting.lacking),
        "reconnects": waiting.reconnects,
    }


def _django(request: Request) -> HttpRequest:
    """Django's own request, which templates and CSRF tokens need."""
    return request._request  # noqa: SLF001  DRF names no other way
