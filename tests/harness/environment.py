"""The environment variables the harnesses, the tests and the checks give the application. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping


def development(urls: Mapping[str, str], credentials: Mapping[str, str], *, public_url: str) -> dict[str, str]:
    """What this machine's stack runs with: services that are up, keys of the data folder, plain HTTP on loopback."""
    return {
        **urls,
        "CRM_PUBLIC_URL": public_url,
        "CRON_SECRET": credentials["cron_secret"],
        "DJANGO_SECRET_KEY": credentials["secret_key"],
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "FERNET_KEYS": credentials["fernet_key"],
    }


def testing(urls: Mapping[str, str]) -> dict[str, str]:
    """What the tests run with: fixed keys, so that a failure is the same everywhere."""
    fixed = {name: f"only-for-tests-{name}-" + "0123456789abcdef" * 3 for name in KEYS}
    return development(urls, fixed, public_url="http://localhost")


def production_like() -> dict[str, str]:
    """For programs that read the settings and connect to nothing: type checker, linters, `check --deploy`."""
    urls = {
        "DATABASE_URL": "postgresql://crm_app:nothing@localhost:1/crm",
        "DATABASE_OWNER_URL": "postgresql://crm_owner:nothing@localhost:1/crm",
        "REDIS_URL": "redis://localhost:1/0",
    }
    return testing(urls) | {"CRM_PUBLIC_URL": "https://crm.example.com"}


KEYS = ("cron_secret", "secret_key", "fernet_key")
