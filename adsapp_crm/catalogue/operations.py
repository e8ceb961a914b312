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
    (
        "mapping.none",
        _("No field is mapped"),
        _("The connection has no mapping, so a run has nothing to keep in step."),
        _("Map at least the e-mail address and the name."),
        Retry.NO,
        "A mapping of which every row was removed.",
    ),
    (
        "quota.low",
        _("Most of the day's requests are used up"),
        _("More than four fifths of what this connection may use of the CRM account's daily allowance are used."),
        _("Raise the account's allowance, or leave other tools less to do; real time goes before full runs."),
        Retry.AT_TIME,
        "850 of 1,000 requests by noon.",
    ),
    (
        "webhook.not_subscribed",
        _("The CRM does not send its events here"),
        _("The subscription that leads to this installation is not there any more, or leads elsewhere."),
        _("Nothing, if the connection works: it is made again within the hour. Until then the schedule finds changes."),
        Retry.SOON,
        "Somebody removed the webhook in the CRM.",
    ),
    (
        "webhook.none_yet",
        _("No event of the CRM has come yet"),
        _("The address is ready, and the CRM has not delivered anything to it."),
        _("Follow the steps of the webhook page in the CRM, then edit a record there."),
        Retry.NO,
        "Outbound messages that were never activated.",
    ),
    (
        "webhook.refused_lately",
        _("Webhook deliveries were refused lately"),
        _("Within a day this installation refused deliveries of this CRM; whose they were is not kept."),
        _("Compare the secret and the address in the CRM with the ones that are shown here."),
        Retry.NO,
        "An app whose client secret was replaced.",
    ),
    (
        "clock.skewed",
        _("Two clocks differ"),
        _("This machine, the database and the CRM do not agree on the time within what the connection allows."),
        _("Let the machines follow a time server (NTP); the one that differs is named."),
        Retry.NO,
        "A virtual machine that was asleep.",
    ),
    (
        "connection.untested",
        _("This could not be looked at"),
        _("An earlier check failed, and this one needs it."),
        _("Mend what failed first, then test again."),
        Retry.NO,
        "The fields of a CRM whose token is refused.",
    ),
)
