"""The Salesforce fake: one org behind Salesforce's API, with switches for everything that goes wrong there.

Written from Salesforce's documentation; it shares no code with the connector. Start it in this process
(``session.mount("https://acme.my.salesforce.com/", InProcessAdapter(SalesforceFake()))``) or on loopback
(``with LoopbackServer(SalesforceFake()) as server: server.url``).
"""

from __future__ import annotations

import gzip
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from crm.providers.salesforce.fake import answers, api_versions
from crm.providers.salesforce.fake.admin import AdminApi
from crm.providers.salesforce.fake.admin_pages import AdminPages
from crm.providers.salesforce.fake.admin_switches import SwitchesApi
from crm.providers.salesforce.fake.answers import AnswerError, Json, RowError
from crm.providers.salesforce.fake.bulk_api import BulkApi
from crm.providers.salesforce.fake.caller import Session
from crm.providers.salesforce.fake.collections_api import CollectionsApi
from crm.providers.salesforce.fake.composite_api import CompositeApi
from crm.providers.salesforce.fake.describe_api import DescribeApi
from crm.providers.salesforce.fake.disk import Disk
from crm.providers.salesforce.fake.grants import ConnectedApp, Grants
from crm.providers.salesforce.fake.limits import LimitSizes, RateLimits, exceeded
from crm.providers.salesforce.fake.oauth_api import OAuthApi
from crm.providers.salesforce.fake.org import furnish
from crm.providers.salesforce.fake.outbound import OutboundSender
from crm.providers.salesforce.fake.outbound_api import OutboundApi
from crm.providers.salesforce.fake.query_api import QueryApi
from crm.providers.salesforce.fake.rows_api import RowsApi
from crm.providers.salesforce.fake.rules import OrgRules
from crm.providers.salesforce.fake.schema import Schema
from crm.providers.salesforce.fake.soql import QueryRunner
from crm.providers.salesforce.fake.state import State
from crm.providers.salesforce.fake.writes import Writer
from crm.testing.clock import FakeClock
from crm.testing.faults import Fault, FaultBox, UnknownFaultError
from crm.testing.switches import limit_mode
from crm.testing.wsgi import Request, Response, Route, Router, UnreadableBodyError, WsgiApp, json_response

DEFAULT_TOKEN: Final = "00DdM0000000001!AQ.fake.session.that.opens.nothing"  # noqa: S105 - opens nothing but a fake
MAX_HEAD_BYTES: Final = 16_384
_ADMIN: Final = "/_fake"
_OPEN: Final = ("/services/data", "/services/oauth2/authorize", "/services/oauth2/token", "/services/oauth2/revoke")
_OPEN_MORE: Final = ("/services/oauth2/introspect", "/.well-known/openid-configuration")
# Delivering calls another server, which may call back; a refresh may take its time.
_UNLOCKED: Final = frozenset({"/_fake/outbound/deliver", "/services/oauth2/token", "/services/oauth2/revoke"})
_METHODS: Final = ("HEAD", "GET", "POST", "PATCH", "PUT", "DELETE")


class SalesforceFake(WsgiApp):
    """One org.

    ``token`` is a session of the API user that never expires. ``limits``: ``real`` refuses, ``count`` only counts,
    ``none`` neither. ``search_lag_seconds``: how late what people write becomes visible to the API, with its own
    earlier stamp (a long transaction); what the API writes is visible at once. ``external_id_fields`` are made at
    the start, as an admin would (``Contact.ADSapp_Id__c``); ``hidden_fields`` are withheld by field-level security
    (``Contact.DoNotCall``). ``instance_url`` is what a token answer says (absent: the address of the call).
    ``data_path``: the org is read from and kept in this file; raises ValueError when it is another kind of file.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        token: str = DEFAULT_TOKEN,
        clock: FakeClock | None = None,
        limits: str = "none",
        limit_sizes: LimitSizes | None = None,
        search_lag_seconds: float = 0.0,
        external_id_fields: Iterable[str] = (),
        hidden_fields: Iterable[str] = (),
        org_number: int = 1,
        connected_app: ConnectedApp | None = None,
        instance_url: str = "",
        data_path: Path | None = None,
    ) -> None:
        self.seed = seed
        self.token = token
        self.clock = clock or FakeClock()
        self.schema = Schema(self.clock.now_ms())
        self.state = State(clock=self.clock, seed=seed, schema=self.schema)
        self.people = furnish(self.state, org_number)
        self.late_seconds = search_lag_seconds
        self.rules = OrgRules()
        self.writer = Writer(self.state, self.rules)
        self.limits = RateLimits(self.clock, limit_mode(limits), limit_sizes or LimitSizes())
        self.faults = FaultBox(seed, self._fault_words)
        self.requests: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self._request_ids = random.Random(f"requests/{seed}")  # noqa: S311 - reproducible, not secret
        app = connected_app or ConnectedApp()
        self.grants = Grants(self.state, app, org_id=self.people.org_id, seed=seed)
        self.grants.sessions[token] = Session(token, self.people.api_user_id, app.client_id)
        self.router = Router()
        self.runner = QueryRunner(self.state)
        self.query = QueryApi(self.state, self.runner, seed=seed)
        self.bulk = BulkApi(self.state, self.writer, self.runner, self.limits)
        rows = RowsApi(self.state, self.writer)
        self.oauth = OAuthApi(
            self.state,
            self.grants,
            org_id=self.people.org_id,
            user_id=self.people.api_user_id,
            instance_url=instance_url,
        )
        self.outbound = OutboundSender(self.state, org_id=self.people.org_id, seed=seed)
        self.state.on_write = self.outbound.take
        admin = AdminApi(self)
        mounted: list[Any] = [
            DescribeApi(self.state, self.limits),
            rows,
            CollectionsApi(self.state, self.writer, rows),
            CompositeApi(self.state, self.dispatch),
            self.query,
            self.bulk,
            self.oauth,
            admin,
            SwitchesApi(self),
            OutboundApi(self.state, self.outbound),
            AdminPages(self, admin),
        ]
        for part in mounted:
            part.mount(self.router)
        for path in external_id_fields:
            admin.make_external_id(path)
        for path in hidden_fields:
            kind_name, _, name = path.partition(".")
            self.schema.set_access(admin.kind(kind_name), name, "hidden")
        self._disk = Disk(data_path, self.state, self.grants, self.rules) if data_path else None

    def close(self) -> None:
        """Stop sending outbound messages and close the file."""
        self.outbound.stop()
        if self._disk is not None:
            self._disk.close()

    def wait(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    # One request ------------------------------------------------------------------------------------------

    def respond(self, request: Request) -> Response:
        if request.method == "POST" and request.first("_HttpMethod") in ("PATCH", "DELETE"):
            request.method = request.first("_HttpMethod")
        matched = self._match(request)
        if isinstance(matched, Response):
            return self._finish(request, matched)
        request.template = matched.template
        if request.path.startswith(_ADMIN):
            return self._finish(request, self._answer(request, matched))
        with self.state.lock:
            label = f"{request.method} {request.template.replace('{object}', request.params.get('object', ''))}"
            self.requests[label] += 1
        fault = self.faults.draw(request.method, request.path)
        if fault is None:
            response = _compressed(request, self._answer(request, matched))
        else:
            response = self.faults.carry_out(fault, request, lambda received: self._answer(received, matched))
        with self.state.lock:
            self.statuses[response.status] += 1
        return self._finish(request, response)

    def dispatch(self, request: Request) -> Response:
        """A call inside a call (composite): no fault, no count against the allocation."""
        matched = self._match(request)
        if isinstance(matched, Response):
            return matched
        request.template = matched.template
        return self._caught(request, lambda: matched.handler(request))

    def _match(self, request: Request) -> Route | Response:
        """The route, or the refusal. An empty last path part leads to the collection, where PATCH is not allowed."""
        path = request.path
        matched = self.router.match("GET" if request.method == "HEAD" else request.method, path)
        ends_empty = path.endswith("/") and "/sobjects/" in path and request.method in ("PATCH", "DELETE")
        if isinstance(matched, int) or ends_empty:
            allowed = [method for method in _METHODS if isinstance(self.router.match(method, path), tuple)]
            if allowed:
                if ends_empty:
                    allowed = ["GET", "POST"]
                listed = (["HEAD"] if "GET" in allowed else []) + allowed
                return self._refused(answers.method_not_allowed(request.method, listed))
            return self._refused(answers.not_found())
        route, request.params = matched
        return route

    def _answer(self, request: Request, route: Route) -> Response:
        def act() -> Response:
            if request.path.startswith(_ADMIN):
                self._admit_person(request)
            else:
                self._admit(request)
            return self._carry_out(request, route)

        response = self._caught(request, act)
        if response.status in (200, 201) and "{version}" in route.template:
            response.headers.append(self.limits.header())
        return response

    def _caught(self, request: Request, act: Any) -> Response:
        try:
            found: Response = act()
        except AnswerError as error:
            return self._refused(error)
        except RowError as error:
            return self._refused(error.single())
        except UnreadableBodyError as error:
            return self._refused(answers.json_error(str(error)))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if not request.path.startswith(_ADMIN):
                raise
            return self._refused(answers.bad_admin_input(f"{type(error).__name__}: {error}"))
        return found

    def _carry_out(self, request: Request, route: Route) -> Response:
        """One call at a time, on disk before its answer goes out."""
        if route.template in _UNLOCKED:
            response = route.handler(request)
            with self.state.lock:
                self._flush()
            return response
        with self.state.lock:
            try:
                return route.handler(request)
            finally:
                self._flush()

    def _flush(self) -> None:
        if self._disk is not None:
            self._disk.flush()

    def _admit_person(self, request: Request) -> None:
        """The back door is open to this machine, but not to another site's page in its browser."""
        origin = request.headers.get("origin", request.host_url)
        if request.method != "GET" and origin != request.host_url:
            raise answers.plain(403, "FAKE_FORBIDDEN", f"Pages of {origin} may not write here")

    def _admit(self, request: Request) -> None:
        """Sizes, then the session, then the allocation, then the version."""
        uri_bytes = len(request.path) + len(request.query_text)
        if uri_bytes > MAX_HEAD_BYTES:
            raise answers.plain(414, "URI_TOO_LONG", "The URI is longer than 16,384 bytes")
        if uri_bytes + sum(len(name) + len(value) for name, value in request.headers.items()) > MAX_HEAD_BYTES:
            raise answers.plain(431, "REQUEST_HEADER_FIELDS_TOO_LARGE", "URI and headers are longer than 16,384 bytes")
        if request.path.rstrip("/") in (*_OPEN, *_OPEN_MORE):
            return
        header = request.headers.get("authorization", "")
        scheme, _, token = header.partition(" ")
        if header and scheme.lower() not in ("bearer", "oauth"):
            raise answers.plain(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
        session = self.grants.live(token.strip())
        if session is None:
            raise answers.session_invalid()
        request.caller = session
        if "{version}" in request.template:
            self.limits.admit()
            api_versions.number_of(request)

    def _refused(self, error: AnswerError) -> Response:
        if error.entries is None:
            return Response(error.status, b"", list(error.headers))
        return json_response(error.entries, error.status, error.headers)

    def _finish(self, request: Request, response: Response) -> Response:
        with self.state.lock:
            number = self._request_ids.getrandbits(128)
        response.headers.append(("x-sfdc-request-id", f"{number:032x}"))
        response.headers.append(("Date", self.clock.http_date()))
        if request.method == "HEAD":
            response.body = b""
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
            "mostRequestsInOneSecond": self.limits.peak_per_second,
            "apiUsage": self.limits.used,
            "faults": dict(self.faults.given),
        }

    def reset_stats(self) -> None:
        for counter in (self.requests, self.statuses, self.state.write_counts, self.limits.violations):
            counter.clear()
        self.faults.given.clear()
        self.limits.peak_per_second = 0

    def _fault_words(self, fault: Fault) -> Response:
        """Salesforce's own answers to the faults that have one; ``policy`` chooses which limit."""
        match fault.kind:
            case "rate_limited":
                error = exceeded(fault.policy or "TotalRequests")
            case "unauthorized":
                error = answers.session_invalid()
            case "locked":
                error = answers.locked("").single()
            case "moving":
                error = answers.plain(503, "SERVER_UNAVAILABLE", "We are down for maintenance.")
            case kind:
                raise UnknownFaultError(f"kind: {kind!r} has no words of its own")
        return self._refused(error)


def _compressed(request: Request, response: Response) -> Response:
    """Smaller for who takes gzip, as Salesforce answers on request."""
    if "gzip" not in request.headers.get("accept-encoding", "") or len(response.body) < 1_024:
        return response
    response.body = gzip.compress(response.body, compresslevel=1, mtime=0)
    response.headers.append(("Content-Encoding", "gzip"))
    return response
