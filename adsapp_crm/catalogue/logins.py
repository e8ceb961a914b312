"""Codes about logging in at a CRM to connect it."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from adsapp_crm.catalogue.entry import Retry, table

LOGINS = table(
    (
        "oauth.state",
        _("This log-in was not begun here"),
        _("The CRM sent back a log-in that this browser and person did not begin, or that was finished before."),
        _("Begin again in ADSapp, in the same browser and as the same person, and use the newest window."),
        Retry.NO,
        "The page was opened twice.",
    ),
    (
        "oauth.expired",
        _("The log-in took too long"),
        _("More than ten minutes passed between beginning and ending the log-in."),
        _("Begin again in ADSapp."),
        Retry.NO,
        "The consent page stood open over lunch.",
    ),
    (
        "oauth.session",
        _("Connecting needs your browser's log-in"),
        _("A log-in at a CRM can end only in the browser session that began it, and there is none."),
        _("Log in to ADSapp in this browser, then connect the CRM from there."),
        Retry.NO,
        "The session ended while the consent page was open.",
    ),
    (
        "oauth.denied",
        _("Access was not granted"),
        _("Somebody pressed Cancel or Deny on the CRM's page."),
        _("Begin again and grant access, or ask an administrator of the CRM to do it."),
        Retry.NO,
        "Deny was pressed.",
    ),
    (
        "oauth.not_installed",
        _("The CRM does not let people grant this app access"),
        _("The app is not installed in the CRM account, or its administrator has blocked it."),
        _("Ask an administrator of the CRM to install or allow the app there, then begin again."),
        Retry.NO,
        "The connected app must be installed into the Salesforce organization first.",
    ),
    (
        "oauth.not_configured",
        _("The CRM's client id and secret are not set"),
        _("A log-in at the CRM needs an app registered there, and ADSapp knows none."),
        _("Send config.clientId and config.clientSecret of your app, or have them set for this installation."),
        Retry.NO,
        "HUBSPOT_CLIENT_ID is empty.",
    ),
    (
        "oauth.client",
        _("The CRM does not accept the app's client id or secret"),
        _("The client id is unknown to the CRM, or the client secret was changed there."),
        _("Copy both from the app's settings in the CRM, and connect again with them."),
        Retry.NO,
        "The client secret was rotated in the CRM only.",
    ),
    (
        "oauth.request",
        _("The CRM refuses the log-in's parameters"),
        _("Redirect address or scopes are not those that the app is registered with in the CRM."),
        _("Register the redirect address and the scopes that the documentation lists, exactly, then begin again."),
        Retry.NO,
        "The callback address is registered with a slash at its end.",
    ),
    (
        "oauth.issuer",
        _("The answer came from another server"),
        _("The log-in was begun at one CRM and answered in the name of another."),
        _("Begin again. If it happens twice, tell your administrator: somebody may be interfering."),
        Retry.NO,
        "iss names a host that is none of the CRM's.",
    ),
    (
        "oauth.code",
        _("The CRM did not accept its own code"),
        _("The code that the CRM sent back was used before, or is too old."),
        _("Begin again in ADSapp."),
        Retry.NO,
        "The page was reloaded while it was being worked on.",
    ),
    (
        "oauth.environment",
        _("The account is in the other environment"),
        _("A sandbox was chosen and a production account logged in, or the other way round."),
        _("Begin again, and choose the environment that the account is in."),
        Retry.NO,
        "A sandbox's user logged in with production chosen.",
    ),
    (
        "oauth.failed",
        _("The CRM ended the log-in with an error"),
        _("The CRM sent an error back instead of a code."),
        _("Begin again. If it goes on, show the CRM's own message to its administrator."),
        Retry.NO,
        "error=server_error",
    ),
    (
        "oauth.revoke_failed",
        _("The CRM was not told that access has ended"),
        _("The connection is ended here, but the CRM could not be reached to withdraw the grant."),
        _("Wait: it is tried again. To be sure, remove the app in the CRM account's settings."),
        Retry.SOON,
        "The CRM was down when the connection was ended.",
    ),
)
