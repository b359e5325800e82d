"""What a command means on Modbus: which value goes where, and whether its effect was seen."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from contract.clock import mono_ns
from contract.errors import Permanent, Retryable
from contract.messages import CommandStatus, Outcome, Sample
from contract.modbus_plan import plan_point
from contract.profile import Confirm
from contract.site import ResolvedModbus
from edge.drivers.modbus.config import Timing
from edge.drivers.modbus.encode import encode_write
from edge.drivers.modbus.errors import Busy, Disconnected, Refused, TooLate
from edge.drivers.modbus.frame import write_question
from edge.drivers.modbus.plan import Planned, Write, planned
from edge.drivers.modbus.poll import S

Ask = Callable[[Planned | Write], Awaitable[list[Sample]]]
Args = Mapping[str, str | int | float | bool]


async def execute(
    device: ResolvedModbus | None, point: str, args: Args, deadline_ns: int, ask: Ask, timing: Timing
) -> Outcome:
    """Writes a command through `ask` and looks for its effect now and then. Raises nothing of the wire's.

    A write without an answer may have been done, so its effect is looked for all the same.
    """
    found = device.profile.points.get(point) if device else None
    if device is None or found is None or found.write is None:
        return Outcome(CommandStatus.FAILED, f"this bus has no command {point!r} for that device")
    write = found.write
    doubt = ""
    try:
        values = encode_write(write, args)
        address = write.address + write.stride * device.device.channel
        question = write_question(device.device.unit, write.table, address, values, write.multiple)
        doubt = await _write(Write(question, deadline_ns), ask, timing)
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
    return await _confirm(device, found.confirm, ask, timing.confirm_every_s, doubt)


async def _write(write: Write, ask: Ask, timing: Timing) -> str:
    """Writes, again where the unit cannot take it now. Returns what leaves it in doubt, if anything."""
    why = ""
    for _ in range(timing.pleas + 1):
        try:
            await ask(write)
        except Busy as e:
            why = str(e)
            if e.is_taken:
                return why
        else:
            return ""
        await asyncio.sleep(timing.busy_s)
    raise Permanent(f"the device stayed busy: {why}")


async def _confirm(device: ResolvedModbus, confirm: Confirm, ask: Ask, every_s: float, doubt: str) -> Outcome:
    """Reads the confirm point until it shows the state or its time has passed."""
    states = device.profile.points[confirm.point].states
    unit, channel = device.device.unit, (device.device.id, device.device.channel)
    reads = [planned(read, device.bus.line) for read in plan_point(unit, device.profile, channel, confirm.point)]
    until_ns = mono_ns() + round(confirm.within_s * S)
    seen = doubt
    while True:
        try:
            for read in reads:
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
