"""A Salesforce org as a server."""

from crm.providers.salesforce.fake.app import DEFAULT_TOKEN, SalesforceFake

__all__ = ["DEFAULT_TOKEN", "SalesforceFake"]
