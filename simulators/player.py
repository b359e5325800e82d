"""Plays a scenario on an estate: steps at their times, living telemetry, ramps, chatter.

One queue in scenario time says what is next, so that the same seed gives the same changes in the same order, however
fast it is played and however late the machine is.
"""

import asyncio
import heapq
import math
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from contract.errors import Permanent
from contract.kinds import KINDS, Point, PointType
from simulators.bus import Value
from simulators.estate import Estate
from simulators.scenario import Chatter, Jump, Living, Play, Ramp, Step, fault_of, is_number, seconds

Say = Callable[[str], None]
Wait = Callable[[float], Awaitable[None]]
"""Returns when a second of the scenario has come."""
_PULL = 0.2
"""Share of its distance from the base that a wandering value loses at each step; noise keeps the same spread."""
_RAMP_STEP_S = 0.5
_HOUR_S = 3600.0


class _Signal:
    """Living telemetry of one point: a base that steps and ramps move, the time of day, and noise around them."""

    def __init__(self, living: Living | None, base: float, clock_s: float, dice: random.Random) -> None:
        self.base = base
        self._living, self._clock_s, self._dice = living, clock_s, dice
        self._away = 0.0

    def next(self, at_s: float) -> float:
        """The value at the next tick, which is at this second of the scenario."""
        living = self._living
        if living is None:
            return self.base
        if living.noise:
            self._away = (1 - _PULL) * self._away + self._dice.gauss(0, living.noise) * (1 - (1 - _PULL) ** 2) ** 0.5
        hours = (self._clock_s + at_s) / _HOUR_S - living.peak
        return self.base + self._away + living.swing * math.cos(hours * math.tau / 24)


class Player:
    """Runs one scenario. `say` is given each thing that happens in words; `speed` makes its seconds shorter.

    `wait` paces it instead of the clock: one that returns at once plays as fast as the machine can.
    """

    def __init__(self, play: Play, estate: Estate, say: Say, speed: float = 1.0, wait: Wait | None = None) -> None:
        self._play, self._estate, self._say, self._speed = play, estate, say, speed
        self._wait = wait or self._by_the_clock
        self._began: float | None = None
        self._queue: list[tuple[float, int, Callable[[float], Awaitable[None] | None]]] = []
        self._n = 0
        self._signals: dict[tuple[str, str], _Signal] = {}
        self._held: set[tuple[str, str]] = set()
        """Points in a jump, which do not live meanwhile."""
        self._living: list[tuple[Living, list[tuple[str, str]]]] = [(one, []) for one in play.scenario.living]
        for device, point in estate.points():
            if is_number(estate, device.device.id, point):
                self._give_life(device.device.id, point)
        for one, mine in self._living:
            self._at(seconds(one.every), partial(self._live, one, mine))
        self._left = 0
        self._plan_steps(0.0)

    def _plan_steps(self, begin_s: float) -> None:
        """Puts the steps into the queue, for now and where they are done again."""
        scenario = self._play.scenario
        self._left = len(scenario.steps)
        for step in scenario.steps:
            self._at(begin_s + seconds(step.at), partial(self._do, step))
        if scenario.again is not None:
            self._at(begin_s + seconds(scenario.again), self._plan_steps)

    def _give_life(self, device: str, point: str) -> None:
        scenario, kind = self._play.scenario, self._estate.devices[device].profile.kind
        dice = random.Random(f"{scenario.seed}/{device}/{point}")  # noqa: S311  # a run that can be repeated
        for living, mine in self._living:
            if (living.kind, living.point) == (kind, point) and living.device in {"", device}:
                start = living.base + dice.gauss(0, living.spread)
                self._signals[device, point] = _Signal(living, start, seconds(scenario.clock), dice)
                mine.append((device, point))
                self._show(device, point, 0.0)
                return
        self._signals[device, point] = _Signal(None, float(self._estate.get(device, point)), 0.0, dice)

    async def run(self, until_s: float = math.inf) -> None:
        """Plays the steps, then lives on: for ever (cancelled to stop), or to a second of the scenario."""
        if not self._left:
            self._say_done()
        while self._queue and self._queue[0][0] <= until_s:
            at_s, _, action = heapq.heappop(self._queue)
            await self._wait(at_s)
            doing = action(at_s)
            if doing is not None:
                await doing
        if math.isinf(until_s):
            await asyncio.Event().wait()

    def set(self, device: str, point: str, value: Value) -> None:
        """Sets a point now; telemetry lives on around the new value. Raises Permanent when it cannot be."""
        self._estate.set(device, point, value)
        signal = self._signals.get((device, point))
        if signal is not None and not isinstance(value, str):
            signal.base = float(value)

    def _at(self, at_s: float, action: Callable[[float], Awaitable[None] | None]) -> None:
        """Does something at a second of the scenario; of what is due together, what was put in first."""
        self._n += 1
        heapq.heappush(self._queue, (at_s, self._n, action))

    async def _by_the_clock(self, at_s: float) -> None:
        loop = asyncio.get_running_loop()
        if self._began is None:
            self._began = loop.time()
        await asyncio.sleep(max(0.0, self._began + at_s / self._speed - loop.time()))

    async def _do(self, step: Step, at_s: float) -> None:
        estate, said = self._estate, ""
        if step.set:
            self.set(step.set.device, step.set.point, step.set.value)
            said = self._words(step.set.device, step.set.point, step.set.value)
        elif step.ramp:
            self._ramp(step.ramp, at_s)
            point = self._point(step.ramp.device, step.ramp.point)
            unit = f" {point.unit}".rstrip()
            said = f"{self._name(step.ramp.device)}, {point.en}: to {step.ramp.to:g}{unit} within {step.ramp.over}"
        elif step.jump:
            said = f"{self._words(step.jump.device, step.jump.point, step.jump.to)} for {step.jump.over}"
            self._jump(step.jump, at_s)
        elif step.chatter:
            self._chatter(step.chatter, at_s)
            point = self._point(step.chatter.device, step.chatter.point)
            said = f"{self._name(step.chatter.device)}, {point.en}: to and fro for {step.chatter.over}"
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
        self._left -= 1
        if not self._left:
            self._say_done()

    def _say_done(self) -> None:
        again = self._play.scenario.again
        self._say(f"all steps are done; {f'again every {again}' if again else 'the estate lives on'}")

    def _ramp(self, ramp: Ramp, at_s: float) -> None:
        signal = self._signals[ramp.device, ramp.point]
        first, over_s = signal.base, seconds(ramp.over)
        steps = max(1, round(over_s / _RAMP_STEP_S))

        def go(i: int, now_s: float) -> None:
            signal.base = first + (ramp.to - first) * i / steps
            self._show(ramp.device, ramp.point, now_s)
            if i < steps:
                self._at(at_s + (i + 1) * over_s / steps, partial(go, i + 1))

        self._at(at_s + over_s / steps, partial(go, 1))

    def _jump(self, jump: Jump, at_s: float) -> None:
        key = (jump.device, jump.point)
        was = self._estate.get(*key)
        self._estate.set(*key, jump.to)
        self._held.add(key)

        def end(then_s: float) -> None:
            self._held.discard(key)
            if key in self._signals:
                self._show(*key, then_s)
            else:
                self._estate.set(*key, was)

        self._at(at_s + seconds(jump.over), end)

    def _chatter(self, chatter: Chatter, at_s: float) -> None:
        every_s, end_s = seconds(chatter.every), at_s + seconds(chatter.over)
        dice = random.Random(f"{self._play.scenario.seed}/{chatter.device}/{chatter.point}/{at_s}")  # noqa: S311

        def go(i: int, now_s: float) -> None:
            is_over = now_s >= end_s
            value = chatter.between[0 if is_over else i % len(chatter.between)]
            self._estate.set(chatter.device, chatter.point, value)
            if not is_over:
                pause_s = every_s * (1 + dice.uniform(-chatter.jitter, chatter.jitter))
                self._at(min(now_s + pause_s, end_s), partial(go, i + 1))

        go(1, at_s)

    def _live(self, living: Living, mine: list[tuple[str, str]], at_s: float) -> None:
        every_s = seconds(living.every)
        for device, point in mine:
            if living.counts and (device, living.counts) in self._signals:
                self._signals[device, point].base += float(self._estate.get(device, living.counts)) * every_s / _HOUR_S
            self._show(device, point, at_s)
        self._at(at_s + every_s, partial(self._live, living, mine))

    def _show(self, device: str, point: str, at_s: float) -> None:
        """The signal's next value, kept within what the profile calls plausible."""
        if (device, point) in self._held:
            return
        mapped = self._estate.devices[device].profile.points[point]
        value = self._signals[device, point].next(at_s)
        value = value if mapped.minimum is None else max(value, mapped.minimum)
        value = value if mapped.maximum is None else min(value, mapped.maximum)
        with suppress(Permanent):  # noise beyond what the device can say: it keeps saying what it said
            self._estate.set(device, point, value)

    def _words(self, device: str, point: str, value: Value) -> str:
        """What a point is now, in the words of its kind rather than the codes of the file."""
        found = self._point(device, point)
        if found.type is PointType.EVENT:
            return f"{self._name(device)}: {found.en}{'' if value else ' is over'}"
        word = found.word(str(value))
        return f"{self._name(device)}, {found.en}: {word.en if word else f'{value} {found.unit}'.rstrip()}"

    def _point(self, device: str, point: str) -> Point:
        return KINDS[self._estate.devices[device].profile.kind].points[point]

    def _name(self, device: str) -> str:
        return self._estate.devices[device].device.name
