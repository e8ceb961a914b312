"""The content security policy: strict everywhere, wider on the admin's pages only.

unfold's pages run Alpine expressions (`unsafe-eval`) and set inline styles; under the strict policy its overlays cover
the log-in button. Nothing outside the admin gets these two words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.decorators import csp_update
from django.http import HttpRequest
from django.http.response import HttpResponseBase

ADMIN_PREFIX: Final = "/admin/"

STRICT: Final[dict[str, Any]] = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
    }
}
_ADMIN: Final[dict[str, Any]] = {"script-src": [SELF, UNSAFE_EVAL], "style-src": [SELF, UNSAFE_INLINE]}


class AdminPolicyMiddleware:
    """Stands inside `csp.middleware.CSPMiddleware` and widens its policy below `ADMIN_PREFIX`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._strict = get_response
        self._wide = csp_update(_ADMIN)(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return (self._wide if request.path_info.startswith(ADMIN_PREFIX) else self._strict)(request)
