"""Subscriptions to webhooks, version 1 for both kinds of payload: list, add, remove; no change.

Page: https://developers.pipedrive.com/docs/api/v1/Webhooks
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from crm.providers.pipedrive.fake.answers import AnswerError, Json, body_object
from crm.providers.pipedrive.fake.caller import grant_of, require, require_admin
from crm.providers.pipedrive.fake.records_v1 import V1_PREFIXES
from crm.providers.pipedrive.fake.stamps import v2_stamp
from crm.providers.pipedrive.fake.state import State
from crm.providers.pipedrive.fake.webhooks import WebhookSender
from crm.testing.wsgi import Request, Response, Router, json_response

MAX_PER_USER: Final = 40
ACTIONS: Final = {"2.0": ("create", "change", "delete", "*"), "1.0": ("added", "updated", "deleted", "merged", "*")}
OBJECTS: Final = (
    "activity",
    "deal",
    "lead",
    "note",
    "organization",
    "person",
    "pipeline",
    "product",
    "stage",
    "user",
    "deal_installment",
    "deal_product",
    "board",
    "phase",
    "project",
    "task",
    "*",
)
_STATUS: Final = {"status": "ok"}


class WebhooksApi:
    def __init__(self, state: State, sender: WebhookSender) -> None:
        self._state = state
        self._sender = sender
        self.next_id = 4_710_827

    def mount(self, router: Router) -> None:
        for prefix in V1_PREFIXES:
            router.add("GET", f"{prefix}/webhooks", self.list_hooks)
            router.add("POST", f"{prefix}/webhooks", self.create)
            router.add("DELETE", f"{prefix}/webhooks/{{id}}", self.delete)

    def list_hooks(self, request: Request) -> Response:
        """An OAuth app sees its own only."""
        require(request, "admin")
        return json_response({**_STATUS, "success": True, "data": self._own(request)})

    def create(self, request: Request) -> Response:
        """201. An address that is not http or https is refused; none is probed here."""
        require(request, "admin")
        require_admin(self._state, request, "manage webhooks")
        grant, body = grant_of(request), body_object(request)
        version = str(body.get("version") or "2.0")
        _check(body, version)
        user_id = body.get("user_id", grant.user_id)
        if user_id not in self._state.users:
            raise refusal("user_id", "user not found")
        if len([hook for hook in self._sender.hooks.values() if hook["admin_id"] == grant.user_id]) >= MAX_PER_USER:
            raise AnswerError(422, {"status": "error", "success": False, "errors": {"webhooks": ["limit reached"]}})
        hook: Json = {
            "id": self.next_id,
            "company_id": self._state.company_id,
            "owner_id": grant.user_id,
            "user_id": user_id,
            "event_action": body["event_action"],
            "event_object": body["event_object"],
            "subscription_url": body["subscription_url"],
            "version": version,
            "is_active": 1,
            "add_time": v2_stamp(self._state.now_s()),
            "remove_time": None,
            "type": "application" if grant.is_oauth else "general",
            "http_auth_user": body.get("http_auth_user"),
            "http_auth_password": body.get("http_auth_password"),
            "remove_reason": None,
            "last_delivery_time": None,
            "last_http_status": None,
            "admin_id": grant.user_id,
            "name": body["name"],
        }
        self.next_id += 1
        self._sender.hooks[hook["id"]] = hook
        self._state.dirty_tables.add("hooks")
        self._sender.start()
        return json_response({**_STATUS, "success": True, "data": hook}, 201)

    def delete(self, request: Request) -> Response:
        require(request, "admin")
        text = request.params["id"]
        hook = self._sender.hooks.get(int(text)) if text.isascii() and text.isdigit() else None
        if hook is None:
            raise AnswerError(404, {"status": "error", "success": False, "errors": {"id": ["not found"]}})
        if hook not in self._own(request) or not self._state.users[grant_of(request).user_id]["is_admin"]:
            raise AnswerError(403, {"success": False, "message": "Forbidden"})
        del self._sender.hooks[hook["id"]]
        self._state.dirty_tables.add("hooks")
        return json_response({**_STATUS, "success": True})

    def _own(self, request: Request) -> list[Json]:
        is_oauth = grant_of(request).is_oauth
        return [hook for hook in self._sender.hooks.values() if not is_oauth or hook["type"] == "application"]


def refusal(name: str, reason: str) -> AnswerError:
    return AnswerError(400, {"status": "error", "success": False, "errors": {name: [reason]}})


def _check(body: Json, version: str) -> None:
    for name in ("name", "subscription_url", "event_action", "event_object"):
        if not isinstance(body.get(name), str) or not body[name].strip():
            raise refusal(name, "is required")
    if version not in ACTIONS:
        raise refusal("version", "must be 1.0 or 2.0")
    if body["event_action"] not in ACTIONS[version]:
        raise refusal("event_action", f"must be one of {', '.join(ACTIONS[version])}")
    if body["event_object"] not in OBJECTS:
        raise refusal("event_object", f"must be one of {', '.join(OBJECTS)}")
    url = urlsplit(body["subscription_url"])
    if url.scheme not in ("http", "https") or not url.hostname or url.hostname.endswith("pipedrive.com"):
        raise refusal("subscription_url", "invalid or non-reachable URL")
