"""The shipped estate, read by the box's own drivers: every point of it, its commands, and all of its troubles."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from contract.messages import CommandStatus, Sample
from edge.drivers.modbus import ModbusDriver
from simulators.estate import Estate
from simulators.log import TruthLog
from simulators.modbus.buses import SimulatedRtu, SimulatedRtuTcp
from simulators.player import Player
from simulators.scenario import Play, load_scenario
from tests.support.modbus import LATER_NS, QUICK, Collected, driving
from tests.support.waiting import eventually

SCENARIOS = Path(__file__).resolve().parents[2] / "simulators" / "scenarios"

EAGER = replace(QUICK, probe_share=0.5)
"""As in production, but looking for what was silent again and again."""


@dataclass
class Box:
    """The drivers of an estate's buses, and what each handed on."""

    play: Play
    estate: Estate
    drivers: dict[str, ModbusDriver]
    collected: dict[str, Collected]

    def newest(self) -> dict[tuple[str, str], Sample]:
        """The last sample of each point."""
        return {(s.device, s.point): s for one in self.collected.values() for s in one.samples}

    def unread(self) -> list[tuple[str, str]]:
        """The points whose last sample is not good, or that have none."""
        newest = self.newest()
        wanted = [(device.device.id, point) for device, point in self.estate.points()]
        return [key for key in wanted if key not in newest or newest[key].raw is None]

    async def execute(self, device: str, point: str, args: dict[str, int]) -> CommandStatus:
        bus = self.estate.devices[device].bus.id
        return (await self.drivers[bus].execute(device, point, args, LATER_NS)).status


def shifted(folder: Path, scenario: str) -> Path:
    """A scenario with the shipped estate on ports that nobody else uses."""
    site = (SCENARIOS / "estate.yaml").read_text()
    with ExitStack() as stack:
        free: list[int] = []
        for _ in re.findall(r"port: \d+", site):
            one = stack.enter_context(socket.socket())
            one.bind(("127.0.0.1", 0))
            free.append(one.getsockname()[1])
    ports = iter(free)
    site = re.sub(r"port: \d+", lambda _: f"port: {next(ports)}", site).replace("/tmp/anju-sim", str(folder / "dev"))
    (folder / "estate.yaml").write_text(site)
    (folder / scenario).write_text((SCENARIOS / scenario).read_text())
    return folder / scenario


@asynccontextmanager
async def box_of(folder: Path, scenario: str) -> AsyncIterator[Box]:
    play = load_scenario(shifted(folder, scenario))
    estate = Estate(play.site, play.profiles, TruthLog(), seed=play.scenario.seed)
    box = Box(play, estate, {}, {})
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(estate)
        for bus in play.site.buses:
            here = [device for device in estate.devices.values() if device.bus.id == bus.id]
            box.drivers[bus.id], box.collected[bus.id] = await stack.enter_async_context(driving(bus, here, EAGER))
        yield box


def lines(estate: Estate) -> Sequence[SimulatedRtu | SimulatedRtuTcp]:
    found = [bus for bus in estate.buses.values() if isinstance(bus, SimulatedRtu | SimulatedRtuTcp)]
    assert len(found) == 2
    return found


async def test_every_point_is_read_and_every_command_done(tmp_path: Path) -> None:
    async with box_of(tmp_path, "fire.yaml") as box:
        await eventually(lambda: not box.unread(), 20)
        for device, point, args in (
            ("door-3", "release", {}), ("door-1", "unlock", {"seconds": 5}), ("gate-north", "hold_open", {}),
            ("sounder-3", "sound", {"seconds": 5}),
        ):  # fmt: skip
            assert await box.execute(device, point, args) is CommandStatus.EXECUTED, device
        assert await box.execute("pump-2", "switch", {"on": 1}) is CommandStatus.SENT_NOT_CONFIRMED
        shown = {("door-3", "lock"): "unlocked", ("gate-north", "barrier"): "up", ("pump-2", "running"): "running"}
        for (device, point), word in shown.items():
            assert box.estate.get(device, point) == word
        await eventually(lambda: box.newest()["pump-2", "running"].raw == 1)
        for bus in lines(box.estate):
            assert (bus.line.early, bus.line.collisions) == (0, 0), "the box keeps the silence between frames"


async def test_after_all_troubles_every_point_is_good_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with box_of(tmp_path, "trouble.yaml") as box:
        await eventually(lambda: not box.unread(), 20)
        playing = asyncio.create_task(Player(box.play, box.estate, print, speed=40).run(until_s=151))
        failed: set[str] = set()
        while not playing.done():
            failed |= {device for device, _ in box.unread()}
            await asyncio.sleep(0.02)
        playing.result()
        assert failed & {"door-1", "smoke-3-01", "lights-road"}, "it was felt"
        for one in box.collected.values():
            one.samples.clear()
        await eventually(lambda: not box.unread(), 40)
    assert "Traceback" not in capsys.readouterr().out
