"""What the org has: versions, resources, objects and fields.

Page: REST API Developer Guide, "Describe Global", "sObject Describe", "sObject Basic Information", "Limits"
"""

from __future__ import annotations

from typing import Any, Final

from crm.providers.salesforce.fake import answers, api_versions
from crm.providers.salesforce.fake.answers import Json
from crm.providers.salesforce.fake.fields import ObjectType
from crm.providers.salesforce.fake.limits import RateLimits
from crm.providers.salesforce.fake.stamps import http_date, parse_http_date, whole_second
from crm.providers.salesforce.fake.state import State
from crm.testing.wsgi import Request, Response, Router, json_response

BASE: Final = "/services/data/{version}"
_RESOURCES: Final = ("sobjects", "query", "queryAll", "composite", "jobs", "limits", "recent")


def type_named(state: State, name: str) -> ObjectType:
    kind = state.schema.find_type(name)
    if kind is None:
        raise answers.not_found()
    return kind


class DescribeApi:
    def __init__(self, state: State, limits: RateLimits) -> None:
        self._state = state
        self._limits = limits

    def mount(self, router: Router) -> None:
        router.add("GET", "/services/data", self.versions)
        router.add("GET", BASE, self.resources)
        router.add("GET", f"{BASE}/sobjects", self.describe_global)
        router.add("GET", f"{BASE}/sobjects/{{object}}", self.basics)
        router.add("GET", f"{BASE}/sobjects/{{object}}/describe", self.describe)
        router.add("GET", f"{BASE}/limits", self.limits)
        router.add("GET", f"{BASE}/recent", self.recent)

    def versions(self, _request: Request) -> Response:
        return json_response(api_versions.listed())

    def resources(self, request: Request) -> Response:
        version = request.params["version"]
        return json_response({name: f"/services/data/{version}/{name}" for name in _RESOURCES})

    def describe_global(self, request: Request) -> Response:
        schema = self._state.schema
        kinds = [kind for kind in schema.types.values() if kind.name not in schema.hidden_types]
        found = [_with_urls(kind.described(), request) for kind in sorted(kinds, key=lambda kind: kind.name)]
        return self._unless_known(request, {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": found})

    def basics(self, request: Request) -> Response:
        kind = type_named(self._state, request.params["object"])
        return json_response({"objectDescribe": _with_urls(kind.described(), request), "recentItems": []})

    def describe(self, request: Request) -> Response:
        schema = self._state.schema
        kind = type_named(self._state, request.params["object"])
        fields = [field.described(read_only=schema.is_read_only(kind, field)) for field in schema.visible_fields(kind)]
        children: list[Json] = [
            {
                "cascadeDelete": False,
                "childSObject": other.name,
                "deprecatedAndHidden": False,
                "field": field.name,
                "junctionIdListNames": [],
                "junctionReferenceTo": [],
                "relationshipName": None,
                "restrictedDelete": False,
            }
            for other in schema.types.values()
            for field in schema.visible_fields(other)
            if kind.name in field.reference_to
        ]
        record_type = {"available": True, "defaultRecordTypeMapping": True, "master": True, "name": "Master"}
        record_type |= {"developerName": "Master", "recordTypeId": "012000000000000AAA", "active": True, "urls": {}}
        body: Json = {
            **_with_urls(kind.described(), request),
            "actionOverrides": [],
            "childRelationships": children,
            "compactLayoutable": not kind.is_setup,
            "fields": fields,
            "listviewable": None,
            "lookupLayoutable": None,
            "namedLayoutInfos": [],
            "networkScopeFieldName": None,
            "recordTypeInfos": [record_type],
            "searchLayoutable": not kind.is_setup,
            "sobjectDescribeOption": "FULL",
            "supportedScopes": [{"label": f"All {kind.plural.lower()}", "name": "everything"}],
        }
        return self._unless_known(request, body)

    def limits(self, _request: Request) -> Response:
        most = self._limits.sizes.daily
        left = max(0, most - self._limits.used)
        found: dict[str, Any] = {
            "DailyApiRequests": {"Max": most, "Remaining": left},
            "DailyBulkV2QueryJobs": _left(self._limits.sizes.query_jobs, self._limits.query_jobs.used),
            "DailyBulkApiBatches": _left(self._limits.sizes.bulk_batches, self._limits.bulk_batches.used),
            "DataStorageMB": {"Max": 10_240, "Remaining": 10_200},
        }
        return json_response(found)

    def recent(self, _request: Request) -> Response:
        return json_response([])

    def _unless_known(self, request: Request, body: Json) -> Response:
        """Honours ``If-Modified-Since`` to the second."""
        changed_ms = whole_second(self._state.schema.changed_ms)
        headers = [("Last-Modified", http_date(changed_ms)), ("ETag", f'"{changed_ms // 1000:x}"')]
        since_ms = parse_http_date(request.headers.get("if-modified-since", ""))
        if since_ms is not None and changed_ms <= since_ms:
            return Response(304, b"", headers)
        return json_response(body, 200, headers)


def _left(most: int, used: int) -> Json:
    return {"Max": most, "Remaining": max(0, most - used)}


def _with_urls(described: Json, request: Request) -> Json:
    version = request.params["version"]
    return {**described, "urls": {name: url.replace("{version}", version) for name, url in described["urls"].items()}}
