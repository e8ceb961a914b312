"""Counts over a whole connection: exact where counting is quick, at most a little old where it is not.

A count that took long is kept for fifteen times as long as it took, so that counting is never more than a small part
of the work. While one request counts anew the others are told the last figure.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any, Final, TypeVar

from django.core.cache import cache
from redis.exceptions import RedisError

from adsapp_crm.tenancy import current_organization

Found = TypeVar("Found")

QUICK_SECONDS: Final = 0.2
"""A count that takes less is made anew each time."""
KEPT_TIMES: Final = 15
FORGOTTEN_AFTER_SECONDS: Final = 600
_COUNTING_SECONDS: Final = 30
"""Who began to count and has not told by then is taken for gone."""


def counted(name: str, connection_id: uuid.UUID, count: Callable[[], Found]) -> Found:
    """What ``count`` gives, which JSON can hold; ``name`` says what is counted. In the organization's context.

    Without the cache everything is counted each time.
    """
    key = f"counts:{current_organization()}:{connection_id}:{name}"
    kept = _kept(key)
    if kept is not None and (time.time() < kept["until"] or not _begin(key)):
        found: Found = kept["found"]
        return found
    began = time.monotonic()
    new = count()
    took = time.monotonic() - began
    if took > QUICK_SECONDS or kept is not None:  # what was slow before is not to be told on
        _keep(key, {"found": new, "until": time.time() + KEPT_TIMES * took})
    return new


def _kept(key: str) -> dict[str, Any] | None:
    try:
        text = cache.get(key)
    except RedisError:
        return None
    return json.loads(text) if text else None


def _begin(key: str) -> bool:
    try:
        return bool(cache.add(f"{key}:counting", 1, timeout=_COUNTING_SECONDS))
    except RedisError:
        return True


def _keep(key: str, what: dict[str, Any]) -> None:
    try:
        cache.set(key, json.dumps(what), timeout=FORGOTTEN_AFTER_SECONDS)
        cache.delete(f"{key}:counting")
    except RedisError:
        return
