"""An organization's outgoing webhooks: where its notices are posted to.

An address is looked up before it is kept, outside any transaction, and again whenever something is sent.
"""

from __future__ import annotations

import base64
import secrets
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from adsapp_crm import conf
from adsapp_crm.models import CrmOutgoingWebhook, Organization, uuid7
from adsapp_crm.models.choices import NoticeKind
from adsapp_crm.services.refusals import refuse
from adsapp_crm.tenancy import organization_context
from crm.errors import ConfigurationError
from crm.http.hosts import HostPolicy

CHOICES: Final = tuple(kind for kind in NoticeKind if kind not in (NoticeKind.TEST, NoticeKind.WEBHOOK_OFF))
"""What an address may ask to be told."""
MOST_WEBHOOKS: Final = 10
MAX_URL_CHARACTERS: Final = 2000
SIGNING_PREFIX: Final = "whsec_"


@dataclass(frozen=True, slots=True)
class NewWebhook:
    row: CrmOutgoingWebhook
    secret: str = field(repr=False)
    """Shown once."""


def hosts() -> HostPolicy:
    """Every public host by https, and what the operator lists in CRM_OUTGOING_HOSTS.

    Not what stands in CRM_EXTRA_HOSTS: customers choose the path, and a proxy or a stand-in of ours is not for them.
    """
    return HostPolicy(extra_hosts=conf.outgoing_hosts(), any_public=True)


def add_webhook(organization_id: uuid.UUID, url: str, kinds: Sequence[str], *, actor: str) -> NewWebhook:
    """Keep an address with a secret of its own. Must be called outside ``organization_context``.

    Raises RefusedError, and then nothing is kept: ``outgoing.not_public``, ``outgoing.kinds``, ``outgoing.too_many``.
    """
    url = url.strip()
    wanted = _kinds(kinds)
    _check_public(url)
    secret = SIGNING_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
    with organization_context(organization_id, actor=actor):
        Organization.objects.select_for_update(no_key=True).get()  # two at once are counted one after the other
        if CrmOutgoingWebhook.objects.count() >= MOST_WEBHOOKS:
            raise refuse(
                "outgoing.too_many",
                f"An organization has at most {MOST_WEBHOOKS} outgoing webhooks.",
                field="url",
                fix="Remove one that is not used any more.",
            )
        row = CrmOutgoingWebhook(id=uuid7(), organization_id=organization_id, url=url, kinds=wanted, created_by=actor)
        row.seal(secret)
        row.save()
        return NewWebhook(CrmOutgoingWebhook.objects.get(pk=row.pk), secret)


def change_webhook(
    webhook_id: uuid.UUID, *, kinds: Sequence[str] | None = None, active: bool | None = None
) -> CrmOutgoingWebhook:
    """Other kinds, or on and off, in the current organization's context; what is not said stays."""
    row = find_webhook(webhook_id, lock=True)
    if kinds is not None:
        row.kinds = _kinds(kinds)
    if active is not None:
        row.active = active
        row.off_code = ""
    row.save(update_fields=["kinds", "active", "off_code"])
    return row


def remove_webhook(webhook_id: uuid.UUID) -> None:
    """The address and what was on its way to it. In the current organization's context."""
    find_webhook(webhook_id, lock=True).delete()


def find_webhook(webhook_id: uuid.UUID, *, lock: bool = False) -> CrmOutgoingWebhook:
    rows = CrmOutgoingWebhook.objects.select_for_update() if lock else CrmOutgoingWebhook.objects.all()
    row = rows.filter(pk=webhook_id).first()
    if row is None:
        raise refuse("outgoing.unknown", "There is no outgoing webhook with this id.", field="id")
    return row


def _kinds(kinds: Sequence[str]) -> list[str]:
    wanted = [str(kind) for kind in CHOICES if kind in kinds]
    if not wanted or len(wanted) != len(set(kinds)):
        raise refuse("outgoing.kinds", "It is told nothing, or something that there is not.", field="kinds", fix=_fix())
    return wanted


def _fix() -> str:
    return f"Choose from {', '.join(CHOICES)}."


def _check_public(url: str) -> None:
    """Asks the name service. Raises RefusedError for all but a public https address."""
    fix = "Give an https address, on the default port, of a host that the internet reaches."
    if not url or len(url) > MAX_URL_CHARACTERS:
        raise refuse(
            "outgoing.not_public", f"An address has 1 to {MAX_URL_CHARACTERS} characters.", field="url", fix=fix
        )
    policy = hosts()
    try:
        parts = policy.check_url(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found = policy.addresses(parts.hostname or "", port)
    except (ConfigurationError, OSError, UnicodeError) as error:
        unknown = isinstance(error, socket.gaierror | UnicodeError)
        said = "The host of the address is not known." if unknown else "The address is not public."
        raise refuse("outgoing.not_public", said, field="url", fix=fix) from None
    if not found:
        raise refuse("outgoing.not_public", "The host of the address is not known.", field="url", fix=fix)
