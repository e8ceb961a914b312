"""A HubSpot account as a server."""

from crm.providers.hubspot.fake.app import DEFAULT_TOKEN, HubSpotFake

__all__ = ["DEFAULT_TOKEN", "HubSpotFake"]
