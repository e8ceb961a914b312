from __future__ import annotations

import pytest

from crm.errors import ConfigurationError
from crm.providers.base import ConnectorContext
from crm.providers.hubspot.fake import DEFAULT_TOKEN
from crm.registry import PROVIDERS, provider
from tests.providers.hubspot.stand import context_for


def test_a_provider_is_found_by_its_key() -> None:
    for key, found in PROVIDERS.items():
        assert provider(key) is found
        assert found.key == key


def test_an_unknown_key_is_refused_with_the_keys_there_are() -> None:
    """The message names what can be chosen, and not what was typed."""
    with pytest.raises(ConfigurationError, match="hubspot") as refused:
        provider("hubspot ")
    assert refused.value.code == "config.provider_unknown"


def test_a_setting_left_blank_has_its_default() -> None:
    """A setting that the provider does not declare is an error of ours."""
    context: ConnectorContext = context_for("http://127.0.0.1:1")
    hubspot = provider("hubspot")
    assert hubspot.setting(context, "api_base") == "http://127.0.0.1:1"
    assert hubspot.setting(context, "api_version") == "v3"
    with pytest.raises(KeyError):
        hubspot.setting(context, "api_bass")


def test_a_context_shows_no_token() -> None:
    assert DEFAULT_TOKEN not in repr(context_for("http://127.0.0.1:1"))
