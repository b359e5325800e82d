"""The fixed corpus of telemetry that codecs are measured on: one box of 500 series, an hour, seeded.

What is in it, and how far it is a kind one:

- 165 devices of the kinds that the console knows, at the resolution of their profiles (0.001 to 1). Eight series in a
  hundred are IEEE floats of 32 bits as many meters send them: no short decimals, noise down to the last bit.
- Noise is Gaussian and new at every read, with a standard deviation stated in steps of the resolution (SOURCES). It is
  2 steps or more on three of four series, and cannot be compressed: `noise_bits` is what it takes at the very least.
- Levels move over the day (a sine of a device's own phase), counters count, batteries fall. In a minute that is little.
- Each device is read every 10 s at a phase of its own, late or early by a Gaussian jitter of 25 ms; the two reads of an
  electricity meter each by their own. That is noise too (`jitter_bits`).
- Two of five series are reported at every read, the others when they changed (and every 300 s), as profiles have it.
- One read in 2,000 fails: its readings have no value (NaN) and are of quality fault.
"""

import math
import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from contract.columns import Row
from contract.messages import Quality

SEED: Final = 20261124
POLL_S: Final = 10.0
JITTER_MS: Final = 25.0
HEARTBEAT_S: Final = 300.0
FAILS: Final = 1 / 2000
START_NS: Final = 86_400 * 10**9 + 123_456_789
"""Monotonic time of the first read: the box has been up for a day."""
_MS: Final = 1_000_000
_DAY_S: Final = 86_400.0


@dataclass(frozen=True)
class Source:
    """One point of a kind of device: its resolution, about where it is, and how it moves.

    `decimals` of None is a 32-bit float, whose noise is stated in steps of 0.001. `daily` is half of the day's movement
    and `rate` what it counts an hour, both in the point's unit. `read` numbers the request that brings it.
    """

    point: str
    decimals: int | None
    level: float
    noise_steps: float
    daily: float = 0.0
    rate: float = 0.0
    always: bool = False
    read: int = 0

    @property
    def step(self) -> float:
        """One step of the resolution."""
        return 0.001 if self.decimals is None else 10.0**-self.decimals


def _meter(decimals: tuple[int | None, ...], noise: float = 1.0) -> tuple[Source, ...]:
    energy, power, volts, amps = decimals
    return (
        Source("energy", energy, 48_211.0, 0.0, rate=1.9, always=True),
        Source("power", power, 1.9, 8 * noise, daily=1.2, always=True),
        *(Source(f"voltage_{p}", volts, 229.0, 3 * noise, daily=4.0, always=True, read=1) for p in "abc"),
        *(Source(f"current_{p}", amps, 2.8, 4 * noise, daily=1.6, always=True, read=1) for p in "abc"),
    )


SOURCES: Final[tuple[tuple[str, int, tuple[Source, ...]], ...]] = (
    ("electricity_meter", 20, _meter((2, 3, 1, 2))),
    ("electricity_meter", 5, _meter((None, None, None, None), noise=20.0)),
    ("smoke_detector", 40, (Source("obscuration", 2, 0.45, 2.5), Source("temperature", 1, 21.0, 0.7, daily=3.0))),
    (
        "environment", 20,
        (
            Source("temperature", 1, 18.0, 1.0, daily=6.0), Source("humidity", 1, 55.0, 2.5, daily=12.0),
            Source("pm25", 0, 38.0, 2.0, daily=10.0), Source("noise", 1, 52.0, 12.0, daily=8.0),
            Source("co2", 0, 640.0, 4.0, daily=150.0),
        ),
    ),
    ("water_meter", 20, (Source("volume", 3, 812.0, 0.0, rate=0.35), Source("flow", 3, 0.35, 2.0, daily=0.2))),
    ("water_level", 10, (Source("level", 3, 1.85, 2.5, daily=0.3),)),
    ("hydrant", 15, (Source("pressure", 3, 0.42, 2.0, daily=0.02),)),
    ("gas_detector", 10, (Source("gas", 1, 1.5, 2.0),)),
    ("door", 20, (Source("battery", 0, 87.0, 0.0, rate=-0.01), Source("rssi", 0, -74.0, 2.5))),
    ("network", 5, (Source("latency", 1, 14.0, 20.0),)),
)  # fmt: skip


@dataclass(frozen=True)
class Corpus:
    """`blocks` are the readings of each minute in the order in which the box read them; the rest says what they are.

    `noise_bits` and `jitter_bits`: entropy of the values' noise and of the reads' jitter, in bits a reading.
    """

    series: int
    blocks: tuple[tuple[Row, ...], ...]
    noise_bits: float
    jitter_bits: float
    noisy_share: float
    always_share: float

    @property
    def readings(self) -> int:
        """All of them."""
        return sum(map(len, self.blocks))


def corpus(minutes: int = 60, seed: int = SEED) -> Corpus:
    """The corpus of so many minutes; the same for the same seed."""
    dice = random.Random(seed)
    blocks: list[list[Row]] = [[] for _ in range(minutes)]
    devices = [sources for _, count, sources in SOURCES for _ in range(count)]
    flat = [source for sources in devices for source in sources]
    polls = round(minutes * 60 / POLL_S)
    reads = list(_reads(devices, polls, dice))
    series = [_Series(source, dice) for source in flat]
    for at_s, of in reads:
        minute = min(minutes - 1, max(0, int(at_s // 60)))
        mono_ns = START_NS + round(at_s * 1000) * _MS + dice.randrange(_MS)
        failed = dice.random() < FAILS
        for position in of:
            row = series[position].take(position, at_s, mono_ns, dice, failed=failed)
            if row is not None:
                blocks[minute].append(row)
    readings = sum(map(len, blocks))
    noise = sum(map(_entropy, flat)) * polls
    return Corpus(
        series=len(flat),
        blocks=tuple(map(tuple, blocks)),
        noise_bits=noise / readings,
        jitter_bits=_gaussian_bits(JITTER_MS) * len(reads) / readings,
        noisy_share=sum(source.noise_steps >= 2 for source in flat) / len(flat),
        always_share=sum(source.always for source in flat) / len(flat),
    )


def _reads(
    devices: Sequence[Sequence[Source]], polls: int, dice: random.Random
) -> Iterator[tuple[float, tuple[int, ...]]]:
    """When each read came back, and the positions that it brought; in the order of time."""
    groups: list[tuple[float, tuple[int, ...]]] = []
    position = 0
    for sources in devices:
        phase = dice.uniform(0.5, POLL_S - 0.5)
        places = [(source.read, position + i) for i, source in enumerate(sources)]
        groups += [
            (phase + read * 0.03, tuple(at for of, at in places if of == read))
            for read in sorted({source.read for source in sources})
        ]
        position += len(sources)
    found = [
        (phase + poll * POLL_S + dice.gauss(0, JITTER_MS / 1000), of) for poll in range(polls) for phase, of in groups
    ]
    return iter(sorted(found))


class _Series:
    """One series as it moves, and what was reported of it last."""

    def __init__(self, source: Source, dice: random.Random) -> None:
        self._source = source
        self._level = source.level * dice.uniform(0.8, 1.2)
        self._phase = dice.uniform(0, 2 * math.pi)
        self._rate = source.rate * dice.uniform(0.3, 1.7)
        self._reported: float | None = None
        self._due_s = 0.0

    def take(self, position: int, at_s: float, mono_ns: int, dice: random.Random, *, failed: bool) -> Row | None:
        source = self._source
        moved = source.daily * math.sin(2 * math.pi * at_s / _DAY_S + self._phase) + self._rate * at_s / 3600
        exact = self._level + moved + dice.gauss(0, source.noise_steps) * source.step
        if source.decimals is None:
            (value,) = struct.unpack("<f", struct.pack("<f", exact))
        else:
            value = int(exact / source.step + 0.5 if exact > 0 else exact / source.step - 0.5) / 10**source.decimals
        if failed:
            self._reported = None
            return Row(position, mono_ns, math.nan, Quality.FAULT)
        if not source.always and value == self._reported and at_s < self._due_s:
            return None
        self._reported, self._due_s = value, at_s + HEARTBEAT_S
        return Row(position, mono_ns, value, Quality.GOOD)


def _entropy(source: Source) -> float:
    """Bits that a read's noise takes: of the Gaussian cut into steps, or into the last bits of a 32-bit float."""
    if not source.noise_steps:
        return 0.0
    if source.decimals is None:
        last_bit = math.ulp(source.level) * 2**29
        return _gaussian_bits(source.noise_steps * source.step / last_bit)
    return _gaussian_bits(source.noise_steps)


def _gaussian_bits(deviation: float) -> float:
    """Entropy of a Gaussian rounded to whole steps, in bits."""
    if deviation > 50:
        return math.log2(deviation * math.sqrt(2 * math.pi * math.e))
    normal = NormalDist(0, deviation)
    reach = math.ceil(8 * deviation) + 1
    shares = (normal.cdf(n + 0.5) - normal.cdf(n - 0.5) for n in range(-reach, reach + 1))
    return -sum(share * math.log2(share) for share in shares if share > 0)
