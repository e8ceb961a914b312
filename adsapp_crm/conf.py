"""The application's settings, typed and read when asked for, so that an override in a test holds.

A setting that is absent has the default named here; a name misspelt in code fails in the type checker.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from django.conf import settings

MINIMUM_SECRET_BYTES = 32


def _read(name: str, default: Any) -> Any:
    return getattr(settings, name, default)


def cron_secrets() -> tuple[str, ...]:
    """Each of them opens the cron endpoint; none: it is closed."""
    return tuple(_read("CRON_SECRETS", ()))


def metrics_tokens() -> tuple[str, ...]:
    """Each of them opens the metrics; none: they are shown on this machine only."""
    return tuple(_read("CRM_METRICS_TOKENS", ()))


def queues() -> tuple[str, ...]:
    """The names of the workers' queues."""
    return tuple(_read("CELERY_TASK_QUEUES", {}))


def sweep_seconds() -> int:
    """How often beat sends the sweep: its heartbeat."""
    return int(_read("CRM_SWEEP_SECONDS", 10))


def public_url() -> str:
    """Where this installation is reached from outside, without a slash at its end."""
    return str(_read("CRM_PUBLIC_URL", ""))


def extra_hosts() -> tuple[str, ...]:
    """Hosts outside a provider's own domains that its connector may call."""
    return tuple(_read("CRM_EXTRA_HOSTS", ()))


def outgoing_hosts() -> tuple[str, ...]:
    """Hosts that are not public and that organizations' outgoing webhooks may call all the same."""
    return tuple(_read("CRM_OUTGOING_HOSTS", ()))


def single_organization() -> str:
    """Id of the organization that provider credentials from the environment belong to; empty when there are several."""
    return str(_read("CRM_SINGLE_ORGANIZATION", ""))


def callback_per_provider() -> bool:
    """Whether each CRM's log-in comes back to an address of its own; otherwise all share the guide's."""
    return bool(_read("CRM_CALLBACK_PER_PROVIDER", False))


def provider_settings(provider: str) -> Mapping[str, str]:
    """What this installation says about a provider: client id and secret, addresses; only what is set."""
    return cast("Mapping[str, Mapping[str, str]]", _read("CRM_PROVIDERS", {})).get(provider, {})


def environment_tokens() -> tuple[str, ...]:
    """Providers whose API token stands in the environment."""
    providers = cast("Mapping[str, Mapping[str, str]]", _read("CRM_PROVIDERS", {}))
    return tuple(sorted(key for key, values in providers.items() if values.get("api_token")))


def mail_from() -> str:
    """Who e-mails come from; empty: nobody is mailed."""
    return str(_read("CRM_MAIL_FROM", ""))


def sync_wait_seconds() -> int:
    """How long a sync request waits for its run before it answers 202."""
    return int(_read("CRM_SYNC_WAIT_SECONDS", 20))


def sync_waiters() -> int:
    """How many requests of one web process may wait at once; beyond them each answers 202 without waiting."""
    return int(_read("CRM_SYNC_WAITERS", 2))


def crm_callers() -> int:
    """How many requests of one web process may ask a CRM at once; those beyond are refused after a moment."""
    return int(_read("CRM_WEB_CALLERS", 1))


def requests_per_minute() -> int:
    """Of one person or API key in one organization."""
    return int(_read("CRM_API_REQUESTS_PER_MINUTE", 600))


def organization_requests_per_minute() -> int:
    """Of all people and API keys of one organization together."""
    return int(_read("CRM_API_ORGANIZATION_REQUESTS_PER_MINUTE", 3000))


def log_retention_days() -> int:
    return int(_read("CRM_LOG_RETENTION_DAYS", 30))


def ledger_retention_days() -> int:
    """Ledger and contact history outlive the run logs: they answer "why" and make undo possible."""
    return int(_read("CRM_LEDGER_RETENTION_DAYS", 400))


def lease_seconds() -> int:
    """After this long without a heartbeat a worker counts as dead, and another one goes on with its run."""
    return int(_read("CRM_LEASE_SECONDS", 15))


def lookup_role() -> str:
    """The database role nobody logs in as; it owns the look-ups that come before an organization is known."""
    return str(_read("CRM_DEFINER_ROLE", "crm_definer"))


def app_role() -> str:
    """The database role of web servers and workers."""
    return str(settings.DATABASES["default"]["USER"])


def visibility_timeout_seconds() -> float:
    """After this long an unacknowledged task is handed to another worker."""
    return float(_read("CELERY_BROKER_TRANSPORT_OPTIONS", {}).get("visibility_timeout", 3600))


def task_time_limit_seconds() -> float:
    return float(_read("CELERY_TASK_TIME_LIMIT", 0) or 0)
