"""What a command means on Modbus: which value goes where, and whether its effect was seen."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from contract.clock import mono_ns
from contract.errors import Permanent, Retryable
from contract.messages import CommandStatus, Outcome, Sample
from contract.profile import Confirm
from contract.site import ResolvedModbus
from edge.drivers.modbus.plan import Read, Write, plan_point
from edge.drivers.modbus.poll import S
from edge.drivers.modbus.wire import Disconnected, Refused, TooLate

Ask = Callable[[Read | Write], Awaitable[list[Sample]]]
Args = Mapping[str, str | int | float | bool]


async def execute(
    device: ResolvedModbus | None, point: str, args: Args, deadline_ns: int, ask: Ask, every_s: float
) -> Outcome:
    """Writes a command through `ask` and looks for its effect every `every_s` seconds. Raises nothing of the wire's.

    A write without an answer may have been done, so its effect is looked for all the same.
    """
    found = device.profile.points.get(point) if device else None
    if device is None or found is None or found.write is None:
        return Outcome(CommandStatus.FAILED, f"this bus has no command {point!r} for that device")
    write = found.write
    doubt = ""
    try:
        value = write.number(args)
        address = write.address + write.stride * device.device.channel
        await ask(Write(device.device.unit, write.table, address, value, deadline_ns))
    except TooLate as e:
        return Outcome(CommandStatus.REFUSED, str(e))
    except Permanent as e:
        return Outcome(CommandStatus.FAILED, f"the device refused it: {e}" if isinstance(e, Refused) else str(e))
    except Disconnected as e:
        status = CommandStatus.SENT_NOT_CONFIRMED if e.sent else CommandStatus.FAILED
        return Outcome(status, str(e))
    except Retryable as e:
        doubt = str(e)
    if found.confirm is None:
        return Outcome(CommandStatus.SENT_NOT_CONFIRMED, doubt or "the profile names nothing to read back")
    return await _confirm(device, found.confirm, ask, every_s, doubt)


async def _confirm(device: ResolvedModbus, confirm: Confirm, ask: Ask, every_s: float, doubt: str) -> Outcome:
    """Reads the confirm point until it shows the state or its time has passed."""
    states = device.point(confirm.point).states
    until_ns = mono_ns() + round(confirm.within_s * S)
    seen = doubt
    while True:
        try:
            for read in plan_point(device, confirm.point):
                for sample in await ask(read):
                    word = states.get(sample.raw) if isinstance(sample.raw, int) else None
                    if word == confirm.state:
                        return Outcome(CommandStatus.EXECUTED)
                    seen = f"it shows {word or sample.raw}"
        except (Retryable, Refused) as e:
            seen = str(e)
        if mono_ns() + round(every_s * S) > until_ns:
            missing = f"{confirm.point} did not become {confirm.state} within {confirm.within_s:g} s"
            return Outcome(CommandStatus.SENT_NOT_CONFIRMED, f"{missing}: {seen}" if seen else missing)
        await asyncio.sleep(every_s)
