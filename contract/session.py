"""How a box and the cloud talk: paths, bodies and headers of the uplink, all under HTTPS.

1. `POST ENROL_PATH` with a claim and the box's public key, once in a box's life.
2. `POST CHALLENGE_PATH`, then `POST SESSION_PATH` with the nonce signed, each time a session opens; answered with a
   token, the cloud's time and both cursors.
3. `POST blocks_path(stream)` with consecutive blocks; answered with the cursor after COMMIT, never before.
4. `GET DOWN_PATH`: a response that never ends; one JSON line a command, an empty line as heartbeat, as often as the box
   asks for (`?heartbeat_s=`, HEARTBEAT_S without it, MIN_BEAT_S to MAX_BEAT_S).
5. `POST BEAT_PATH` every BEAT_S, or as often as the box said when its session opened: the box lives, and how much it
   has not delivered; who sends blocks need not beat besides. Readings are reported on change, so without it a quiet
   estate and a dead box would look alike. The first of a session brings a report of the box, and so does one in which
   something of weight changed.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Annotated

import msgspec

from contract.block import MAX_BLOCK_BYTES
from contract.errors import BlockError
from contract.kinds import Lane

ENROL_PATH = "/edge/v1/enrol"
CHALLENGE_PATH = "/edge/v1/challenge"
SESSION_PATH = "/edge/v1/session"
DOWN_PATH = "/edge/v1/down"
BEAT_PATH = "/edge/v1/beat"
BEAT_S = 20.0
METERED_BEAT_S, METERED_DOWN_S = 60.0, 120.0
"""How often a box on a metered link beats, and wants to hear that its down stream lives."""
MIN_BEAT_S, MAX_BEAT_S = 5.0, 120.0
"""The cloud takes no other periods: a box must neither flood it nor be missed for long."""
SILENT_AFTER_BEATS = 3.25
SILENT_AFTER_S = SILENT_AFTER_BEATS * BEAT_S
"""A box that was not heard of for three beats is silent, and nothing behind it is known any more."""
HEARTBEAT_S = 10.0
"""A down stream that is silent for three heartbeats is dead."""
MAX_REQUEST_BYTES = MAX_BLOCK_BYTES + (1 << 20)
_LENGTH = struct.Struct("<I")


def blocks_path(stream: Lane) -> str:
    """Where the blocks of a stream are posted."""
    return f"/edge/v1/blocks/{stream}"


class Cursor(msgspec.Struct, frozen=True):
    """How far the cloud has a stream, committed. `number` 0 with epoch 0: nothing yet."""

    epoch: int
    number: int
    checksum: int


NO_CURSOR = Cursor(0, 0, 0)


class EnrolRequest(msgspec.Struct, frozen=True):
    """A claim code and the box's Ed25519 public key (32 bytes)."""

    claim: str
    public_key: bytes
    hostname: str
    version: str


class EnrolReply(msgspec.Struct, frozen=True):
    """Who the box is from now on."""

    gateway: str
    estate: str


class ChallengeRequest(msgspec.Struct, frozen=True):
    """Which gateway wants a session."""

    gateway: str


class ChallengeReply(msgspec.Struct, frozen=True):
    """A nonce to sign, good once and for a minute."""

    nonce: bytes


class SessionRequest(msgspec.Struct, frozen=True):
    """The nonce signed (see signed_text), what runs on the box, and how often it will beat, in seconds."""

    gateway: str
    nonce: bytes
    signature: bytes
    version: str
    beat_s: Annotated[float, msgspec.Meta(gt=0, le=86400)] = BEAT_S


class SessionReply(msgspec.Struct, frozen=True):
    """A bearer token, how long it lasts, the cloud's time (UTC, nanoseconds) and its cursors."""

    token: str
    expires_s: float
    time_ns: int
    urgent: Cursor
    bulk: Cursor


Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e10)]


class BusReport(msgspec.Struct, frozen=True):
    """A bus of the box: how many devices are on it, how many of them do not answer, and what is wrong with it.

    `poll_p99_ms` is how long the slowest answers took of late; `problem` is empty where nothing is wrong.
    """

    id: Annotated[str, msgspec.Meta(max_length=100)]
    protocol: Annotated[str, msgspec.Meta(max_length=50)]
    is_up: bool
    devices: Annotated[int, msgspec.Meta(ge=0, le=100_000)]
    silent: Annotated[int, msgspec.Meta(ge=0, le=100_000)]
    poll_p99_ms: Annotated[float, msgspec.Meta(ge=0, le=1e9)]
    problem: Annotated[str, msgspec.Meta(max_length=500)] = ""


MAX_BUSES_REPORTED = 64


class GatewayReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a box is, in its own words. Bytes are those of its link with the cloud, headers and TLS counted in.

    `sent_bytes` and `received_bytes` since it started, `month_bytes` both ways since the month began in its estate's
    zone, `budget_bytes` what a month may cost (0: no end), `is_bulk_held`: telemetry waits because of that.
    `written_bytes_a_day` is what wears its disk out. `is_in_memory`: the disk takes nothing, and a power cut would cost
    what the cloud does not have. `clock_source` is where its time comes from (empty: from nowhere yet),
    `clock_uncertainty_ns` how far that may be off, and `machine_clock_off_ns` how far its machine's wall clock is ahead
    of the cloud's time (None: not known). `lost_items` were given up and declared.
    """

    version: Annotated[str, msgspec.Meta(max_length=50)]
    uptime_s: Seconds
    sent_bytes: Count
    received_bytes: Count
    month_bytes: Count
    budget_bytes: Count
    is_metered: bool
    is_bulk_held: bool
    written_bytes_a_day: Count
    disk_free_bytes: Count
    disk_total_bytes: Count
    is_in_memory: bool
    clock_source: Annotated[str, msgspec.Meta(max_length=20)]
    clock_uncertainty_ns: Count
    machine_clock_off_ns: Annotated[int, msgspec.Meta(gt=-(1 << 62), lt=1 << 62)] | None
    lost_items: Count
    is_identity_shared: bool
    buses: Annotated[tuple[BusReport, ...], msgspec.Meta(max_length=MAX_BUSES_REPORTED)] = ()


class Beat(msgspec.Struct, frozen=True, omit_defaults=True):
    """Blocks of each stream that the box keeps and the cloud has not acknowledged, and now and then its report."""

    urgent_blocks: Count = 0
    bulk_blocks: Count = 0
    report: GatewayReport | None = None


class BeatReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether the cloud hears two boxes under this one's identity."""

    is_identity_shared: bool = False


NOTHING_TO_TELL = BeatReply()
"""Goes as 204, without a body."""


class RefusalReason:
    """Why blocks were refused with 409; what the box must do is beside each."""

    GAP = "gap"
    """Blocks are missing before these: send from the cursor given."""
    FORK = "fork"
    """The chain does not continue what the cloud has: open a new epoch."""
    CLOSED_EPOCH = "closed_epoch"
    """Another box (or an earlier life of this disk) goes on under a newer epoch: open a new one and tell people."""
    INVENTORY = "inventory"
    """The inventory these blocks name is not known: send it on the urgent stream, then again."""
    CLOCK = "clock"
    """The boot of these blocks has no clock record yet: send one on the urgent stream, then again."""


class BlocksReply(msgspec.Struct, frozen=True):
    """The cursor after the blocks, and how many of them were set aside for people to look at."""

    cursor: Cursor
    quarantined: int = 0


class Refusal(msgspec.Struct, frozen=True):
    """Body of a 409: why (one of RefusalReason), where the cloud stands, and which inventory is missing."""

    reason: str
    cursor: Cursor
    inventory: int = 0


def signed_text(gateway: str, nonce: bytes, audience: str) -> bytes:
    """What a box signs to open a session; `audience` is the cloud's URL, so that no other cloud can use it."""
    return b"anju session v1\n" + gateway.encode() + b"\n" + audience.rstrip("/").encode() + b"\n" + nonce


def join_blocks(blocks: Iterable[bytes]) -> bytes:
    """Blocks as one request body, each behind its length (u32, little-endian)."""
    return b"".join(_LENGTH.pack(len(block)) + block for block in blocks)


def iter_blocks(body: bytes) -> Iterator[bytes]:
    """The blocks of a request body. Raises BlockError where a length runs over the end."""
    offset = 0
    while offset < len(body):
        if offset + _LENGTH.size > len(body):
            raise BlockError("request ends within a block's length")
        (length,) = _LENGTH.unpack_from(body, offset)
        offset += _LENGTH.size
        if length > MAX_BLOCK_BYTES or offset + length > len(body):
            raise BlockError(f"request names a block of {length} bytes, {len(body) - offset} are left")
        yield body[offset : offset + length]
        offset += length
