"""The Pipedrive fake: one company behind Pipedrive's API, with switches for everything that goes wrong there.

Written from Pipedrive's documentation; it shares no code with the connector. Start it in this process
(``session.mount("https://acme.pipedrive.com/", InProcessAdapter(PipedriveFake()))``) or on loopback
(``with LoopbackServer(PipedriveFake()) as server: server.url``).
"""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from crm.providers.pipedrive.fake import answers
from crm.providers.pipedrive.fake.admin import AdminApi
from crm.providers.pipedrive.fake.admin_pages import AdminPages
from crm.providers.pipedrive.fake.answers import AnswerError, Json
from crm.providers.pipedrive.fake.automation import check_rules, run_due
from crm.providers.pipedrive.fake.bodies import BodyRules
from crm.providers.pipedrive.fake.caller import Grant
from crm.providers.pipedrive.fake.costs import cost_of, is_search
from crm.providers.pipedrive.fake.disk import Disk
from crm.providers.pipedrive.fake.fields_api import FieldsApi
from crm.providers.pipedrive.fake.history_api import HistoryApi
from crm.providers.pipedrive.fake.limits import LimitSizes, RateLimits, sizes_of
from crm.providers.pipedrive.fake.merging import MergeApi
from crm.providers.pipedrive.fake.notes_api import NotesApi
from crm.providers.pipedrive.fake.oauth import OAuthApi, OAuthApp
from crm.providers.pipedrive.fake.records_v1 import RecordsV1
from crm.providers.pipedrive.fake.records_v2 import RecordsV2
from crm.providers.pipedrive.fake.search import SearchApi
from crm.providers.pipedrive.fake.state import FIRST_USER_ID, State
from crm.providers.pipedrive.fake.switches import SwitchesApi
from crm.providers.pipedrive.fake.users_api import UsersApi
from crm.providers.pipedrive.fake.webhooks import WebhookSender
from crm.providers.pipedrive.fake.webhooks_api import WebhooksApi
from crm.testing.clock import FakeClock
from crm.testing.faults import Fault, FaultBox, UnknownFaultError
from crm.testing.switches import limit_mode
from crm.testing.wsgi import Request, Response, Route, Router, UnreadableBodyError, WsgiApp, json_response

DEFAULT_TOKEN: Final = "0123456789abcdef0123456789abcdef01234567"  # noqa: S105 - opens nothing but a fake
DEFAULT_COMPANY_ID: Final = 15_043_420
_ADMIN: Final = "/_fake"
_NO_CREDENTIALS: Final = (_ADMIN, "/oauth/")
# Delivering calls another server, which may call back.
_UNLOCKED: Final = frozenset({"/_fake/webhooks/deliver"})


class PipedriveFake(WsgiApp):
    """One company.

    ``token`` is the API token of an administrator. ``limits``: ``real`` refuses, ``count`` only counts, ``none``
    neither; their sizes follow from ``plan`` (lite, growth, premium, ultimate) and ``seats``, unless given.
    ``search_lag_seconds``: how late the search index is. ``contact_sync``: whether a person has ``job_title``,
    ``birthday`` and the other fields of Contact Sync. ``automation``: field of a person to the rule by which a
    workflow rewrites it. ``v1_records=False`` answers 410 on the withdrawn paths of v1. ``data_path``: the account is
    read from and kept in this file; raises ValueError when it is another kind of file.
    """

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
        v1_records: bool = True,
        automation: Mapping[str, str] | None = None,
        oauth_app: OAuthApp | None = None,
        data_path: Path | None = None,
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
        self.query_credentials = "v1"
        self.is_company_open = True
        self._random = random.Random(f"correlation/{seed}")  # noqa: S311 - reproducible, not secret
        self.rules = BodyRules()
        self.set_contact_sync(on=contact_sync)
        self.records = RecordsV2(self.state, self.rules)
        self.records_v1 = RecordsV1(self.state, self.rules)
        self.records_v1.is_on = v1_records
        self.fields = FieldsApi(self.state)
        self.notes = NotesApi(self.state)
        self.merging = MergeApi(self.state)
        self.oauth = OAuthApi(self.state, self.grants, oauth_app or OAuthApp(), seed=seed)
        self.webhooks = WebhookSender(self.state, seed=seed)
        self.state.on_event = self.webhooks.take
        self.automation = check_rules(automation or {})
        hooks_api = WebhooksApi(self.state, self.webhooks)
        admin = AdminApi(self)
        self.router = Router()
        mounted: list[Any] = [
            self.records,
            self.records_v1,
            self.fields,
            self.notes,
            self.merging,
            SearchApi(self.state),
            UsersApi(self.state),
            HistoryApi(self.state),
            hooks_api,
            self.oauth,
            admin,
            SwitchesApi(self),
            AdminPages(self, admin),
        ]
        for part in mounted:
            part.mount(self.router)
        for name, email, is_admin in (
            ("Sync Bot", "bot@acme.test", True),
            ("Grace Hopper", "grace@acme.test", True),
            ("Alan Turing", "alan@acme.test", False),
        ):
            self.state.add_user(name=name, email=email, is_admin=is_admin)
        self._disk = None
        if data_path is not None:
            self._disk = Disk(
                data_path,
                self.state,
                grants=self.grants,
                oauth=self.oauth,
                hooks_api=hooks_api,
                sender=self.webhooks,
            )
            self.rules.contact_sync = "job_title" in self.state.fields.sets["person"].definitions
            if self.webhooks.hooks:
                self.webhooks.start()

    def close(self) -> None:
        """Stop sending webhooks and close the file."""
        self.webhooks.stop()
        if self._disk is not None:
            self._disk.close()

    def wait(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    def set_contact_sync(self, *, on: bool) -> None:
        self.rules.contact_sync = on
        self.state.fields.set_contact_sync(on=on)
        self.state.dirty_tables.add("fields")

    # One request ------------------------------------------------------------------------------------------

    def respond(self, request: Request) -> Response:
        matched = self.router.match(request.method, request.path)
        if isinstance(matched, int):
            error = answers.wrong_method() if matched == 405 else answers.no_route(request.method, request.path)
            return self._finish(_refused(error))
        route, request.params = matched
        request.template = route.template
        if request.path.startswith(_ADMIN):
            return self._finish(self._answer(request, route))
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
            if request.path.startswith(_NO_CREDENTIALS):
                self._admit_person(request)
            else:
                grant = self._identify(request)
                if (banned := self.limits.ban(grant)) is not None:
                    return banned
                cost = cost_of(request.method, route.template)
                headers = self.limits.admit(grant, cost, is_search=is_search(route.template))
            response = self._carry_out(request, route)
        except AnswerError as error:
            response = _refused(error)
        except (UnreadableBodyError, ValueError, TypeError, KeyError, AttributeError) as error:
            if not request.path.startswith(_ADMIN):
                raise
            response = _refused(answers.bad_request(f"{type(error).__name__}: {error}"))
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

    def _admit_person(self, request: Request) -> None:
        """The back door is open to this machine, but not to another site's page in its browser."""
        origin = request.headers.get("origin", request.host_url)
        if request.path.startswith(_ADMIN) and request.method != "GET" and origin != request.host_url:
            raise answers.forbidden(f"Pages of {origin} may not write here")

    def _identify(self, request: Request) -> Grant:
        """An API token in its header (or, for old clients, in the query), an OAuth token as Bearer."""
        token = request.headers.get("x-api-token", "").strip()
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if not token and scheme.lower() == "bearer":
            grant = self.grants.get(bearer.strip())
            if grant is None or not grant.is_oauth or self._is_over(grant):
                raise answers.invalid_token()
        else:
            if not token and self._takes_query_token(request.path):
                token = request.first("api_token")
            grant = self.grants.get(token)
            if grant is None or grant.is_oauth or self._is_over(grant):
                raise answers.unauthorized()
        if not self.is_company_open:
            raise AnswerError(402, {"success": False, "error": "Company account is not open", "errorCode": 402})
        request.caller = grant
        return grant

    def _is_over(self, grant: Grant) -> bool:
        return grant.expires_ms is not None and grant.expires_ms <= self.clock.now_ms()

    def _takes_query_token(self, path: str) -> bool:
        if self.query_credentials == "v1":
            return not path.startswith("/api/v2/")
        return self.query_credentials == "everywhere"

    def _finish(self, response: Response) -> Response:
        response.headers.append(("x-correlation-id", self._uuid()))
        response.headers.append(("Date", self.clock.http_date()))
        return response

    # For the back door --------------------------------------------------------------------------------------

    def stats(self) -> Json:
        """Counts since the start or the last reset; writes are those of tokens, not of people."""
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
            "tokensSpent": self.limits.spent,
            "tokensSpentToday": self.limits.spent_today,
            "faults": dict(self.faults.given),
        }

    def reset_stats(self) -> None:
        for counter in (self.requests, self.statuses, self.state.write_counts, self.limits.violations):
            counter.clear()
        self.faults.given.clear()
        self.limits.spent = 0

    def new_token(self) -> str:
        with self.state.lock:
            return f"{self._random.getrandbits(160):040x}"

    def _uuid(self) -> str:
        with self.state.lock:
            return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _fault_words(self, fault: Fault) -> Response:
        """Pipedrive's own answers to the faults that have one."""
        retry = [] if fault.retry_after_seconds is None else [("Retry-After", f"{fault.retry_after_seconds:g}")]
        match fault.kind, fault.policy:
            case "rate_limited", "cloudflare":
                return answers.blocked()
            case "rate_limited", "daily":
                return _refused(answers.too_many([*self.limits.daily_headers(), *retry]))
            case "rate_limited", _:
                return _refused(answers.too_many([*self.limits.burst_headers(), *retry]))
            case "unauthorized", _:
                return _refused(answers.unauthorized())
        raise UnknownFaultError(f"kind: Pipedrive has no answer of the kind {fault.kind!r}")


def _refused(error: AnswerError) -> Response:
    return json_response(error.body, error.status, error.headers)
