"""Codes of telling people: messages by e-mail and outgoing webhook, and states that only time brings."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from adsapp_crm.catalogue.entry import Retry, table

NOTICES = table(
    (
        "connection.late",
        _("The connection has not synced when it should have"),
        _("Its schedule named a time for a sync, and a quarter of an hour later none had succeeded."),
        _("Look at its newest runs; where there is none, see that beat and the workers run."),
        Retry.SOON,
        "The workers were stopped for an upgrade and not started again.",
    ),
    (
        "outgoing.unknown",
        _("There is no such outgoing webhook"),
        _("It was removed, or its id belongs to another organization."),
        _("Use the id of an outgoing webhook there is."),
        Retry.NO,
        "An id copied from another installation.",
    ),
    (
        "outgoing.not_public",
        _("The address of the outgoing webhook is not public"),
        _("Notices are posted by https, on its default port, to hosts that the internet reaches, and nowhere else."),
        _("Give a public https address; the operator may list an inner host in CRM_OUTGOING_HOSTS."),
        Retry.SOON,
        "http://localhost:9000/hook",
    ),
    (
        "outgoing.kinds",
        _("The outgoing webhook is to be told nothing"),
        _("No kind of notice was chosen, or one that there is not."),
        _("Choose at least one of the kinds that are listed."),
        Retry.NO,
        "kinds: []",
    ),
    (
        "outgoing.too_many",
        _("The organization has too many outgoing webhooks"),
        _("Each notice is posted to each of them, so their number is bounded."),
        _("Remove one that is not used any more."),
        Retry.NO,
        "An eleventh address.",
    ),
    (
        "outgoing.unreachable",
        _("The outgoing webhook's server did not answer"),
        _("No connection could be made, its certificate was not valid, or it was silent for ten seconds."),
        _("See that the server runs, and that it answers at once."),
        Retry.SOON,
        "The server was restarted.",
    ),
    (
        "outgoing.refused",
        _("The outgoing webhook's server refused the message"),
        _("It answered with a status other than 2xx; a redirect is not followed."),
        _("Answer 204 at the very address that is kept here."),
        Retry.SOON,
        "500 Internal Server Error",
    ),
    (
        "outgoing.gone",
        _("The outgoing webhook's server wants nothing more"),
        _("It answered 410 Gone, which ends a subscription."),
        _("Switch the webhook on again when its server is back, or remove it."),
        Retry.NO,
        "410 Gone",
    ),
    (
        "outgoing.off",
        _("The outgoing webhook is switched off"),
        _("A person switched it off, or it took no message for a whole day."),
        _("Send a test, and switch it on again when that arrives."),
        Retry.NO,
        "A server that was shut down.",
    ),
    (
        "mail.failed",
        _("The e-mail could not be handed over"),
        _("The mail server of this installation did not answer, or did not accept the message for now."),
        _("Check EMAIL_URL, and that the mail server takes messages from here."),
        Retry.SOON,
        "Connection refused",
    ),
    (
        "mail.refused",
        _("The mail server refused the recipient"),
        _("It does not know the address of the person, or does not deliver there."),
        _("Correct the e-mail address of the member."),
        Retry.NO,
        "550 No such user",
    ),
    (
        "mail.unwanted",
        _("The person is not told by e-mail any more"),
        _("They left, have another role, or switched e-mail notices off while the message waited."),
        _("Nothing: it was not sent."),
        Retry.NO,
        "A member who was taken out.",
    ),
)
