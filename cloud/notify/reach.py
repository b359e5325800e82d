"""Where channels may connect to: the public internet by TLS, and what whoever runs the cloud has said beyond that.

A person who configures a channel chooses where the cloud sends requests to. Without a bound that reaches the database
beside it and the keys of the virtual machine (169.254.169.254), so addresses are resolved here, looked at, and the
connection goes to the address that was looked at.
"""

import asyncio
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import msgspec

Network = IPv4Network | IPv6Network
_Address = IPv4Address | IPv6Address
_NAT64: Final = ip_network("64:ff9b::/96")
_LOCAL_NAT64: Final = ip_network("64:ff9b:1::/48")
_MOST_ADDRESSES: Final = 4
_NEXT_AFTER_S: Final = 2.0
"""So long an address may take to answer where the host has another."""


class NotReachableError(Exception):
    """It cannot be connected to: a sentence, and a code for machines."""

    def __init__(self, problem: str, code: str) -> None:
        super().__init__(problem)
        self.code = code


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """What is allowed beyond public addresses and TLS."""

    networks: tuple[Network, ...] = ()
    """Private networks that channels may connect to."""
    plain: frozenset[str] = frozenset()
    """Hosts, in small letters, to which messages and passwords may go without TLS."""

    def allows_plain(self, host: str) -> bool:
        """Whether this host may be spoken to without TLS."""
        return host.lower().rstrip(".") in self.plain

    def allows(self, address: str) -> bool:
        """Whether a connection may go to this IP address."""
        ip = _plain_address(ip_address(address.partition("%")[0]))
        if any(ip.version == network.version and ip in network for network in self.networks):
            return True
        return ip.is_global and not ip.is_multicast and not ip.is_reserved


ANYWHERE: Final = Reach(networks=(ip_network("0.0.0.0/0"), ip_network("::/0")))
"""For addresses that whoever runs the cloud has given."""


def _plain_address(ip: _Address) -> _Address:
    """The IPv4 address within an IPv6 one, where there is one: a router on the way would take it out too."""
    if isinstance(ip, IPv6Address):
        if (inner := ip.ipv4_mapped or ip.sixtofour) is not None:
            return inner
        if ip.teredo is not None:
            return ip.teredo[1]
        if ip in _NAT64 or ip in _LOCAL_NAT64:
            return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip


async def resolve(reach: Reach, host: str, port: int) -> list[str]:
    """The IP addresses of a host, all of them allowed. Raises NotReachableError."""
    try:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as e:
        raise NotReachableError(f"the name {host} is not known: check it, and the cloud's DNS", "dns") from e
    addresses = list(dict.fromkeys(str(where[4][0]) for where in found))[:_MOST_ADDRESSES]
    for address in addresses:
        if not reach.allows(address):
            raise NotReachableError(
                f"{host} is at {address}, which is no public address: whoever runs the cloud must name its network in "
                "ANJU_NOTIFY_NETWORKS first",
                "private address",
            )
    return addresses


async def look(reach: Reach, host: str, port: int) -> None:
    """Raises NotReachableError for a host that is known here and not allowed; who else knows it is a proxy's matter."""
    try:
        await resolve(reach, host, port)
    except NotReachableError as e:
        if e.code != "dns":
            raise


async def connect(reach: Reach, host: str, port: int) -> socket.socket:
    """A TCP connection to a host, tried at each of its addresses in turn. Raises NotReachableError."""
    problem = "it has no address"
    addresses = await resolve(reach, host, port)
    for number, address in enumerate(addresses, 1):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            async with asyncio.timeout(_NEXT_AFTER_S if number < len(addresses) else None):
                await asyncio.get_running_loop().sock_connect(sock, (address, port))
        except OSError as e:
            sock.close()
            problem = e.strerror or f"nobody answers at {address}"
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise NotReachableError(f"no connection to {host}, port {port}: {problem}", "connect")
