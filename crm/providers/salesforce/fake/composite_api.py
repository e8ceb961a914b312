"""Several calls in one: ``composite`` with references between them, ``composite/batch`` without.

Pages: REST API Developer Guide, "Composite", "Composite Batch"
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from crm.providers.salesforce.fake import answers
from crm.providers.salesforce.fake.answers import Json
from crm.providers.salesforce.fake.describe_api import BASE
from crm.providers.salesforce.fake.rows_api import row_body
from crm.providers.salesforce.fake.state import State
from crm.testing.wsgi import Request, Response, Router, json_response

MAX_CALLS: Final = 25
MAX_HEAVY_CALLS: Final = 5
_HEAVY: Final = re.compile(r"/services/data/v\d+\.0/(?:query|queryAll|composite/sobjects)(?:[/?]|$)")
_REFERENCE: Final = re.compile(r"@\{(\w+)((?:\.\w+|\[\d+\])*)\}")
_ROLLED_BACK: Final = "The transaction was rolled back since another operation in the same transaction failed."


class _HaltError(Exception):
    """A subrequest refers to one that failed or has no such value."""


class _RollBackError(Exception):
    """Leaves the transaction of an all-or-none call."""


class CompositeApi:
    """``dispatch`` answers one call as the server would."""

    def __init__(self, state: State, dispatch: Callable[[Request], Response]) -> None:
        self._state = state
        self._dispatch = dispatch

    def mount(self, router: Router) -> None:
        router.add("POST", f"{BASE}/composite", self.composite)
        router.add("POST", f"{BASE}/composite/batch", self.batch)

    def composite(self, request: Request) -> Response:
        """Answers 200 however its subrequests end; one call of the allocation."""
        body = row_body(request)
        calls = _listed(body, "compositeRequest")
        heavy = sum(1 for call in calls if _HEAVY.match(str(call.get("url", ""))))
        if heavy > MAX_HEAVY_CALLS:
            message = f"At most {MAX_HEAVY_CALLS} query and sObject Collections subrequests are allowed in one call"
            raise answers.plain(400, "LIMIT_EXCEEDED", message)
        names = [str(call.get("referenceId") or "") for call in calls]
        if "" in names or len(set(names)) < len(names):
            raise answers.plain(400, "INVALID_INPUT", "each subrequest needs a referenceId of its own")
        found: list[Json] = []
        try:
            if not body.get("allOrNone"):
                self._run(request, calls, found)
            else:
                with self._state.transaction():
                    self._run(request, calls, found)
                    _refuse_partial(found)
        except _RollBackError:
            found = [
                each if each["httpStatusCode"] >= 400 else _halted(each["referenceId"], _ROLLED_BACK) for each in found
            ]
        return json_response({"compositeResponse": found})

    def _run(self, request: Request, calls: list[Json], found: list[Json]) -> None:
        bodies: dict[str, Any] = {}
        for call in calls:
            name = str(call["referenceId"])
            try:
                url = _filled(str(call.get("url", "")), bodies)
                body = _filled(call.get("body"), bodies)
            except _HaltError as error:
                found.append(_halted(name, str(error)))
                continue
            answer = self._dispatch(_inner(request, str(call.get("method", "GET")), url, body, call.get("httpHeaders")))
            shown = _shown(answer)
            if answer.status < 400:
                bodies[name] = shown
            headers = {key: value for key, value in answer.headers if key in ("Location", "ETag", "Last-Modified")}
            found.append({"body": shown, "httpHeaders": headers, "httpStatusCode": answer.status, "referenceId": name})

    def batch(self, request: Request) -> Response:
        """Independent calls; after a failed one the rest is skipped with 412 when ``haltOnError`` asks for it."""
        body = row_body(request)
        results: list[Json] = []
        failed = False
        for call in _listed(body, "batchRequests"):
            if failed and body.get("haltOnError"):
                halted = {"errorCode": "BATCH_PROCESSING_HALTED", "message": "Batch processing halted per request"}
                results.append({"statusCode": 412, "result": [halted]})
                continue
            path = f"/services/data/{str(call.get('url', '')).lstrip('/').removeprefix('services/data/')}"
            answer = self._dispatch(_inner(request, str(call.get("method", "GET")), path, call.get("richInput"), None))
            failed = failed or answer.status >= 400
            results.append({"statusCode": answer.status, "result": _shown(answer)})
        return json_response({"hasErrors": failed, "results": results})


def _refuse_partial(found: list[Json]) -> None:
    if any(each["httpStatusCode"] >= 400 for each in found):
        raise _RollBackError


def _listed(body: Json, name: str) -> list[Json]:
    found = body.get(name)
    if not isinstance(found, list) or not found or not all(isinstance(each, dict) for each in found):
        raise answers.json_error(f"{name}: an array of objects is required")
    if len(found) > MAX_CALLS:
        message = f"The request has more than {MAX_CALLS} subrequests"
        raise answers.plain(400, "LIMIT_EXCEEDED", message)
    return found


def _inner(request: Request, method: str, url: str, body: Any, headers: Any) -> Request:
    path, _, query_text = url.partition("?")
    own = {str(name).lower(): str(value) for name, value in (headers or {}).items()}
    kept = {name: value for name, value in request.headers.items() if name.startswith("sforce-")}
    return Request(
        method=method.upper(),
        path=unquote(path),
        query=parse_qs(query_text, keep_blank_values=True),
        headers={**kept, **own, "content-type": "application/json"},
        body=b"" if body is None else json.dumps(body).encode("utf-8", "surrogatepass"),
        host_url=request.host_url,
        query_text=query_text,
        caller=request.caller,
    )


def _shown(answer: Response) -> Any:
    return json.loads(answer.body) if answer.body else None


def _halted(name: str, message: str) -> Json:
    error = {"errorCode": "PROCESSING_HALTED", "message": message}
    return {"body": [error], "httpHeaders": {}, "httpStatusCode": 400, "referenceId": name}


def _filled(value: Any, bodies: dict[str, Any]) -> Any:
    """``@{name.path}`` replaced by what an earlier subrequest answered."""
    if isinstance(value, dict):
        return {name: _filled(each, bodies) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, bodies) for each in value]
    if not isinstance(value, str):
        return value
    return _REFERENCE.sub(lambda found: str(_resolved(found.group(1), found.group(2), bodies)), value)


def _resolved(name: str, path: str, bodies: dict[str, Any]) -> Any:
    found = bodies.get(name)
    for key, place in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        if key and isinstance(found, dict):
            found = found.get(key)
        elif place and isinstance(found, list) and int(place) < len(found):
            found = found[int(place)]
        else:
            found = None
    if found is None:
        raise _HaltError(f"Invalid reference specified. No value for {name}{path} found in {name}")
    return found
