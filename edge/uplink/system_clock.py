"""The machine's own clock, where the kernel says that something keeps it right (NTP, PTP, a GPS receiver)."""

import ctypes
import time
from collections.abc import Awaitable, Callable
from typing import Final, Never

import msgspec

from contract.clock import mono_ns
from contract.records import ClockRecord
from edge.uplink.clock import CloudClock

LOOK_S: Final = 30.0
_STA_UNSYNC: Final = 0x0040
_TIME_ERROR: Final = 5


class SystemTime(msgspec.Struct, frozen=True):
    """UTC at a monotonic time, and how wrong it can be at most."""

    mono_ns: int
    utc_ns: int
    uncertainty_ns: int


class _Timex(ctypes.Structure):
    """`struct timex` as adjtimex(2) fills it; what follows `stbcnt` is padding for us."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def read_system_time() -> SystemTime | None:
    """The machine's time with the kernel's bound of its error; None where nothing disciplines the clock.

    The kernel forgets that it was right as soon as somebody sets the clock by hand. Source: adjtimex(2).
    """
    timex = _Timex()
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    before_ns, utc_ns, after_ns = mono_ns(), time.time_ns(), mono_ns()
    if state < 0 or state == _TIME_ERROR or timex.status & _STA_UNSYNC:
        return None
    return SystemTime((before_ns + after_ns) // 2, utc_ns, timex.maxerror * 1000 + after_ns - before_ns)


def machine_off_ns(utc_ns: int) -> int:
    """How far the machine's wall clock is ahead of the cloud's time now: for people, the box never uses it."""
    return time.time_ns() - utc_ns


async def keep_system_time(
    clock: CloudClock,
    record: Callable[[ClockRecord], Awaitable[None]],
    pause: Callable[[float], Awaitable[None]],
    read: Callable[[], SystemTime | None] = read_system_time,
) -> Never:
    """Records the machine's time as soon as it is known to be right, for data that the cloud has not heard of yet."""
    while True:
        known = read()
        made = clock.observe_system(known.mono_ns, known.utc_ns, known.uncertainty_ns) if known else None
        if made is not None:
            await record(made)
        await pause(LOOK_S)
