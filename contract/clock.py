"""The box's own time: monotonic nanoseconds and the boot they belong to."""

import time
from pathlib import Path
from uuid import UUID

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def mono_ns() -> int:
    """Nanoseconds since boot, counting suspend (CLOCK_BOOTTIME); the same for every process of a machine."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def boot_id() -> bytes:
    """The 16 bytes that name this boot of the machine, from the kernel."""
    return UUID(_BOOT_ID.read_text().strip()).bytes
