"""Owners, account details and e-mail subscriptions.

Pages: https://developers.hubspot.com/docs/api-reference/crm-crm-owners-v3/guide,
https://developers.hubspot.com/docs/api-reference/account-account-info-v3/guide,
https://developers.hubspot.com/docs/api-reference/communication-preferences-subscriptions-v4/guide
"""

from __future__ import annotations

from typing import Final

from crm.providers.hubspot.fake import answers, writes
from crm.providers.hubspot.fake.answers import Json
from crm.providers.hubspot.fake.caller import actor_of, require
from crm.providers.hubspot.fake.object_types import CONTACTS
from crm.providers.hubspot.fake.objects_api import flag, object_body, page_limit
from crm.providers.hubspot.fake.state import EMAIL, Actor, State
from crm.providers.hubspot.fake.versions import prefixes
from crm.testing.clock import iso_ms
from crm.testing.wsgi import Request, Response, Router, json_response

SUBSCRIPTIONS: Final = ((501, "Marketing Information", "Marketing"), (502, "One to One", "Sales"))
_STATES: Final = ("SUBSCRIBED", "UNSUBSCRIBED", "NOT_SPECIFIED")


class AccountApi:
    def __init__(self, state: State) -> None:
        self._state = state

    def mount(self, router: Router) -> None:
        for prefix in prefixes("owners"):
            router.add("GET", prefix, self.list_owners)
            router.add("GET", f"{prefix}/{{id}}", self.read_owner)
        for prefix in prefixes("account"):
            router.add("GET", f"{prefix}/details", self.details)
        for prefix in prefixes("preferences"):
            statuses = f"{prefix}/statuses/{{email}}"
            router.add("GET", f"{prefix}/definitions", self.subscription_definitions)
            router.add("GET", statuses, self.read_statuses)
            router.add("POST", statuses, self.write_status)
            router.add("GET", f"{statuses}/unsubscribe-all", self.read_opt_out)
            router.add("POST", f"{statuses}/unsubscribe-all", self.opt_out)

    # Owners ---------------------------------------------------------------------------------------------

    def list_owners(self, request: Request) -> Response:
        require(request, "crm.objects.owners.read")
        limit = page_limit(request, 500, 100)
        after, email = request.first("after", "0"), request.first("email").lower()
        start = answers.whole_number(after) or 0
        archived = flag(request, "archived")
        found = [
            owner
            for owner in self._state.owners
            if owner["archived"] == archived and (not email or owner["email"].lower() == email)
        ]
        page: Json = {"results": found[start : start + limit]}
        if start + limit < len(found):
            page["paging"] = {"next": {"after": str(start + limit)}}
        return json_response(page)

    def read_owner(self, request: Request) -> Response:
        require(request, "crm.objects.owners.read")
        key = "userId" if request.first("idProperty") == "userId" else "id"
        for owner in self._state.owners:
            if str(owner[key]) == request.params["id"] and owner["archived"] == flag(request, "archived"):
                return json_response(owner)
        raise answers.not_found()

    def details(self, _request: Request) -> Response:
        return json_response(
            {
                "portalId": self._state.portal_id,
                "accountType": "STANDARD",
                "timeZone": "US/Eastern",
                "companyCurrency": "USD",
                "additionalCurrencies": [],
                "utcOffset": "-05:00",
                "utcOffsetMilliseconds": -18_000_000,
                "uiDomain": "app.hubspot.com",
                "dataHostingLocation": "na1",
            }
        )

    # Subscriptions -----------------------------------------------------------------------------------------

    def subscription_definitions(self, request: Request) -> Response:
        self._require_preferences(request, "read")
        results = [
            {"id": str(id_), "name": name, "purpose": purpose, "isActive": True, "isDefault": True, "isInternal": False}
            for id_, name, purpose in SUBSCRIPTIONS
        ]
        return json_response({"status": "COMPLETE", "results": results})

    def read_statuses(self, request: Request) -> Response:
        self._require_preferences(request, "read")
        email = self._address(request)
        told = self._state.opt_outs.get(email, {})
        results = [
            self._status_json(email, id_, told.get("all") or told.get(str(id_)) or {"status": "NOT_SPECIFIED"})
            for id_, _, _ in SUBSCRIPTIONS
        ]
        return json_response({"status": "COMPLETE", "results": results})

    def write_status(self, request: Request) -> Response:
        self._require_preferences(request, "write")
        email, body = self._address(request), object_body(request)
        subscription_id, wanted = str(body.get("subscriptionId", "")), body.get("statusState")
        if subscription_id not in {str(id_) for id_, _, _ in SUBSCRIPTIONS}:
            raise answers.invalid(f"Subscription {subscription_id} does not exist")
        if wanted not in _STATES:
            raise answers.invalid_input(f"`statusState` must be one of {', '.join(_STATES)}")
        told = self._state.opt_outs.setdefault(email, {})
        if wanted == "SUBSCRIBED" and told.get("all"):
            # Someone who opted out of everything is not subscribed again by an app.
            raise answers.invalid(f"{email} has opted out of all email and cannot be subscribed")
        told[subscription_id] = {
            "status": wanted,
            "legalBasis": body.get("legalBasis"),
            "legalBasisExplanation": body.get("legalBasisExplanation"),
            "timestamp": iso_ms(self._state.clock.now_ms()),
        }
        self._state.dirty_tables.add("opt_outs")
        return json_response(self._status_json(email, int(subscription_id), told[subscription_id]))

    def read_opt_out(self, request: Request) -> Response:
        self._require_preferences(request, "read")
        email = self._address(request)
        entry = self._state.opt_outs.get(email, {}).get("all")
        results = [self._opt_out_json(email, entry)] if entry else []
        return json_response({"status": "COMPLETE", "results": results})

    def opt_out(self, request: Request) -> Response:
        """Unsubscribe from everything; ``hs_email_optout`` of the contact follows."""
        self._require_preferences(request, "write")
        email = self._address(request)
        entry = self.set_opt_out(email, opted_out=True, actor=actor_of(request))
        return json_response({"status": "COMPLETE", "results": [self._opt_out_json(email, entry)]})

    def set_opt_out(self, email: str, *, opted_out: bool, actor: Actor) -> Json:
        """Opting in again is for people only (the account's own pages)."""
        state = self._state
        at_ms = state.clock.now_ms()
        told = state.opt_outs.setdefault(email, {})
        was_out = bool(told.get("all"))
        if opted_out:
            told.setdefault("all", {"status": "UNSUBSCRIBED", "timestamp": iso_ms(at_ms)})
        else:
            told.clear()
        state.dirty_tables.add("opt_outs")
        holder = state.holder(CONTACTS, EMAIL, email)
        record = None if holder is None else state.table(CONTACTS).live(holder)
        if record is not None and was_out != opted_out and record.properties.get(EMAIL) == email:
            value = "true" if opted_out else "false"
            changed = state.put_values(record, {"hs_email_optout": value}, actor, at_ms)
            if changed:
                state.stamp(record, at_ms)
            state.note("opt_out", record, actor, at_ms, changed)
            writes.tell_changes(state, record, changed, actor, at_ms)
        return dict(told.get("all") or {})

    def _require_preferences(self, request: Request, right: str) -> None:
        require(request, f"communication_preferences.{right}", "communication_preferences.read_write")

    def _address(self, request: Request) -> str:
        if request.first("channel", "EMAIL") != "EMAIL":
            raise answers.invalid("channel must be EMAIL")
        email = request.params["email"].strip().lower()
        if "@" not in email:
            raise answers.invalid(f"Email address {email} is invalid")
        return email

    def _status_json(self, email: str, subscription_id: int, entry: Json) -> Json:
        name = next(name for id_, name, _ in SUBSCRIPTIONS if id_ == subscription_id)
        return {
            "channel": "EMAIL",
            "subscriberIdString": email,
            "subscriptionId": subscription_id,
            "subscriptionName": name,
            "status": entry["status"],
            "legalBasis": entry.get("legalBasis"),
            "legalBasisExplanation": entry.get("legalBasisExplanation"),
            "timestamp": entry.get("timestamp"),
            "source": "Public API",
        }

    def _opt_out_json(self, email: str, entry: Json) -> Json:
        return {
            "channel": "EMAIL",
            "subscriberIdString": email,
            "status": entry["status"],
            "wideStatusType": "PORTAL_WIDE",
            "timestamp": entry["timestamp"],
        }
