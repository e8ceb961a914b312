"""The Celery application: settings prefixed CELERY_, tasks found in the installed apps."""

from __future__ import annotations

import logging.config
import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_process_init
from django.conf import settings
from django_structlog.celery.steps import DjangoStructLogInitStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("adsapp_crm")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(DjangoStructLogInitStep)


@setup_logging.connect
def _log_as_the_web_does(**_kwargs: Any) -> None:
    """Keep Celery from installing its own handlers: workers write the same JSON lines as the web server."""
    logging.config.dictConfig(settings.LOGGING)


@worker_process_init.connect
def _spare_what_stays(**_kwargs: Any) -> None:
    from adsapp_crm.garbage import spare_what_stays

    spare_what_stays()
