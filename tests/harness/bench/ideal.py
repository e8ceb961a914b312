"""``python -m tests.harness.bench.ideal``: the bare loop of batch calls, and what reading costs HubSpot's own client.

No database, no mapping, no memory of anything: the least that moving N contacts can take. Sends are paced by the
limit as if it were known to the millisecond; pages of a cursor follow each other, writes are in flight together. What
it reads, looks at and writes it does in one go, as a sync does: the limit rules over all of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

import requests

from tests.harness.bench.people import remote_people

SALESFORCE = "/services/data/v59.0"
HUBSPOT_NAMES = ("firstname", "lastname", "email", "phone", "jobtitle")


class Window:
    """At most ``most`` sends in any ``seconds``."""

    def __init__(self, most: int | None, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._sent: deque[float] = deque()
        self._lock = threading.Lock()

    def wait(self) -> None:
        if self._most is None:
            return
        with self._lock:
            if len(self._sent) >= self._most:
                left = self._sent.popleft() + self._seconds + 0.002 - time.monotonic()
                if left > 0:
                    time.sleep(left)
            self._sent.append(time.monotonic())


class Caller:
    """One pooled session that paces and counts."""

    def __init__(self, url: str, headers: dict[str, str], window: Window) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.headers.update(headers)
        self._session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=32))
        self._window = window
        self.requests = 0

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        while True:
            self._window.wait()
            self.requests += 1
            answer = self._session.request(method, self._url + path, json=body, params=query or None, timeout=60)
            if answer.status_code != HTTPStatus.TOO_MANY_REQUESTS:
                answer.raise_for_status()
                return answer.json()
            time.sleep(float(answer.headers.get("Retry-After") or 0.5))  # it was held up on the way


def read_hubspot(caller: Caller, records: int) -> int:
    rows, after = 0, {}
    while True:
        path = "/crm/v3/objects/contacts"
        page = caller.call("GET", path, limit=100, properties=",".join(HUBSPOT_NAMES), **after)
        rows += len(page["results"])
        if "paging" not in page or rows >= records:
            return rows
        after = {"after": page["paging"]["next"]["after"]}


def read_salesforce(caller: Caller, records: int) -> int:
    names = "Id, SystemModstamp, FirstName, LastName, Email, Phone, Title"
    page = caller.call("GET", f"{SALESFORCE}/query", q=f"SELECT {names} FROM Contact")
    rows = len(page["records"])
    while not page["done"] and rows < records:
        page = caller.call("GET", page["nextRecordsUrl"])
        rows += len(page["records"])
    return rows


def read_pipedrive(caller: Caller, records: int) -> int:
    rows, after = 0, {}
    while True:
        page = caller.call("GET", "/api/v2/persons", limit=500, **after)
        rows += len(page["data"])
        cursor = page["additional_data"]["next_cursor"]
        if not cursor or rows >= records:
            return rows
        after = {"cursor": cursor}


def write_hubspot(caller: Caller, people: Sequence[dict[str, Any]], in_flight: int) -> int:
    def send(batch: Sequence[dict[str, Any]]) -> int:
        inputs = [{"properties": each} for each in batch]
        return len(caller.call("POST", "/crm/v3/objects/contacts/batch/create", {"inputs": inputs})["results"])

    return _together(send, _batches(people, 100), in_flight)


def write_salesforce(caller: Caller, people: Sequence[dict[str, Any]], in_flight: int) -> int:
    def send(batch: Sequence[dict[str, Any]]) -> int:
        records = [{"attributes": {"type": "Contact"}, **each} for each in batch]
        answer = caller.call("POST", f"{SALESFORCE}/composite/sobjects", {"allOrNone": False, "records": records})
        return sum(row["success"] for row in answer)

    return _together(send, _batches(people, 200), in_flight)


def write_pipedrive(caller: Caller, people: Sequence[dict[str, Any]], in_flight: int) -> int:
    return _together(lambda each: int(caller.call("POST", "/api/v2/persons", each)["success"]), people, in_flight)


def _together(send: Callable[[Any], int], work: Iterable[Any], in_flight: int) -> int:
    with ThreadPoolExecutor(in_flight) as pool:
        return sum(pool.map(send, work))


def _batches(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def ids_of_hubspot(caller: Caller) -> list[str]:
    ids: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = caller.call("GET", "/crm/v3/objects/contacts", limit=100, **after)
        ids += [row["id"] for row in page["results"]]
        if "paging" not in page:
            return ids
        after = {"after": page["paging"]["next"]["after"]}


def look_hubspot(caller: Caller, ids: Sequence[str], in_flight: int) -> int:
    """Records by their ids: what looking again before a write takes."""

    def send(batch: Sequence[str]) -> int:
        body = {"inputs": [{"id": each} for each in batch], "properties": list(HUBSPOT_NAMES)}
        return len(caller.call("POST", "/crm/v3/objects/contacts/batch/read", body)["results"])

    return _together(send, _batches(ids, 100), in_flight)


READ = {"hubspot": read_hubspot, "salesforce": read_salesforce, "pipedrive": read_pipedrive}
WRITE = {"hubspot": write_hubspot, "salesforce": write_salesforce, "pipedrive": write_pipedrive}


def parse_by_client(url: str, token: str) -> int:
    """HubSpot's own package reads all contacts into its objects."""
    from hubspot.crm import contacts  # type: ignore[import-untyped]

    configuration = contacts.Configuration()
    configuration.host, configuration.access_token = url, token
    api = contacts.BasicApi(api_client=contacts.ApiClient(configuration=configuration))
    rows, after = 0, None
    while True:
        try:
            page = api.get_page(limit=100, properties=list(HUBSPOT_NAMES), **({"after": after} if after else {}))
        except contacts.ApiException as error:
            if error.status != HTTPStatus.TOO_MANY_REQUESTS:
                raise
            time.sleep(0.5)  # its processor time is asked for, not how it paces
            continue
        rows += len(page.results)
        if page.paging is None:
            return rows
        after = page.paging.next.after


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("provider", choices=sorted(READ))
    parser.add_argument("url")
    parser.add_argument("token")
    for work, what in (("read", "page by page"), ("look", "by their ids"), ("write", "in batches")):
        parser.add_argument(f"--{work}", type=int, default=0, metavar="N", help=f"so many contacts, {what}")
    parser.add_argument("--first", type=int, default=0, help="number of the first person written")
    parser.add_argument("--client", action="store_true", help="read all by HubSpot's own package, and nothing else")
    parser.add_argument("--most", type=int)
    parser.add_argument("--window", type=float, default=10.0, metavar="SECONDS")
    parser.add_argument("--in-flight", type=int, default=8)
    options = parser.parse_args()
    name = "x-api-token" if options.provider == "pipedrive" else "Authorization"
    token = options.token if options.provider == "pipedrive" else f"Bearer {options.token}"
    caller = Caller(options.url, {name: token}, Window(options.most, options.window))
    people = remote_people(options.provider, options.first, options.write)
    if options.client:
        parse_by_client(options.url, options.token)  # once to load the package's modules
    ids = ids_of_hubspot(caller)[: options.look] if options.look else []
    if options.most:
        time.sleep(options.window)  # what went before is forgotten
    caller.requests, rows = 0, 0
    cpu, wall = time.process_time(), time.monotonic()
    if options.client:
        rows += parse_by_client(options.url, options.token)
    if options.read:
        rows += READ[options.provider](caller, options.read)
    if ids:
        rows += look_hubspot(caller, ids, options.in_flight)
    if people:
        rows += WRITE[options.provider](caller, people, options.in_flight)
    found = {"rows": rows, "requests": caller.requests}
    spent = {"seconds": time.monotonic() - wall, "cpuSeconds": time.process_time() - cpu}
    print(json.dumps({**found, **spent}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
