"""The whole path, device to cloud: CPU a point of the box against thingsboard-gateway, in turns, on the same devices.

50 devices, 40 registers each, one read a device each second: at addresses of their own, or all units of one address, as
behind a gateway. Every answer holds new numbers and both report every one of them (report on change is off); counted is
what has arrived and was decoded: here in a cloud that takes our blocks apart, there in a subscriber of the broker. CPU
is that of the gateway's process alone, its kernel time with it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Protocol

from simulators.demo.processes import free_port
from tests.bench.box import running_box
from tests.bench.estates import PER_UNIT, write_site
from tests.bench.figures import Figure, spread
from tests.bench.processes import cpu_s, modbus_server
from tests.bench.thingsboard import RIVAL, running_thingsboard
from tests.support.fake_cloud import FakeCloud

UNITS = 50
POLL_S = 1.0
ROUNDS = 3
WARM_UP_S = 8.0
MEASURE_S = 20.0
LEAST_ARRIVED = 0.98
"""A gateway that delivers less than this share of what it is to poll is not measured, but refused."""


class Measured(Protocol):
    """A running gateway."""

    @property
    def pid(self) -> int:
        """Its process."""

    def arrived(self) -> int:
        """Points that have arrived and were decoded."""

    def check(self) -> None:
        """Raises RuntimeError where it ended by itself."""


async def path(folder: Path) -> list[Figure]:
    """Points per CPU second, ours over the rival's: each device at an address of its own, and all behind one."""
    figures = []
    for name, endpoints in (("edge.path_vs_thingsboard", UNITS), ("edge.path_vs_thingsboard_one_endpoint", 1)):
        (folder / name).mkdir()
        ours, theirs = await _compare(folder / name, endpoints)
        rates = (1e6 / median(ours), 1e6 / median(theirs))
        note = (
            f"{UNITS} devices × {PER_UNIT} points each {POLL_S:g} s over {endpoints} connections, one read a device,"
            f" report on change off; µs of CPU a point that arrived: ours {spread(ours)}, theirs {spread(theirs)}"
        )
        figures += [
            Figure(name=name, value=rates[0] / rates[1], unit="× points per CPU s", note=note, least=10, rival=RIVAL,
                   rival_value=1.0),
            Figure(name=name.replace("vs_thingsboard", "points_per_cpu_s"), value=rates[0], unit="points per CPU s",
                   note="the same run in absolute numbers", rival=RIVAL, rival_value=rates[1]),
        ]  # fmt: skip
    return figures


async def _compare(folder: Path, endpoints: int) -> tuple[list[float], list[float]]:
    """Microseconds of CPU a point, ours and the rival's, turn by turn."""
    ours: list[float] = []
    theirs: list[float] = []

    @asynccontextmanager
    async def box(port: int, n: int) -> AsyncIterator[Measured]:
        (folder / f"box-{n}").mkdir()
        async with FakeCloud(heartbeat_s=10.0) as cloud:
            site = write_site(folder / f"box-{n}", cloud.url, port, units=UNITS, endpoints=endpoints, poll_s=POLL_S)
            async with running_box(folder / f"box-{n}", site, cloud, f"127.0.0.1:{free_port(0)}") as running:
                yield running

    @asynccontextmanager
    async def rival(port: int, n: int) -> AsyncIterator[Measured]:
        async with running_thingsboard(
            folder / f"rival-{n}", port, units=UNITS, endpoints=endpoints, poll_s=POLL_S
        ) as running:
            yield running

    async with modbus_server() as port:
        for n in range(ROUNDS):
            theirs.append(await _cpu_us(rival, port, n))
            ours.append(await _cpu_us(box, port, n))
    return ours, theirs


async def _cpu_us(gateway: Callable[[int, int], AbstractAsyncContextManager[Measured]], port: int, n: int) -> float:
    """Microseconds of CPU for each point that arrived, once it runs evenly."""
    async with gateway(port, n) as running:
        await asyncio.sleep(WARM_UP_S)
        running.check()
        arrived, cpu, began = running.arrived(), cpu_s(running.pid), time.monotonic()
        await asyncio.sleep(MEASURE_S)
        running.check()
        arrived, cpu, took = running.arrived() - arrived, cpu_s(running.pid) - cpu, time.monotonic() - began
    expected = UNITS * PER_UNIT * took / POLL_S
    if arrived < LEAST_ARRIVED * expected:
        raise RuntimeError(f"only {arrived} of {expected:.0f} points arrived in {took:.0f} s")
    return cpu / arrived * 1e6
