"""Several calls at once, while everything that may touch the database stays on the caller's thread.

The HTTP client and the limiter may be used from any thread; tokens, their renewal and the hook that counts calls may
not. So they are asked before the work is handed out and told after it came back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from crm.errors import AuthorizationExpiredError, CrmError, OutcomeUnknownError, RejectedError
from crm.http.client import Call
from crm.providers.base import CallCounter

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
        counter: CallCounter,
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

    def each(self, items: Mapping[K, T], send: Callable[[T], R]) -> dict[K, R | CrmError]:
        """``send`` for every item, each with its own result or error; it is called for none a second time but those
        refused for the credentials, once, after these were renewed.

        RejectedError and OutcomeUnknownError concern their item alone; after any other CrmError nothing more is sent
        and what was not sent gets that error.
        """
        results = self._round(items, send)
        refused = {key: items[key] for key, each in results.items() if isinstance(each, AuthorizationExpiredError)}
        if refused and self._reauthorize is not None:
            try:
                self._reauthorize()
            except CrmError as error:
                return {**results, **dict.fromkeys(refused, error)}
            results |= self._round(refused, send)
        return results

    def _round(self, items: Mapping[K, T], send: Callable[[T], R]) -> dict[K, R | CrmError]:
        if not items:
            return {}
        try:
            self._headers = self._authorize()
        except CrmError as error:
            return dict.fromkeys(items, error)
        halted: list[CrmError] = []

        def work(item: T) -> R | CrmError:
            if halted:
                return halted[0]
            self._worker.is_busy = True
            try:
                return send(item)
            except (RejectedError, OutcomeUnknownError) as error:
                return error
            except CrmError as error:
                halted.append(error)
                return error
            finally:
                self._worker.is_busy = False

        try:
            with ThreadPoolExecutor(min(self._size, len(items)), thread_name_prefix="crm-write") as pool:
                futures = {key: pool.submit(work, item) for key, item in items.items()}
            return {key: future.result() for key, future in futures.items()}
        finally:
            while self._heard:
                self._counter(self._heard.popleft())

    @property
    def _is_worker(self) -> bool:
        return getattr(self._worker, "is_busy", False)
