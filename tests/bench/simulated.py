"""A simulated estate of hundreds of devices on all kinds of buses, in a process of its own, for a box to read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from simulators.ble.buses import SOCKET_VARIABLE
from simulators.demo.processes import Child, free_port, run_once


@dataclass(frozen=True)
class Simulated:
    """A running estate: its site file, the environment a box needs to find its radio, and the simulator's process."""

    site: Path
    environment: dict[str, str]
    process: Child
    control: Path


async def make_estate(folder: Path, cloud_url: str, devices: int, *, seed: int = 1) -> Path:
    """Writes site.yaml and day.yaml into a folder; returns the site file."""
    await run_once(
        "anju-sim", "estate", str(folder), "--devices", str(devices), "--seed", str(seed),
        "--ports", str(folder / "ports"), "--first-port", str(_first_free()), "--broker", f"127.0.0.1:{free_port(0)}",
        "--cloud", cloud_url,
    )  # fmt: skip
    return folder / "site.yaml"


@asynccontextmanager
async def simulated(folder: Path, scenario: Path) -> AsyncIterator[Simulated]:
    """`anju-sim run` with a scenario whose site file is beside it; there while the context lasts."""
    bus, control = folder / "system_bus", folder / "control"
    child = await Child.start(
        "estate", "anju-sim", "run", str(scenario), "--control", str(control), log=folder / "estate.log",
        environment={SOCKET_VARIABLE: str(bus)},
    )  # fmt: skip
    try:
        await child.until(control.exists)
        environment = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={bus}"}
        yield Simulated(scenario.with_name("site.yaml"), environment, child, control)
    finally:
        await child.stop()


def _first_free() -> int:
    """The first of some hundred TCP ports that are most likely free, below those that the system gives out."""
    return 16000 + 50 * (free_port(0) % 200)
