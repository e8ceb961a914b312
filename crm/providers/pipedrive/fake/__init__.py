"""A Pipedrive company account as a server."""

from crm.providers.pipedrive.fake.app import DEFAULT_TOKEN, PipedriveFake

__all__ = ["DEFAULT_TOKEN", "PipedriveFake"]
