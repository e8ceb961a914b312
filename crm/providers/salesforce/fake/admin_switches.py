"""The back door under ``/_fake/`` for everything but records: counts, faults, clock, rules, tokens, users."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from crm.providers.salesforce.fake import answers, ids, org, rules
from crm.providers.salesforce.fake.admin import object_body
from crm.providers.salesforce.fake.answers import Json
from crm.testing.switches import CommonSwitches, LimitMode
from crm.testing.wsgi import Request, Response, Router, json_response, no_content

if TYPE_CHECKING:
    from crm.providers.salesforce.fake.app import SalesforceFake

Act = Callable[[Request], Response]
_MODES: Final[tuple[LimitMode, ...]] = ("real", "count", "none")


class SwitchesApi:
    def __init__(self, fake: SalesforceFake) -> None:
        self._fake = fake
        self._state = fake.state

    def mount(self, router: Router) -> None:
        routes: list[tuple[str, str, Act]] = [
            ("GET", "settings", self.read_settings),
            ("POST", "settings", self.set_settings),
            ("GET", "org", self.read_org),
            ("POST", "users", self.add_user),
            ("PATCH", "users/{id}", self.change_user),
            ("POST", "tokens", self.add_token),
            ("DELETE", "tokens/{token}", self.remove_token),
            ("POST", "tokens/expire", self.expire_tokens),
            ("POST", "grants/revoke", self.revoke_grants),
            ("POST", "codes", self.issue_code),
        ]
        CommonSwitches(self._fake, answers.bad_admin_input).mount(router)
        for method, path, act in routes:
            router.add(method, f"/_fake/{path}", act)

    def read_org(self, request: Request) -> Response:
        app, people = self._fake.grants.app, self._fake.people
        return json_response(
            {
                "orgId": people.org_id,
                "apiUserId": people.api_user_id,
                "uiUserId": people.ui_user_id,
                "automatedUserId": people.automated_user_id,
                "queueId": people.queue_id,
                "clientId": app.client_id,
                "clientSecret": app.client_secret,
                "redirectUris": app.redirect_uris,
                "instanceUrl": self._fake.oauth.instance_url or request.host_url,
            }
        )

    # Settings --------------------------------------------------------------------------------------------------

    def read_settings(self, _request: Request) -> Response:
        fake, app = self._fake, self._fake.grants.app
        return json_response(
            {
                "limits": fake.limits.mode,
                "dailyLimit": fake.limits.sizes.daily,
                "apiUsage": fake.limits.used,
                "bulkQueryJobs": fake.limits.query_jobs.used,
                "bulkBatches": fake.limits.bulk_batches.used,
                "lateSeconds": fake.late_seconds,
                "maxPage": fake.query.max_page,
                "bulkSeconds": fake.bulk.job_seconds,
                "duplicateRules": fake.rules.duplicates,
                "validationRules": fake.rules.validations,
                "automation": fake.rules.automation,
                "automationUserId": fake.rules.automation_user_id,
                "assignmentOwnerId": fake.rules.assignment_owner_id,
                "stateCountryPicklists": fake.schema.has_state_country_picklists,
                "personAccounts": fake.schema.has_person_accounts,
                "hiddenObjects": sorted(fake.schema.hidden_types),
                "tokenSeconds": app.session_seconds,
                "rotateRefreshTokens": app.rotates_refresh_tokens,
                "refreshSeconds": app.refresh_seconds,
                "requirePkce": app.requires_pkce,
                "appInstalled": app.is_installed,
                "redirectUris": app.redirect_uris,
                "clientSecret": app.client_secret,
                "instanceUrl": fake.oauth.instance_url,
            }
        )

    def set_settings(self, request: Request) -> Response:
        """Any of what ``GET settings`` shows; an unknown name changes nothing."""
        body = object_body(request)
        setters = self._setters()
        _refuse_unknown(body, set(setters))
        checked = [(setters[name], value) for name, value in body.items()]
        for setter, value in checked:
            setter(value)
        self._state.dirty_tables.update(("settings", "schema", "tokens"))
        return self.read_settings(request)

    def _setters(self) -> dict[str, Callable[[Any], None]]:
        fake, app = self._fake, self._fake.grants.app

        def put(holder: object, name: str, kind: Callable[[Any], Any]) -> Callable[[Any], None]:
            return lambda value: setattr(holder, name, kind(value))

        def mode(value: Any) -> None:
            found = next((each for each in _MODES if each == value), None)
            if found is None:
                raise answers.bad_admin_input("limits: real, count or none")
            fake.limits.mode = found

        def switch(act: Callable[..., None]) -> Callable[[Any], None]:
            def changed(value: Any) -> None:
                act(enabled=bool(value))
                fake.schema.changed_ms = fake.clock.now_ms()

            return changed

        def hide(value: Any) -> None:
            unknown = sorted(set(value) - set(fake.schema.types))
            if unknown:
                raise answers.bad_admin_input(f"hiddenObjects: no object {unknown[0]!r}")
            fake.schema.hidden_types = set(value)
            fake.schema.changed_ms = fake.clock.now_ms()

        def page(value: Any) -> None:
            if not 1 <= int(value) <= 2_000:
                raise answers.bad_admin_input("maxPage: from 1 to 2000")
            fake.query.max_page = int(value)

        return {
            "limits": mode,
            "dailyLimit": put(fake.limits.sizes, "daily", int),
            "apiUsage": lambda value: fake.limits.use(int(value)),
            "bulkQueryJobs": lambda value: fake.limits.query_jobs.put(int(value)),
            "bulkBatches": lambda value: fake.limits.bulk_batches.put(int(value)),
            "lateSeconds": put(fake, "late_seconds", float),
            "maxPage": page,
            "bulkSeconds": put(fake.bulk, "job_seconds", float),
            "duplicateRules": put(fake.rules, "duplicates", rules.check_duplicate_rules),
            "validationRules": put(fake.rules, "validations", rules.check_validation_rules),
            "automation": put(fake.rules, "automation", rules.check_automation),
            "automationUserId": put(fake.rules, "automation_user_id", self._user_or_none),
            "assignmentOwnerId": put(fake.rules, "assignment_owner_id", self._owner_or_none),
            "stateCountryPicklists": switch(fake.schema.set_state_country_picklists),
            "personAccounts": switch(fake.schema.set_person_accounts),
            "hiddenObjects": hide,
            "tokenSeconds": put(app, "session_seconds", int),
            "rotateRefreshTokens": put(app, "rotates_refresh_tokens", bool),
            "refreshSeconds": put(app, "refresh_seconds", float),
            "requirePkce": put(app, "requires_pkce", bool),
            "appInstalled": put(app, "is_installed", bool),
            "redirectUris": put(app, "redirect_uris", lambda value: [str(each) for each in value]),
            "clientSecret": put(app, "client_secret", str),
            "instanceUrl": put(fake.oauth, "instance_url", str),
        }

    def _user_or_none(self, raw: Any) -> str | None:
        return None if raw is None else self._known(str(raw), ("User",))

    def _owner_or_none(self, raw: Any) -> str | None:
        return None if raw is None else self._known(str(raw), ("User", "Group"))

    def _known(self, raw: str, kinds: tuple[str, ...]) -> str:
        found = self._state.find(ids.canonical(raw) or "")
        if found is None or found.kind not in kinds:
            raise answers.bad_admin_input(f"{raw}: no {' or '.join(kinds)} of this org")
        return found.record_id

    # Users and tokens --------------------------------------------------------------------------------------------

    def add_user(self, request: Request) -> Response:
        """``email``, ``firstName``, ``lastName``."""
        body = object_body(request)
        if "@" not in str(body.get("email", "")):
            raise answers.bad_admin_input("email: a user needs one")
        record = org.add_user(
            self._state,
            self._fake.people.automated_user_id,
            self._state.new_id("005"),
            first=str(body.get("firstName") or "") or None,
            last=str(body.get("lastName") or "User"),
            email=str(body["email"]),
        )
        return json_response({"id": record.record_id}, 201)

    def change_user(self, request: Request) -> Response:
        """``isActive``: an inactive user owns nothing new, and its tokens are dead."""
        user_id = self._known(request.params["id"], ("User",))
        is_active = bool(object_body(request).get("isActive", True))
        self._state.put(self._state.tables["User"].records[user_id], {"IsActive": is_active})
        if not is_active:
            for grant in [each for each in self._fake.grants.by_id.values() if each.user_id == user_id]:
                self._fake.grants.end(grant)
        return json_response({"id": user_id, "isActive": is_active})

    def add_token(self, request: Request) -> Response:
        """A ready session: ``token``, ``userId`` (absent: the API user), ``expiresIn`` seconds (absent: never)."""
        body = object_body(request)
        user_id = self._known(str(body.get("userId") or self._fake.people.api_user_id), ("User",))
        grant = self._fake.grants.open(user_id, str(body.get("scope") or "api refresh_token openid id"))
        session = self._fake.grants.new_session(grant)
        token = str(body.get("token") or session.token)
        expires_ms = None
        if "expiresIn" in body:
            expires_ms = self._fake.clock.now_ms() + round(float(body["expiresIn"]) * 1000)
        del self._fake.grants.sessions[session.token]
        self._fake.grants.sessions[token] = replace(session, token=token, expires_ms=expires_ms)
        self._state.dirty_tables.add("tokens")
        return json_response({"token": token, "refreshToken": grant.refresh_token, "userId": user_id}, 201)

    def remove_token(self, request: Request) -> Response:
        self._fake.grants.sessions.pop(request.params["token"], None)
        self._state.dirty_tables.add("tokens")
        return no_content()

    def expire_tokens(self, _request: Request) -> Response:
        """Every session that has an end is over; refresh tokens still work."""
        return json_response({"expired": self._fake.grants.expire_all()})

    def revoke_grants(self, _request: Request) -> Response:
        """The admin blocks the app's access: every grant and its sessions end."""
        found = list(self._fake.grants.by_id.values())
        for grant in found:
            self._fake.grants.end(grant)
        return json_response({"revoked": len(found)})

    def issue_code(self, request: Request) -> Response:
        """What the consent page would hand out: ``redirectUri``, ``scope``, ``codeChallenge``."""
        body = object_body(request)
        code = self._fake.grants.new_code(
            str(body.get("redirectUri", "")),
            str(body.get("scope") or "api refresh_token"),
            str(body.get("codeChallenge", "")),
            self._fake.people.api_user_id,
        )
        return json_response({"code": code}, 201)


def _refuse_unknown(body: Json, known: set[str]) -> None:
    unknown = sorted(set(body) - known)
    if unknown:
        raise answers.bad_admin_input(f"unknown setting {unknown[0]!r}; known are {', '.join(sorted(known))}")
