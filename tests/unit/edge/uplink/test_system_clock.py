"""The machine's clock: believed once it is known to be right, and only until the cloud has spoken."""

import time

from contract.clock import mono_ns
from contract.records import ClockRecord
from edge.uplink.clock import CloudClock
from edge.uplink.system_clock import SystemTime, keep_system_time, read_system_time

S = 1_000_000_000
UTC = 1_800_000_000 * S
BOOT = b"b" * 16


class Enough(Exception):  # noqa: N818
    """Ends a loop that has no end."""


async def kept(readings: list[SystemTime | None], clock: CloudClock) -> list[ClockRecord]:
    """What is recorded while the machine says one after the other."""
    records: list[ClockRecord] = []
    left = list(readings)

    async def record(one: ClockRecord) -> None:
        records.append(one)

    async def pause(_: float) -> None:
        if not left:
            raise Enough

    try:
        await keep_system_time(clock, record, pause, lambda: left.pop(0))
    except Enough:
        return records


async def test_row_22_a_box_that_boots_in_1970_records_the_time_once_it_is_right() -> None:
    clock = CloudClock(BOOT, None, lambda: 0)
    hour_ns = 3600 * S
    right = [SystemTime(hour_ns + k * S, UTC + k * S, 5_000_000) for k in range(3)]
    records = await kept([None, None, *right], clock)
    assert records == [ClockRecord(BOOT, hour_ns, UTC, 5_000_000, "system")]
    assert clock.utc_ns() is None, "commands are judged by the cloud's time alone"


async def test_a_clock_said_to_be_right_in_1970_is_not_believed() -> None:
    assert await kept([SystemTime(S, 7 * S, 1)], CloudClock(BOOT, None, lambda: 0)) == []


async def test_a_clock_that_was_stepped_while_right_is_recorded_anew() -> None:
    clock = CloudClock(BOOT, None, lambda: 0)
    records = await kept([SystemTime(S, UTC, 10**6), SystemTime(2 * S, UTC + 60 * S, 10**6)], clock)
    assert [record.utc_ns for record in records] == [UTC, UTC + 60 * S]


async def test_once_the_cloud_has_spoken_the_machine_counts_for_nothing() -> None:
    clock = CloudClock(BOOT, None, lambda: 0)
    clock.observe(S, S, UTC)
    assert await kept([SystemTime(2 * S, UTC + 900 * S, 10**6)], clock) == []


async def test_the_cloud_corrects_a_wrong_machine() -> None:
    clock = CloudClock(BOOT, None, lambda: 0)
    await kept([SystemTime(S, UTC, 10**6)], clock)
    corrected = clock.observe(2 * S, 2 * S, UTC + 500 * S)
    assert corrected is not None
    assert corrected.source == "session"


def test_the_kernel_is_asked() -> None:
    """Whatever this machine's state is, an answer is of now and bounded."""
    known = read_system_time()
    if known is not None:
        assert abs(known.utc_ns - time.time_ns()) < 5 * S
        assert abs(known.mono_ns - mono_ns()) < 5 * S
        assert 0 <= known.uncertainty_ns < 60 * S
