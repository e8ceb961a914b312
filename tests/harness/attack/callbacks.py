"""Callbacks that were changed on the way: none is accepted, none sends a code to another CRM's host."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.harness.attack import stage

Query = dict[str, Any]


def attack(mutants: int, seed: int = 0) -> dict[str, Any]:
    """``mutants`` callbacks of some thirty kinds; ``accepted`` counts answers that lead on to a confirmation."""
    from tests.adsapp_crm.oauth_stand import authorization_server

    with authorization_server("hubspot") as hubspot, authorization_server("salesforce") as salesforce:
        stage.use(hubspot, salesforce)
        return _Attack(hubspot, salesforce, random.Random(seed)).run(mutants)


class _Attack:
    def __init__(self, hubspot: Any, salesforce: Any, draw: random.Random) -> None:
        self.hubspot, self.salesforce, self.draw = hubspot, salesforce, draw
        self.organization, victim = stage.organization("Callbacks")
        self.mallory_organization, mallory = stage.organization("Mallory")
        self.victim, self.mallory = stage.browser(victim), stage.browser(mallory)
        self.elsewhere = stage.browser(victim)
        self.nobody = stage.browser(victim)
        self.nobody.logout()
        self._fresh: dict[str, Query] = {}
        self.kinds: dict[str, Callable[[], Any]] = {
            **{f"state: {name}": self._with_state(change) for name, change in _STATES.items()},
            **{f"path: {path}": self._on_path(path) for path in ("salesforce", "pipedrive", "hubspot", "zoho")},
            **{f"query: {name}": self._with_query(change) for name, change in _QUERIES.items()},
            "browser: another session": lambda: self.back(self.elsewhere, self.query()),
            "browser: another person": lambda: self.back(self.mallory, self.query()),
            "browser: nobody": lambda: self.back(self.nobody, self.query()),
            "state: mallory's": self._mallorys_state,
            "state: used": self._used,
            "state: expired": self._expired,
            "code: another crm's": self._foreign_code,
            "code: drawn": self._drawn_code,
            "code: another flow's": self._other_flows_code,
        }

    def run(self, mutants: int) -> dict[str, Any]:
        accepted: list[str] = []
        errors: list[str] = []
        names = sorted(self.kinds)
        for number in range(mutants):
            name = names[number % len(names)]
            answer = self.kinds[name]()
            if answer.status_code == 303:
                accepted.append(name)
            elif answer.status_code >= 500:
                errors.append(name)
        genuine = self.back(self.victim, self.query(fresh=True)).status_code
        wrong_host = self.salesforce.requests("/token")
        return {
            "ok": not accepted and not errors and genuine == 303 and wrong_host == 0 and self._connections() == 0,
            "mutants": mutants,
            "kinds": len(names),
            "accepted": len(accepted),
            "acceptedKinds": sorted(set(accepted)),
            "serverErrors": sorted(set(errors)),
            "tokenRequestsToAnotherHost": wrong_host,
            "genuineAccepted": genuine == 303,
        }

    # Parts

    def query(self, *, fresh: bool = False, key: str = "hubspot", browser: Any = None) -> Query:
        """What the CRM's consent page sends back; the same until it may have been used."""
        if browser is None and not fresh and key in self._fresh:
            return dict(self._fresh[key])
        from tests.adsapp_crm.oauth_stand import begin

        server = self.hubspot if key == "hubspot" else self.salesforce
        found = server.decide(begin(browser or self.victim, key).json()["authUrl"])
        if browser is None and not fresh:
            self._fresh[key] = found
        return dict(found)

    def back(self, browser: Any, query: Query, path: str = "") -> Any:
        address = "/api/crm/connect/callback" + (f"/{path}" if path else "")
        return browser.get(address, query, headers={"Accept": "text/html"})

    def _connections(self) -> int:
        from adsapp_crm.models import CrmConnection
        from adsapp_crm.tenancy import organization_context

        found = 0
        for organization in (self.organization, self.mallory_organization):
            with organization_context(organization.pk):
                found += CrmConnection.objects.count()
        return found

    # Kinds

    def _with_state(self, change: Callable[[str, random.Random], Any]) -> Callable[[], Any]:
        def run() -> Any:
            query = self.query()
            changed = change(query["state"], self.draw)
            if changed == query["state"]:
                changed += "A"
            return self.back(self.victim, {**query, "state": changed})

        return run

    def _with_query(self, change: Callable[[Query], Query]) -> Callable[[], Any]:
        return lambda: self.back(self.victim, change(self.query(fresh=True)))

    def _on_path(self, path: str) -> Callable[[], Any]:
        return lambda: self.back(self.victim, self.query(), path)

    def _mallorys_state(self) -> Any:
        """Log-in CSRF: the victim's browser is sent to a callback that Mallory began and granted."""
        return self.back(self.victim, self.query(browser=self.mallory))

    def _used(self) -> Any:
        query = self.query(fresh=True)
        self.back(self.victim, {**query, "code": "spent"})
        return self.back(self.victim, query)

    def _expired(self) -> Any:
        from django.db.models.functions import Now

        from adsapp_crm.models import CrmOAuthState
        from adsapp_crm.tenancy import organization_context

        query = self.query(fresh=True)
        with organization_context(self.organization.pk):
            newest = CrmOAuthState.objects.order_by("-id").values_list("pk", flat=True)[0]
            CrmOAuthState.objects.filter(pk=newest).update(expires_at=Now() - timedelta(seconds=1))
        return self.back(self.victim, query)

    def _foreign_code(self) -> Any:
        foreign = self.query(fresh=True, key="salesforce")
        return self.back(self.victim, {**self.query(fresh=True), "code": foreign["code"]})

    def _drawn_code(self) -> Any:
        return self.back(self.victim, {**self.query(fresh=True), "code": self.draw.randbytes(20).hex()})

    def _other_flows_code(self) -> Any:
        """Code injection: a code of the same CRM that another flow, with another verifier, was given."""
        injected = self.query(browser=self.mallory)
        return self.back(self.victim, {**self.query(fresh=True), "code": injected["code"]})


def _flip(state: str, draw: random.Random) -> str:
    place = draw.randrange(len(state))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return state[:place] + draw.choice(letters.replace(state[place], "")) + state[place + 1 :]


_STATES: dict[str, Callable[[str, random.Random], Any]] = {
    "one letter changed": _flip,
    "truncated": lambda state, draw: state[: draw.randrange(len(state))],
    "longer": lambda state, draw: state + "A" * draw.randrange(1, 500),
    "case changed": lambda state, _: state.swapcase(),
    "reversed": lambda state, _: state[::-1],
    "blanks around": lambda state, _: f" {state} ",
    "doubled": lambda state, _: [state, state],
    "another alphabet": lambda state, _: base64.b64encode(state.encode()).decode(),
    "drawn": lambda _, draw: base64.urlsafe_b64encode(draw.randbytes(32)).decode().rstrip("="),
    "nul": lambda state, _: state[:-1] + "\x00",
    "full width": lambda state, _: "".join(chr(ord(each) + 0xFEE0) for each in state),
    "injection": lambda state, _: state + "' OR '1'='1",
    "wildcard": lambda state, _: "%" * len(state),
    "array": lambda state, _: f"{{{state}}}",
    "megabyte": lambda state, _: state * 200,
}
_QUERIES: dict[str, Callable[[Query], Query]] = {
    "no state": lambda query: {"code": query["code"]},
    "no code": lambda query: {"state": query["state"]},
    "empty code": lambda query: {**query, "code": ""},
    "two codes": lambda query: {**query, "code": [query["code"], "x"]},
    "huge code": lambda query: {**query, "code": "c" * 5000},
    "code with line break": lambda query: {**query, "code": query["code"] + "\r\nHost: evil.example"},
    "code in another script": lambda query: {**query, "code": "кoд"},
    "code and error": lambda query: {**query, "error": "access_denied"},
    "foreign issuer": lambda query: {**query, "iss": "https://login.salesforce.com"},
    "empty issuer": lambda query: {**query, "iss": ""},
    "issuer with user": lambda query: {**query, "iss": "https://app.hubspot.com@evil.example"},
    "two issuers": lambda query: {**query, "iss": ["https://app.hubspot.com", "https://evil.example"]},
}
