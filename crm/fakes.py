"""The providers' fakes by provider key: the fake command, the demo and the tests start them from here."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from crm.providers.hubspot.fake import HubSpotFake
from crm.providers.pipedrive.fake import PipedriveFake
from crm.providers.salesforce.fake import SalesforceFake
from crm.testing.wsgi import WsgiApp


class FakeFactory(Protocol):
    """Makes one fake. ``limits`` is ``real``, ``count`` or ``none``; no ``data_path`` means memory only."""

    def __call__(
        self,
        *,
        seed: int = ...,
        token: str = ...,
        limits: str = ...,
        search_lag_seconds: float = ...,
        data_path: Path | None = ...,
    ) -> WsgiApp: ...


FAKES: dict[str, FakeFactory] = {"hubspot": HubSpotFake, "salesforce": SalesforceFake, "pipedrive": PipedriveFake}
"""Every fake takes these options by keyword; what else one takes is its own."""
