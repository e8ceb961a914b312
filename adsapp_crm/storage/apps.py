"""The app that asks a CRM for tokens: the organization's own registration, or this installation's."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from adsapp_crm import conf
from adsapp_crm.models import CredentialsMismatchError, CrmAppRegistration
from adsapp_crm.models.base import OrganizationModel
from adsapp_crm.tenancy import NoOrganizationError, organization_context
from crm.errors import ConfigurationError
from crm.http.grants import OAuthClient
from crm.http.hosts import HostPolicy
from crm.http.redact import Secret
from crm.registry import provider


def owner_of(row: OrganizationModel) -> uuid.UUID:
    """The organization that a row belongs to; raises NoOrganizationError for one that never got any."""
    if row.organization_id is None:
        raise NoOrganizationError(f"This {row._meta.verbose_name} belongs to no organization.")
    return row.organization_id


def register_app(crm_type: str, client_id: str, client_secret: Secret) -> CrmAppRegistration:
    """Keep an app of the current organization; one that is known gets its secret replaced.

    The secret is sealed with the organization and the row, as credentials are.
    """
    row, _made = CrmAppRegistration.objects.get_or_create(crm_type=crm_type, client_id=client_id)
    row.secrets = {
        "organization": str(row.organization_id),
        "registration": str(row.pk),
        "client_secret": client_secret.reveal(),
    }
    row.save(update_fields=["secrets", "updated_at"])
    return row


def client_of(organization_id: uuid.UUID, crm_type: str, registration_id: uuid.UUID | None) -> OAuthClient:
    """The app by its registration, else the installation's.

    Raises ConfigurationError (``oauth.not_configured``) where there is none, CredentialsMismatchError when the sealed
    secret was made for another row.
    """
    if registration_id is None:
        said = conf.provider_settings(crm_type)
        client_id, client_secret = said.get("client_id", ""), said.get("client_secret", "")
    else:
        with organization_context(organization_id):
            row = CrmAppRegistration.objects.filter(pk=registration_id, crm_type=crm_type).first()
        client_id, client_secret = (row.client_id, _secret_of(row)) if row else ("", "")
    if not client_id or not client_secret:
        variables = provider(crm_type).environment
        raise ConfigurationError(
            "There is no client id and client secret for this CRM. Send config.clientId and config.clientSecret, or set"
            f" {variables.get('client_id', '')} and {variables.get('client_secret', '')}.",
            code="oauth.not_configured",
            provider=crm_type,
        )
    return OAuthClient(client_id, Secret(client_secret))


def webhook_secret_of(crm_type: str) -> Secret:
    """What deliveries to this installation's app are signed with: a secret of its own, else the client secret."""
    said = conf.provider_settings(crm_type)
    return Secret(said.get("webhook_secret") or said.get("client_secret", ""))


def _secret_of(row: CrmAppRegistration) -> str:
    sealed = row.secrets
    if sealed is None:
        return ""
    bound = (sealed.get("organization"), sealed.get("registration")) if isinstance(sealed, dict) else None
    if bound != (str(row.organization_id), str(row.pk)):
        raise CredentialsMismatchError(f"The secret of {row} belongs to another registration.")
    return str(sealed["client_secret"])


def settings_of(crm_type: str, *, environment: str = "", kept: Mapping[str, str] | None = None) -> dict[str, str]:
    """``Setting.name`` -> value: what the installation says, then the connection's environment, then what its grant
    told (``kept``). An address that the installation names stays: it points at a stand-in or a proxy.
    """
    declared = {setting.name: setting for setting in provider(crm_type).settings}
    said = conf.provider_settings(crm_type)
    found = dict(kept or {})
    if environment and "environment" in declared:
        found["environment"] = environment
    for name in declared:
        if said.get(name) and not (name == "environment" and environment):
            found[name] = said[name]
    return found


def hosts_of(crm_type: str) -> HostPolicy:
    return HostPolicy(provider(crm_type).host_suffixes, conf.extra_hosts())
