"""What an e-mail says of a notice: what happened, why, what to do, and where. No contact's values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from adsapp_crm import conf
from adsapp_crm.catalogue import explain
from adsapp_crm.models.choices import Health, NoticeKind
from crm.registry import PROVIDERS

_PAGES: Final = "/dashboard/settings/crm"
_ADVICE: Final[Mapping[str, str]] = {
    Health.LATE: "connection.late",
    Health.NEEDS_RECONNECT: "auth.expired",
    Health.NEEDS_ATTENTION: "config.invalid",
    Health.WAITING_FOR_QUOTA: "quota.daily",
}
"""The code that explains a state of which nothing more is known."""


def text_of(payload: Mapping[str, Any], organization: str) -> tuple[str, str]:
    """Subject and body of a message's payload."""
    data = payload["data"]
    known = PROVIDERS.get(data.get("crmType", ""))
    what, lines, page = _said(NoticeKind(payload["type"]), data, known.label if known is not None else "ADSapp CRM")
    named = " ".join(organization.split())  # a line break would end the subject
    why = _("You are told because you look after %(organization)s. Change that: %(page)s") % {
        "organization": named,
        "page": f"{conf.public_url()}{_PAGES}/notices",
    }
    body = [f"{what}.", *lines, f"{conf.public_url()}{_PAGES}{page}", why]
    return f"{named}: {what}", "\n\n".join(body) + "\n"


def _said(kind: NoticeKind, data: Mapping[str, Any], crm: str) -> tuple[str, list[str], str]:
    """(what, why and what to do, the page)."""
    here = f"/connections/{data['crmType']}" if data.get("crmType") else ""
    if kind is NoticeKind.CONNECTION_STATE:
        failing = data.get("code") == "record.failing" and data.get("crmType")
        return *_state(data, crm), f"/records?state=failing&crm={data['crmType']}" if failing else here
    if kind is NoticeKind.BRAKE_PULLED:
        line = _(
            "A sync would have changed more than the brake allows, so nothing of it was done. See what it would do, and"
            " approve it or drop it."
        )
        return _("%(crm)s: held") % {"crm": crm}, [line], f"/plans/{data['planId']}" if data.get("planId") else here
    if kind is NoticeKind.CONFLICT_OPENED:
        number = data.get("conflicts", 1)
        what = ngettext("%(crm)s: %(n)d conflict was opened", "%(crm)s: %(n)d conflicts were opened", number)
        line = _(
            "Both sides changed a value, or two records look like one person. Until somebody answers, both sides keep"
            " what they have."
        )
        return what % {"crm": crm, "n": number}, [line], "/conflicts"
    if kind is NoticeKind.DRIFT_FOUND:
        number = data.get("records", 0)
        what = ngettext("%(crm)s: %(n)d record has drifted", "%(crm)s: %(n)d records have drifted", number)
        line = _(
            "An audit found values that differ on the two sides and that no coming sync would bring into step by"
            " itself. See the audit, and repair them."
        )
        return what % {"crm": crm, "n": number}, [line], here
    if kind is NoticeKind.WEBHOOK_OFF:
        entry = explain(data.get("code", ""))
        return _("An outgoing webhook was switched off"), [str(entry.cause), str(entry.fix)], "/notices"
    return str(kind.label), [], here


def _state(data: Mapping[str, Any], crm: str) -> tuple[str, list[str]]:
    word = Health(data["state"])
    if word == Health.HEALTHY:
        return _("%(crm)s works again") % {"crm": crm}, [_("Nothing needs to be done.")]
    entry = explain(data.get("code") or _ADVICE.get(word, ""))
    what = _("%(crm)s: %(state)s") % {"crm": crm, "state": str(word.label).lower()}
    return what, [f"{entry.title}. {entry.cause}", str(entry.fix)]
