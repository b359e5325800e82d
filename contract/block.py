"""The block: the unit in which a box says everything (ARCHITECTURE.md, decisions 1-4). Layout in BLOCK.md.

A block is encoded once on the box, kept as one row, sent as it is, and decoded in the cloud. It names its epoch, its
number and its predecessor's checksum, so that a stream of blocks is a chain.
"""

import hashlib
import struct
import threading

import msgspec
import zstandard

from contract.errors import BlockError
from contract.kinds import Lane

MAGIC = b"ANJB"
VERSION = 1
HEADER = struct.Struct("<4sBBHQQQ16sQQQIII")
CHECKSUM_BYTES = 8
MAX_ITEMS = 100_000
MAX_BODY_BYTES = 4 << 20
"""Largest body after decompression; a block that claims more is refused before it is decompressed."""
MAX_BLOCK_BYTES = HEADER.size + MAX_BODY_BYTES + CHECKSUM_BYTES

_STREAM_CODES = {Lane.URGENT: 0, Lane.BULK: 1}
_STREAMS = {code: stream for stream, code in _STREAM_CODES.items()}
_ZSTD_LEVEL = 3


class _OfThread(threading.local):
    """Of each thread its own: to make one takes three times as long as to decompress a block."""

    def __init__(self) -> None:
        self.decompressor = zstandard.ZstdDecompressor()


_of_thread = _OfThread()


class Header(msgspec.Struct, frozen=True):
    """What a block says of itself.

    `inventory` names the inventory that counts its series (0 in urgent blocks); `base_ns` and `sealed_ns` are
    monotonic times of boot `boot`; `sealed_ns` grows strictly with each block of a stream within a boot, which is how
    the cloud knows a repeat even after an epoch was opened anew.
    """

    stream: Lane
    epoch: int
    number: int
    previous: int
    boot: bytes
    inventory: int
    base_ns: int
    sealed_ns: int
    items: int


class Block(msgspec.Struct, frozen=True):
    """A sound block, taken apart. `body` is decompressed: records (urgent) or columns (bulk)."""

    header: Header
    body: bytes
    checksum: int


def encode_block(header: Header, body: bytes) -> bytes:
    """A sealed block: header, compressed body, checksum. Raises BlockError above the limits."""
    if header.items > MAX_ITEMS or len(body) > MAX_BODY_BYTES:
        raise BlockError(f"{header.items} items in {len(body)} bytes are more than a block holds; seal earlier")
    packed = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(body)
    return _seal(header, len(body), packed)


def _seal(header: Header, body_bytes: int, packed: bytes) -> bytes:
    head = HEADER.pack(
        MAGIC, VERSION, _STREAM_CODES[header.stream], 0, header.epoch, header.number, header.previous, header.boot,
        header.inventory, header.base_ns, header.sealed_ns, header.items, body_bytes, len(packed),
    )  # fmt: skip
    return head + packed + checksum_bytes(head + packed)


def checksum_bytes(data: bytes) -> bytes:
    """The 8 bytes that close a block whose header and body are `data` (BLAKE2b)."""
    return hashlib.blake2b(data, digest_size=CHECKSUM_BYTES).digest()


def checksum_of(block: bytes) -> int:
    """The checksum that a block carries, as its successor names it: its upper 63 bits. Not verified here."""
    return int.from_bytes(block[-CHECKSUM_BYTES:], "little") >> 1


def split_block(data: bytes) -> tuple[Header, int, bytes]:
    """Header, body size and compressed body of a block whose magic, version, lengths and checksum hold.

    Raises BlockError naming the check that failed. Reads nothing that the checksum does not cover.
    """
    if len(data) < HEADER.size + CHECKSUM_BYTES:
        raise BlockError(f"{len(data)} bytes are too few for a block")
    magic, version, code, flags, *rest = HEADER.unpack_from(data)
    epoch, number, previous, boot, inventory, base_ns, sealed_ns, items, body_bytes, packed_bytes = rest
    if magic != MAGIC:
        raise BlockError("not a block (magic)")
    if version != VERSION or flags:
        raise BlockError(f"block version {version}, flags {flags}: only version {VERSION} is known; update the cloud")
    if len(data) != HEADER.size + packed_bytes + CHECKSUM_BYTES:
        raise BlockError(f"block has {len(data)} bytes, its header says {HEADER.size + packed_bytes + CHECKSUM_BYTES}")
    if checksum_bytes(data[:-CHECKSUM_BYTES]) != data[-CHECKSUM_BYTES:]:
        raise BlockError("checksum does not match: the block was damaged")
    if code not in _STREAMS:
        raise BlockError(f"stream {code} does not exist")
    if items > MAX_ITEMS or body_bytes > MAX_BODY_BYTES:
        raise BlockError(f"block claims {items} items in {body_bytes} bytes, more than is allowed")
    if max(epoch, number, previous, inventory, 2 * base_ns, sealed_ns) >= 1 << 63:  # ticks come on top of base_ns
        raise BlockError("a number in the header is out of range")
    if not epoch or not number:
        raise BlockError("epoch and number count from 1; 0 means that there is no block yet")
    header = Header(_STREAMS[code], epoch, number, previous, boot, inventory, base_ns, sealed_ns, items)
    return header, body_bytes, data[HEADER.size : -CHECKSUM_BYTES]


def inflate(body_bytes: int, packed: bytes) -> bytes:
    """A block's body, decompressed: exactly `body_bytes` long. Raises BlockError, never makes more than that."""
    try:
        # The frame's own claim is checked first, so that a small frame cannot ask for gigabytes.
        if zstandard.frame_content_size(packed) != body_bytes:
            raise BlockError("compressed body claims another size than the header")
        body = _of_thread.decompressor.decompress(packed, max_output_size=body_bytes, allow_extra_data=False)
    except zstandard.ZstdError as e:
        raise BlockError(f"body does not decompress: {e}") from e
    if len(body) != body_bytes:
        raise BlockError(f"body has {len(body)} bytes, the header says {body_bytes}")
    return body


def decode_block(data: bytes) -> Block:
    """A block taken apart and decompressed. Raises BlockError naming the check that failed."""
    header, body_bytes, packed = split_block(data)
    return Block(header, inflate(body_bytes, packed), checksum_of(data))


def rechain_block(data: bytes, epoch: int, number: int, previous: int) -> bytes:
    """The same body under a new place in a chain, for a box that must open a new epoch. Raises BlockError."""
    header, body_bytes, packed = split_block(data)
    return _seal(msgspec.structs.replace(header, epoch=epoch, number=number, previous=previous), body_bytes, packed)
