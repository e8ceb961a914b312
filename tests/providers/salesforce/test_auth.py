"""What a token answer says, and which addresses are believed."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest

from crm.errors import ConfigurationError, UnexpectedAnswerError
from crm.http.redact import Secret
from crm.providers.salesforce import auth, endpoints

SECRET = Secret("client-secret")
IDENTITY = "https://login.salesforce.com/id/00DdM00000vfgTuUAI/003aj000002oTldAAE"


def answer(**changes: Any) -> dict[str, Any]:
    issued_at = "1777620337123"
    signed = hmac.new(b"client-secret", (IDENTITY + issued_at).encode(), hashlib.sha256).digest()
    whole = {
        "access_token": "00D!x", "refresh_token": "5Aep", "signature": base64.b64encode(signed).decode(),
        "instance_url": "https://acme.my.salesforce.com", "id": IDENTITY, "issued_at": issued_at,
    }  # fmt: skip
    return {name: value for name, value in {**whole, **changes}.items() if value is not None}


def test_a_token_answer_names_instance_organization_and_user() -> None:
    assert auth.read_grant(answer(), SECRET) == auth.Grant(
        "https://acme.my.salesforce.com", "00DdM00000vfgTuUAI", "003aj000002oTldAAE"
    )


def test_a_refresh_without_signature_is_believed_for_its_channel() -> None:
    assert auth.read_grant(answer(signature=None), SECRET).organization_id == "00DdM00000vfgTuUAI"


@pytest.mark.parametrize(
    "changes",
    [{"signature": "AAAA"}, {"issued_at": "1777620337124"}, {"id": None}, {"instance_url": None}, {"id": 5},
     {"id": "https://login.salesforce.com/id/nobody/noone", "signature": None}, {"id": "x", "signature": None}],
)  # fmt: skip
def test_an_answer_that_is_not_as_documented_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedAnswerError):
        auth.read_grant(answer(**changes), SECRET)


@pytest.mark.parametrize("url", ["https://evil.example", "https://acme.lightning.force.com", "http://a.salesforce.com"])
def test_an_instance_elsewhere_is_refused(url: str) -> None:
    """Whatever the token answer says; a stand-in has to be listed."""
    with pytest.raises(ConfigurationError) as caught:
        auth.read_grant(answer(instance_url=url), SECRET)
    assert caught.value.code == "config.host"


def test_a_listed_stand_in_is_called() -> None:
    url = "http://127.0.0.1:8001"
    assert auth.read_grant(answer(instance_url=url + "/"), SECRET, ("127.0.0.1",)).instance_url == url


@pytest.mark.parametrize(
    ("environment", "override", "base"),
    [("production", "", "https://login.salesforce.com"), ("sandbox", "", "https://test.salesforce.com"),
     ("sandbox", "https://acme--dev.sandbox.my.salesforce.com", "https://acme--dev.sandbox.my.salesforce.com")],
)  # fmt: skip
def test_the_environment_chooses_the_login_address(environment: str, override: str, base: str) -> None:
    assert auth.login_base(environment, override) == base


@pytest.mark.parametrize(
    ("text", "usage"),
    [
        ("api-usage=18/15000", (18, 15_000)),
        ("api-usage=25/5000; per-app-api-usage=17/250(appName=sample-app)", (25, 5_000)),
        ("per-app-api-usage=17/250(appName=x)", None),
        ("api-usage=x/y", None),
        ("", None),
    ],
)
def test_the_usage_header_is_the_organizations(text: str, usage: tuple[int, int] | None) -> None:
    """The app's own share beside it is another number."""
    found = endpoints.read_usage({"sforce-limit-info": text})
    assert (found and (found.used, found.limit)) == usage


@pytest.mark.parametrize("version", ["59", "v59.0", "59.0/x", "30.0", "100.0", ""])
def test_a_version_is_a_supported_number(version: str) -> None:
    with pytest.raises(ConfigurationError):
        endpoints.Paths(version)
