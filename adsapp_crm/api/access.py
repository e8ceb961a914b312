"""Who may do what: a person or a program, in one organization, by their role there; and each POST once."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from django.http import HttpRequest
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import ErrorDetail, MethodNotAllowed, ValidationError
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from adsapp_crm.api.authentication import ApiKeyAuthentication
from adsapp_crm.api.caller import actor_of, hides_values, organization_of, role_of
from adsapp_crm.api.json_bodies import TotalJSONRenderer
from adsapp_crm.api.operations import Operation
from adsapp_crm.api.throttles import ActorThrottle, OrganizationThrottle, rate_headers
from adsapp_crm.middleware import HEADER, find_place
from adsapp_crm.models.choices import Role
from adsapp_crm.services.api_keys import KeyGrant
from adsapp_crm.services.idempotency import (
    Claim,
    StoredAnswer,
    claim_request,
    give_up,
    give_up_broken,
    keep_answer,
    note_effect,
)
from adsapp_crm.services.refusals import refuse
from adsapp_crm.services.staff import log_staff_access
from adsapp_crm.tenancy import each_transaction_ends_with, organization_context

__all__ = ["RANK", "OrganizationView", "actor_of", "needed_role", "organization_of", "role_of", "valid"]

RANK: Final[Mapping[str, int]] = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2, Role.OWNER: 3}
MAX_BODY_BYTES: Final = 2 * 1024 * 1024
REPLAYED: Final = "Idempotency-Replayed"
_KEPT_HEADERS: Final = ("Location", "ETag")


class MayInOrganization(BasePermission):
    """The role in the request's organization is at least the one that the view names for the method."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not (request.user.is_authenticated or isinstance(request.auth, KeyGrant)):
            return False
        organization_of(request)
        if request.method == "OPTIONS":
            return True
        if request.method not in view.allowed_methods:
            raise MethodNotAllowed(request.method or "")
        return RANK.get(getattr(request, "organization_role", ""), -1) >= RANK[needed_role(view, request.method or "")]


class OrganizationView(APIView):
    """A view of one organization's data. It opens its own transactions: services do, for as long as they need one."""

    authentication_classes = [ApiKeyAuthentication, SessionAuthentication]
    permission_classes = [MayInOrganization]
    throttle_classes = [ActorThrottle, OrganizationThrottle]
    operations: ClassVar[Mapping[str, Operation]] = {}
    """HTTP method -> what it takes, answers and needs; a method that is not named needs the owner."""
    roles: ClassVar[Mapping[str, str]] = {}
    """The least role alone, for views without ``operations``."""
    opens_own_transactions: ClassVar[bool] = True
    """Nothing is opened round it (``adsapp_crm.middleware``)."""

    _claim: Claim | None = None

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Whichever service's transaction does the work of a claimed request notes that it is done."""
        with each_transaction_ends_with(self._note_effect):
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        body = _read_body(request)
        outer: HttpRequest = request._request  # noqa: SLF001  what the middleware wrote to
        if body and outer.user.is_authenticated and not find_place(outer):
            raise refuse("organization.unknown", f"The {HEADER} header names no organization that you belong to.")
        super().initial(request, *args, **kwargs)
        _check_query(request, self.operations.get(request.method or ""))
        if body:
            _check_no_body(request, self.operations.get(request.method or ""))
        staff_access_id = getattr(request, "staff_access_id", None)
        if staff_access_id is not None:
            log_staff_access(organization_of(request), staff_access_id, method=request.method or "", path=request.path)
        key = request.headers.get("Idempotency-Key")
        if request.method == "POST" and key is not None:
            self._claim_once(request, key, body)

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, _ReplayedError):
            stored = exc.answer
            return Response(stored.body, status=stored.status, headers={**stored.headers, REPLAYED: "true"})
        return super().handle_exception(exc)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        claim, self._claim = self._claim, None
        if claim is not None:
            _settle(claim, response)
        final = super().finalize_response(request, response, *args, **kwargs)
        final.setdefault("Cache-Control", "no-store")
        for name, value in rate_headers(getattr(request, "allowances", ())).items():
            final[name] = value
        return final

    def need(self, request: Request, role: str) -> None:
        """Refuse what needs a higher role than the route itself does."""
        if RANK.get(getattr(request, "organization_role", ""), -1) < RANK[role]:
            self.permission_denied(request)

    @contextmanager
    def work(self, request: Request) -> Iterator[uuid.UUID]:
        """The organization's transaction, in the name of who asks."""
        origin = "api" if isinstance(request.auth, KeyGrant) else "user"
        with organization_context(organization_of(request), actor=actor_of(request), origin=origin) as organization_id:
            yield organization_id

    def query(self, request: Request) -> dict[str, Any]:
        """The query string, by the operation's serializer."""
        return valid(self._operation(request).query, request.query_params.dict())

    def body(self, request: Request) -> dict[str, Any]:
        """The body, by the operation's serializer. No body counts as an empty one."""
        return valid(self._operation(request).body, request.data)

    def answer(self, request: Request, found: Any, *, status: int = 0, headers: Mapping[str, str] | None = None) -> Any:
        """``found`` in the operation's words."""
        operation = self._operation(request)
        if operation.answer is None:
            return Response(status=status or operation.status)
        shaped = operation.answer(found, context=self.shape_context(request)).data
        return self.told(shaped, status=status or operation.status, headers=headers)

    def told(self, shaped: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """What was shaped already."""
        return Response(shaped, status=status, headers=dict(headers or {}))

    def shape_context(self, request: Request) -> dict[str, Any]:
        """What the serializer of an answer is told besides."""
        return {"hides": hides_values(request)}

    def _operation(self, request: Request) -> Operation:
        return self.operations["GET" if request.method == "HEAD" else request.method or ""]

    def _note_effect(self) -> None:
        if self._claim is not None:
            note_effect(self._claim)

    def _claim_once(self, request: Request, key: str, body: bytes) -> None:
        found = claim_request(
            organization_of(request),
            actor_of(request),
            key,
            method="POST",
            path=request.get_full_path(),
            body_digest=hashlib.sha256(body).hexdigest(),
        )
        if isinstance(found, StoredAnswer):
            raise _ReplayedError(found)
        self._claim = found


class _ReplayedError(Exception):
    def __init__(self, answer: StoredAnswer) -> None:
        super().__init__("answered before")
        self.answer = answer


def needed_role(view: Any, method: str) -> str:
    """The least role that a view, or a class of views, asks for; HEAD is GET without a body."""
    name = "GET" if method == "HEAD" else method
    operations: Mapping[str, Operation] = getattr(view, "operations", {})
    if name in operations:
        return operations[name].role or Role.OWNER
    roles: Mapping[str, str] = getattr(view, "roles", {})
    return roles.get(name, Role.OWNER)


def valid(kind: type[BaseSerializer[Any]] | None, given: Any) -> dict[str, Any]:
    """What the serializer takes; raises DRF's ValidationError, which names every key that is wrong."""
    if kind is None:
        return {}
    serializer = kind(data=given)
    try:
        serializer.is_valid(raise_exception=True)
    except ValidationError as error:
        error.taker = serializer  # type: ignore[attr-defined]  # who knows what each key takes
        raise
    found: dict[str, Any] = serializer.validated_data
    return found


def _read_body(request: Request) -> bytes:
    """The body, read once and held: it is digested as it came.

    Raises RefusedError: ``request.too_large``, ``request.invalid``.
    """
    outer: HttpRequest = request._request  # noqa: SLF001  DRF reads its stream from there
    if request.method in {"GET", "HEAD", "OPTIONS"}:
        return b""
    try:
        announced = int(outer.headers.get("Content-Length") or 0)
    except ValueError:
        raise refuse("request.invalid", "Content-Length is a number of bytes.") from None
    body = b"" if announced > MAX_BODY_BYTES else outer.body
    if announced > MAX_BODY_BYTES or len(body) > MAX_BODY_BYTES:
        raise refuse("request.too_large", f"A body has at most {MAX_BODY_BYTES} bytes.")
    return body


def _check_no_body(request: Request, operation: Operation | None) -> None:
    """Where no body is read there is none, or an empty object: whoever sends keys expects that they count."""
    reads_none = operation is not None and operation.body is None and operation.takes == "application/json"
    if reads_none and request.data not in (None, {}):
        raise refuse("request.invalid", "This address takes no body.", fix="Leave the body out, or send {}.")


def _check_query(request: Request, operation: Operation | None) -> None:
    """Each key of the query once, and none where the address takes none: what is not read is not ignored either."""
    wrong: dict[str, ErrorDetail] = {}
    for key, values in request.query_params.lists():
        if operation is not None and operation.query is None:
            wrong[key] = ErrorDetail("Unknown. This address takes no query.", code="unknown")
        elif len(values) > 1:
            wrong[key] = ErrorDetail("It is given more than once.", code="twice")
    if wrong:
        raise ValidationError(wrong)


def _settle(claim: Claim, response: Any) -> None:
    if not 200 <= response.status_code < 300 or not isinstance(response, Response):
        unforeseen = response.status_code == 500
        (give_up_broken if unforeseen else give_up)(claim)
        return
    body = json.loads(TotalJSONRenderer().render(response.data)) if response.data is not None else None
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    keep_answer(claim, StoredAnswer(response.status_code, body, headers))
