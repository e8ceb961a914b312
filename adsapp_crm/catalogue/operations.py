"""Codes that operators meet: probes, metrics and the examination of a connection."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from adsapp_crm.catalogue.entry import Retry, table

OPERATIONS = table(
    (
        "metrics.refused",
        _("The metrics are not for everybody"),
        _("The request carries no token of CRM_METRICS_TOKEN, or none is set and it does not come from this machine."),
        _("Send Authorization: Bearer with the token; set CRM_METRICS_TOKEN to at least 32 random bytes."),
        Retry.NO,
        "A scraper without its token.",
    ),
    (
        "internal.database",
        _("The database cannot be reached"),
        _("PostgreSQL did not answer, or refused the application's role."),
        _("Look at DATABASE_URL and at the database; work goes on by itself once it is back."),
        Retry.SOON,
        "A restart of PostgreSQL.",
    ),
)
