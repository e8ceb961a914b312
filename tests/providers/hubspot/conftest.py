from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.providers.hubspot.stand import HubSpotStand, hubspot_stand


@pytest.fixture
def stand() -> Iterator[HubSpotStand]:
    with hubspot_stand() as found:
        yield found
