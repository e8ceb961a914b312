"""The OpenAPI document, made from the views' ``operations``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from adsapp_crm.api.operations import Operation, Proof
from adsapp_crm.api.serializers import ConnectSerializer, CrmTypeSerializer
from adsapp_crm.api.shapes import connecting
from adsapp_crm.api.shapes.problems import ProblemSerializer
from adsapp_crm.models.choices import Role

PROBLEM: Final = "application/problem+json"
_ALWAYS: Final = (400, 401, 403, 404, 429, 500, 503)
"""404 on every route: X-Organization may name a place that the person may not enter."""
_OF_BODIES: Final = (413, 415)
_OF_POSTS: Final = (409, 422)

_TEXTS: Final[Mapping[int, str]] = {
    400: "The request is not what this address takes, or no organization is chosen.",
    401: "Nobody is logged in, or the API key opens nothing.",
    403: "The role or the key's scope does not allow this.",
    404: "There is nothing with this id in the organization.",
    409: "It stands in the way as things are; code says what.",
    412: "If-Match names a version that is no longer the current one.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "The Idempotency-Key was used for another request.",
    429: "Too many requests; Retry-After says when to go on.",
    500: "Something went wrong inside ADSapp.",
    501: "This CRM is connected by a token only.",
    502: "The CRM answered what nobody understands.",
    503: "The database, the CRM, the queue or the job's address is not there at the moment.",
}

_CRON = Proof(
    "cronSecret",
    "bearer",
    "Needs no log-in and no role: a secret of CRON_SECRET opens it.",
    "The secret is missing or wrong.",
)
_APP = Proof(
    "appCredentials",
    "basic",
    "Needs no log-in and no role: the CRM shows the client id and secret of the app that was uninstalled.",
    "The client id or secret is missing, or not that of an app known here.",
)
_CONNECTED = connecting.ConnectedSerializer
_ELSEWHERE: Final[Mapping[str, Mapping[str, Operation]]] = {
    "ConnectView": {
        "POST": Operation(
            Role.ADMIN,
            "Connect a CRM by a token, or begin a log-in there",
            _CONNECTED,
            body=ConnectSerializer,
            also=(201,),
            problems=(409, 501, 502, 503),
            example={"crmType": "hubspot", "config": {"apiToken": "pat-eu1-..."}},
        ),
        "DELETE": Operation(
            Role.ADMIN,
            "Disconnect a CRM",
            connecting.DisconnectedSerializer,
            query=CrmTypeSerializer,
            problems=(404,),
        ),
    },
    "CallbackView": {
        "GET": Operation(
            Role.ADMIN,
            "Come back from a CRM's consent page",
            status=303,
            query=connecting.CallbackQuery,
            problems=(409,),
        ),
        "DELETE": Operation(
            None, "Be told by a CRM that the app was uninstalled there", status=204, problems=(413, 415), proof=_APP
        ),
    },
    "ConfirmView": {
        "GET": Operation(Role.ADMIN, "Name the account that was found", connecting.WaitingLogInSerializer),
        "POST": Operation(
            Role.ADMIN,
            "Connect that account, or decline it",
            connecting.DecidedSerializer,
            body=connecting.DecisionSerializer,
            example={"decision": "connect"},
        ),
    },
    "CronView": {
        method: Operation(
            None,
            f"Start a job ({method})",
            connecting.JobStartedSerializer,
            query=connecting.JobQuery,
            also=(202,),
            problems=(503,),
            proof=_CRON,
        )
        for method in ("GET", "POST")
    },
}
"""Views that answer to other rules than an organization's routes."""

_HEADERS: Final = {
    "organization": OpenApiParameter(
        "X-Organization", OpenApiTypes.UUID, OpenApiParameter.HEADER, description="For people of several organizations."
    ),
    "once": OpenApiParameter(
        "Idempotency-Key",
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        description="The request is done once; repeating it within a day gets the same answer.",
    ),
    "condition": OpenApiParameter(
        "If-Match", OpenApiTypes.STR, OpenApiParameter.HEADER, description="The ETag that the change was made from."
    ),
    "async": OpenApiParameter(
        "Prefer", OpenApiTypes.STR, OpenApiParameter.HEADER, description="respond-async: do not wait for the run's end."
    ),
}


def operations_of(view: Any) -> Mapping[str, Operation]:
    """What a view, or a class of views, does by method."""
    kind = view if isinstance(view, type) else type(view)
    found: Mapping[str, Operation] = getattr(kind, "operations", {}) or _ELSEWHERE.get(kind.__name__, {})
    return found


class OperationSchema(AutoSchema):
    """Reads nothing but ``operations`` and docstrings, so that what is documented is what is checked."""

    def _operation(self) -> Operation:
        return operations_of(self.view)[self.method]

    def is_excluded(self) -> bool:
        return self.method not in operations_of(self.view)

    def get_operation_id(self) -> str:
        parts = filter(None, re.split(r"[/-]", self.path.removeprefix("/api/").removeprefix("crm/")))
        return self.method.lower() + "".join(map(_word, parts))

    def get_tags(self) -> list[str]:
        return [self.path.removeprefix("/api/").removeprefix("crm/").partition("/")[0]]

    def get_summary(self) -> str:
        return self._operation().summary

    def get_description(self) -> str:  # type: ignore[override]  # spectacular takes the arguments away
        handler = getattr(self.view, self.method.lower(), None)
        text = " ".join((handler.__doc__ or "").split()) if handler else ""
        proof = self._operation().proof
        return f"{text}\n\n{proof.told if proof else f'Needs the role {self._operation().role} or above.'}".strip()

    def get_auth(self) -> list[dict[str, list[str]]]:
        proof = self._operation().proof
        if proof is None:
            return super().get_auth()
        component = ResolvedComponent(  # type: ignore[no-untyped-call]
            name=proof.name,
            type=ResolvedComponent.SECURITY_SCHEMA,
            object=proof.name,
            schema={"type": "http", "scheme": proof.scheme, "description": proof.told},
        )
        self.registry.register_on_missing(component)
        return [{proof.name: []}]

    def get_request_serializer(self) -> Any:
        operation = self._operation()
        return operation.body if operation.takes == "application/json" else {operation.takes: OpenApiTypes.STR}

    def get_response_serializers(self) -> Any:
        operation = self._operation()
        answers: dict[Any, Any] = {}
        for status in (operation.status, *operation.also):
            if operation.media_type == "text/csv":
                answers[status, "text/csv"] = OpenApiTypes.STR
            else:
                answers[status] = operation.answer or OpenApiResponse(description="Done.")
        statuses = {*_ALWAYS, *operation.problems, *(_OF_POSTS if self.method == "POST" else ())}
        statuses |= {*_OF_BODIES} if self.method not in {"GET", "DELETE"} else set()
        for status in sorted(statuses):
            text = operation.proof.refused if operation.proof and status == 401 else _TEXTS[status]
            answers[status, PROBLEM] = OpenApiResponse(ProblemSerializer, description=text)
        return answers

    def get_override_parameters(self) -> list[Any]:
        operation = self._operation()
        names = ["organization"] if operation.proof is None else []
        names += ["once"] if self.method == "POST" and hasattr(self.view, "operations") else []
        names += ["condition"] if operation.conditional else []
        names += ["async"] if 202 in operation.also and self.get_tags() != ["cron"] else []
        return [*([operation.query] if operation.query else []), *(_HEADERS[name] for name in names)]

    def get_examples(self) -> list[OpenApiExample]:
        operation = self._operation()
        if operation.example is None:
            return []
        return [OpenApiExample(operation.summary, value=dict(operation.example), request_only=True)]

    def get_filter_backends(self) -> list[Any]:
        return []


def _word(part: str) -> str:
    """``contacts`` -> ``Contacts``, ``{contact_id}`` -> ``ByContactId``."""
    words = "".join(map(str.title, part.strip("{}").split("_")))
    return f"By{words}" if part.startswith("{") else words


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "adsapp_crm.api.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002
        return {"type": "http", "scheme": "bearer", "description": "An API key: crm_live_..."}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The cookie's name over TLS, wherever the description is made: without TLS it lacks the prefix."""

    target_class = "rest_framework.authentication.SessionAuthentication"
    name = "cookieAuth"
    priority = 1

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "__Host-sessionid",
            "description": "A log-in of a browser; sessionid where the application is served without TLS.",
        }
