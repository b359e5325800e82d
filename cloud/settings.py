"""The cloud's settings, from its environment; each is described in deploy/ENVIRONMENT.md."""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from contract.errors import ConfigError, Mistake


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """For how many days rows are kept; alarms, commands and the audit log are kept for ever."""

    readings_days: int = 90
    """Single readings; then only their hours and days."""
    states_days: int = 1100
    """State changes, those of life safety among them."""
    events_days: int = 1100
    personal_days: int = 90
    """Events that say who it was; then only how many there were in a day."""
    hourly_days: int = 1100
    daily_days: int = 3660
    quarantine_days: int = 90

    def days(self, rows: str) -> int:
        """For how many days the rows of a table are kept."""
        if rows.endswith("_hour"):
            return self.hourly_days
        if rows.endswith("_day"):
            return self.daily_days
        return int(getattr(self, f"{rows}_days"))


_LATEST_DAYS = 400
"""What boxes may still bring (cloud/ingest): states and roll-ups of that time must be there to receive it."""
_KEEP_LEAST = {"readings_days": 7, "states_days": _LATEST_DAYS, "hourly_days": _LATEST_DAYS, "daily_days": _LATEST_DAYS}
_KEEP_MOST = 36_500


class Deadman(msgspec.Struct, frozen=True, kw_only=True):
    """The outside address that is asked for while the cloud works; it is a secret. Empty: none."""

    url: str = ""
    every_s: float = 60.0


class Settings(msgspec.Struct, frozen=True):
    """How this process is reached, where its data are, how long they are kept, and who notices when it is down."""

    database_url: str
    host: str
    port: int
    public_url: str
    trusted_proxy: str
    keep: Keep = Keep()
    deadman: Deadman = Deadman()
    box_url: str = ""

    @property
    def box_urls(self) -> tuple[str, ...]:
        """The addresses at which boxes know the cloud."""
        return (self.public_url, self.box_url) if self.box_url else (self.public_url,)

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
    box_url = environment.get("ANJU_BOX_URL", "").rstrip("/")
    for name, url in (("ANJU_PUBLIC_URL", public_url), ("ANJU_BOX_URL", box_url)):
        if not _is_origin(url) and (url or name == "ANJU_PUBLIC_URL"):
            hint = "for example https://anju.example.org, without a path"
            mistakes.append(Mistake(name, 0, f"{url!r} is not an address of a server", hint))
    keep = _read_keep(environment, mistakes)
    deadman = _read_deadman(environment, mistakes)
    if mistakes:
        raise ConfigError(mistakes)
    proxy = environment.get("ANJU_TRUSTED_PROXY", "")
    return Settings(database_url, host.strip("[]"), int(port), public_url, proxy, keep, deadman, box_url)


def _read_deadman(environment: Mapping[str, str], mistakes: list[Mistake]) -> Deadman:
    url, every = environment.get("ANJU_DEADMAN_URL", "").strip(), environment.get("ANJU_DEADMAN_EVERY_S", "60")
    if url and not _is_web_address(url):  # not shown: who knows it can say that all is well
        mistakes.append(Mistake("ANJU_DEADMAN_URL", 0, "is not a web address", "for example https://hc-ping.com/ID"))
    if not (every.isdecimal() and 10 <= int(every[:6]) <= 3600):
        problem = f"{every!r} is not a number of seconds from 10 to 3600"
        mistakes.append(Mistake("ANJU_DEADMAN_EVERY_S", 0, problem, "leave it out for 60"))
        every = "60"
    return Deadman(url=url, every_s=float(every))


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and " " not in url
    except ValueError:
        return False


_KEEP = {
    "ANJU_KEEP_READINGS_DAYS": "readings_days",
    "ANJU_KEEP_STATES_DAYS": "states_days",
    "ANJU_KEEP_EVENTS_DAYS": "events_days",
    "ANJU_KEEP_PERSONAL_DAYS": "personal_days",
    "ANJU_KEEP_HOURLY_DAYS": "hourly_days",
    "ANJU_KEEP_DAILY_DAYS": "daily_days",
    "ANJU_KEEP_QUARANTINE_DAYS": "quarantine_days",
}


def _read_keep(environment: Mapping[str, str], mistakes: list[Mistake]) -> Keep:
    days = {}
    for name, field in _KEEP.items():
        said, least = environment.get(name), _KEEP_LEAST.get(field, 1)
        if said is None:
            continue
        if said.isdecimal() and len(said) < 6 and least <= int(said) <= _KEEP_MOST:
            days[field] = int(said)
        else:
            problem = f"{said!r} is not a number of days from {least} to {_KEEP_MOST}"
            mistakes.append(Mistake(name, 0, problem, f"leave it out for {getattr(Keep(), field)} days"))
    return Keep(**days)
