"""`anju-sim`: plays scenarios on simulated devices, and changes them while they run."""

import asyncio
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
import typer

from contract.errors import AnjuError
from contract.profile import load_profiles, shipped_profiles
from contract.service import configure_logging, until_stopped
from simulators.bus import Fault, FaultKind
from simulators.control import CutOrder, FailOrder, GetOrder, Order, SetOrder, serve_control, tell
from simulators.estate import Estate
from simulators.generate import MOST, PROTOCOLS, Wish, write_estate
from simulators.load.cli import app as load_app
from simulators.log import TruthLog
from simulators.player import Player
from simulators.scenario import Play, load_scenario

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Fake devices that speak the real protocols.")
app.add_typer(load_app, name="load")

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
        there = Estate(play.site, play.profiles, truth, speed, play.scenario.seed)
        try:
            await stack.enter_async_context(there)
        except OSError as e:
            raise AnjuError(
                f"cannot listen as the site file says: {e.strerror}.\n"
                "Does another simulator run? Stop it, or change host and port in the site file."
            ) from e
        player = Player(play, there, typer.echo, speed)
        if control is not None:
            await stack.enter_async_context(serve_control(control, there, player))
        typer.echo(f"{play.scenario.name}: {play.site.estate.name}, {len(there.devices)} devices")
        for name, bus in there.buses.items():
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
def estate(
    out: Annotated[Path, typer.Argument(help="The folder for site.yaml and day.yaml.")],
    devices: Annotated[int, typer.Option(min=1, max=MOST, help="How many.")] = 500,
    seed: Annotated[int, typer.Option(help="The same seed and size, the same bytes.")] = 1,
    protocols: Annotated[str, typer.Option(help="Which buses, with commas between.")] = ",".join(PROTOCOLS),
    ports: Annotated[str, typer.Option(help="The folder of the simulated serial ports.")] = "/tmp/anju-sim",  # noqa: S108
    first_port: Annotated[int, typer.Option(min=1024, max=60000, help="The first of the TCP ports.")] = 16000,
    broker: Annotated[str, typer.Option(help="Host and port of the MQTT broker.")] = "127.0.0.1:1883",
    cloud: Annotated[str, typer.Option(help="The cloud's address in the site file.")] = "http://127.0.0.1:8080",
) -> None:
    """Make an estate of many devices: a site file, and a scenario of ordinary life in it."""
    wish = Wish(
        devices=devices, seed=seed, protocols=[one.strip() for one in protocols.split(",")], ports=ports,
        first_port=first_port, broker=broker, cloud=cloud,
    )  # fmt: skip
    for path in write_estate(wish, load_profiles(shipped_profiles()), out):
        typer.echo(f"wrote {path}")
    typer.echo(f"Simulate it: anju-sim run {out / 'day.yaml'}    Read it: anju run --site {out / 'site.yaml'}")


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Check every stage, say how long each took, leave.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the demo keeps its data and logs.")] = Path(".demo"),
) -> None:
    """Run the whole system with a simulated estate: database, cloud, box, console."""
    from simulators.demo.demo import run as run_demo

    raise typer.Exit(asyncio.run(run_demo(folder.resolve(), once=once)))


@app.command()
def robots(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where robots and webhook listen.")] = 8090,
    mail_port: Annotated[int, typer.Option(min=1, max=65535, help="Where the mail server listens.")] = 8025,
    log: Annotated[Path | None, typer.Option(help="Write accepted messages here (JSON lines).")] = None,
) -> None:
    """Stand in for DingTalk, WeCom, Feishu, a webhook and a mail server, to try notification out."""
    from simulators.robots.cli import serve

    configure_logging()
    asyncio.run(serve(port, mail_port, log, typer.echo))


@app.command("load-year")
def load_year(
    database_url: Annotated[str, typer.Option("--database", envvar="DATABASE_URL", help="Where to load it.")],
    devices: Annotated[int, typer.Option(min=30, max=3000, help="How many.")] = 300,
    days: Annotated[int, typer.Option(min=1, max=1000, help="How many, up to now.")] = 365,
    rows_days: Annotated[int, typer.Option(min=1, max=365, help="Days that keep single readings.")] = 90,
    every_s: Annotated[int, typer.Option(min=10, max=3600, help="Seconds between two readings of a series.")] = 300,
    seed: Annotated[int, typer.Option(help="The same seed, the same values.")] = 1,
) -> None:
    """Load a year of an estate's data into a database of the cloud, to try pages and queries on."""
    try:
        from simulators.year import Load, load_into
    except ModuleNotFoundError as e:
        raise AnjuError(f"load-year needs the cloud's packages ({e.name}); say: pip install 'anju[cloud,sim]'") from e
    wish = Load(devices=devices, days=days, rows_days=min(days, rows_days), every_s=every_s, seed=seed)
    configure_logging()
    loaded = asyncio.run(load_into(database_url, wish, datetime.now(UTC), typer.echo))
    typer.echo(f"estate {loaded.estate} ({wish.estate}): {loaded.series:,} series, {loaded.readings:,} readings")


@app.command()
def month(
    estates: Annotated[int, typer.Option(min=1, max=500, help="How many.")] = 50,
    days: Annotated[int, typer.Option(min=1, max=60, help="How many.")] = 30,
    seed: Annotated[int, typer.Option(help="The same seed, the same story.")] = 1,
    operators: Annotated[int, typer.Option(min=0, help="How many share the alarms; 0: one for ten estates.")] = 0,
    out: Annotated[Path, typer.Option(help="Where the figures are written.")] = Path("build/month.json"),
) -> None:
    """Play a month of estates through the alarm engine: real fires, faults, drills; print its KPIs."""
    try:
        from simulators.month.cli import run as run_month
        from simulators.month.run import Wish as Month
    except ModuleNotFoundError as e:
        raise AnjuError(f"month needs the cloud's packages ({e.name}); say: pip install 'anju[cloud,sim]'") from e
    configure_logging()
    wish = Month(estates=estates, days=days, seed=seed)
    is_good = asyncio.run(run_month(wish, operators or -(-estates // 10), out, typer.echo))
    raise typer.Exit(0 if is_good else 1)


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
    kind: Annotated[str, typer.Argument(help=f"One of: {', '.join(get_args(FaultKind))}; each bus knows some.")],
    delay_s: Annotated[float, typer.Option(help="Of slow: how late an answer is.")] = 0.0,
    code: Annotated[int, typer.Option(help="Of exception: which; 6 is busy.")] = 4,
    times: Annotated[int | None, typer.Option(help="End it after so many questions or messages.")] = None,
    share: Annotated[float, typer.Option(help="How many of them meet it, 0 to 1.")] = 1.0,
    rate: Annotated[float, typer.Option(help="Of flood: messages a second.")] = 100.0,
    control: Socket = _SOCKET,
) -> None:
    """Break the unit a device is on, until it is mended."""
    said = {"kind": kind, "delay_s": delay_s, "code": code, "times": times, "share": share, "rate": rate}
    if kind not in get_args(FaultKind):
        raise AnjuError(f"no fault is called {kind!r}; one of: {', '.join(get_args(FaultKind))}")
    fault = msgspec.convert(said, Fault)
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
