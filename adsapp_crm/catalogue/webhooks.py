"""Codes of webhook deliveries and subscriptions; those of the core stand with the connections."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from adsapp_crm.catalogue.entry import Retry, table

WEBHOOKS = table(
    (
        "webhook.address",
        _("A webhook delivery came to an unknown address"),
        _("Nothing is subscribed at this address, or no longer."),
        _("Remove the address in the CRM, or set it to the one that is shown here."),
        Retry.NO,
        "A subscription that was removed here and not in the CRM.",
    ),
    (
        "webhook.foreign",
        _("A webhook delivery is for another account"),
        _("It names an account that no connection of this address belongs to."),
        _("Connect that account, or leave the address out of its settings in the CRM."),
        Retry.NO,
        "An account that installed the app and is not connected.",
    ),
    (
        "webhook.unknown_event",
        _("A webhook event of an unknown kind"),
        _("The CRM sent an event that its documentation did not describe when this was written."),
        _("Nothing: the next sync reads the change."),
        Retry.NO,
        "contact.somethingNew",
    ),
    (
        "webhook.too_large",
        _("A webhook delivery is too large"),
        _("It is larger than 1 MiB, which no CRM sends."),
        _("Nothing: it was refused unread."),
        Retry.NO,
        "A body of 1 GB.",
    ),
    (
        "webhook.compressed",
        _("A webhook delivery is compressed"),
        _("Small compressed bodies can grow a thousandfold, so they are never unpacked."),
        _("Let the proxy in front pass bodies as they came."),
        Retry.NO,
        "Content-Encoding: gzip",
    ),
    (
        "webhook.length",
        _("A webhook delivery does not say how long it is"),
        _("It has no Content-Length, so nobody knows how much would have to be read."),
        _("Let the proxy in front buffer requests and send their length."),
        Retry.NO,
        "Transfer-Encoding: chunked",
    ),
    (
        "webhook.method",
        _("A webhook address was not posted to"),
        _("Deliveries are posted; somebody looked at the address with another method."),
        _("Nothing: it was refused."),
        Retry.NO,
        "The address opened in a browser.",
    ),
    (
        "webhook.rate",
        _("Too many webhook deliveries at once"),
        _("The address took more deliveries than one address may within a few seconds."),
        _("Nothing: the CRM delivers again, and the next sync reads every change."),
        Retry.SOON,
        "A loop of two systems that write to each other.",
    ),
    (
        "webhook.not_public",
        _("This installation has no address that the CRM can reach"),
        _("CRM_PUBLIC_URL is no https address of a public host."),
        _("Set CRM_PUBLIC_URL to the https address that the internet reaches this installation by."),
        Retry.NO,
        "http://localhost:8000",
    ),
    (
        "webhook.no_api",
        _("This CRM's webhooks are set up by hand"),
        _("The CRM has no programming interface for it that a connection may use."),
        _("Follow the steps shown, once for each app or account."),
        Retry.NO,
        "Salesforce's outbound messages.",
    ),
)
