"""`anju-sim load`: thousands of simulated boxes at a cloud."""

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer

from contract.errors import AnjuError
from contract.service import until_stopped
from simulators.load.enrol import enrol as enrol_boxes
from simulators.load.fleet import Fleet
from simulators.load.plan import Plan, Tick, read_identities, write_identities
from simulators.load.worker import server_of

app = typer.Typer(no_args_is_help=True, help="Thousands of boxes at a cloud: to learn how many it holds.")
Boxes = Annotated[Path, typer.Argument(help="The file of their ids and keys.")]
Cloud = Annotated[str, typer.Option(help="The cloud's address, as its boxes know it.")]
Address = Annotated[str, typer.Option(help="host:port to connect to instead.")]
Ca = Annotated[str, typer.Option(help="The certificate authority to trust; without it the system's are.")]


@app.command()
def enrol(
    boxes: Boxes,
    claims: Annotated[Path, typer.Option(help="A file of claims, one a line: anju-cloud claim --count 1000 …")],
    cloud: Cloud,
    address: Address = "",
    ca: Ca = "",
) -> None:
    """Enrol a box for each claim, and keep their ids and keys in a file."""
    if boxes.exists():
        raise AnjuError(f"{boxes} is there already; its boxes would be lost. Name another file.")
    codes = claims.read_text(encoding="utf-8").split()
    identities = asyncio.run(enrol_boxes(server_of(Plan(cloud=cloud, boxes="", address=address, ca=ca)), codes))
    write_identities(boxes, identities)
    typer.echo(f"{len(identities)} boxes enrolled. Let them live: anju-sim load run {boxes} --cloud {cloud}")


@app.command()
def run(
    boxes: Boxes,
    cloud: Cloud,
    address: Address = "",
    ca: Ca = "",
    processes: Annotated[int, typer.Option(min=1, max=64, help="One holds about 5,000 boxes.")] = 2,
    detectors: Annotated[int, typer.Option(min=1, max=10_000, help="Smoke detectors of a box.")] = 10,
    readings: Annotated[int, typer.Option(min=1, max=100_000, help="Readings in a block of telemetry.")] = 40,
    bulk_s: Annotated[float, typer.Option(min=1, help="How often a box sends one.")] = 60.0,
    urgent_s: Annotated[float, typer.Option(min=1, help="How often a box has a smoke event, on average.")] = 300.0,
    connect_per_s: Annotated[float, typer.Option(min=0.1, help="Boxes that connect in a second, a process.")] = 25.0,
    every_s: Annotated[float, typer.Option(min=1, help="How often to say what was done.")] = 10.0,
) -> None:
    """Let the boxes of a file live until Ctrl-C, and say how quick the cloud is."""
    plan = Plan(
        cloud=cloud, boxes=str(boxes), address=address, ca=ca, detectors=detectors, readings=readings, bulk_s=bulk_s,
        urgent_s=urgent_s, connect_per_s=connect_per_s,
    )  # fmt: skip
    asyncio.run(_run(plan, sum(1 for _ in read_identities(boxes)), processes, every_s))


async def _run(plan: Plan, count: int, processes: int, every_s: float) -> None:
    stopped = asyncio.create_task(until_stopped(), name="stop")
    async with Fleet(plan, count, processes) as fleet:
        since = time.monotonic()
        while not stopped.done():
            await fleet.next_second()
            if (took_s := time.monotonic() - since) >= every_s:
                typer.echo(said(fleet.connected, count, fleet.done, took_s))
                fleet.forget()
                since = time.monotonic()


def said(connected: int, boxes: int, done: Tick, took_s: float) -> str:
    """What was done in so many seconds, in a line."""
    parts = [f"{connected} of {boxes} boxes"]
    for what, n in sorted(done.counts.items()):
        times = sorted(done.ms.get(what, []))
        quick = f" (p50 {times[len(times) // 2]:.0f}, p99 {times[len(times) * 99 // 100]:.0f} ms)" if times else ""
        parts.append(f"{what} {n / took_s:.1f}/s{quick}")
    return "; ".join([*parts, *(f"{what}: {problem}" for what, problem in done.problems.items())])
