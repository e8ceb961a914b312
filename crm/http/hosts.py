"""Which servers may be spoken to: never anywhere else, whatever a token answer or a next-page link says."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from crm.errors import ConfigurationError

Resolve = Callable[[str, int], Sequence[str]]
"""(host, port) -> its addresses; raises socket.gaierror when there are none."""

_EMBEDDED_IPV4: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""NAT64 (RFC 6052): the last four bytes are an IPv4 address."""
_NOT_PUBLIC: Final = (
    ipaddress.ip_network("fec0::/10"),  # site-local (RFC 3879): out of use, and still routed where it was used
    ipaddress.ip_network("3fff::/20"),  # documentation (RFC 9637)
    ipaddress.ip_network("64:ff9b:1::/48"),  # NAT64 of one's own (RFC 8215)
    ipaddress.ip_network("192.88.99.0/24"),  # 6to4 relays (RFC 7526): out of use
    ipaddress.ip_network("168.63.129.16/32"),  # the host behind a virtual machine of Azure
)
"""What ``ipaddress`` of some Python version takes for public."""
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")
"""A percent sign or a semicolon in a name means something else to every library that reads it."""


def system_resolve(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """The hosts of one provider (``suffixes``, compared label by label) and the operator's own (``extra_hosts``).

    A provider's host needs https on the default port and public addresses only. An extra host (``name`` or
    ``name:port``) is trusted as it is: any scheme, any address; an entry without a port allows every port.
    """

    suffixes: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    resolve: Resolve = system_resolve
    any_public: bool = False
    """Every host with public addresses instead of the suffixes': for addresses that customers name."""

    def check_url(self, url: str) -> SplitResult:
        """The parsed address; raises ConfigurationError (``config.host``) for one that must not be called."""
        if any(character <= " " or character in "\\\x7f" for character in url) or not url.isascii():
            raise _refused("the address has characters that no address holds")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _refused("the address cannot be read") from None
        if parts.username is not None or parts.password is not None:
            raise _refused("the address holds a user name")
        host = parts.hostname or ""
        if parts.scheme not in {"https", "http"} or not host:
            raise _refused("the address is no https address")
        if self.is_extra(host, port or (443 if parts.scheme == "https" else 80)):
            return parts
        if parts.scheme != "https":
            raise _refused(f"{_shown(host)} is not called without https")
        if port not in {None, 443}:
            raise _refused(f"{_shown(host)} is called on its default port only")
        if self.any_public:
            if not _is_public_name(host):
                raise _refused(f"{_shown(host)} is no host on the public internet")
        elif not self._has_suffix(host):
            raise _refused(f"{_shown(host)} is no host of this provider")
        return parts

    def is_extra(self, host: str, port: int) -> bool:
        named = {host.lower(), f"{host.lower()}:{port}", f"[{host.lower()}]:{port}"}
        return any(entry.strip().lower() in named for entry in self.extra_hosts)

    def addresses(self, host: str, port: int) -> list[str]:
        """The addresses to connect to; raises ConfigurationError when one of them is not public.

        Called at connect time by the transport, which then connects to exactly these: a name that changes its
        answer between check and connect gains nothing. socket.gaierror when the name has no address.
        """
        found = list(self.resolve(host, port))
        if not self.is_extra(host, port):
            for address in found:
                if not is_public(address):
                    raise _refused(f"{_shown(host)} leads to an address that is not public")
        return found

    def _has_suffix(self, host: str) -> bool:
        labels = host.lower().split(".")
        if not all(map(_LABEL.fullmatch, labels)):
            return False
        return any(_ends_with(labels, suffix.lower().strip(".").split(".")) for suffix in self.suffixes)


def _is_public_name(host: str) -> bool:
    """A name with a domain, whose addresses are judged when it is connected to, or a public address itself."""
    labels = host.lower().removesuffix(".").split(".")
    if ":" in host or labels[-1].isdigit() or labels[-1].startswith("0x"):
        return is_public(host)
    return len(labels) > 1 and all(map(_LABEL.fullmatch, labels))


def _ends_with(labels: Sequence[str], suffix: Sequence[str]) -> bool:
    return len(labels) >= len(suffix) and list(labels[-len(suffix) :]) == list(suffix)


def is_public(address: str) -> bool:
    """Whether the address is a host on the public internet, seen through every wrapping of IPv4 in IPv6."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(map(_is_global, _unwrapped(parsed)))


def _is_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if any(address.version == network.version and address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _unwrapped(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> Iterable[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    if address in _EMBEDDED_IPV4:
        return [ipaddress.IPv4Address(address.packed[-4:])]
    if address.sixtofour:
        return [address, address.sixtofour]
    if address.teredo:
        return [address, *address.teredo]
    return [address]


def _shown(host: str) -> str:
    return host[:100]


def _refused(why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The server is not called: {why}. Correct the address, or list the host in CRM_EXTRA_HOSTS.",
        code="config.host",
    )
