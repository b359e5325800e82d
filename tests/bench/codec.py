"""The block as a codec: bytes a reading beside three rivals, sealing on the box, decoding in the cloud.

The corpus (tests/bench/corpus.py) says of itself how noisy it is. Blocks are those of a box that seals each minute:
about 2,600 readings of 500 series. Every way is given the same readings, must give them back, and is measured in turns
in the same run. Sealing begins with the rows that the outbox holds and ends with the block that goes to disk; decoding
begins with a block as it came and ends with checked numpy columns. Both in CPU time of the one thread that does it.
"""

import gzip
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec
import numpy as np
import zstandard

from cloud.store.columns import Columns
from cloud.store.columns import decode_columns as decode_by_numpy
from contract.block import Header, decode_block, encode_block
from contract.columns import TICK_NS, Row, decode_columns, encode_columns
from contract.kinds import Lane
from tests.bench.corpus import Corpus, corpus
from tests.bench.figures import Figure, spread
from tests.bench.gorilla import gorilla_decode, gorilla_encode
from tests.bench.wire import wire_bytes

ROUNDS: Final = 9
LONG_MINUTES: Final = 30
"""An hour has more readings than a block may hold."""
_ZSTD_LEVEL: Final = 3
Rows = Sequence[Row]


async def codec(folder: Path) -> list[Figure]:
    """Bytes, sealing, decoding, and what HTTP and TLS add to a block."""
    of = corpus()
    sealed = [seal(rows) for rows in of.blocks]
    for rows, block in zip(of.blocks, sealed, strict=True):
        _check(rows, block)
    return [_bytes(of, sealed), await _wire(folder, of), *_speeds(of, sealed)]


def seal(rows: Rows) -> bytes:
    """As the outbox does it, up to the disk."""
    base_ns = min(row.mono_ns for row in rows)
    body = encode_columns(rows, base_ns)
    return encode_block(Header(Lane.BULK, 1, 1, 0, bytes(16), 1, base_ns, base_ns, len(rows)), body)


def unseal(block: bytes, inventory_size: int) -> Columns:
    """As the cloud does it."""
    found = decode_block(block)
    return decode_by_numpy(found.header, found.body, inventory_size)


def _check(rows: Rows, block: bytes) -> None:
    """Raises unless a block brings every reading back, to the bit and the millisecond."""
    found, ordered = decode_block(block), sorted(rows, key=lambda row: row.series)
    columns = unseal(block, 1 << 16)
    base_ns = found.header.base_ns
    assert columns.value.tobytes() == np.array([row.value for row in ordered]).tobytes()
    assert columns.series.tolist() == [row.series for row in ordered]
    assert columns.quality.tolist() == [row.quality for row in ordered]
    assert columns.mono_ns.tolist() == [base_ns + (row.mono_ns - base_ns) // TICK_NS * TICK_NS for row in ordered]
    assert len(decode_columns(found.body, len(rows), base_ns)) == len(rows)
    assert repr(gorilla_decode(gorilla_encode(rows, base_ns), base_ns)) == repr(
        [msgspec.structs.replace(row, mono_ns=int(at)) for row, at in zip(ordered, columns.mono_ns, strict=True)]
    )


# Bytes


def _bytes(of: Corpus, sealed: Sequence[bytes]) -> Figure:
    long = _long(of)
    sizes = {
        "JSON rows, gzip": sum(len(gzip.compress(json_rows(rows), 6)) for rows in of.blocks),
        "msgpack columns, zstd": sum(len(msgpack_seal(rows)) for rows in of.blocks),
        "Gorilla": sum(len(gorilla_encode(rows, _base_ns(rows))) for rows in of.blocks),
        f"Gorilla in blocks of {LONG_MINUTES} min": sum(len(gorilla_encode(rows, _base_ns(rows))) for rows in long),
        f"ours in blocks of {LONG_MINUTES} min": sum(len(seal(rows)) for rows in long),
    }
    each = {name: size / of.readings for name, size in sizes.items()}
    rival = min(list(each)[:3], key=each.__getitem__)
    noise, jitter = of.noise_bits / 8, of.jitter_bits / 8
    note = (
        f"{of.readings:,} readings of {of.series} series in blocks of 60 s, {of.readings // len(of.blocks):,} each;"
        f" headers and checksums counted. Noise of 2 steps or more on {of.noisy_share:.0%} of the series takes about"
        f" {noise:.2f} B a reading at the very least, the jitter of the reads {jitter:.2f}: no codec goes much below"
        f" {noise + jitter:.2f}; each block also begins all series anew. The others:"
        f" {', '.join(f'{name} {size:.2f}' for name, size in each.items())}"
    )
    ours = sum(map(len, sealed)) / of.readings
    return Figure(name="codec.bytes_per_reading", value=ours, unit="B", most=3, rival=rival, rival_value=each[rival],
                  note=note)  # fmt: skip


def _base_ns(rows: Rows) -> int:
    return min(row.mono_ns for row in rows)


def _long(of: Corpus) -> list[list[Row]]:
    starts = range(0, len(of.blocks), LONG_MINUTES)
    return [[row for rows in of.blocks[at : at + LONG_MINUTES] for row in rows] for at in starts]


def json_rows(rows: Rows) -> bytes:
    """Rows of [series, milliseconds, value, quality] as JSON; NaN as null."""
    return msgspec.json.encode([(row.series, row.mono_ns // TICK_NS, row.value, row.quality) for row in rows])


def msgpack_seal(rows: Rows) -> bytes:
    """Four columns by series, as msgpack, under zstd."""
    ordered = sorted(rows, key=lambda row: row.series)
    columns = (
        [row.series for row in ordered], [row.mono_ns // TICK_NS for row in ordered], [row.value for row in ordered],
        [int(row.quality) for row in ordered],
    )  # fmt: skip
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(msgspec.msgpack.encode(columns))


_COLUMNS = msgspec.msgpack.Decoder(tuple[list[int], list[int], list[float], list[int]])


def msgpack_unseal(data: bytes) -> Columns:
    """The same as numpy columns, unchecked."""
    series, ticks, values, qualities = _COLUMNS.decode(zstandard.ZstdDecompressor().decompress(data))
    return Columns(
        np.array(series, np.uint32),
        np.array(ticks, np.int64) * TICK_NS,
        np.array(values),
        np.array(qualities, np.uint8),
    )


# HTTP and TLS


async def _wire(folder: Path, of: Corpus) -> Figure:
    blocks, readings = of.blocks[:20], sum(map(len, of.blocks[:20]))
    wire = await wire_bytes(folder, blocks)
    note = (
        f"a request a block of 60 s on a connection that is kept, TLS 1.3, both directions, {len(blocks)} requests:"
        f" {wire.up:.0f} B up and {wire.down:.0f} B down around a block of {wire.block:.0f} B (not counted here);"
        f" connecting once more costs {wire.handshake} B; TCP and IP come on top"
    )
    return Figure(name="codec.http_bytes_per_reading", value=(wire.up + wire.down) * len(blocks) / readings, unit="B",
                  note=note)  # fmt: skip


# Speeds


def _speeds(of: Corpus, sealed: Sequence[bytes]) -> list[Figure]:
    rivals = [msgpack_seal(rows) for rows in of.blocks]
    seals, unseals, their_seals, their_unseals = [], [], [], []
    for _ in range(ROUNDS):
        seals.append(_rate(seal, of.blocks, of.readings))
        their_seals.append(_rate(msgpack_seal, of.blocks, of.readings))
        unseals.append(_rate(lambda block: unseal(block, of.series), sealed, of.readings))
        their_unseals.append(_rate(msgpack_unseal, rivals, of.readings))
    blocks = f"blocks of {of.readings // len(of.blocks):,} readings, one thread; M readings/s"
    return [
        Figure(name="codec.seal_readings_per_s", value=median(seals) * 1e6, unit="readings/s", least=1e6,
               rival="msgpack columns, zstd", rival_value=median(their_seals) * 1e6,
               note=f"pure Python and zstd, sort, checks and checksum included; {blocks}: ours {spread(seals)},"
                    f" theirs {spread(their_seals)}"),
        Figure(name="codec.decode_readings_per_s", value=median(unseals) * 1e6, unit="readings/s", least=1e7,
               rival="msgpack columns, zstd", rival_value=median(their_unseals) * 1e6,
               note=f"checksum, decompression and checks included; theirs unchecked; {blocks}: ours {spread(unseals)},"
                    f" theirs {spread(their_unseals)}"),
    ]  # fmt: skip


def _rate(run: Callable[[Any], object], inputs: Sequence[Any], readings: int) -> float:
    """Millions of readings a second of CPU."""
    began_s = time.thread_time()
    for each in inputs:
        run(each)
    return readings / (time.thread_time() - began_s) / 1e6
