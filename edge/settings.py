"""What the box is given: a site file with its profiles, the way to the cloud, a state folder of its own.

All of it is looked at before anything starts, and what is wrong with it is said in a sentence.
"""

import fcntl
import ipaddress
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from contract.errors import AnjuError, ConfigError
from contract.profile import AnyProfile, ProfileStore, shipped_profiles
from contract.site import Cloud, MqttBus, Site, load_site
from edge.http.address import Address, NotAnAddressError
from edge.http.proxy import HttpProxy
from edge.secrets import read_secret

LOCK_FILE = "lock"


def load_config(site_path: Path, relative_to: Path | None = None) -> tuple[Site, Mapping[str, AnyProfile]]:
    """The site file with the profiles it may name: those shipped, and those in `profiles/` beside it.

    An own profile replaces a shipped one of its id. Files that the site file names are sought beside it, or in another
    folder. Raises ConfigError with every mistake in the site file and in the profiles that it names.
    """
    folder = relative_to or site_path.parent
    profiles = ProfileStore((shipped_profiles(), site_path.parent / "profiles"))
    try:
        site = load_site(site_path, profiles)
    except ConfigError as e:
        raise ConfigError([*e.mistakes, *(mistake for some in profiles.broken.values() for mistake in some)]) from e
    used = {device.profile for bus in site.buses for device in bus.devices}
    if mistakes := [mistake for name in sorted(used & set(profiles.broken)) for mistake in profiles.broken[name]]:
        raise ConfigError(mistakes)
    buses = [
        msgspec.structs.replace(bus, ca=str(folder / bus.ca)) if isinstance(bus, MqttBus) and bus.ca else bus
        for bus in site.buses
    ]
    return msgspec.structs.replace(site, buses=buses), profiles


def trust_of(cloud: Cloud, site_path: Path) -> ssl.SSLContext | None:
    """Trust in the authority that the site file names, by a path relative to it; None for the system's."""
    path = ca_path(cloud, site_path)
    if path is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(path))
    except OSError as e:  # ssl.SSLError is one
        raise AnjuError(f"{path} (cloud.ca in {site_path}) cannot be used: {e}. It must be a PEM certificate.") from e


def ca_path(cloud: Cloud, site_path: Path) -> Path | None:
    """Where the file of the authority is that the site file names, if it names one."""
    return None if cloud.ca is None else site_path.parent / cloud.ca


def proxy_of(cloud: Cloud) -> HttpProxy | None:
    """The proxy that the site file names, with its login; the password is looked up now, so that it is there."""
    proxy = cloud.proxy
    if proxy is None:
        return None
    return HttpProxy.at(proxy.url, proxy.user, read_secret(proxy.password) if proxy.password else "")


def warning_in_clear(url: str) -> str:
    """A sentence where a cloud's address lets everyone on the way read along; empty for https and this machine."""
    try:
        address = Address.parse(url)
    except NotAnAddressError:  # whoever uses it will say so
        return ""
    if address.is_tls or is_loopback(address.host):
        return ""
    return f"{url} is not encrypted: claim, token and all data can be read and changed on the way; use https"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself, as far as its name tells."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


@contextmanager
def only_one(state_dir: Path) -> Iterator[None]:
    """Holds the state folder for this process alone. Raises AnjuError when another one holds it, or it cannot write."""
    try:
        lock = (state_dir / LOCK_FILE).open("w")
    except OSError as e:
        raise AnjuError(
            f"the state folder {state_dir} cannot be used: {e.strerror or e}.\n"
            f"    It must be there and writable for the user of this process (uid {os.geteuid()}), on a disk with room."
        ) from e
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise AnjuError(
                f"another `anju run` uses {state_dir}.\n"
                "    Stop it first (systemctl stop anju-edge), or name another folder with --state."
            ) from e
        yield
