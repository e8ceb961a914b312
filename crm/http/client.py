"""The only place that sends: bounds, retries, redaction and the one classification of what came back.

Above this module nobody reads a status code. A call ends in an ``Answer`` or in one error of ``crm.errors``:

- what certainly had no effect (the connection failed, 423, 429, another temporary refusal below 500) is tried
  again, reads and writes alike, within a small budget of tries and waiting;
- a read that failed on the way is tried again; then ``ProviderUnavailableError``;
- a write whose answer was lost or cannot be understood is ``OutcomeUnknownError`` at once: look, then decide;
- a wait longer than the budget is ``RateLimitedError``: a row with a due time waits, not a worker.
"""

from __future__ import annotations

import http.client
import json as json_text
import random as random_module
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import quote, urlencode, urlsplit

import requests
import urllib3.exceptions

from crm.errors import (
    AuthorizationExpiredError,
    ConfigurationError,
    CrmError,
    OutcomeUnknownError,
    ProviderUnavailableError,
    RateLimitedError,
    RecordLockedError,
    RejectedError,
    TransientError,
    UnexpectedAnswerError,
)
from crm.http.answer import Answer
from crm.http.circuit import Circuit, resting
from crm.http.hosts import HostPolicy
from crm.http.reading import UnreadableAnswerError, read_answer
from crm.http.redact import revealed, shape_of
from crm.http.transport import Exchange, certainly_not_sent, checked_session, exchanging
from crm.ports import Limiter, Turn

__all__ = ["Answer", "Authorize", "Call", "Classify", "HttpClient"]

Authorize = Callable[[], Mapping[str, str]]
"""The headers that authorize a call, fresh each time; values may be ``Secret``."""
Classify = Callable[[Answer], CrmError | None]
"""A provider's table: what an answer means, ``None`` for success. Sees every readable answer, 2xx too."""
QueryValue = str | int | bool | Sequence[str | int] | None

MAX_TRIES: Final = 3
MAX_WAIT_SECONDS: Final = 10.0
"""Spent between the tries of one call; what needs longer becomes a due time."""
LOCK_WAIT_SECONDS: Final = 2.0
"""How long a lock of a record under heavy writes is documented to last (423)."""
BACKOFF_SECONDS: Final = 0.5
_BROKEN: Final = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
)


@dataclass(frozen=True, slots=True)
class Call:
    """What may be logged and counted of one try: no host, no query, no body."""

    provider: str
    operation: str
    method: str
    path_template: str
    status: int
    """0 when no answer came."""
    milliseconds: float
    attempt: int


class HttpClient:
    """One connection's way to its CRM. Safe to use from several threads.

    ``authorize`` is asked before each try. ``reauthorize`` is called at most once a call, when the CRM refuses the
    credentials (401, or AuthorizationExpiredError by ``classify``); it renews what ``authorize`` gives, or raises.
    ``read_timeout_seconds`` bounds each silence, ``total_seconds`` the whole call with its retries.
    ``circuits`` gives the circuit of a host: while it rests, RateLimitedError (``net.resting``) is raised, unsent.
    ``max_body_bytes`` counts decoded bytes. ``session`` replaces the pooled, checked one (tests, in-process fakes).
    """

    def __init__(
        self,
        *,
        provider: str,
        base_url: str,
        authorize: Authorize,
        classify: Classify,
        limiter: Limiter,
        hosts: HostPolicy,
        reauthorize: Callable[[], None] | None = None,
        request_id_header: str = "",
        default_headers: Mapping[str, str] | None = None,
        connect_timeout_seconds: float = 5,
        read_timeout_seconds: float = 30,
        total_seconds: float = 60,
        max_body_bytes: int = 32 << 20,
        session: requests.Session | None = None,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = random_module.random,
        monotonic: Callable[[], float] = time.monotonic,
        on_call: Callable[[Call], None] | None = None,
        circuits: Callable[[str], Circuit] | None = None,
    ) -> None:
        """Raises ConfigurationError (``config.host``) when ``base_url`` is not the provider's or an extra host."""
        parts = hosts.check_url(base_url)
        if parts.query or parts.fragment:
            raise ConfigurationError("The base address has a query or a fragment. Give scheme, host and path only.")
        self._provider = provider
        self._base_url = base_url.rstrip("/")
        self._origin = (parts.scheme, parts.hostname, parts.port)
        self._authorize = authorize
        self._classify = classify
        self._limiter = limiter
        self._hosts = hosts
        self._reauthorize = reauthorize
        self._request_id_header = request_id_header
        self._headers = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate", **(default_headers or {})}
        self._timeouts = (connect_timeout_seconds, read_timeout_seconds)
        self._total_seconds = total_seconds
        self._max_body_bytes = max_body_bytes
        self._session = session or checked_session()
        self._sleep = sleep
        self._random = random
        self._monotonic = monotonic
        self._on_call = on_call
        self._circuit = circuits(parts.netloc.lower()) if circuits else None
        self._fastest: dict[str, float] = {}
        """Operation -> seconds from its turn to the first byte of its answer."""

    def request(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        path_params: Mapping[str, str] | None = None,
        params: Mapping[str, QueryValue] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        csv: str | None = None,
        headers: Mapping[str, str] | None = None,
        accepts: str = "",
        budget: str = "burst",
        cost: int = 1,
        write: bool | None = None,
    ) -> Answer:
        """Send one request and give its successful answer; every other end is an error of ``crm.errors``.

        ``path`` begins with ``/`` and may hold ``{name}`` for the values of ``path_params``, which are quoted; it
        is what hooks and logs see, so no value belongs in it. A whole address is taken only as a next-page link and
        must lead to the base address's own server. ``write`` says whether the call can change something; unsaid,
        everything but GET and HEAD does, so a search by POST says ``write=False``. ``params`` of value ``None`` are
        left out, sequences repeat the name. ``accepts`` is a media type (such as ``text/csv``) that a success may have
        instead of JSON: its content is the answer's ``text``.
        """
        job = _Job(
            method=method.upper(),
            url=self._address(path, path_params, params),
            path_template=urlsplit(path).path,
            operation=operation,
            content=_content(json, form, csv),
            content_type=_content_type(form, csv),
            accepts=accepts,
            headers=headers or {},
            budget=budget,
            cost=cost,
            is_write=method.upper() not in {"GET", "HEAD"} if write is None else write,
            deadline=self._monotonic() + self._total_seconds,
        )
        waited_seconds = 0.0
        reauthorized = False
        tries = 0
        while True:
            tries += 1
            answer, error = self._try(job, tries)
            if error is None:
                return cast("Answer", answer)
            if self._reauthorize and not reauthorized and _is_unauthorized(answer, error):
                reauthorized = True
                self._reauthorize()
                tries -= 1
                continue
            wait_seconds = self._wait_before_retry(job, answer, error, tries)
            if wait_seconds is None:
                raise error
            if waited_seconds + wait_seconds > MAX_WAIT_SECONDS or self._monotonic() + wait_seconds >= job.deadline:
                raise self._too_long(job, answer, error)
            waited_seconds += wait_seconds
            self._sleep(wait_seconds)

    def close(self) -> None:
        """Close the pooled connections; the client can be used again and opens new ones."""
        self._session.close()

    def _address(
        self, path: str, path_params: Mapping[str, str] | None, params: Mapping[str, QueryValue] | None
    ) -> str:
        if path_params is not None:
            path = re.sub(r"\{(\w+)\}", lambda found: _path_segment(path_params[found[1]]), path)
        url = self._base_url + path if path.startswith("/") else path
        try:
            parts = self._hosts.check_url(url)
        except ConfigurationError:
            parts = None
        if parts is None or (parts.scheme, parts.hostname, parts.port) != self._origin:
            raise UnexpectedAnswerError("The CRM gave a next-page address on another server", provider=self._provider)
        query = urlencode(
            {
                name: str(value).lower() if isinstance(value, bool) else value
                for name, value in (params or {}).items()
                if value is not None
            },
            doseq=True,
        )
        if not query:
            return url
        return f"{url}{'&' if parts.query else '?'}{query}"

    def _try(self, job: _Job, tries: int) -> tuple[Answer | None, CrmError | None]:
        """One request: its answer, the error it means, or both. Raises only what no table has to judge."""
        if self._circuit and (rest_seconds := self._circuit.rest_seconds()) > 0:
            raise self._placed(resting(rest_seconds), job)
        turn, turned_at = self._take_turn(job)
        headers = self._headers_of(job)
        request = self._session.prepare_request(
            requests.Request(job.method, job.url, headers=headers, data=job.content)
        )
        exchange = Exchange(self._hosts, job.deadline, self._monotonic)
        started = heard_at = self._monotonic()
        answer: Answer | None = None
        status = 0
        lost: CrmError | None = None
        with exchanging(exchange):
            try:
                with self._adapter_send(request) as response:
                    heard_at = self._monotonic()
                    status = response.status_code
                    answer = read_answer(response, self._max_body_bytes, text_type=job.accepts)
            except UnreadableAnswerError as unreadable:
                lost = _lost(job, UnexpectedAnswerError, f"the answer cannot be used, {unreadable}")
            except _BROKEN as failure:
                if certainly_not_sent(failure, exchange):
                    lost = ProviderUnavailableError("The CRM could not be reached")
                else:
                    lost = _lost(job, ProviderUnavailableError, "the connection broke or was silent for too long")
        if self._circuit:
            self._circuit.settle(reached=0 < status < 500)
        self._tell_lateness(job, turn, (heard_at if status else self._monotonic()) - turned_at)
        if self._on_call:
            self._on_call(
                Call(
                    provider=self._provider,
                    operation=job.operation,
                    method=job.method,
                    path_template=job.path_template,
                    status=status,
                    milliseconds=(self._monotonic() - started) * 1000,
                    attempt=tries,
                )
            )
        # Outside the except blocks, so that no error carries the library's own, whose text holds the address.
        if answer is None or lost is not None:
            return None, lost and self._placed(lost, job)
        self._limiter.observe(answer.headers)
        return answer, self._judge(job, answer)

    def _take_turn(self, job: _Job) -> tuple[Turn, float]:
        """The turn that has come, and when it was asked for."""
        turn: Turn | None = None
        while True:
            asked_at = self._monotonic()
            try:
                turn = self._limiter.acquire(job.budget, job.cost, turn)
            except RateLimitedError as error:
                self._placed(error, job)
                raise
            if turn.wait_seconds <= 0:
                return turn, asked_at
            self._sleep(turn.wait_seconds)

    def _tell_lateness(self, job: _Job, turn: Turn, seconds: float) -> None:
        """What a request took longer than the fastest of its kind may have passed before the CRM counted it."""
        fastest = self._fastest.get(job.operation)
        self._fastest[job.operation] = seconds if fastest is None else min(fastest, seconds)
        self._limiter.late(job.budget, turn, seconds - (fastest or 0.0))

    def _headers_of(self, job: _Job) -> dict[str, str]:
        headers = {**self._headers, **self._authorize(), **job.headers}
        if job.accepts:
            headers["Accept"] = job.accepts
        if job.content is not None:
            headers["Content-Type"] = job.content_type
        plain = {name: revealed(value) for name, value in headers.items()}
        if not all(value.isascii() and value.isprintable() and value == value.strip() for value in plain.values()):
            # The library would say so too, and quote the credential.
            raise self._placed(
                ConfigurationError("A credential has blanks around it or characters that no header holds"), job
            )
        return plain

    def _adapter_send(self, request: requests.PreparedRequest) -> requests.Response:
        """Straight through the adapter: a session would follow or read redirects and keep cookies."""
        adapter = self._session.get_adapter(request.url or "")
        verify = self._session.verify
        return adapter.send(request, stream=True, timeout=self._timeouts, verify=True if verify is None else verify)

    def _judge(self, job: _Job, answer: Answer) -> CrmError | None:
        """The provider's table, closed by default, and what a failed write means."""
        error = self._classify(answer)
        if error is None and not answer.succeeded:
            error = _unknown_answer(answer)
        if error is None:
            return None
        if isinstance(error, UnexpectedAnswerError):
            error.payload = error.payload or (shape_of(answer.body) if answer.is_json else "")
        if (
            job.is_write
            and not _had_no_effect(answer, error)
            and isinstance(error, TransientError | UnexpectedAnswerError)
        ):
            error = OutcomeUnknownError(
                f"The answer of the write does not say whether it happened (status {answer.status})",
                provider_message=error.provider_message,
            )
        return self._placed(error, job, answer)

    def _too_long(self, job: _Job, answer: Answer | None, error: CrmError) -> CrmError:
        """The error for a wait that is no worker's: one that says until when, if the CRM said so."""
        told = answer.retry_after_seconds() if answer is not None else None
        if not told or isinstance(error, RateLimitedError) or not isinstance(error, TransientError):
            return error
        later = RateLimitedError(
            "The CRM asks to wait", retry_after_seconds=told, code=error.code, provider_message=error.provider_message
        )
        return self._placed(later, job, answer)

    def _placed(self, error: CrmError, job: _Job, answer: Answer | None = None) -> CrmError:
        error.provider = error.provider or self._provider
        error.operation = error.operation or job.operation
        if answer is not None and self._request_id_header:
            error.request_id = error.request_id or answer.header(self._request_id_header)[:100]
        return error

    def _wait_before_retry(self, job: _Job, answer: Answer | None, error: CrmError, tries: int) -> float | None:
        """Seconds to wait before the next try, with full jitter; ``None``: there is none."""
        told = answer.retry_after_seconds() if answer is not None else None
        if isinstance(error, RateLimitedError):
            told = max(told or 0.0, error.retry_after_seconds)
            self._limiter.exhausted("daily" if error.daily else job.budget, told)
        elif isinstance(error, RecordLockedError):
            told = max(told or 0.0, LOCK_WAIT_SECONDS)
        elif not isinstance(error, TransientError):
            return None
        if tries >= MAX_TRIES:
            return None
        return (told or 0.0) + self._random() * BACKOFF_SECONDS * float(1 << tries)


@dataclass(frozen=True, slots=True)
class _Job:
    method: str
    url: str
    path_template: str
    operation: str
    content: bytes | None
    content_type: str
    accepts: str
    headers: Mapping[str, str]
    budget: str
    cost: int
    is_write: bool
    deadline: float


def _lost(job: _Job, error: type[CrmError], why: str) -> CrmError:
    if job.is_write:
        return OutcomeUnknownError(f"Nobody knows whether the write happened: {why}")
    return error(f"Nothing was read: {why}")


def _content_type(form: Mapping[str, str] | None, csv: str | None) -> str:
    if csv is not None:
        return "text/csv"
    return "application/json" if form is None else "application/x-www-form-urlencoded"


def _content(json: Any, form: Mapping[str, str] | None, csv: str | None) -> bytes | None:
    if csv is not None:
        return csv.encode()
    if form is not None:
        return urlencode({name: revealed(value) for name, value in form.items()}).encode()
    if json is None:
        return None
    return json_text.dumps(json, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()


def _path_segment(value: str) -> str:
    if value in {"", ".", ".."}:
        raise RejectedError("The id cannot be part of an address")
    return quote(value, safe="")


def _is_unauthorized(answer: Answer | None, error: CrmError) -> bool:
    return isinstance(error, AuthorizationExpiredError) or (answer is not None and answer.status == 401)


def _had_no_effect(answer: Answer, error: CrmError) -> bool:
    """A refusal below 500 is the CRM's own word that it did nothing; 408 is a gateway's, and 5xx nobody's."""
    return isinstance(error, RateLimitedError) or (400 <= answer.status < 500 and answer.status != 408)


def _unknown_answer(answer: Answer) -> CrmError:
    if answer.status >= 500:
        return ProviderUnavailableError(f"The CRM failed with status {answer.status}")
    if answer.status == 429:
        return RateLimitedError(retry_after_seconds=answer.retry_after_seconds() or 10.0)
    if answer.status == 401:
        return AuthorizationExpiredError()
    if answer.status >= 400:
        return RejectedError(f"The CRM refused with status {answer.status}")
    return UnexpectedAnswerError(f"The CRM answered with status {answer.status}")
