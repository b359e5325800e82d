"""Where a server is: the parts of an http or https address that a request needs."""

from typing import Final, Self
from urllib.parse import urlsplit

import msgspec

from contract.errors import AnjuError

_PORTS: Final = {"http": 80, "https": 443}


class NotAnAddressError(AnjuError):
    """What should be a server's address is none."""


class Address(msgspec.Struct, frozen=True):
    """A server, and the path before each of its paths, which is nearly always empty."""

    is_tls: bool
    host: str
    port: int
    path: str = ""

    @classmethod
    def parse(cls, url: str) -> Self:
        """The address in `http(s)://host[:port][/path]`. Raises NotAnAddressError."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
            host = host if host.isascii() else host.encode("idna").decode("ascii")
        except ValueError as e:  # a UnicodeError is one
            raise NotAnAddressError(f"{url!r} is not an address: {e}") from None
        if parts.scheme not in _PORTS or not host or port == 0 or _is_odd(host + parts.path):
            raise NotAnAddressError(f"{url!r} is not an address of a server; it looks like https://anju.example.com")
        if parts.username is not None or parts.query or parts.fragment:
            raise NotAnAddressError("a server's address has neither a login nor anything behind a ? or #")
        return cls(parts.scheme == "https", host, port or _PORTS[parts.scheme], parts.path.rstrip("/"))

    @property
    def with_port(self) -> str:
        """Host and port; an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def authority(self) -> str:
        """What the Host header says: the port only where it is not the usual one."""
        if self.port == _PORTS["https" if self.is_tls else "http"]:
            return self.with_port.rpartition(":")[0]
        return self.with_port


def _is_odd(text: str) -> bool:
    """Whether something could be taken for more than a part of an address."""
    return not text.isascii() or any(c <= " " or c == "\x7f" for c in text)
