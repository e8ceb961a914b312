"""The Pipedrive fake: one company behind Pipedrive's API, with switches for everything that goes wrong there.

Written from Pipedrive's documentation; it shares no code with the connector. Start it in this process
(``session.mount("https://acme.pipedrive.com/", InProcessAdapter(PipedriveFake()))``) or on loopback
(``with LoopbackServer(PipedriveFake()) as server: server.url``).
"""

from __future__ import annotations

import random
import uuid
from collections import Counter
from typing import Any, Final

from crm.providers.pipedrive.fake import answers
from crm.providers.pipedrive.fake.answers import AnswerError, Json
from crm.providers.pipedrive.fake.bodies import BodyRules
from crm.providers.pipedrive.fake.caller import Grant
from crm.providers.pipedrive.fake.costs import cost_of, is_search
from crm.providers.pipedrive.fake.fields_api import FieldsApi
from crm.providers.pipedrive.fake.limits import LimitMode, LimitSizes, RateLimits, sizes_of
from crm.providers.pipedrive.fake.records_v2 import RecordsV2
from crm.providers.pipedrive.fake.state import FIRST_USER_ID, State
from crm.providers.pipedrive.fake.users_api import UsersApi
from crm.testing.clock import FakeClock
from crm.testing.faults import Fault, FaultBox, UnknownFaultError
from crm.testing.wsgi import Request, Response, Route, Router, WsgiApp, json_response

DEFAULT_TOKEN: Final = "0123456789abcdef0123456789abcdef01234567"  # noqa: S105 - opens nothing but a fake
DEFAULT_COMPANY_ID: Final = 15_043_420
_ADMIN: Final = "/_fake"


class PipedriveFake(WsgiApp):
    def __init__(
        self,
        *,
        seed: int = 0,
        token: str = DEFAULT_TOKEN,
        clock: FakeClock | None = None,
        limits: str = "none",
        plan: str = "lite",
        seats: int = 1,
        limit_sizes: LimitSizes | None = None,
        search_lag_seconds: float = 0.0,
        company_id: int = DEFAULT_COMPANY_ID,
        company_domain: str = "acme",
        contact_sync: bool = False,
    ) -> None:
        self.seed = seed
        self.token = token
        self.clock = clock or FakeClock()
        self.state = State(
            clock=self.clock,
            seed=seed,
            company_id=company_id,
            company_domain=company_domain,
            search_lag_seconds=search_lag_seconds,
        )
        self.limits = RateLimits(self.clock, limit_mode(limits), limit_sizes or sizes_of(plan, seats))
        self.faults = FaultBox(seed, self._fault_words)
        self.grants: dict[str, Grant] = {token: Grant(token, FIRST_USER_ID)}
        self.requests: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self._correlation = random.Random(f"correlation/{seed}")  # noqa: S311 - reproducible, not secret
        self.rules = BodyRules(contact_sync=contact_sync)
        self.state.fields.set_contact_sync(on=contact_sync)
        self.records = RecordsV2(self.state, self.rules)
        self.router = Router()
        mounted: list[Any] = [self.records, FieldsApi(self.state), UsersApi(self.state)]
        for part in mounted:
            part.mount(self.router)
        for name, email, is_admin in (
            ("Sync Bot", "bot@acme.test", True),
            ("Grace Hopper", "grace@acme.test", True),
            ("Alan Turing", "alan@acme.test", False),
        ):
            self.state.add_user(name=name, email=email, is_admin=is_admin)

    def close(self) -> None:
        """Nothing is held open yet."""

    def wait(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    # One request ------------------------------------------------------------------------------------------

    def respond(self, request: Request) -> Response:
        matched = self.router.match(request.method, request.path)
        if isinstance(matched, int):
            refusal = answers.wrong_method() if matched == 405 else answers.no_route(request.method, request.path)
            return self._finish(self._refused(refusal))
        route, request.params = matched
        request.template = route.template
        with self.state.lock:
            self.requests[f"{request.method} {route.template}"] += 1
        fault = self.faults.draw(request.method, request.path)
        if fault is None:
            response = self._answer(request, route)
        else:
            response = self.faults.carry_out(fault, request, lambda received: self._answer(received, route))
        with self.state.lock:
            self.statuses[response.status] += 1
        return self._finish(response)

    def _answer(self, request: Request, route: Route) -> Response:
        headers: list[tuple[str, str]] = []
        try:
            grant = self._identify(request)
            banned = self.limits.ban(grant)
            if banned is not None:
                return banned
            cost = cost_of(request.method, route.template)
            headers = self.limits.admit(grant, cost, is_search=is_search(route.template))
            with self.state.lock:
                response = route.handler(request)
        except AnswerError as error:
            response = self._refused(error)
        response.headers.extend(headers)
        return response

    def _identify(self, request: Request) -> Grant:
        token = request.headers.get("x-api-token", "").strip()
        grant = self.grants.get(token)
        if grant is None or grant.is_oauth:
            raise answers.unauthorized()
        request.caller = grant
        return grant

    def _refused(self, error: AnswerError) -> Response:
        return json_response(error.body, error.status, error.headers)

    def _finish(self, response: Response) -> Response:
        response.headers.append(("x-correlation-id", self._correlation_id()))
        response.headers.append(("Date", self.clock.http_date()))
        return response

    def _correlation_id(self) -> str:
        with self.state.lock:
            return str(uuid.UUID(int=self._correlation.getrandbits(128), version=4))

    def stats(self) -> Json:
        return {}

    def _fault_words(self, fault: Fault) -> Response:
        raise UnknownFaultError(f"kind: {fault.kind!r} has no words of its own")


def limit_mode(name: str) -> LimitMode:
    for mode in ("real", "count", "none"):
        if name == mode:
            return mode
    raise ValueError(f"limits: {name!r} is none of real, count, none")
