"""Drivers that fail, come back, change and go: each alone."""

import asyncio
from collections.abc import Sequence

from contract.clock import mono_ns
from contract.messages import CommandStatus, Outcome
from contract.profile import Args, load_profiles, shipped_profiles
from contract.site import AnyBus, ModbusDevice, ModbusTcpBus, Resolved, ResolvedDevice
from edge import buses as buses_module
from edge.buses import Buses
from tests.support.waiting import eventually

PROFILE = load_profiles(shipped_profiles() / "modbus")["anju-door-unit"]


def bus(name: str, *units: int, poll_s: float = 1.0) -> tuple[ModbusTcpBus, list[ResolvedDevice]]:
    devices = [ModbusDevice(id=f"{name}-{unit}", name="d", profile=PROFILE.id, unit=unit) for unit in units]
    made = ModbusTcpBus(id=name, protocol="modbus-tcp", host=name, poll_s=poll_s, devices=devices)
    return made, [Resolved(device, made, PROFILE) for device in devices]


class Fake:
    """A driver that runs until it is told to fail."""

    def __init__(self, name: str) -> None:
        self.name, self.failing = name, asyncio.Event()
        self.is_running = False

    async def run(self) -> None:
        self.is_running = True
        try:
            await self.failing.wait()
            raise ZeroDivisionError("a bug")
        finally:
            self.is_running = False

    async def execute(self, device: str, point: str, args: Args, deadline_ns: int) -> Outcome:
        return Outcome(CommandStatus.EXECUTED, self.name)


class Maker:
    """Makes fakes and remembers them by bus, the last made last."""

    def __init__(self) -> None:
        self.made: dict[str, list[Fake]] = {}
        self.broken: set[str] = set()

    def __call__(self, bus: AnyBus, devices: Sequence[ResolvedDevice]) -> Fake:
        if bus.id in self.broken:
            raise ZeroDivisionError("a bug in the making")
        fake = Fake(bus.id)
        self.made.setdefault(bus.id, []).append(fake)
        return fake


async def test_a_driver_that_fails_is_made_anew_and_takes_no_other_with_it(monkeypatch) -> None:
    monkeypatch.setattr(buses_module, "AGAIN_S", 0.01)
    make, (a, a_devices), (b, b_devices) = Maker(), bus("a", 1), bus("b", 1)
    async with Buses(make) as buses:
        buses.start([a, b], [*a_devices, *b_devices])
        await eventually(lambda: make.made["a"][0].is_running and make.made["b"][0].is_running)
        make.made["a"][0].failing.set()
        await eventually(lambda: len(make.made["a"]) == 2 and make.made["a"][1].is_running)
        assert buses.executors["a-1"] is make.made["a"][1]
        assert len(make.made["b"]) == 1
        assert make.made["b"][0].is_running
        assert buses.restarts == {"a": 1, "b": 0}
    assert not make.made["a"][1].is_running


async def test_an_order_of_the_first_moment_waits_for_its_bus() -> None:
    make, (a, a_devices) = Maker(), bus("a", 1)
    async with Buses(make) as buses:
        order = asyncio.create_task(buses.executor_of("a-1").execute("a-1", "release", {}, mono_ns() + 10 * 10**9))
        await asyncio.sleep(0)
        assert not order.done(), "what a fire held released is held on, not failed"
        buses.start([a], a_devices)
        assert await order == Outcome(CommandStatus.EXECUTED, "a")
        other = await buses.executor_of("none-1").execute("none-1", "release", {}, mono_ns() + 10 * 10**9)
        assert other.status == CommandStatus.FAILED, "later it is told at once"
    async with Buses(make) as buses:
        late = await buses.executor_of("a-1").execute("a-1", "release", {}, mono_ns())
        assert late.status == CommandStatus.FAILED


async def test_a_driver_that_cannot_be_made_stops_no_other_and_is_tried_again(monkeypatch) -> None:
    monkeypatch.setattr(buses_module, "AGAIN_S", 0.01)
    make, (a, a_devices), (b, b_devices) = Maker(), bus("a", 1), bus("b", 1)
    make.broken = {"a"}
    async with Buses(make) as buses:
        buses.start([a, b], [*a_devices, *b_devices])
        await eventually(lambda: buses.restarts["a"] > 1 and make.made["b"][0].is_running)
        refused = await buses.executor_of("a-1").execute("a-1", "unlock", {}, 0)
        assert refused.status is CommandStatus.FAILED
        make.broken = set()
        await eventually(lambda: bool(make.made.get("a")) and make.made["a"][0].is_running)


async def test_a_driver_that_gets_over_its_end_or_takes_no_notice_holds_up_no_other(monkeypatch, capsys) -> None:
    monkeypatch.setattr(buses_module, "STOP_S", 0.3)
    monkeypatch.setattr(buses_module, "CANCEL_AGAIN_S", 0.05)
    release = asyncio.Event()

    class Deaf(Fake):
        """Cancelled, it goes on; `b` returns as if nothing were."""

        async def run(self) -> None:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    if self.name == "b":
                        return

    made: list[str] = []

    def make(bus: AnyBus, devices: Sequence[ResolvedDevice]) -> Fake:
        made.append(bus.id)
        return Deaf(bus.id)

    (a, a_devices), (b, b_devices) = bus("a", 1), bus("b", 1)
    async with Buses(make) as buses:
        buses.start([a, b], [*a_devices, *b_devices])
        await asyncio.sleep(0)
        await asyncio.wait_for(buses.stop(["a", "b"]), 5)
        said = capsys.readouterr().out
        assert "does not let go" in said
        assert "bus=a" in said
        assert "bus=b" not in said
        await asyncio.sleep(0.1)
        assert made == ["a", "b"], "nobody begins again what was stopped"
    release.set()


async def test_orders_to_a_driver_that_failed_are_answered_at_once() -> None:
    make, (a, a_devices) = Maker(), bus("a", 1)
    async with Buses(make) as buses:
        buses.start([a], a_devices)
        await eventually(lambda: make.made["a"][0].is_running)
        make.made["a"][0].failing.set()
        await eventually(lambda: buses.restarts["a"] == 1)
        answer = await buses.executor_of("a-1").execute("a-1", "unlock", {}, 0)
        assert answer.status is CommandStatus.FAILED


async def test_row_11_only_what_differs_stops_and_starts() -> None:
    make = Maker()
    (a, a_devices), (b, b_devices), (c, c_devices) = bus("a", 1), bus("b", 1), bus("c", 1)
    slower, slower_devices = bus("b", 1, poll_s=2.0)
    more, more_devices = bus("c", 1, 2)
    async with Buses(make) as buses:
        buses.start([a, b, c], [*a_devices, *b_devices, *c_devices])
        wanted = [a, slower, more], [*a_devices, *slower_devices, *more_devices]
        assert buses.changed(*wanted) == ["b", "c"]
        await buses.stop(["b", "c"])
        assert set(buses.executors) == {"a-1"}
        assert buses.start(*wanted) == ["b", "c"]
        assert {name: len(made) for name, made in make.made.items()} == {"a": 1, "b": 2, "c": 2}
        assert set(buses.executors) == {"a-1", "b-1", "c-1", "c-2"}
        assert buses.changed(*wanted) == []
        assert buses.changed([a], a_devices) == ["b", "c"]
