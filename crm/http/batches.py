"""Many records in few requests, with one result for each: what a batch's single answer does not give by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from itertools import islice
from typing import Final, TypeVar

from crm.errors import CrmError, OutcomeUnknownError, RejectedError, TransientError

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
R = TypeVar("R")

MAX_EXTRA_REQUESTS: Final = 100
"""Beyond one a batch: finds about ten bad records among a hundred; what is left over is tried again later."""


def send_in_batches(
    items: Mapping[K, T],
    size: int,
    send: Callable[[Mapping[K, T]], Mapping[K, R | CrmError]],
    *,
    max_extra_requests: int = MAX_EXTRA_REQUESTS,
) -> dict[K, R | CrmError]:
    """Send ``items`` in order, ``size`` a request, and give each key its own result or error.

    ``send`` returns results by key (never by position) and raises what a whole batch met:

    - RejectedError: nothing of it was done; it is halved until the bad records stand alone;
    - OutcomeUnknownError, or a key that the answer leaves out: unknown, for each record concerned;
    - any other CrmError: these and all following records get it, and nothing more is sent.

    Records that the request bound leaves untried get a TransientError. Only errors outside ``crm.errors`` are raised.
    """
    if size < 1:
        raise ValueError("size is at least 1")
    results: dict[K, R | CrmError] = {}
    waiting = _chunks(items, size)[::-1]
    requests_left = len(waiting) + max_extra_requests
    halt: CrmError | None = None
    while waiting:
        batch = waiting.pop()
        if halt is None and requests_left == 0:
            halt = TransientError("Not tried: too many batches were refused whole", code="net.batch_refused")
        if halt is not None:
            results.update(dict.fromkeys(batch, halt))
            continue
        requests_left -= 1
        try:
            answered = send(batch)
        except RejectedError as error:
            if len(batch) > 1:
                waiting.extend(_chunks(batch, math.ceil(len(batch) / 2))[::-1])
            else:
                results.update(dict.fromkeys(batch, error))
        except OutcomeUnknownError as error:
            results.update(dict.fromkeys(batch, error))
        except CrmError as error:
            halt = error
            results.update(dict.fromkeys(batch, error))
        else:
            for key in batch:
                results[key] = answered[key] if key in answered else _left_out()
    return results


def _left_out() -> CrmError:
    return OutcomeUnknownError("The batch's answer leaves this record out")


def _chunks(items: Mapping[K, T], size: int) -> list[Mapping[K, T]]:
    source = iter(items.items())
    chunks: list[Mapping[K, T]] = []
    while chunk := dict(islice(source, size)):
        chunks.append(chunk)
    return chunks
