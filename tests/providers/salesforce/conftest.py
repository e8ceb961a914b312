from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.providers.salesforce.stand import SalesforceStand, salesforce_stand


@pytest.fixture
def stand() -> Iterator[SalesforceStand]:
    with salesforce_stand() as found:
        yield found
