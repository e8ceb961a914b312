"""One JSON object a line on standard error, for web, workers and beat alike; no query string ever reaches a line."""

from __future__ import annotations

import re
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_WEBHOOK = re.compile(r"(/api/crm/webhooks/[^/?\s]*/)[^?\s]+")


def drop_query(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Cut off what proves something: query strings (an OAuth callback carries its code there) and webhook tokens."""
    for key in ("request", "url", "path"):
        value = event.get(key)
        if isinstance(value, str):
            event[key] = _WEBHOOK.sub(r"\1***", value.partition("?")[0])
    return event


SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    drop_query,
]


def configure(level: str) -> dict[str, Any]:
    """Set structlog up and return Django's `LOGGING`, so that both write the same lines."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": [structlog.stdlib.ExtraAdder(allow={"status_code"}), *SHARED],
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    # Tracebacks without local variables: a local may hold a token.
                    structlog.processors.ExceptionRenderer(
                        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
                    ),
                    structlog.processors.JSONRenderer(),
                ],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "propagate": True},
            # Django writes one more line for each 4xx and 5xx; the request line says it already.
            "django.request": {"level": "ERROR"},
            "django.server": {"handlers": [], "level": "WARNING", "propagate": True},
            "urllib3": {"level": "WARNING"},
        },
    }
