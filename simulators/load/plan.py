"""What a load is made of, and what came of it: the messages between the command and its processes."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contract.session import BEAT_S


class Identity(msgspec.Struct, frozen=True):
    """A box of a load: its id in the cloud, and the 32 bytes of its key."""

    gateway: str
    key: bytes


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How so many boxes behave. `ca` empty: the system's authorities are trusted.

    Each box beats, seals telemetry every `bulk_s` with so many readings, and has a smoke event every `urgent_s` on
    average. Boxes connect at `connect_per_s` for each process; at what moment of its period each does something is
    left to the dice of `seed`.
    """

    cloud: str
    boxes: str
    """The file of identities, one a line."""
    first: int = 0
    count: int | None = None
    address: str = ""
    """host:port to connect to instead of the cloud's own; what the boxes sign stays the cloud's."""
    ca: str = ""
    detectors: int = 10
    readings: int = 40
    beat_s: float = BEAT_S
    bulk_s: float = 60.0
    urgent_s: float = 300.0
    connect_per_s: float = 25.0
    seed: int = 1


class Tick(msgspec.Struct, kw_only=True):
    """What a process did in about a second: boxes connected now, and how often what happened; `ms` by kind of request.

    `problems` has the newest problem of each kind in words.
    """

    connected: int = 0
    counts: dict[str, int] = {}
    ms: dict[str, list[float]] = {}
    problems: dict[str, str] = {}

    def count(self, what: str, n: int = 1) -> None:
        """Something happened."""
        self.counts[what] = self.counts.get(what, 0) + n

    def took(self, what: str, ms: float) -> None:
        """A request was answered after so many milliseconds."""
        self.count(what)
        self.ms.setdefault(what, []).append(round(ms, 2))

    def add(self, other: "Tick") -> None:
        """Adds what another tick counted, but for who is connected."""
        for what, n in other.counts.items():
            self.count(what, n)
        for what, values in other.ms.items():
            self.ms.setdefault(what, []).extend(values)
        self.problems |= other.problems


def new_key() -> tuple[bytes, bytes]:
    """A new box's key: its private and its public 32 bytes."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes_raw(), key.public_key().public_bytes_raw()


def write_identities(path: Path, identities: Iterable[Identity]) -> None:
    """Writes a file of identities, which only its owner can read: it holds keys."""
    path.touch(mode=0o600)
    path.write_bytes(b"".join(msgspec.json.encode(identity) + b"\n" for identity in identities))


def read_identities(path: Path) -> Iterator[Identity]:
    """The identities of a file. Raises OSError, msgspec.DecodeError."""
    with path.open("rb") as lines:
        yield from (msgspec.json.decode(line, type=Identity) for line in lines)
