"""`anju-sim`: plays scenarios on simulated devices, and changes them while they run."""

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from contract.errors import AnjuError
from contract.service import configure_logging, until_stopped
from simulators.bus import Fault
from simulators.control import CutOrder, FailOrder, GetOrder, Order, SetOrder, serve_control, tell
from simulators.estate import Estate
from simulators.log import TruthLog
from simulators.player import Player
from simulators.scenario import Play, load_scenario

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Fake devices that speak the real protocols.")

Socket = Annotated[Path, typer.Option("--control", help="The running simulator's control socket.")]
_SOCKET = Path("anju-sim.sock")


@app.command()
def run(
    scenario: Annotated[Path, typer.Argument(help="A scenario's YAML file.")],
    log: Annotated[Path | None, typer.Option(help="Write the truth log here (JSON lines).")] = None,
    speed: Annotated[float, typer.Option(min=0.01, max=1000, help="How much faster than real time.")] = 1.0,
    control: Annotated[Path | None, typer.Option(help="Listen for orders on this Unix socket.")] = None,
) -> None:
    """Serve the scenario's devices and play its steps until Ctrl-C."""
    configure_logging()
    play = load_scenario(scenario)
    asyncio.run(_run(play, log, speed, control))


async def _run(play: Play, log: Path | None, speed: float, control: Path | None) -> None:
    async with AsyncExitStack() as stack:
        truth = stack.enter_context(TruthLog(log))
        estate = Estate(play.site, play.profiles, truth, speed, play.scenario.seed)
        try:
            await stack.enter_async_context(estate)
        except OSError as e:
            raise AnjuError(
                f"cannot listen as the site file says: {e.strerror}.\n"
                "Does another simulator run? Stop it, or change host and port in the site file."
            ) from e
        player = Player(play, estate, typer.echo, speed)
        if control is not None:
            await stack.enter_async_context(serve_control(control, estate, player))
        typer.echo(f"{play.scenario.name}: {play.site.estate.name}, {len(estate.devices)} devices")
        for name, bus in estate.buses.items():
            typer.echo(f"  bus {name} at {bus.where}")
        if sys.stdout.isatty():
            typer.echo("Ctrl-C stops.")
        playing = asyncio.create_task(player.run(), name="player")
        stopped = asyncio.create_task(until_stopped(), name="stop")
        stack.callback(stopped.cancel)
        await asyncio.wait((playing, stopped), return_when=asyncio.FIRST_COMPLETED)
        if playing.done():
            playing.result()
        playing.cancel()
        await asyncio.wait((playing,))
        typer.echo("stopped")


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Check every stage, say how long each took, leave.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the demo keeps its data and logs.")] = Path(".demo"),
) -> None:
    """Run the whole system with a simulated estate: database, cloud, box, console."""
    from simulators.demo.demo import run as run_demo

    raise typer.Exit(asyncio.run(run_demo(folder.resolve(), once=once)))


@app.command("set")
def set_point(device: str, point: str, value: str, control: Socket = _SOCKET) -> None:
    """Set a point of a running simulator's device, as in: set smoke-3-2-07 smoke smoke."""
    try:
        number: str | float = float(value)
    except ValueError:
        number = value
    _tell(control, SetOrder(device, point, number))


@app.command("get")
def get_point(device: str, point: str, control: Socket = _SOCKET) -> None:
    """Show what a point is now."""
    _tell(control, GetOrder(device, point))


@app.command("fail")
def fail_unit(
    device: str,
    kind: Annotated[str, typer.Argument(help="silent, slow, late, exception, cut, garbage, …")],
    delay_s: float = 0.0,
    code: int = 4,
    control: Socket = _SOCKET,
) -> None:
    """Break the unit a device is on, until it is mended."""
    fault = msgspec.convert({"kind": kind, "delay_s": delay_s, "code": code}, Fault)
    _tell(control, FailOrder(device, fault))


@app.command("mend")
def mend_unit(device: str, control: Socket = _SOCKET) -> None:
    """Let the unit a device is on work again."""
    _tell(control, FailOrder(device))


@app.command("cut")
def cut_bus(bus: str, control: Socket = _SOCKET) -> None:
    """Close the connections to a bus."""
    _tell(control, CutOrder(bus))


def _tell(control: Path, order: Order) -> None:
    answer = asyncio.run(tell(control, order))
    typer.echo("done" if answer.value is None else answer.value)


def main(arguments: list[str] | None = None) -> Any:
    """Runs the command; what a person can mend is a sentence on stderr and exit code 1."""
    try:
        return app(arguments)
    except (AnjuError, msgspec.ValidationError) as e:
        typer.echo(str(e), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
