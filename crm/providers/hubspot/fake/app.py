"""The HubSpot fake: one account behind HubSpot's API, with switches for everything that goes wrong there.

Written from HubSpot's documentation; it shares no code with the connector. Start it in this process
(``session.mount("https://api.hubapi.com/", InProcessAdapter(HubSpotFake()))``) or on loopback
(``with LoopbackServer(HubSpotFake()) as server: server.url``).
"""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from crm.providers.hubspot.fake import answers
from crm.providers.hubspot.fake.account_api import AccountApi
from crm.providers.hubspot.fake.admin import AdminApi
from crm.providers.hubspot.fake.admin_pages import AdminPages
from crm.providers.hubspot.fake.answers import AnswerError, Json
from crm.providers.hubspot.fake.associations import AssociationStore
from crm.providers.hubspot.fake.associations_api import AssociationsApi
from crm.providers.hubspot.fake.automation import check_rules, run_due
from crm.providers.hubspot.fake.batch import BatchApi
from crm.providers.hubspot.fake.caller import Grant
from crm.providers.hubspot.fake.disk import Disk
from crm.providers.hubspot.fake.limits import DEFAULT_SIZES, LimitSizes, RateLimits, too_many
from crm.providers.hubspot.fake.merging import MergeApi
from crm.providers.hubspot.fake.oauth import OAuthApi, OAuthApp
from crm.providers.hubspot.fake.objects_api import ObjectsApi
from crm.providers.hubspot.fake.properties_api import PropertiesApi
from crm.providers.hubspot.fake.search import SearchApi
from crm.providers.hubspot.fake.state import State
from crm.providers.hubspot.fake.webhooks import WebhookSender
from crm.testing.clock import FakeClock, iso_ms
from crm.testing.faults import Fault, FaultBox, UnknownFaultError
from crm.testing.switches import limit_mode
from crm.testing.wsgi import Request, Response, Route, Router, UnreadableBodyError, WsgiApp, json_response

DEFAULT_TOKEN: Final = "pat-na1-00000000-0000-4000-8000-000000000001"  # noqa: S105 - opens nothing but a fake
DEFAULT_PORTAL_ID: Final = 8_800_001
DEFAULT_APP_ID: Final = 770_011
MAX_URL_CHARACTERS: Final = 16_000
_ADMIN: Final = "/_fake"
# Delivering calls another server, which may call back.
_UNLOCKED: Final = frozenset({"/_fake/webhooks/deliver"})


class HubSpotFake(WsgiApp):
    """One account.

    ``token`` is a private-app token with every scope. ``limits``: ``real`` refuses, ``count`` only counts,
    ``none`` neither. ``search_lag_seconds``: how late the search index is. ``automation``: property name to
    the rule by which a workflow rewrites it. ``required``: see ``ObjectsApi``. ``data_path``: the account is
    read from and kept in this file; raises ValueError when it is another kind of file.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        token: str = DEFAULT_TOKEN,
        clock: FakeClock | None = None,
        limits: str = "none",
        limit_sizes: LimitSizes = DEFAULT_SIZES,
        search_lag_seconds: float = 0.0,
        portal_id: int = DEFAULT_PORTAL_ID,
        app_id: int = DEFAULT_APP_ID,
        merge_keeps_primary_id: bool = False,
        automation: Mapping[str, str] | None = None,
        required: Mapping[str, Iterable[str]] | None = None,
        oauth_app: OAuthApp | None = None,
        data_path: Path | None = None,
    ) -> None:
        self.seed = seed
        self.app_id = app_id
        self.token = token
        self.clock = clock or FakeClock()
        self.state = State(clock=self.clock, seed=seed, portal_id=portal_id, search_lag_seconds=search_lag_seconds)
        self.limits = RateLimits(self.clock, limit_mode(limits), limit_sizes)
        self.faults = FaultBox(seed, self._fault_words)
        self.grants: dict[str, Grant] = {token: Grant(token, app_id, is_private_app=True)}
        self.requests: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self._correlation = random.Random(f"correlation/{seed}")  # noqa: S311 - reproducible, not secret
        self.router = Router()
        self.associations = AssociationStore(self.state)
        needed = {name: tuple(values) for name, values in (required or {}).items()}
        self.objects = ObjectsApi(self.state, self.associations, needed)
        self.merging = MergeApi(self.objects, keeps_primary_id=merge_keeps_primary_id)
        self.account = AccountApi(self.state)
        self.oauth = OAuthApi(self.state, self.grants, oauth_app or OAuthApp(), seed=seed, app_id=app_id)
        self.webhooks = WebhookSender(self.clock, seed=seed, portal_id=portal_id, app_id=app_id)
        self.state.on_event = self.webhooks.take
        self.automation = check_rules(automation or {})
        admin = AdminApi(self)
        mounted: list[Any] = [
            self.objects,
            BatchApi(self.objects, seed),
            SearchApi(self.objects),
            PropertiesApi(self.state),
            self.merging,
            AssociationsApi(self.associations),
            self.account,
            self.oauth,
            admin,
            AdminPages(self, admin),
        ]
        for part in mounted:
            part.mount(self.router)
        for email, first_name, last_name in (
            ("grace@example.com", "Grace", "Hopper"),
            ("alan@example.com", "Alan", "Turing"),
        ):
            self.add_owner(email=email, firstName=first_name, lastName=last_name)
        self._disk = Disk(data_path, self.state, self.oauth, self.grants) if data_path else None

    def close(self) -> None:
        """Stop sending webhooks and close the file."""
        self.webhooks.stop()
        if self._disk is not None:
            self._disk.close()

    def wait(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    # One request ------------------------------------------------------------------------------------------

    def respond(self, request: Request) -> Response:
        matched = self.router.match(request.method, request.path)
        if isinstance(matched, int):
            with self.state.lock:
                self.requests[f"{request.method} (no such address)"] += 1
            refusal = AnswerError(matched, {"message": f"No route for {request.method} {request.path}"})
            return self._finish(self._refused(refusal))
        route, request.params = matched
        request.template = route.template
        if request.path.startswith(_ADMIN):
            return self._finish(self._answer(request, route))
        with self.state.lock:
            label = f"{request.method} {route.template.replace('{objectType}', request.params.get('objectType', ''))}"
            self.requests[label] += 1
        fault = self.faults.draw(request.method, request.path)
        if fault is None:
            response = self._answer(request, route)
        else:
            response = self.faults.carry_out(fault, request, lambda received: self._answer(received, route))
        with self.state.lock:
            self.statuses[response.status] += 1
        return self._finish(response)

    def _answer(self, request: Request, route: Route) -> Response:
        try:
            headers = self._admit_person(request) if request.path.startswith(_ADMIN) else self._admit(request)
            response = self._carry_out(request, route)
        except AnswerError as error:
            return self._refused(error)
        except UnreadableBodyError as error:
            return self._refused(answers.invalid_input(str(error)))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if not request.path.startswith(_ADMIN):
                raise
            return self._refused(answers.invalid_input(f"{type(error).__name__}: {error}"))
        response.headers.extend(headers)
        return response

    def _carry_out(self, request: Request, route: Route) -> Response:
        """One call at a time, on disk before its answer goes out."""
        if route.template in _UNLOCKED:
            return route.handler(request)
        with self.state.lock:
            try:
                response = route.handler(request)
                run_due(self.state, self.automation)
            finally:
                if self._disk is not None:
                    self._disk.flush()
        return response

    def _admit_person(self, request: Request) -> list[tuple[str, str]]:
        """The back door is open to this machine, but not to another site's page in its browser."""
        origin = request.headers.get("origin", request.host_url)
        if request.method != "GET" and origin != request.host_url:
            raise AnswerError(403, {"message": f"Pages of {origin} may not write here"})
        return []

    def _admit(self, request: Request) -> list[tuple[str, str]]:
        """Credentials, then limits; the token endpoint has its own credentials and no limit.

        Page: https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/overview
        """
        if len(request.path) + len(request.query_text) > MAX_URL_CHARACTERS:
            raise AnswerError(414, {"message": "URI too long"})
        if request.path.startswith("/oauth/"):
            return []
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        grant = self.grants.get(token.strip()) if scheme.lower() == "bearer" else None
        if grant is None:
            raise answers.no_credentials()
        now_ms = self.clock.now_ms()
        if grant.expires_ms is not None and grant.expires_ms <= now_ms:
            raise answers.expired((now_ms - grant.expires_ms) // 1000)
        request.caller = grant
        return self.limits.admit(grant, is_search=request.template.endswith("/search"))

    def _refused(self, error: AnswerError) -> Response:
        return json_response({**error.body, "correlationId": self._correlation_id()}, error.status, error.headers)

    def _finish(self, response: Response) -> Response:
        response.headers.append(("X-HubSpot-Correlation-Id", self._correlation_id()))
        response.headers.append(("Date", self.clock.http_date()))
        return response

    # For the back door --------------------------------------------------------------------------------------

    def stats(self) -> Json:
        """Counts since the start or the last reset; writes are those of apps, not of people."""
        writes = self.state.write_counts
        return {
            "requests": dict(sorted(self.requests.items())),
            "totalRequests": self.requests.total(),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "writes": writes.total(),
            "noopWrites": writes["noop"],
            "writesByKind": {op: count for op, count in sorted(writes.items()) if op != "noop"},
            "limitViolations": dict(self.limits.violations),
            "answered429": self.statuses[429],
            "faults": dict(self.faults.given),
        }

    def reset_stats(self) -> None:
        for counter in (self.requests, self.statuses, self.state.write_counts, self.limits.violations):
            counter.clear()
        self.faults.given.clear()

    def add_owner(self, *, email: str, firstName: str = "", lastName: str = "") -> Json:  # noqa: N803 - wire names
        number = len(self.state.owners) + 1
        now = iso_ms(self.clock.now_ms())
        owner: Json = {
            "id": str(534_940 + number),
            "email": email,
            "type": "PERSON",
            "firstName": firstName,
            "lastName": lastName,
            "userId": number,
            "userIdIncludingInactive": number,
            "createdAt": now,
            "updatedAt": now,
            "archived": False,
            "teams": [],
        }
        self.state.owners.append(owner)
        self.state.dirty_tables.add("owners")
        return owner

    def next_token(self) -> str:
        return self._correlation_id()

    def _correlation_id(self) -> str:
        with self.state.lock:
            return str(uuid.UUID(int=self._correlation.getrandbits(128), version=4))

    def _fault_words(self, fault: Fault) -> Response:
        """HubSpot's own answers to the faults that have one (HubSpot docs: error handling)."""
        match fault.kind:
            case "rate_limited":
                error = too_many(fault.policy or "TEN_SECONDLY_ROLLING", fault.retry_after_seconds)
            case "locked":
                error = AnswerError(423, {"message": "The resource is locked. Try again in 2 seconds."})
            case "moving":
                seconds = 5 if fault.retry_after_seconds is None else fault.retry_after_seconds
                message = "This account is being migrated between data centers."
                error = AnswerError(477, {"message": message}, [("Retry-After", f"{seconds:g}")])
            case "unauthorized":
                error = answers.no_credentials()
            case kind:
                raise UnknownFaultError(f"kind: {kind!r} has no words of its own")
        body: Json = {**error.body, "correlationId": self._correlation_id()}
        return json_response(body, error.status, error.headers)
