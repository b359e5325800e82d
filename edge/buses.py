"""The drivers that run, one a bus: started, supervised, and changed as a difference."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Self

import structlog

from contract.clock import mono_ns
from contract.errors import AnjuError
from contract.messages import CommandStatus, Outcome
from contract.profile import Args
from contract.site import AnyBus, ResolvedDevice
from edge.backoff import backoff_s
from edge.counts import BusCounts
from edge.drivers import Counted, Driver

log = structlog.get_logger(__name__)

AGAIN_S: Final = 1.0
AGAIN_MAX_S: Final = 60.0
STOP_S: Final = 10.0
"""So long a driver may take to let go of its bus."""
CANCEL_AGAIN_S: Final = 2.0
STEADY_S: Final = 120.0
"""A driver that ran so long before it failed begins again at the shortest pause."""

Make = Callable[[AnyBus, Sequence[ResolvedDevice]], Driver]


class Absent:
    """Stands for a driver that does not run."""

    async def execute(self, device: str, point: str, args: Args, deadline_ns: int) -> Outcome:  # noqa: ARG002
        """Does nothing, and says so."""
        return Outcome(CommandStatus.FAILED, "its bus does not run at the moment; nothing was done")


class Coming:
    """Stands for a driver while the box begins: an order of the first moment waits for its bus instead of failing."""

    def __init__(self, has_begun: asyncio.Event, executors: Mapping[str, Driver]) -> None:
        self._has_begun, self._executors = has_begun, executors

    async def execute(self, device: str, point: str, args: Args, deadline_ns: int) -> Outcome:
        """Hands it to the driver once there is one, not after the deadline."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, (deadline_ns - mono_ns()) / 1e9)):
                await self._has_begun.wait()
        return await self._executors.get(device, ABSENT).execute(device, point, args, deadline_ns)


ABSENT: Final = Absent()


class _Running:
    """One bus with what it was made of, its driver while there is one, and the task that keeps it."""

    def __init__(self, bus: AnyBus, devices: Sequence[ResolvedDevice]) -> None:
        self.bus, self.devices = bus, devices
        self.driver: Driver | None = None
        self.failures = 0
        self.problem = ""
        """What a person must mend before it can be started, as it was said last."""
        self.unwanted = asyncio.Event()
        self.task: asyncio.Task[None]


class Buses:
    """An async context manager. A driver that fails is made anew after a pause, for ever, and takes no other with it.

    `executors` gives the driver of each device; it changes in place.
    """

    def __init__(self, make: Make) -> None:
        self.executors: dict[str, Driver] = {}
        self._make = make
        self._running: dict[str, _Running] = {}
        self._has_begun = asyncio.Event()
        self._coming = Coming(self._has_begun, self.executors)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop_all()

    def changed(self, buses: Iterable[AnyBus], devices: Sequence[ResolvedDevice]) -> list[str]:
        """The ids of running buses that would not be the same with these: gone, or they or their devices differ."""
        wanted = {bus.id: (bus, _of(bus, devices)) for bus in buses}
        return [name for name, now in self._running.items() if (now.bus, now.devices) != wanted.get(name)]

    async def stop(self, names: Iterable[str]) -> None:
        """Stops these buses; returns when their drivers have let go, or were left to themselves after STOP_S."""
        stopped = [self._running.pop(name) for name in names]
        for running in stopped:
            running.unwanted.set()
            self._take_out(running)
        busy = {running.task: running.bus.id for running in stopped}
        until = asyncio.get_running_loop().time() + STOP_S
        while busy and asyncio.get_running_loop().time() < until:
            for task in busy:
                task.cancel()  # anew: one that comes while something times out may be lost
            await asyncio.wait(busy, timeout=CANCEL_AGAIN_S)
            busy = {task: name for task, name in busy.items() if not task.done()}
        for name in busy.values():
            log.error("a driver does not let go of its bus and is left to itself; restart the box", bus=name)

    async def stop_all(self) -> None:
        """Stops every bus that runs."""
        await self.stop(list(self._running))

    def start(self, buses: Iterable[AnyBus], devices: Sequence[ResolvedDevice]) -> list[str]:
        """Starts those of these buses that do not run yet, and names them."""
        started = []
        for bus in buses:
            if bus.id in self._running:
                continue
            running = self._running[bus.id] = _Running(bus, _of(bus, devices))
            self._put_in(running)
            running.task = asyncio.create_task(self._keep(running), name=f"bus {bus.id}")
            started.append(bus.id)
        self._has_begun.set()
        return started

    def executor_of(self, device: str) -> Driver | Absent | Coming:
        """The driver of a device; where it does not run, one that says so, or before the first start waits for it."""
        return self.executors.get(device, ABSENT if self._has_begun.is_set() else self._coming)

    def counts(self) -> list[BusCounts]:
        """What each driver counts; one that does not count, or is not there, shows zeros."""
        return [_counts(name, running.driver) for name, running in self._running.items()]

    @property
    def restarts(self) -> Mapping[str, int]:
        """How often each bus's driver failed within the box."""
        return {name: running.failures for name, running in self._running.items()}

    @property
    def problems(self) -> Mapping[str, str]:
        """What a person must mend before a bus can be started, by bus."""
        return {name: running.problem for name, running in self._running.items() if running.problem}

    def _put_in(self, running: _Running) -> bool:
        """Makes the driver of a bus; False when it cannot be made."""
        try:
            running.driver = self._make(running.bus, running.devices)
        except Exception as e:
            running.driver = None
            if isinstance(e, AnjuError):  # something that a person must mend, said once
                if running.problem != str(e):
                    log.error("a bus cannot be started; trying again for ever", bus=running.bus.id, problem=str(e))  # noqa: TRY400
                running.problem = str(e)
            else:
                log.exception("a bus cannot be started; trying again for ever", bus=running.bus.id)
            return False
        running.problem = ""
        if running.unwanted.is_set():
            return False
        self.executors.update(dict.fromkeys((item.device.id for item in running.devices), running.driver))
        return True

    def _take_out(self, running: _Running) -> None:
        """Its driver takes no orders any more: they would wait for nobody."""
        for item in running.devices:
            if self.executors.get(item.device.id) is running.driver:
                self.executors.pop(item.device.id, None)

    async def _keep(self, running: _Running) -> None:
        loop = asyncio.get_running_loop()
        in_a_row = 0
        while not running.unwanted.is_set():
            began = loop.time()
            if running.driver is not None or self._put_in(running):
                assert running.driver is not None
                try:
                    await running.driver.run()
                except Exception:
                    log.exception("a driver failed within the box; starting it again", bus=running.bus.id)
                else:
                    if running.unwanted.is_set():  # it took its end for an error of its own, and got over it
                        return
                    log.error("a driver ended, and nobody asked for it; starting it again", bus=running.bus.id)
            self._take_out(running)
            running.failures += 1
            in_a_row = 1 if loop.time() - began > STEADY_S else in_a_row + 1
            running.driver = None
            await asyncio.sleep(backoff_s(in_a_row, AGAIN_S, AGAIN_MAX_S))


def _counts(name: str, driver: Driver | Counted | None) -> BusCounts:
    return driver.counts() if isinstance(driver, Counted) else BusCounts(bus=name)


def _of(bus: AnyBus, devices: Sequence[ResolvedDevice]) -> list[ResolvedDevice]:
    return [item for item in devices if item.bus.id == bus.id]
