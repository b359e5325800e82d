"""What the simulated BlueZ asks of a simulated sensor: what it sends by itself, and what it is when connected."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

BASE_UUID = "-0000-1000-8000-00805f9b34fb"


def full_uuid(uuid: str) -> str:
    """A UUID of 16 or 32 bits as 128 bits. Source: Bluetooth Core 5.4, vol 3, part B, section 2.5.1."""
    return (uuid.rjust(8, "0") + BASE_UUID if len(uuid) <= 8 else uuid).lower()


class Advertisement(msgspec.Struct, frozen=True, kw_only=True):
    """What one advertisement says. Service UUIDs are of 128 bits."""

    name: str | None = None
    manufacturer: dict[int, bytes] = {}
    service: dict[str, bytes] = {}
    uuids: tuple[str, ...] = ()
    rssi: int = -60


class Characteristic(msgspec.Struct, frozen=True):
    """A characteristic: its UUID and what can be done with it, in BlueZ's words (`read`, `write`, `notify`, …)."""

    uuid: str
    flags: tuple[str, ...]


class Service(msgspec.Struct, frozen=True):
    """A primary service and its characteristics."""

    uuid: str
    characteristics: tuple[Characteristic, ...]


class AttError(Exception):
    """The device refuses a read or a write with this code. Source: Bluetooth Core 5.4, vol 3, part F, table 3.4."""

    def __init__(self, code: int) -> None:
        super().__init__(f"ATT error {code:#04x}")
        self.code = code


class Peripheral(Protocol):
    """A sensor as the radio meets it."""

    @property
    def address(self) -> str:
        """Its address, in capital letters."""

    @property
    def services(self) -> Sequence[Service]:
        """What it offers when connected."""

    async def accept(self) -> bool:
        """Whether it lets itself be connected; may take its time, or for ever."""

    def linked(self, tell: Callable[[str, bytes], None] | None) -> None:
        """It is connected from now on, and may tell values of its characteristics; with None it is not."""

    async def read(self, characteristic: str) -> bytes:
        """A characteristic's value; may take its time, or for ever. Raises AttError."""

    async def write(self, characteristic: str, value: bytes) -> None:
        """Writes a characteristic; may take its time, or for ever. Raises AttError."""
