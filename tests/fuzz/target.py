"""What a target is: one decoder, the bytes to begin with, and the bounds that no input may break."""

import gc
import os
import time
import tracemalloc
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

SEPARATOR = b"|~|"
"""Parts the messages of one input: a sequence that a mutation seldom makes or breaks by chance."""
KB = 1024
SCRATCH = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
"""Where files of a moment lie: in memory where the system has such a place, else wherever temporary files lie."""


@dataclass(frozen=True)
class Target:
    """A decoder as a function of bytes that raises nothing: the decoder's named errors are answers, all else is a find.

    `seeds` gives sound inputs, of recordings and golden files where there are some; `words` are what the format is made
    of. An input has at most `most_bytes`; while it is decoded no more than `peak_kb` may be held at once, and it may
    take `cpu_s` of the processor.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    words: tuple[bytes, ...] = ()
    most_bytes: int = 4 * KB
    peak_kb: int = KB
    cpu_s: float = 1.0


def parts(data: bytes, most: int = 64) -> list[bytes]:
    """The messages of an input."""
    return data.split(SEPARATOR)[:most]


def joined(messages: Iterable[bytes]) -> bytes:
    """An input of these messages."""
    return SEPARATOR.join(messages)


def chosen(data: bytes) -> tuple[int, bytes]:
    """The first byte of a message, by which a target chooses among what it has, and the rest; 0 where there is none."""
    return (data[0], data[1:]) if data else (0, b"")


@dataclass(frozen=True)
class Cost:
    """What one input took."""

    peak_kb: int
    cpu_s: float


def cost_of(target: Target, data: bytes) -> Cost:
    """Runs a target once and measures it. Raises whatever it finds. Memory is what Python itself allocates."""
    was_on = tracemalloc.is_tracing()
    if not was_on:
        tracemalloc.start()
    try:
        gc.collect(0)
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        began_s = time.thread_time()
        target.run(data)
        cpu_s = time.thread_time() - began_s
        return Cost((tracemalloc.get_traced_memory()[1] - before) // KB, cpu_s)
    finally:
        if not was_on:
            tracemalloc.stop()
