"""Several calls at once, while everything that may touch the database stays on the caller's thread.

The HTTP client and the limiter may be used from any thread; tokens, their renewal and the hook that counts calls may
not. So they are asked before the work is handed out and told after it came back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Final, TypeVar

from crm.errors import AuthorizationExpiredError, CrmError, OutcomeUnknownError, RejectedError
from crm.http.batches import send_in_batches
from crm.http.client import Call

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
R = TypeVar("R")

Headers = Mapping[str, str]


class Crew:
    """``authorize``, ``reauthorize`` and ``on_call`` are the HTTP client's hooks. Its owner is one thread."""

    def __init__(
        self,
        authorize: Callable[[], Headers],
        reauthorize: Callable[[], None] | None,
        counter: Callable[[Call], None],
        size: int,
    ) -> None:
        self._authorize = authorize
        self._reauthorize = reauthorize
        self._counter = counter
        self._size: Final = size
        self._worker = threading.local()
        self._headers: Headers = {}
        self._heard: deque[Call] = deque()

    def authorize(self) -> Headers:
        return self._headers if self._is_worker else self._authorize()

    def reauthorize(self) -> None:
        if self._is_worker or self._reauthorize is None:
            raise AuthorizationExpiredError
        self._reauthorize()

    def on_call(self, call: Call) -> None:
        if self._is_worker:
            self._heard.append(call)
        else:
            self._counter(call)

    def begin(self, send: Callable[[], R]) -> Future[R]:
        """Start one call beside what the owner does. It is sent once, with the credentials of now. What it was told is
        counted at the owner's ``hear``. Raises what the credentials do.
        """
        self._headers = self._authorize()

        def work() -> R:
            self._worker.is_busy = True
            return send()

        pool = ThreadPoolExecutor(1, thread_name_prefix="crm-ahead")
        try:
            return pool.submit(work)
        finally:
            pool.shutdown(wait=False)

    def hear(self) -> None:
        """Count the calls that were made beside."""
        while self._heard:
            self._counter(self._heard.popleft())

    def each(self, items: Mapping[K, T], send: Callable[[T], R]) -> dict[K, R | CrmError]:
        """``send`` for every item, each with its own result or error, as ``in_batches`` says of a batch of one."""
        return self.in_batches(items, 1, lambda batch: {key: send(item) for key, item in batch.items()})

    def in_batches(
        self, items: Mapping[K, T], size: int, send: Callable[[Mapping[K, T]], Mapping[K, R | CrmError]]
    ) -> dict[K, R | CrmError]:
        """``send_in_batches`` with several batches on their way at once; none of them is sent a second time but those
        refused for the credentials, once, after these were renewed.

        What ends one of them (any CrmError but RejectedError and OutcomeUnknownError) ends all: what was not sent
        by then gets that error.
        """
        results = self._round(items, size, send)
        refused = {key: items[key] for key, each in results.items() if isinstance(each, AuthorizationExpiredError)}
        if refused and self._reauthorize is not None:
            try:
                self._reauthorize()
            except CrmError as error:
                return {**results, **dict.fromkeys(refused, error)}
            results |= self._round(refused, size, send)
        return results

    def _round(
        self, items: Mapping[K, T], size: int, send: Callable[[Mapping[K, T]], Mapping[K, R | CrmError]]
    ) -> dict[K, R | CrmError]:
        if not items:
            return {}
        try:
            self._headers = self._authorize()
        except CrmError as error:
            return dict.fromkeys(items, error)
        halted: list[CrmError] = []

        def watched(batch: Mapping[K, T]) -> Mapping[K, R | CrmError]:
            if halted:
                raise halted[0]
            try:
                return send(batch)
            except (RejectedError, OutcomeUnknownError):
                raise
            except CrmError as error:
                halted.append(error)
                raise

        def work(part: Mapping[K, T]) -> dict[K, R | CrmError]:
            self._worker.is_busy = True
            try:
                return send_in_batches(part, size, watched)
            finally:
                self._worker.is_busy = False

        source = iter(items.items())
        parts = list(iter(lambda: dict(islice(source, size)), {}))
        results: dict[K, R | CrmError] = {}
        try:
            with ThreadPoolExecutor(min(self._size, len(parts)), thread_name_prefix="crm-call") as pool:
                for found in pool.map(work, parts):
                    results |= found
        finally:
            self.hear()
        return results

    @property
    def _is_worker(self) -> bool:
        return getattr(self._worker, "is_busy", False)
