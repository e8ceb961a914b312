"""Who may try a password: five failures lock a name at an address, fifty lock the address for names that are new there.

The first stops guessing at one account. It does not stop one password tried on every account, which fails once a name;
the second does. Whoever has logged in from that address before is not held by it: the colleagues behind one office's
address go on working while somebody among them, or a forgotten program, keeps failing.
"""

from __future__ import annotations

from typing import Any

from axes.attempts import get_cool_off_threshold
from axes.handlers.database import AxesDatabaseHandler
from axes.helpers import get_client_username
from axes.models import AccessAttempt, AccessLog
from django.conf import settings
from django.db.models import Sum
from django.http import HttpRequest

HELD: str = "crm_address_held"
"""Attribute of a request that is refused because of its address."""


class LogInLocks(AxesDatabaseHandler):  # type: ignore[misc]  # axes is untyped
    """django-axes' counting by name and address, and by address alone."""

    def is_locked(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> bool:
        if super().is_locked(request, credentials):
            return True
        is_held = _failures_at(request) >= settings.CRM_LOGIN_FAILURES_PER_ADDRESS and not _is_known(
            request, credentials
        )
        setattr(request, HELD, is_held)
        return is_held

    def user_login_failed(
        self, sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any
    ) -> None:
        super().user_login_failed(sender, credentials, request, **kwargs)
        if getattr(request, HELD, False):
            # For the middleware that makes the answer; by itself it says so of locked names only.
            request.axes_locked_out = True  # type: ignore[union-attr]
            request.axes_credentials = credentials  # type: ignore[union-attr]


def _failures_at(request: Any) -> int:
    if request.axes_ip_address is None:  # behind a socket, where no proxy is trusted to name anybody: it is everybody's
        return 0
    recent = AccessAttempt.objects.filter(
        ip_address=request.axes_ip_address, attempt_time__gte=get_cool_off_threshold(request)
    )
    return recent.order_by().aggregate(failures=Sum("failures_since_start"))["failures"] or 0


def _is_known(request: Any, credentials: dict[str, Any] | None) -> bool:
    """Logged in from there within the time that such logs are kept."""
    name = get_client_username(request, credentials)
    return bool(AccessLog.objects.filter(ip_address=request.axes_ip_address, username__iexact=name).exists())
