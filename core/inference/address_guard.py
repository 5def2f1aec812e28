"""Guards outgoing connections: decides which addresses the service may connect to.

A name is resolved once, all its addresses are checked, and the connection goes to one of those: a name server that
answers differently the next time changes nothing. Private networks and the loopback are allowed, because a site has
no other addresses.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from core.errors import InputError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# No proxies: the guard would only see the proxy's address, and the proxy would resolve the name again.
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy")

# IPv6 networks whose last 32 bits are an IPv4 address that a gateway connects to.
_GATEWAYS = tuple(ipaddress.IPv6Network(one) for one in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96"))
_ISATAP = (0x00005EFE, 0x02005EFE)  # bits 64 to 95 of an IPv6 address that ends in an IPv4 address (RFC 5214)
_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")  # "this network": Linux treats 0.0.0.0 as the loopback
_CLOUD_METADATA = frozenset(  # of clouds that use other than link-local addresses
    ipaddress.ip_address(one) for one in ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")
)
_LOCAL_IPV6 = (ipaddress.IPv6Address("::"), ipaddress.IPv6Address("::1"))  # in ::/96, but not IPv4 addresses


def check_host(host: str, what: str) -> None:
    """Raise InputError for an address that cannot be a service: link-local (cloud metadata), multicast, 0.0.0.0.

    A name passes; its addresses are checked when it is used.
    """
    address = _parse_address(host)
    if address is not None and _is_forbidden(address):
        raise InputError(what, f"{address} is not the address of a service", "give the host of the service to reach")


def check_addresses(address_infos: Sequence[Any], what: str) -> list[str]:
    """The addresses in a result of `getaddrinfo`, in order. Raises InputError if one of them is forbidden."""
    addresses = [str(address[0]) for *_, address in address_infos]
    for address in addresses:
        check_host(address, what)
    return list(dict.fromkeys(addresses))


def connect_guarded(host: str, port: int, seconds: float, what: str) -> socket.socket:
    """Connect to the first address of a host that answers within `seconds`.

    Raises OSError, and InputError as `check_addresses`.
    """
    address_infos = socket.getaddrinfo(lookup_name(host), port, type=socket.SOCK_STREAM)
    check_addresses(address_infos, what)
    failure: OSError | None = None
    for family, kind, protocol, _, address in address_infos:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(seconds)
            connection.connect(address)
            return connection
        except OSError as error:
            connection.close()
            failure = error
    raise failure or OSError(errno.EADDRNOTAVAIL, "the host has no address")


def lookup_name(host: str) -> str:
    """The host as resolvers expect it: without brackets and without the final dot."""
    return host.strip("[]").rstrip(".")


def _parse_address(host: str) -> Address | None:
    """The address that the text stands for; None for a name. Resolvers accept 0xA9FEA9FE and 2852039166, too."""
    text = unicodedata.normalize("NFKC", lookup_name(host)).replace("\u3002", ".").rstrip(".").partition("%")[0]
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(text))
    except (OSError, ValueError):
        return None


def _is_forbidden(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and any(map(_is_forbidden, _embedded_ipv4(address))):
        return True
    if isinstance(address, ipaddress.IPv4Address) and (address in _THIS_NETWORK or address.is_reserved):
        return True
    return address in _CLOUD_METADATA or address.is_link_local or address.is_multicast or address.is_unspecified


def _embedded_ipv4(address: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses within an IPv6 address: mapped, compatible, NAT64, 6to4, Teredo and ISATAP."""
    last = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    embedded = [
        embedded_address
        for embedded_address in (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()))
        if embedded_address is not None
    ]
    gateway = any(address in network for network in _GATEWAYS) and address not in _LOCAL_IPV6
    return [*embedded, last] if gateway or int(address) >> 32 & 0xFFFFFFFF in _ISATAP else embedded


def guard_process(refusals: list[str]) -> None:
    """Block forbidden addresses for the whole process, whichever library opens the socket.

    For a process that only calls such a library. Appends the reason of each refusal to `refusals`.
    """
    connect_to, try_to_connect_to = socket.socket.connect, socket.socket.connect_ex
    send_to: Callable[..., Any] = socket.socket.sendto

    def checked_address(connection: socket.socket, address: Any) -> Any:
        if connection.family not in (socket.AF_INET, socket.AF_INET6):
            refusals.append("it speaks to the service's own machine")
            raise PermissionError(errno.EACCES, refusals[-1])
        try:
            host, port = lookup_name(str(address[0])), address[1]
            address_infos = socket.getaddrinfo(host, port, connection.family, connection.type)
            check_addresses(address_infos, "")
        except InputError as error:
            refusals.append(error.why)
            raise PermissionError(errno.EACCES, error.why) from None
        return address_infos[0][4]

    def guarded_connect(self: socket.socket, address: Any) -> None:
        connect_to(self, checked_address(self, address))

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        return try_to_connect_to(self, checked_address(self, address))

    def guarded_sendto(self: socket.socket, data: Any, *rest: Any) -> int:
        *flags, address = rest
        byte_count: int = send_to(self, data, *flags, checked_address(self, address))
        return byte_count

    for name, guarded in (
        ("connect", guarded_connect),
        ("connect_ex", guarded_connect_ex),
        ("sendto", guarded_sendto),
    ):
        setattr(socket.socket, name, guarded)
