"""What all channels share: the HTTP client, the secrets, the clock; read from the environment of the cloud."""

import os
import re
import ssl
import time
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from pathlib import Path

import msgspec

from cloud.notify.http import Http, Proxy, parse_proxy
from cloud.notify.reach import Network, Reach
from cloud.notify.secrets import Secrets
from contract.errors import ConfigError, Mistake


class Tools(msgspec.Struct, frozen=True):
    """Handed to each channel that is made."""

    http: Http
    secrets: Secrets
    clock: Callable[[], float] = time.time
    """Unix time, for signatures that a service compares with its own clock."""


def read_tools(environment: Mapping[str, str] = os.environ) -> Tools:
    """The tools, from the variables that deploy/ENVIRONMENT.md describes. Raises ConfigError with every mistake."""
    mistakes: list[Mistake] = []
    reach = Reach(networks=_networks(environment, mistakes), plain=_hosts(environment, mistakes))
    http = Http(reach, trust=_trust(environment, mistakes), proxy=_proxy(environment, mistakes))
    folder = environment.get("ANJU_NOTIFY_SECRETS") or environment.get("CREDENTIALS_DIRECTORY")
    if mistakes:
        raise ConfigError(mistakes)
    return Tools(http, Secrets(environment, Path(folder) if folder else None))


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,]+", text) if word]


def _networks(environment: Mapping[str, str], mistakes: list[Mistake]) -> tuple[Network, ...]:
    networks = []
    for word in _words(environment.get("ANJU_NOTIFY_NETWORKS", "")):
        try:
            networks.append(ip_network(word))
        except ValueError:
            hint = "for example 10.1.0.0/16,192.168.7.9"
            mistakes.append(Mistake("ANJU_NOTIFY_NETWORKS", 0, f"{word!r} is not a network", hint))
    return tuple(networks)


def _hosts(environment: Mapping[str, str], mistakes: list[Mistake]) -> frozenset[str]:
    hosts = _words(environment.get("ANJU_NOTIFY_PLAIN", "").lower())
    for host in hosts:
        if "/" in host:
            problem = f"{host!r} is not a host alone"
            mistakes.append(Mistake("ANJU_NOTIFY_PLAIN", 0, problem, "for example relay.example.org"))
    return frozenset(hosts)


def _trust(environment: Mapping[str, str], mistakes: list[Mistake]) -> ssl.SSLContext:
    trust = ssl.create_default_context()
    if path := environment.get("ANJU_NOTIFY_CA"):
        try:
            trust.load_verify_locations(cafile=path)
        except OSError as e:  # an ssl.SSLError is one
            problem = f"{path} has no certificates: {e.strerror or 'it is not PEM'}"
            mistakes.append(Mistake("ANJU_NOTIFY_CA", 0, problem, "name a PEM file of authorities"))
    return trust


def _proxy(environment: Mapping[str, str], mistakes: list[Mistake]) -> Proxy | None:
    if not (url := environment.get("ANJU_NOTIFY_PROXY")):
        return None
    try:
        return parse_proxy(url)
    except ValueError:  # not shown: it may hold a password
        mistakes.append(Mistake("ANJU_NOTIFY_PROXY", 0, "is not a proxy", "for example http://proxy.example.org:3128"))
        return None
