"""Every registered provider's connector, against its fake, through real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import pytest

from crm.registry import PROVIDERS
from crm.testing.contract import CHECKS
from crm.testing.contract_stand import Check, Stand
from tests.providers.hubspot.stand import hubspot_stand
from tests.providers.pipedrive.stand import connected_stand as pipedrive_stand
from tests.providers.salesforce.stand import salesforce_stand

STANDS: dict[str, Callable[[], AbstractContextManager[Stand]]] = {
    "hubspot": hubspot_stand,
    "pipedrive": pipedrive_stand,
    "salesforce": salesforce_stand,
}


VERSIONS: dict[str, Callable[[], AbstractContextManager[Stand]]] = {
    "hubspot-2026-03": partial(hubspot_stand, "2026-03"),
    "hubspot-2026-09": partial(hubspot_stand, "2026-09"),
}
"""A provider's other addresses for the same, chosen by a setting."""


@pytest.fixture(params=[*sorted(PROVIDERS), *VERSIONS])
def stand(request) -> Iterator[Stand]:
    with {**STANDS, **VERSIONS}[request.param]() as found:
        yield found


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_connector_keeps_the_contract(stand: Stand, check: Check) -> None:
    """The connector does what crm.ports.Connector promises."""
    check(stand)


def test_every_provider_has_a_stand() -> None:
    """A provider that is registered is tested."""
    assert set(STANDS) == set(PROVIDERS)


@pytest.mark.parametrize("key", sorted(PROVIDERS))
def test_default_mappings_name_fields_of_an_ordinary_account(key: str) -> None:
    """Each default row leads to a field that the CRM lists, and can be written where the row writes."""
    provider = PROVIDERS[key]
    with STANDS[key]() as found:
        for record_type in provider.record_types:
            fields = {each.name: each for each in found.connector().describe(record_type)}
            for row in provider.default_mappings:
                if row.record_type == record_type:
                    assert row.remote_field in fields, row
                    assert fields[row.remote_field].writable or row.direction == "from_crm", row
