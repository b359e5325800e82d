"""What the urgent stream carries: records, as tagged msgpack arrays.

`decode_records(encode_records(records)) == records` for every list of records. A tag never changes its meaning and
fields are only added at the end, so that an old box can talk to a new cloud.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from contract.kinds import Lane
from contract.messages import CommandResult, Event, Quality


class Place(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=False):
    """Where a device is, as people of the estate say it. Every part may be empty."""

    building: str = ""
    unit: str = ""
    floor: str = ""
    spot: str = ""


class StateRecord(msgspec.Struct, frozen=True, array_like=True, tag="state"):
    """A state point took a value (a word's code), or lost it (`value` None, quality not good)."""

    device: str
    point: str
    value: str | None
    quality: Quality
    mono_ns: int


class DeviceEntry(msgspec.Struct, frozen=True, array_like=True):
    """A device as the cloud needs to know it."""

    id: str
    name: str
    kind: str
    profile: str
    bus: str
    place: Place
    commands: tuple[str, ...]


class SeriesEntry(msgspec.Struct, frozen=True, array_like=True):
    """A series of a device: its point, its lane, and after how many seconds of silence it is stale."""

    device: str
    point: str
    lane: Lane
    stale_after_s: float


class InventoryRecord(msgspec.Struct, frozen=True, array_like=True, tag="inventory"):
    """All devices and series of a box. Bulk blocks name it by `inventory_id` and count series by position in it."""

    estate: str
    devices: tuple[DeviceEntry, ...]
    series: tuple[SeriesEntry, ...]

    @property
    def inventory_id(self) -> int:
        """What the inventory says, as 63 bits: the same content has the same id on every box and after any restore."""
        digest = hashlib.blake2b(msgspec.msgpack.encode(self), digest_size=8).digest()
        return int.from_bytes(digest, "little") >> 1


class ClockRecord(msgspec.Struct, frozen=True, array_like=True, tag="clock"):
    """Ties a boot's monotonic time to UTC: at `mono_ns` of boot `boot` it was `utc_ns`, give or take."""

    boot: bytes
    mono_ns: int
    utc_ns: int
    uncertainty_ns: int
    source: str


class LossReceipt(msgspec.Struct, frozen=True, array_like=True, tag="loss"):
    """The box gave up blocks `first`..`last` of a stream; the cloud moves its cursor over them.

    `checksum` is that of block `last`, so that the chain goes on. Epoch, first and last are 0 where no numbers are
    known (a damaged file, readings dropped before they were sealed): the loss is noted and no cursor moves.
    """

    stream: Lane
    epoch: int
    first: int
    last: int
    checksum: int
    items: int
    reason: str
    mono_ns: int


class ConfigReport(msgspec.Struct, frozen=True, array_like=True, tag="config"):
    """What the box runs: version of the software, of its site file, and when this run began."""

    version: str
    site_digest: str
    mono_ns: int


Record = StateRecord | Event | InventoryRecord | ClockRecord | LossReceipt | CommandResult | ConfigReport

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[Record, ...])


def encode_records(records: Sequence[Record]) -> bytes:
    """Records as the body of an urgent block, before compression."""
    return _encoder.encode(records)


def decode_records(body: bytes) -> tuple[Record, ...]:
    """The records of an urgent block's body. Raises msgspec.DecodeError (ValidationError is one) on anything else."""
    try:
        return _decoder.decode(body)
    except UnicodeDecodeError as e:  # msgspec lets it through as it is
        raise msgspec.DecodeError(f"text that is not UTF-8: {e.reason}") from None
    except RecursionError:
        raise msgspec.DecodeError("nested too deep") from None
