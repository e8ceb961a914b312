"""Reads the environment: a value is right, or the process stops and names the variable.

Each reader takes the variable's name first, as a literal, so that a test can hold `.env.example` and README to it.
A variable set to the empty string counts as unset: that is how `.env` files and container platforms write "none".
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


def env_str(name: str, default: str | None = None) -> str:
    """Without a default the variable is required."""
    value = os.environ.get(name, "").strip()
    if value:
        return value
    if default is None:
        msg = f"{name} is not set. Set it in the environment; .env.example says what it is for."
        raise ImproperlyConfigured(msg)
    return default


def env_bool(name: str, *, default: bool) -> bool:
    value = env_str(name, "").lower()
    if not value:
        return default
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    msg = f"{name} must be true or false (also 1/0, yes/no, on/off), not {value!r}."
    raise ImproperlyConfigured(msg)


def env_int(name: str, *, default: int, minimum: int = 0) -> int:
    value = env_str(name, "")
    if not value:
        return default
    # isdecimal() alone takes digits of every script; a setting is plain ASCII.
    if not (value.isascii() and value.isdecimal()) or int(value) < minimum:
        msg = f"{name} must be a whole number of at least {minimum}, not {value!r}."
        raise ImproperlyConfigured(msg)
    return int(value)


def env_choice(name: str, *, choices: tuple[str, ...], default: str) -> str:
    value = env_str(name, default)
    if value not in choices:
        msg = f"{name} must be one of {', '.join(choices)}, not {value!r}."
        raise ImproperlyConfigured(msg)
    return value


def env_list(name: str) -> list[str]:
    """Comma-separated; blanks are dropped."""
    return [item for item in (part.strip() for part in env_str(name, "").split(",")) if item]


def env_secret(name: str, default: str | None = None, *, minimum_length: int = 0) -> str:
    """A secret, from `NAME` or from the file named by `NAME_FILE` (a mounted secret). Never part of a message."""
    path = os.environ.get(f"{name}_FILE", "").strip()
    if path:
        if os.environ.get(name, "").strip():
            msg = f"{name} and {name}_FILE are both set; keep one of them."
            raise ImproperlyConfigured(msg)
        try:
            value = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            msg = f"{name}_FILE names {path!r}, which cannot be read: {type(error).__name__}."
            raise ImproperlyConfigured(msg) from error
        if not value and default is None:
            msg = f"{name}_FILE names {path!r}, which is empty."
            raise ImproperlyConfigured(msg)
        value = value or (default or "")
    else:
        value = env_str(name, default)
    if value and len(value.encode()) < minimum_length:
        msg = f"{name} must have at least {minimum_length} bytes; it has {len(value.encode())}."
        raise ImproperlyConfigured(msg)
    return value


def env_url(name: str, default: str | None = None, *, schemes: tuple[str, ...]) -> str:
    """An address with one of `schemes` and a host. The value may hold a password, so messages never repeat it."""
    value = env_str(name, default)
    if not value:
        return value
    try:
        parts = urlsplit(value)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        forms = " or ".join(f"{scheme}://host[:port]" for scheme in schemes)
        msg = f"{name} must be an address of the form {forms}."
        raise ImproperlyConfigured(msg)
    return value


def postgres_settings(name: str, url: str) -> dict[str, object]:
    """A Django `DATABASES` entry from `postgresql://user:password@host:port/name[?sslmode=...]`."""
    parts = urlsplit(url)
    database = unquote(parts.path.removeprefix("/"))
    if not database or "/" in database or not parts.username:
        msg = f"{name} must name a role and a database: postgresql://role:password@host:port/database."
        raise ImproperlyConfigured(msg)
    options: dict[str, object] = {}
    for pair in filter(None, parts.query.split("&")):
        key, _, value = pair.partition("=")
        if key not in _POSTGRES_OPTIONS:
            msg = f"{name} has the unknown parameter {key!r}; known are {', '.join(_POSTGRES_OPTIONS)}."
            raise ImproperlyConfigured(msg)
        options[key] = unquote(value)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or 5432),
        "NAME": database,
        "USER": unquote(parts.username),
        "PASSWORD": unquote(parts.password or ""),
        "OPTIONS": options,
    }


def mail_settings(name: str, url: str) -> dict[str, object]:
    """Django's EMAIL_* settings from `smtp://user:password@host:port` or `smtps://...`; empty: nothing is sent."""
    if not url:
        return {"EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"}
    env_url(name, url, schemes=("smtp", "smtps"))
    parts = urlsplit(url)
    implicit = parts.scheme == "smtps"
    host = parts.hostname or ""
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": host,
        "EMAIL_PORT": parts.port or (465 if implicit else 587),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": implicit,
        "EMAIL_USE_TLS": not implicit and not is_loopback(host),
        "EMAIL_TIMEOUT": 10,
    }


_POSTGRES_OPTIONS: Final = ("sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "application_name")


def is_loopback(host: str) -> bool:
    """True for `localhost` and the loopback addresses, where plain HTTP is no risk."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
