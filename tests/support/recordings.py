"""Recordings of real devices: bytes that others published, with where and what they say of them."""

from pathlib import Path
from typing import Any

import msgspec

FOLDER = Path(__file__).resolve().parent.parent / "recordings"
Said = dict[str, dict[str, Any]]
"""By profile (and "/channel" behind it where a unit serves several): the values that the source states, by point."""


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a reader finds the bytes: the document, its address, the place in it, and its own words."""

    title: str
    url: str
    place: str
    quote: str


class Exchange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One question and its answer as RTU frames in hex.

    Sources that do not show the question give its `table`, `address` and `count`; ones that give the content of
    registers alone have `words`. Without `has_crc` the answer ends before its check sum.
    """

    request: str = ""
    table: str = ""
    address: int = 0
    count: int = 0
    response: str = ""
    words: list[int] = []
    has_crc: bool = True
    quote: str
    says: Said


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A write that the source says does this: the RTU frame of a command of a profile."""

    request: str
    quote: str
    profile: str
    channel: int
    point: str
    args: dict[str, float]


class Advertisement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a sensor broadcasts: payloads in hex by company (0x…) and by service; `None` is a value it does not know."""

    address: str
    name: str
    manufacturer: dict[str, str] = {}
    service: dict[str, str] = {}
    bindkey: str = ""
    quote: str = ""
    says: Said


class Recording(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one source shows of one model. Files are called MODEL_hardware_firmware.json; x is what it does not say."""

    model: str
    hardware: str = ""
    firmware: str = ""
    what: str
    source: Source
    exchanges: list[Exchange] = []
    orders: list[Order] = []
    advertisements: list[Advertisement] = []


def recordings(protocol: str) -> dict[str, Recording]:
    """All recordings of a protocol, by the name of their file."""
    files = sorted((FOLDER / protocol).glob("*.json"))
    return {path.stem: msgspec.json.decode(path.read_bytes(), type=Recording) for path in files}


def profile_and_channel(key: str) -> tuple[str, int]:
    """The two halves of a key of `says`."""
    profile, _, channel = key.partition("/")
    return profile, int(channel or 0)
