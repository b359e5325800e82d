"""What a command means for a connected device: what is written, and whether its effect was seen."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from contract.clock import mono_ns
from contract.errors import Permanent, Retryable
from contract.messages import CommandStatus, Outcome
from contract.profile import Confirm
from contract.profile.ble import BlePoint, BleProfile, BleWrite
from edge.drivers.ble.decode import Raw, encode_write

S = 1_000_000_000
Args = Mapping[str, str | int | float | bool]
Send = Callable[[BleWrite, bytes], Awaitable[None]]
Look = Callable[[str, int], Awaitable[Raw | None]]
"""The raw value of a point as it is after a time (monotonic), None while nothing is known of it."""


def prepare(profile: BleProfile | None, point: str, args: Args) -> tuple[BlePoint, bytes] | Outcome:
    """The point of a command and the bytes to write for it; the answer where it cannot be one."""
    mapped = profile.points.get(point) if profile else None
    if mapped is None or mapped.write is None:
        return Outcome(CommandStatus.FAILED, f"this bus has no command {point!r} for that device")
    try:
        return mapped, encode_write(mapped.write, mapped.write.given(args))
    except Permanent as e:
        return Outcome(CommandStatus.FAILED, str(e))


def too_late(deadline_ns: int) -> Outcome | None:
    """The answer to a command whose time has passed."""
    if mono_ns() <= deadline_ns:
        return None
    why = "its time to be done passed while it waited for the radio; nothing was written"
    return Outcome(CommandStatus.REFUSED, why)


async def confirm(profile: BleProfile, wanted: Confirm | None, look: Look, every_s: float, doubt: str) -> Outcome:
    """Looks for a command's effect every `every_s` seconds until it shows or its time has passed."""
    if wanted is None:
        return Outcome(CommandStatus.SENT_NOT_CONFIRMED, doubt or "the profile names nothing to read back")
    states, sent_ns = profile.points[wanted.point].states, mono_ns()
    until_ns = sent_ns + round(wanted.within_s * S)
    seen, is_over = doubt, False
    while True:
        try:
            raw = await look(wanted.point, sent_ns)
        except Retryable as e:  # the connection is gone, and with it what could be looked at
            seen, is_over = doubt or str(e), True
        except Permanent as e:
            seen = str(e)
        else:
            if raw is not None:
                word = states.get(raw) if isinstance(raw, int | str) else None
                if word == wanted.state:
                    return Outcome(CommandStatus.EXECUTED)
                seen = f"it shows {word or raw}"
        if is_over or mono_ns() + round(every_s * S) > until_ns:
            missing = f"{wanted.point} was not seen to become {wanted.state} within {wanted.within_s:g} s"
            return Outcome(CommandStatus.SENT_NOT_CONFIRMED, f"{missing}: {seen}" if seen else missing)
        await asyncio.sleep(every_s)
