"""The HTTP proxy on the way out: the one that is named, or the one of the environment, as everywhere."""

import base64
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Self
from urllib.parse import unquote, urlsplit

import msgspec
import structlog

from edge.http.address import Address, NotAnAddressError

log = structlog.get_logger(__name__)


class HttpProxy(msgspec.Struct, frozen=True):
    """A proxy that is spoken to in clear: whole addresses for http, CONNECT for https."""

    host: str
    port: int
    authorization: str = ""
    """The Proxy-Authorization header, with the login in it; empty where the proxy wants none."""

    @classmethod
    def at(cls, url: str, user: str = "", password: str = "") -> Self:
        """The proxy at `http://host[:port]`, with a login where it wants one. Raises NotAnAddressError."""
        address = Address.parse(url)
        if address.is_tls:
            raise NotAnAddressError(f"the proxy {address.with_port} must be spoken to over http://")
        return cls(address.host, address.port, _basic(user, password) if user or password else "")

    @property
    def with_port(self) -> str:
        """Host and port, for people."""
        return Address(is_tls=False, host=self.host, port=self.port).with_port

    def __repr__(self) -> str:
        return f"HttpProxy({self.with_port})"  # no login


def environment_proxy(address: Address, environment: Mapping[str, str] = os.environ) -> HttpProxy | None:
    """The proxy that HTTPS_PROXY or HTTP_PROXY names for an address (small letters first), unless NO_PROXY excepts it.

    A login comes from the proxy's address or from `~/.netrc`. A proxy that cannot be used is said, and passed over.
    """
    name = "https_proxy" if address.is_tls else "http_proxy"
    url = environment.get(name) or environment.get(name.upper()) or ""
    if not url or _is_excepted(address, environment.get("no_proxy") or environment.get("NO_PROXY") or ""):
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        bare = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        proxy = HttpProxy.at(bare, user, password)
    except (ValueError, NotAnAddressError):
        log.warning("the environment's proxy cannot be used; the box goes without it", variable=name.upper(),
                    hint="it must look like http://proxy.example.org:3128")  # fmt: skip
        return None
    if not proxy.authorization and (login := _netrc_login(proxy.host, environment)):
        return HttpProxy(proxy.host, proxy.port, _basic(*login))
    return proxy


def _is_excepted(address: Address, no_proxy: str) -> bool:
    """Whether NO_PROXY names an address: `*`, a host or a domain above it, each with a port or without."""
    for entry in no_proxy.lower().split(","):
        name = entry.strip()
        if name == "*":
            return True
        name = name.lstrip(".")
        if name and any(where == name or where.endswith(f".{name}") for where in (address.host, address.with_port)):
            return True
    return False


def _netrc_login(host: str, environment: Mapping[str, str]) -> tuple[str, str] | None:
    from netrc import NetrcParseError, netrc

    with suppress(OSError, NetrcParseError, UnicodeError):
        found = netrc(environment.get("NETRC") or os.path.expanduser("~/.netrc")).authenticators(host)  # noqa: PTH111
        if found:
            return found[0], found[2] or ""
    return None


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
