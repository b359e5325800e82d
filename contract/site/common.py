"""The site file: what is connected to one box, written by a person and kept in git. Secrets are references only.

What every protocol has in common is here; each protocol's bus and devices are in its own module.
"""

import ipaddress
import re
from contextlib import suppress
from typing import Annotated

import msgspec

from contract.profile import Name

Where = tuple[str | int, ...]


class Secret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A reference to a secret: the name of a file in the box's folder of secrets, never the value."""

    secret: Name
    """The file's name in the folder."""


class SitePlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a device is: building, unit, floor and spot, as numbers or words."""

    building: str | int = ""
    """Number or name, as people on the spot say it."""
    unit: str | int = ""
    """The stairwell or entrance of the building."""
    floor: str | int = ""
    """Number or name; below ground -1."""
    spot: str | int = ""
    """What tells it from others there: 走廊, 入口."""


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One device: its profile and its place. Each protocol adds how it is found on its bus."""

    id: Name
    """Names it for good: its history goes by this id. Once in the file."""
    name: str
    """What people call it."""
    profile: str
    """Its model: one of `anju profile list`, or of your own in `profiles/` beside the site file."""
    place: SitePlace = SitePlace()
    """Where it is."""


class Bus(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the box reads devices through: one endpoint, line, radio or broker, which has one owner on the box."""

    id: Name
    """Names it in logs and on the box's page. Once in the file."""


SEAL_S = 5.0
METERED_SEAL_S = 60.0


class Storage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much the box keeps while it cannot send, and how often it seals bulk (the loss bound of a power cut)."""

    seal_s: Annotated[float, msgspec.Meta(ge=0.1, le=600)] | None = None
    """Telemetry is put on disk this often, in seconds: so much of it a power cut may cost. States go at once.
    Every 5 s unless it is said otherwise, on a metered link every 60 s."""
    urgent_mb: Annotated[int, msgspec.Meta(ge=8, le=100_000)] = 256
    """MB for states, events and answers that the cloud does not have yet."""
    bulk_mb: Annotated[int, msgspec.Meta(ge=8, le=1_000_000)] = 2048
    """MB for telemetry that the cloud does not have yet; when full the oldest goes, and the cloud is told."""
    bulk_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 30
    """Telemetry that waited for more days than this goes, and the cloud is told. Days that the box ran are counted."""
    endurance_tb: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)] | None = None
    """TB that may be written to the box's disk in its life (TBW), where its maker says so: the box's page then says how
    long it lasts at what is written now."""


class Proxy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An HTTP proxy on the way to the cloud, with a login where it wants one."""

    url: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^http://[^\s/@]+/?$", description="for example http://proxy.example.org:3128, the login beside it"
        ),
    ]
    """Its address."""
    user: str = ""
    """Its login, where it wants one."""
    password: Secret | None = None
    """Its password, as a secret."""


URGENT_SHARE = 10
"""Of a month's budget, this fraction is kept for what is urgent, until the month ends."""
LONGEST_MONTH_DAYS = 31


class Cloud(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the box sends, and on what terms. `ca` names a PEM file of an own certificate authority.

    Without `proxy` the usual variables (HTTPS_PROXY, NO_PROXY) count. Alarms and states go at once on any terms.
    """

    proxy: Proxy | None = None
    """An HTTP proxy on the way."""
    url: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^https?://[^\s/]+/?$", description="for example https://anju.example.org, without a path"
        ),
    ]
    """The cloud this box was enrolled with."""
    ca: str | None = None
    """PEM file of an own certificate authority, relative to the site file."""
    metered: bool = False
    """The way there is paid for by the byte (4G): the box keeps in touch each minute, repeats seldom what did not
    change (telemetry each quarter of an hour, states each hour), and sends telemetry together."""
    max_kbit_s: Annotated[int, msgspec.Meta(ge=16, le=1_000_000)] | None = None
    """Telemetry may take so much of the link, in kbit/s; alarms and states are not held back by it."""
    budget_mb_month: Annotated[int, msgspec.Meta(ge=50, le=1_000_000)] | None = None
    """MB that a month may cost in both directions. Telemetry stops, and is kept, where the rest is needed for what is
    urgent: a tenth, and for each day that is left what a quiet box needs, 5 MB or with `metered` 1 MB."""

    @property
    def quiet_mb_a_day(self) -> int:
        """What a quiet box costs a day at most: beats, heartbeats, sessions, states repeated; no telemetry.

        With the headers of IP and TLS. Beats and heartbeats were 2.9 MB on the wire, the states of thirty devices, each
        five minutes, are 1.1. For a metered link see the benchmark `uplink.idle_mb_a_day`.
        """
        return 1 if self.metered else 5


class Estate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The estate's name and time zone."""

    name: str
    """What the box calls it; to which estate it belongs is decided by its claim."""
    timezone: str = "Asia/Shanghai"
    """Name in the IANA list."""


MOST_NAME = 200
"""Characters of a name; the cloud refuses an inventory with a longer one."""


def name_problem(text: str | int) -> str:
    """What is wrong with a name that people give; empty where nothing is."""
    words = str(text)
    if len(words) > MOST_NAME:
        return f"is longer than {MOST_NAME} characters"
    return "" if words.isprintable() else "holds characters that cannot be shown"


def host_hint(host: str) -> str:
    """What is wrong with a host, as a hint; empty when it can be an address or a name. Nobody is asked for it."""
    with suppress(ValueError):
        ipaddress.ip_address(host)
        return ""
    if re.fullmatch(r"[\d.]+", host):
        return "four numbers from 0 to 255"
    if ":" in host or "/" in host:
        return "the host alone: no http://, and the port in port:"
    try:
        # As the resolver will do it: a label is at most 63 bytes and never empty, and may be Chinese.
        labels = host.encode("idna").decode("ascii").removesuffix(".").split(".")
    except UnicodeError:
        labels = [""]
    if all(re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", label) for label in labels):
        return ""
    return "a name is parts of letters, digits and - between single dots, each at most 63 long"
