"""`anju-cloud window`: maintenance windows and fire drills."""

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import typer

from cloud.settings import read_settings
from contract.errors import AnjuError
from contract.service import configure_logging

if TYPE_CHECKING:
    from cloud.alarms.windows import Windows
    from cloud.store import Connection
    from cloud.store.windows import Kind, WindowRow

app = typer.Typer(no_args_is_help=True, help="Maintenance windows and fire drills.")
T = TypeVar("T")
Estate = Annotated[str, typer.Option(help="Name of the estate.")]
BY = "anju-cloud"


def _with_windows(work: "Callable[[Connection, Windows], Coroutine[Any, Any, T]]", topics: set[str]) -> T:
    async def run() -> T:
        from cloud.alarms.engine import Engine
        from cloud.alarms.rules import RuleBook
        from cloud.alarms.windows import Windows
        from cloud.store import Database

        async with Database.open(read_settings().database_url, 1) as database:
            async with database.transaction() as connection:
                done = await work(connection, Windows(Engine(RuleBook())))
            await database.wake(topics)
            return done

    import uvloop

    configure_logging()
    return uvloop.run(run())


@app.command("open")
def open_window(
    estate: Estate,
    hours: Annotated[float, typer.Option(min=0.1, max=168, help="How long: 4 at most for a drill.")],
    why: Annotated[str, typer.Option(prompt=True, help="Why: whoever sees an alarm held back reads it.")],
    drill: Annotated[bool, typer.Option("--drill", help="A fire drill: fire alarms are told as one.")] = False,
    building: Annotated[str, typer.Option(help="Only this building.")] = "",
    unit: Annotated[str, typer.Option(help="Only this unit of the building.")] = "",
    gateway: Annotated[UUID | None, typer.Option(help="Only what is behind this gateway.")] = None,
    bus: Annotated[str, typer.Option(help="Only this bus of the gateway.")] = "",
) -> None:
    """Begin a maintenance window or a fire drill now. It ends by itself.

    In a window what is not about life goes out of service until its end. In a drill fire alarms are raised as ever.
    """
    topics: set[str] = set()

    async def work(connection: "Connection", stage: "Windows") -> tuple[UUID, datetime]:
        from cloud.alarms.windows import By
        from cloud.store import kpis, windows
        from cloud.store.windows import Scope

        (of_estate,) = await _one_estate(kpis.estates_of(connection, estate), estate)
        scope = Scope(
            estate=of_estate, building=building or None, unit=unit or None, gateway=gateway, bus=bus or None
        )  # fmt: skip
        until = await windows.time(connection) + timedelta(hours=hours)
        kind: Kind = "drill" if drill else "maintenance"
        topics.add(f"alarms:{of_estate}")
        return await stage.open(connection, kind, scope, [of_estate], By(None, BY), why, until), until

    opened, until = _with_windows(work, topics)
    typer.echo(f"{opened}\tuntil {until:%Y-%m-%d %H:%M} UTC")


async def _one_estate(found: Coroutine[Any, Any, list[int]], name: str) -> list[int]:
    estates = await found
    if len(estates) != 1:
        raise AnjuError(f"{len(estates)} estates are called {name!r}, or are in it: name one estate")
    return estates


@app.command("end")
def end_window(window: UUID) -> None:
    """End a window or a drill before its time: what it held back comes back, what still burns is no drill."""
    topics: set[str] = set()

    async def work(connection: "Connection", stage: "Windows") -> None:
        from cloud.alarms.windows import By
        from cloud.store import kpis

        topics.update(await stage.end(connection, window, await kpis.estates_of(connection, None), By(None, BY)))

    _with_windows(work, topics)
    typer.echo(f"{window} is over.")


@app.command("list")
def list_windows(estate: Annotated[str, typer.Option(help="Only those of this estate.")] = "") -> None:
    """Show what stands or is to come: number, kind, from, until, where, who and why."""

    async def work(connection: "Connection", _: "Windows") -> "list[WindowRow]":
        from cloud.store import kpis, windows

        return await windows.standing(connection, await kpis.estates_of(connection, estate or None))

    for row in _with_windows(work, set()):
        where = [f"building {row.building}"] if row.building else []
        where += [f"unit {row.unit}"] if row.unit else []
        where += [f"{len(row.devices)} devices"] if row.devices else []
        where += [f"gateway {row.gateway} {row.bus or ''}".rstrip()] if row.gateway else []
        period = f"{row.from_at:%Y-%m-%d %H:%M} UTC\t{row.until_at:%Y-%m-%d %H:%M} UTC"
        typer.echo("\t".join((str(row.id), row.kind, period, ", ".join(where) or "all of it", row.who, row.why)))
