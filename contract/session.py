"""How a box and the cloud talk: paths, bodies and headers of the uplink, all under HTTPS.

1. `POST ENROL_PATH` with a claim and the box's public key, once in a box's life.
2. `POST CHALLENGE_PATH`, then `POST SESSION_PATH` with the nonce signed, each time a session opens; answered with a
   token, the cloud's time and both cursors.
3. `POST blocks_path(stream)` with consecutive blocks; answered with the cursor after COMMIT, never before.
4. `GET DOWN_PATH`: a response that never ends; one JSON line a command, an empty line as heartbeat.
5. `POST BEAT_PATH` every BEAT_S: the box lives, and how much it has not delivered. Readings are reported on change, so
   without it a quiet estate and a dead box would look alike.
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
SILENT_AFTER_S = 65.0
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
    """The nonce signed (see signed_text), and what runs on the box."""

    gateway: str
    nonce: bytes
    signature: bytes
    version: str


class SessionReply(msgspec.Struct, frozen=True):
    """A bearer token, how long it lasts, the cloud's time (UTC, nanoseconds) and its cursors."""

    token: str
    expires_s: float
    time_ns: int
    urgent: Cursor
    bulk: Cursor


class Beat(msgspec.Struct, frozen=True):
    """Blocks of each stream that the box keeps and the cloud has not acknowledged."""

    urgent_blocks: Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
    bulk_blocks: Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]


class BeatReply(msgspec.Struct, frozen=True):
    """The cloud's time (UTC, nanoseconds)."""

    time_ns: int


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
