"""The cloud's settings, from its environment; each is described in deploy/ENVIRONMENT.md."""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from contract.errors import ConfigError, Mistake


class Settings(msgspec.Struct, frozen=True):
    """How this process is reached and where its data are."""

    database_url: str
    host: str
    port: int
    public_url: str
    trusted_proxy: str

    @property
    def https(self) -> bool:
        """Whether browsers reach the cloud by HTTPS."""
        return self.public_url.startswith("https://")


def _is_origin(url: str) -> bool:
    """Whether this is scheme, host and perhaps port, and nothing more."""
    try:
        parts = urlsplit(url)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        return False
    return whole and url == f"{parts.scheme}://{parts.netloc}" and not set(url) & set("@ ")


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings. Raises ConfigError with every mistake at once."""
    mistakes = []
    database_url = environment.get("DATABASE_URL", "")
    if not database_url:
        mistakes.append(
            Mistake("DATABASE_URL", 0, "is not set", "say where the database is: postgresql://user@host/name")
        )
    listen = environment.get("ANJU_LISTEN", "127.0.0.1:8080")
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        mistakes.append(Mistake("ANJU_LISTEN", 0, f"{listen!r} is not host:port", "for example 127.0.0.1:8080"))
    public_url = environment.get("ANJU_PUBLIC_URL", f"http://{listen}").rstrip("/")
    if not _is_origin(public_url):
        hint = "for example https://anju.example.org, without a path"
        mistakes.append(Mistake("ANJU_PUBLIC_URL", 0, f"{public_url!r} is not an address of a server", hint))
    if mistakes:
        raise ConfigError(mistakes)
    proxy = environment.get("ANJU_TRUSTED_PROXY", "")
    return Settings(database_url, host.strip("[]"), int(port), public_url, proxy)
