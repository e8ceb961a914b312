"""One JSON object a line on standard error, for web, workers and beat alike; no query string ever reaches a line."""

from __future__ import annotations

import re
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from crm.http.redact import redact_text

_DETAIL = re.compile(r"(?:\n|\\n)(?:DETAIL|CONTEXT|LINE \d+):.*", re.DOTALL)
"""What PostgreSQL adds to an error: the row, or the statement."""
_NAMED = frozenset({"status_code", "run_id", "connection_id", "crm_type", "code", "stream"})
"""What a line of the standard library may name besides its message: ids and codes."""
_WEBHOOK = re.compile(r"(/api/crm/webhooks/[^/?\s]*/)[^?\s]+")


def drop_query(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Cut off what proves something: query strings (an OAuth callback carries its code there) and webhook tokens."""
    for key in ("request", "url", "path"):
        value = event.get(key)
        if isinstance(value, str):
            event[key] = _WEBHOOK.sub(r"\1***", value.partition("?")[0])
    return event


def mask_people(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Take out what a message or an error may quote: addresses, numbers, tokens, and the values of a database's row."""
    message = event.get("event")
    if isinstance(message, str):
        event["event"] = _masked(message)
    raised = event.get("exception")
    for each in raised if isinstance(raised, list) else ():
        each["exc_value"] = _masked(str(each.get("exc_value", "")))
        each.pop("exc_notes", None)
    return event


def _masked(text: str) -> str:
    return redact_text(_DETAIL.sub("", text))


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
                "foreign_pre_chain": [structlog.stdlib.ExtraAdder(allow=_NAMED), *SHARED],
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    # Tracebacks without local variables: a local may hold a token.
                    structlog.processors.ExceptionRenderer(
                        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
                    ),
                    mask_people,
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
            # Debug mode of a connection is asked for: it is written whatever the level is.
            "adsapp_crm.debug": {"level": "INFO"},
        },
    }
