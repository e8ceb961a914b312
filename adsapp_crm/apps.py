"""The Django application of the sync."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AdsappCrmConfig(AppConfig):
    name = "adsapp_crm"
    verbose_name = _("CRM synchronisation")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from adsapp_crm import checks, tasks  # noqa: F401  the tasks listen for contacts that were changed

        checks.register_checks()
