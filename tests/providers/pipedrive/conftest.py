from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.providers.pipedrive.stand import PipedriveStand, pipedrive_stand


@pytest.fixture
def stand() -> Iterator[PipedriveStand]:
    """A company without Contact Sync's fields would refuse half of the default mappings: this one has them."""
    with pipedrive_stand() as found:
        yield found
