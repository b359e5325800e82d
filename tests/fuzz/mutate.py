"""Mutations of a target's seeds as a strategy of hypothesis; and a hunt with them alone, where there is no atheris.

`python -m tests.fuzz.mutate NAME FOLDER SECONDS`. What it says at its end is said as libFuzzer says it.
"""

import logging
import resource
import sys
import time
from pathlib import Path

import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.target import Target, cost_of
from tests.fuzz.targets import TARGETS, seeds_of

_MOST_CHANGES = 6
_AT_ONCE = 500
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF)


@st.composite
def inputs(draw: st.DrawFn, target: Target, seeds: list[bytes]) -> bytes:
    """Any bytes, or a seed with a few of its parts changed, left out, doubled, or put into another."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=min(target.most_bytes, 512)))
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, _MOST_CHANGES))):
        data = _changed(draw, target, seeds, data)
    return data[: target.most_bytes]


def _changed(draw: st.DrawFn, target: Target, seeds: list[bytes], data: bytes) -> bytes:
    at = draw(st.integers(0, len(data)))
    end = min(len(data), at + draw(st.integers(0, 16)))
    match draw(st.integers(0, 6)):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + data[end:]
        case 2:
            return data[:end] + data[at:end] * draw(st.integers(1, 40)) + data[end:]
        case 3:
            return data[:at] + draw(st.binary(max_size=8)) + data[end:]
        case 4:
            return data[:at] + draw(st.sampled_from(target.words or (b"\0",))) + data[end:]
        case 5:
            other = draw(st.sampled_from(seeds))
            return data[:at] + other[min(at, len(other)) :]
        case _:
            byte = draw(st.sampled_from(_NUMBERS) | st.integers(0, 255))
            return data[:at] + bytes((byte,)) + data[at + 1 :]


def _hunt(name: str, folder: Path, seconds: float) -> None:
    target, seeds = TARGETS[name], seeds_of(name)
    until_s = time.monotonic() + seconds
    executions = 0

    @settings(max_examples=_AT_ONCE, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(inputs(target, seeds))
    def some(data: bytes) -> None:
        nonlocal executions
        executions += 1
        last.write_bytes(data)
        cost = cost_of(target, data)
        assert cost.peak_kb <= target.peak_kb, cost
        assert cost.cpu_s <= target.cpu_s, cost

    last = folder / "find-last.bin"
    while time.monotonic() < until_s:
        some()
    last.unlink()
    print(f"Done {executions} runs in {seconds:.0f} second(s)")
    print(f"stat::number_of_executed_units: {executions}")
    print(f"stat::peak_rss_mb: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}")


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    _hunt(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
