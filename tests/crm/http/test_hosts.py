"""Which addresses may be called."""

from __future__ import annotations

import pytest

from crm.errors import ConfigurationError
from crm.http.hosts import HostPolicy, is_public

POLICY = HostPolicy(
    suffixes=("example.com", "Force.example"), extra_hosts=("127.0.0.1:8010", "crm.internal", "[::1]:9")
)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://api.example.com/v1?x=1",
        "https://API.Example.COM:443/",
        "https://my.force.example/",
        "http://127.0.0.1:8010/base",
        "https://127.0.0.1:8010/",
        "http://crm.internal:1234/",
        "http://[::1]:9/",
    ],
)
def test_own_hosts_and_extra_hosts_are_called(url):
    """The provider's by suffix over https, the operator's as listed."""
    POLICY.check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "/v1",
        "//example.com/",
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://",
        "https:///x",
        "https://evil-example.com/",
        "https://evilexample.com/",
        "https://example.com.evil.net/",
        "https://example.com./",
        "https://.example.com/",
        "https://a..example.com/",
        "https://com/",
        "https://example.com:8443/",
        "https://example.com:99999/",
        "https://example.com:x/",
        "https://user@example.com/",
        "https://user:pass@example.com/",
        "https://@example.com/",
        "https://127.0.0.1%00.example.com/",
        "https://127.0.0.1%2f.example.com/",
        "https://127.0.0.1;.example.com/",
        "https://-.example.com/",
        "https://evil.net@example.com/",
        "https://example.com@evil.net/",
        "https://example.com\\@evil.net/",
        "https://example.com\\.evil.net/",
        "https://evil.net#.example.com",
        "https://evil.net?.example.com",
        "https://evil.net/.example.com",
        "https://example.com\t.evil.net/",
        "https://example.com\n/",
        " https://example.com/",
        "https://ex\x00ample.com/",
        "https://exаmple.com/",
        "https://example。com/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://[::ffff:127.0.0.1]/",
        "http://127.0.0.1:8011/",
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://crm.internal.evil.net/",
        "http://169.254.169.254/latest/meta-data/",
        "https://example.com%2eevil.net/",
        "https://[example.com]/",
    ],
)
def test_everything_else_is_refused_with_a_fix(url):
    """Look-alikes, tricks with user names, ports, dots, scripts and backslashes."""
    with pytest.raises(ConfigurationError, match="CRM_EXTRA_HOSTS") as caught:
        POLICY.check_url(url)
    assert caught.value.code == "config.host"


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"])
def test_public_addresses(address):
    """Plain, mapped and translated."""
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "fec0::1",
        "3fff::1",
        "64:ff9b:1::7f00:1",
        "192.88.99.1",
        "168.63.129.16",
        "not an address",
        "2130706433",
    ],
)
def test_addresses_that_are_not_public(address):
    """Loopback, private, link-local, reserved, multicast, in every wrapping of IPv4 in IPv6."""
    assert not is_public(address)


def test_one_private_address_among_public_ones_refuses_the_name():
    """A resolver that mixes them is not trusted for the rest."""
    policy = HostPolicy(suffixes=("example.com",), resolve=lambda host, port: ["93.184.216.34", "10.0.0.1"])

    with pytest.raises(ConfigurationError):
        policy.addresses("api.example.com", 443)


def test_an_extra_host_may_be_private():
    """The operator listed it."""
    policy = HostPolicy(extra_hosts=("crm.internal",), resolve=lambda host, port: ["10.0.0.1"])

    assert policy.addresses("crm.internal", 80) == ["10.0.0.1"]
