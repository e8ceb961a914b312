"""Users and activity types, version 1 only.

Page: https://developers.pipedrive.com/docs/api/v1/Users
"""

from __future__ import annotations

from crm.providers.pipedrive.fake.answers import Json, bad_request, not_found_v1, ok
from crm.providers.pipedrive.fake.caller import grant_of, require
from crm.providers.pipedrive.fake.entities import ACTIVITY_TYPES
from crm.providers.pipedrive.fake.stamps import v1_stamp
from crm.providers.pipedrive.fake.state import State
from crm.testing.wsgi import Request, Response, Router


class UsersApi:
    def __init__(self, state: State) -> None:
        self._state = state

    def mount(self, router: Router) -> None:
        for prefix in ("/v1", "/api/v1"):
            router.add("GET", f"{prefix}/users", self.list_users)
            router.add("GET", f"{prefix}/users/me", self.me)
            router.add("GET", f"{prefix}/users/find", self.find)
            router.add("GET", f"{prefix}/users/{{id}}", self.read)
            router.add("GET", f"{prefix}/activityTypes", self.activity_types)

    def list_users(self, request: Request) -> Response:
        """No paging."""
        require(request, "users:read")
        return ok([self._user(user, request) for user in self._state.users.values()])

    def me(self, request: Request) -> Response:
        require(request, "base")
        state = self._state
        company = {
            "company_id": state.company_id,
            "company_name": state.company_domain.partition("-")[0].capitalize(),
            "company_domain": state.company_domain,
            "company_country": "DE",
            "company_industry": None,
            "language": {"language_code": "en", "country_code": "US"},
        }
        return ok({**self._user(state.users[grant_of(request).user_id], request), **company})

    def find(self, request: Request) -> Response:
        require(request, "users:read")
        term = request.first("term").lower()
        if not term:
            raise bad_request("Search term is required")
        key = "email" if request.first("search_by_email") == "1" else "name"
        users = [user for user in self._state.users.values() if term in str(user[key]).lower()]
        return ok([self._user(user, request) for user in users])

    def read(self, request: Request) -> Response:
        require(request, "users:read")
        text = request.params["id"]
        user = self._state.users.get(int(text)) if text.isascii() and text.isdigit() else None
        if user is None:
            raise not_found_v1("User")
        return ok(self._user(user, request))

    def activity_types(self, request: Request) -> Response:
        require(request, "activities:read", "activities:full", "admin")
        rows = [
            {
                "id": number,
                "order_nr": number,
                "name": key.capitalize(),
                "key_string": key,
                "icon_key": key,
                "active_flag": True,
                "color": None,
                "is_custom_flag": False,
                "add_time": v1_stamp(0),
                "update_time": None,
            }
            for number, key in enumerate(ACTIVITY_TYPES, 1)
        ]
        return ok(rows)

    def _user(self, user: Json, request: Request) -> Json:
        created = v1_stamp(user["created_s"])
        return {
            "id": user["id"],
            "name": user["name"],
            "default_currency": "EUR",
            "locale": "en_US",
            "lang": 1,
            "email": user["email"],
            "phone": None,
            "activated": True,
            "last_login": created,
            "created": created,
            "modified": created,
            "has_created_company": user["is_admin"],
            "access": [{"app": "sales", "admin": user["is_admin"], "permission_set_id": permission_set(user)}],
            "active_flag": user["active"],
            "timezone_name": "Europe/Berlin",
            "timezone_offset": "+01:00",
            "role_id": 1,
            "icon_url": None,
            "is_you": user["id"] == grant_of(request).user_id,
            "is_deleted": False,
        }


def permission_set(user: Json) -> str:
    return f"62cc4d7f-02e0-4352-abf3-{user['id']:012d}"
