"""One POST to an address that a customer named: bounded, never redirected, only where the policy lets it go."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Mapping
from typing import Final

import requests
import urllib3.exceptions

from crm.http.hosts import HostPolicy
from crm.http.transport import Exchange, checked_session, exchanging

TOTAL_SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 4.0
NO_ANSWER: Final = 0


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    hosts: HostPolicy,
    session: requests.Session | None = None,
    total_seconds: float = TOTAL_SECONDS,
    monotonic: Callable[[], float] = time.monotonic,
) -> int:
    """The status of the answer, ``NO_ANSWER`` where none came. Its body is not read.

    Raises ConfigurationError (``config.host``) for an address that must not be called; the addresses of its name are
    looked up once, judged, and connected to. A redirect is an answer like another: nothing follows it.
    """
    hosts.check_url(url)
    used = session or checked_session(pool_size=1)
    request = used.prepare_request(requests.Request("POST", url, headers=dict(headers), data=body))
    try:
        with exchanging(Exchange(hosts, monotonic() + total_seconds, monotonic)):
            # Straight through the adapter: a session would follow redirects and keep cookies.
            answer = used.get_adapter(url).send(request, stream=True, timeout=(CONNECT_SECONDS, total_seconds))
            with answer:
                return int(answer.status_code)
    except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError):
        return NO_ANSWER
    finally:
        if session is None:
            used.close()
