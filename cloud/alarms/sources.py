"""Names of what alarms are about, as texts: a device's point, a box, a bus of a box, a place. Pure."""

from urllib.parse import quote, unquote
from uuid import UUID

from cloud.store.alarms import Subject
from cloud.store.windows import Asked


def series_source(series: int) -> str:
    """A device's point."""
    return f"series:{series}"


def gateway_source(gateway: UUID) -> str:
    """A box."""
    return f"gateway:{gateway}"


def bus_source(gateway: UUID, bus: str) -> str:
    """A bus of a box, by its name in the box's site file."""
    return f"bus:{gateway}/{bus}"


def place_source(estate: int, building: str = "", unit: str = "", *, within: str) -> str:
    """The unit, building or estate of a place. A name that holds a slash keeps it (as %2F)."""
    parts = {"estate": (), "building": (building,), "unit": (building, unit)}[within]
    return "/".join(
        (f"place:{estate}", *(quote(part, safe=" ") if "/" in part or "%" in part else part for part in parts))
    )


def bus_of(source: str) -> tuple[UUID, str] | None:
    """The box and the bus that a source names, if it names one."""
    kind, _, rest = source.partition(":")
    gateway, _, bus = rest.partition("/")
    return (UUID(gateway), bus) if kind == "bus" else None


def place_of(source: str) -> tuple[str, str] | None:
    """The building and unit of a place, empty where it is wider; None for what is no place."""
    kind, _, rest = source.partition(":")
    _, building, unit = (*(unquote(part) for part in rest.split("/")), "", "")[:3]
    return (building, unit) if kind == "place" else None


def asked_of(subject: Subject) -> Asked:
    """A source as windows know it. The place and bus of a device are in the database."""
    bus, place = bus_of(subject.source), place_of(subject.source)
    return Asked(
        subject.estate, subject.gateway, subject.device, bus[1] if bus else None,
        *((place[0] or None, place[1] or None) if place else (None, None)),
    )  # fmt: skip
