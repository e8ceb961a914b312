"""``query``, ``queryAll`` and the pages after the first.

Page: REST API Developer Guide, "Query", "QueryAll", "Query Options Header"
"""

from __future__ import annotations

import random
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from crm.providers.salesforce.fake import answers, soql_parser
from crm.providers.salesforce.fake.answers import Json
from crm.providers.salesforce.fake.describe_api import BASE
from crm.providers.salesforce.fake.soql import QueryRunner, Result
from crm.providers.salesforce.fake.state import State
from crm.testing.wsgi import Request, Response, Router, json_response

LOCATOR_LIFE_MS: Final = 2 * 86_400_000
MAX_PAGE: Final = 2_000
LONG_TEXT_PAGE: Final = 1_000
KEPT_LOCATORS: Final = 1_000


@dataclass(slots=True)
class Locator:
    result: Result
    verb: str
    page_size: int
    expires_ms: int


class QueryApi:
    """``max_page`` makes pages smaller than Salesforce's 2,000, for tests."""

    def __init__(self, state: State, runner: QueryRunner, *, seed: int) -> None:
        self._state = state
        self._runner = runner
        self._random = random.Random(f"locators/{seed}")  # noqa: S311 - reproducible, not secret
        self._locators: OrderedDict[str, Locator] = OrderedDict()
        self.max_page = MAX_PAGE

    def mount(self, router: Router) -> None:
        for verb in ("query", "queryAll"):
            router.add("GET", f"{BASE}/{verb}", self.first_page)
            router.add("GET", f"{BASE}/{verb}/{{locator}}", self.next_page)

    def first_page(self, request: Request) -> Response:
        text = request.first("q")
        if not text:
            raise answers.plain(400, "MALFORMED_QUERY", "A query string has to be specified")
        verb = request.template.rsplit("/", 1)[1]
        query = soql_parser.parse(text)
        version = request.params["version"]
        result = self._runner.run(query, with_deleted=verb == "queryAll")
        if result.aggregates is not None:
            count = len(result.aggregates)
            return json_response({"totalSize": count, "done": True, "records": result.aggregates})
        if query.is_count:
            return json_response({"totalSize": result.total, "done": True, "records": []})
        size = self._page_size(request, result)
        locator = Locator(result, verb, size, self._state.clock.now_ms() + LOCATOR_LIFE_MS)
        name = ""
        if result.total > size:
            name = f"0r8dM{self._random.getrandbits(64):0>13x}"[:18]
            self._locators[name] = locator
            if len(self._locators) > KEPT_LOCATORS:
                self._locators.popitem(last=False)
        return self._page(name, locator, 0, version)

    def next_page(self, request: Request) -> Response:
        name, dash, offset = request.params["locator"].rpartition("-")
        locator = self._locators.get(name)
        if locator is None or not dash or not offset.isdecimal() or locator.expires_ms <= self._state.clock.now_ms():
            raise answers.plain(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        if int(offset) >= locator.result.total:
            raise answers.plain(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(name, locator, int(offset), request.params["version"])

    def _page(self, name: str, locator: Locator, offset: int, version: str) -> Response:
        result, end = locator.result, offset + locator.page_size
        records = [self._runner.row(result, seen, version) for _, seen in result.records[offset:end]]
        body: Json = {"totalSize": result.total, "done": end >= result.total}
        if end < result.total:
            body["nextRecordsUrl"] = f"/services/data/{version}/{locator.verb}/{name}-{end}"
        return json_response({**body, "records": records})

    def _page_size(self, request: Request, result: Result) -> int:
        """``batchSize`` is a hint between 200 and 2,000; long text fields halve the page."""
        asked = re.search(r"batchSize=(\d+)", request.headers.get("sforce-query-options", ""), re.IGNORECASE)
        size = min(MAX_PAGE, max(200, int(asked.group(1)))) if asked else MAX_PAGE
        if result.has_long_text:
            size = min(size, LONG_TEXT_PAGE)
        return min(size, self.max_page)
