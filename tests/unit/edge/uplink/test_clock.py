"""The box's time: one clock record a boot unless the cloud disagrees, and boots without one bounded by others."""

from hypothesis import given
from hypothesis import strategies as st

from contract.records import ClockRecord
from edge.seams import BootTime
from edge.uplink.clock import FRESH_NS, MIN_UNCERTAINTY_NS, CloudClock, clock_for

S = 1_000_000_000
UTC = 1_800_000_000 * S
BOOT = b"b" * 16


def test_first_time_makes_a_record_and_agreement_makes_none():
    clock = CloudClock(BOOT, None, lambda: 0)
    assert clock.observe(10 * S, 12 * S, UTC) == ClockRecord(BOOT, 11 * S, UTC, S, "session")
    assert clock.observe(20 * S, 20 * S, UTC + 9 * S) is None
    assert clock.observe(30 * S, 30 * S, UTC + 19 * S + S // 2) is None
    disagrees = clock.observe(40 * S, 40 * S, UTC + 29 * S + 2 * S)
    assert disagrees is not None
    assert disagrees.uncertainty_ns == MIN_UNCERTAINTY_NS


def test_a_restored_record_of_this_boot_is_kept_and_of_another_is_not():
    kept = ClockRecord(BOOT, 0, UTC, S, "session")
    assert CloudClock(BOOT, kept, lambda: 0).observe(10 * S, 10 * S, UTC + 10 * S) is None
    assert CloudClock(b"o" * 16, kept, lambda: 0).observe(10 * S, 10 * S, UTC + 10 * S) is not None


def test_the_time_for_commands_is_what_was_heard_last_and_ages():
    now = 0
    clock = CloudClock(BOOT, None, lambda: now)
    assert clock.utc_ns() is None
    clock.observe(0, 2 * S, UTC)
    now = 5 * S
    assert clock.utc_ns() == UTC + 4 * S
    clock.observe(5 * S, 5 * S, UTC + 4 * S + S // 2)  # agrees, so data keep theirs; commands follow
    assert clock.utc_ns() == UTC + 4 * S + S // 2
    now = 5 * S + FRESH_NS + 1
    assert clock.utc_ns() is None


@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 10**6), st.booleans()), min_size=1, max_size=6),
    st.data(),
)
def test_bounds_hold_the_truth(lives, data):
    """However long boots lived and paused, a boot's true beginning lies within what is said of it."""
    utc, boots, truth = UTC, [], {}
    for number, (lived_s, pause_s, heard) in enumerate(lives):
        boot = bytes([number]) * 16
        truth[boot] = utc
        clock = ClockRecord(boot, S, utc + S, S // 1000, "session") if heard else None
        seen = data.draw(st.integers(0, lived_s)) * S
        boots.append(BootTime(boot, seen, clock))
        utc += (lived_s + pause_s) * S
    for index, known in enumerate(boots):
        record = clock_for(boots, known.boot)
        if record is None:
            assert not any(later.clock for later in boots[index:])
        elif record.uncertainty_ns < FRESH_NS * 365:
            assert abs(record.utc_ns - record.mono_ns - truth[known.boot]) <= record.uncertainty_ns + 1
        else:
            assert truth[known.boot] <= record.utc_ns - record.mono_ns


def test_a_forgotten_boot_was_before_all_others():
    clock = ClockRecord(BOOT, 0, UTC, 1, "session")
    record = clock_for([BootTime(BOOT, 5, clock)], b"x" * 16)
    assert record is not None
    assert (record.boot, record.utc_ns) == (b"x" * 16, UTC)
