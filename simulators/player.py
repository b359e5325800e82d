"""Plays a scenario on an estate: steps at their times, living telemetry, ramps. The same seed, the same run."""

import asyncio
import random
from collections.abc import Callable

from contract.errors import Permanent
from contract.kinds import KINDS, Point
from contract.site import ResolvedDevice
from simulators.estate import Estate
from simulators.modbus.device import Value
from simulators.modbus.server import Fault
from simulators.scenario import Living, Play, Ramp, Set, Step, seconds

Say = Callable[[str], None]
_PULL = 0.2
"""Share of its distance from the base that a wandering value loses at each step; noise keeps the same spread."""
_RAMP_STEP_S = 0.5


class _Signal:
    """Living telemetry of one point: a base that steps and ramps move, and noise around it."""

    def __init__(self, living: Living | None, base: float, dice: random.Random) -> None:
        self.base = base
        self.noise = living.noise if living else 0.0
        self._dice = dice
        self._away = 0.0

    def next(self) -> float:
        """The value at the next tick."""
        if self.noise:
            self._away = (1 - _PULL) * self._away + self._dice.gauss(0, self.noise) * (1 - (1 - _PULL) ** 2) ** 0.5
        return self.base + self._away


class Player:
    """Runs one scenario. `say` is given each thing that happens in words; `speed` makes its seconds shorter."""

    def __init__(self, play: Play, estate: Estate, say: Say, speed: float = 1.0) -> None:
        self._play, self._estate, self._say, self._speed = play, estate, say, speed
        dice = random.Random(play.scenario.seed)  # noqa: S311  # a run that can be repeated
        self._signals: dict[tuple[str, str], _Signal] = {}
        for device, point in estate.points():
            if device.profile.points[point].states:
                continue
            living = next(
                (one for one in play.scenario.living if (one.kind, one.point) == (device.profile.kind, point)), None
            )
            start = living.base + dice.gauss(0, living.spread) if living else float(estate.get(device.device.id, point))
            self._signals[device.device.id, point] = _Signal(living, start, dice)
            if living:
                self._show(device.device.id, point)

    async def run(self) -> None:
        """Plays the steps, then lives on for ever; cancelled to stop."""
        async with asyncio.TaskGroup() as group:
            for living in self._play.scenario.living:
                group.create_task(self._live(living), name=f"living {living.kind}.{living.point}")
            await self.play_steps(group)
            self._say("all steps are done; the estate lives on")
            await asyncio.Event().wait()

    async def play_steps(self, group: asyncio.TaskGroup) -> None:
        """Does each step at its time; ramps go on in the group."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        for step in self._play.scenario.steps:
            await asyncio.sleep(start + seconds(step.at) / self._speed - loop.time())
            await self._do(step, group)

    def set(self, device: str, point: str, value: Value) -> None:
        """Sets a point now; telemetry lives on around the new value. Raises Permanent when it cannot be."""
        self._estate.set(device, point, value)
        signal = self._signals.get((device, point))
        if signal is not None and not isinstance(value, str):
            signal.base = float(value)

    async def _do(self, step: Step, group: asyncio.TaskGroup) -> None:
        estate, said = self._estate, ""
        if step.set:
            self.set(step.set.device, step.set.point, step.set.value)
            said = self._words(step.set)
        elif step.ramp:
            group.create_task(self._ramp(step.ramp), name=f"ramp {step.ramp.device}.{step.ramp.point}")
            point = self._point(step.ramp.device, step.ramp.point)
            unit = f" {point.unit}".rstrip()
            said = f"{self._name(step.ramp.device)}, {point.en}: to {step.ramp.to:g}{unit} within {step.ramp.over}"
        elif step.fault:
            estate.fail(step.fault.device, fault_of(step.fault))
            said = f"{self._name(step.fault.device)}: {step.fault.kind}"
        elif step.mend:
            estate.fail(step.mend, None)
            said = f"{self._name(step.mend)}: works again"
        elif step.cut:
            estate.cut(step.cut)
            said = f"bus {step.cut}: connections cut"
        elif bus := step.power_off or step.power_on:
            await estate.power(bus, is_on=step.power_on is not None)
            said = f"bus {bus}: {'back' if step.power_on else 'gone'}"
        self._say(f"{step.at:>7}  {' — '.join(part for part in (said, step.say) if part)}")

    async def _ramp(self, ramp: Ramp) -> None:
        signal = self._signals[ramp.device, ramp.point]
        first, steps = signal.base, max(1, round(seconds(ramp.over) / _RAMP_STEP_S))
        loop = asyncio.get_running_loop()
        start = loop.time()
        for i in range(1, steps + 1):
            await asyncio.sleep(start + i * seconds(ramp.over) / steps / self._speed - loop.time())
            signal.base = first + (ramp.to - first) * i / steps
            self._show(ramp.device, ramp.point)

    async def _live(self, living: Living) -> None:
        mine = [key for key in self._signals if self._is_of(self._estate.devices[key[0]], key[1], living)]
        while True:
            await asyncio.sleep(seconds(living.every) / self._speed)
            for device, point in mine:
                self._show(device, point)

    @staticmethod
    def _is_of(device: ResolvedDevice, point: str, living: Living) -> bool:
        return (living.kind, living.point) == (device.profile.kind, point)

    def _show(self, device: str, point: str) -> None:
        """The signal's next value, kept within what the profile calls plausible."""
        mapped = self._estate.devices[device].profile.points[point]
        value = self._signals[device, point].next()
        value = value if mapped.minimum is None else max(value, mapped.minimum)
        self._estate.set(device, point, value if mapped.maximum is None else min(value, mapped.maximum))

    def _words(self, step: Set) -> str:
        """What a point is now, in the words of its kind rather than the codes of the file."""
        point = self._point(step.device, step.point)
        word = point.word(str(step.value))
        return f"{self._name(step.device)}, {point.en}: {word.en if word else f'{step.value} {point.unit}'.rstrip()}"

    def _point(self, device: str, point: str) -> Point:
        return KINDS[self._estate.devices[device].profile.kind].points[point]

    def _name(self, device: str) -> str:
        return self._estate.devices[device].device.name


def fault_of(broken: Fault) -> Fault:
    """A fault as the server takes it, without who has it."""
    if broken.kind == "slow" and not broken.delay_s:
        raise Permanent("a slow unit needs delay_s")
    return Fault(kind=broken.kind, delay_s=broken.delay_s, code=broken.code, times=broken.times)
