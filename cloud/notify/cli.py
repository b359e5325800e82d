"""`anju-cloud notify`: who is told of what, and whether a channel works."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from cloud.settings import Settings, read_settings
from contract.errors import AnjuError
from contract.service import configure_logging

if TYPE_CHECKING:
    from cloud.notify.channel import Result
    from cloud.store import Database

app = typer.Typer(no_args_is_help=True, help="Who is told of alarms: channels, on-call schedules, escalation.")
T = TypeVar("T")
BY = "anju-cloud"


def _with_database(work: "Callable[[Database, Settings], Coroutine[Any, Any, T]]") -> T:
    async def run() -> T:
        from cloud.store import Database

        settings = read_settings()
        async with Database.open(settings.database_url, 2) as database:
            return await work(database, settings)

    import uvloop

    configure_logging()
    return uvloop.run(run())


@app.command("import")
def import_file(file: Annotated[Path, typer.Argument(help="See deploy/notify.example.yaml.")]) -> None:
    """Put a file in force: who is told of what from now on. What it does not name is no more."""

    async def work(database: "Database", _: Settings) -> dict[str, int]:
        from cloud.notify import administer
        from cloud.notify.channels import make_channel
        from cloud.notify.tools import read_tools

        tools = read_tools()
        return await administer.put(database, file, lambda kind, config: make_channel(kind, config, tools), BY)

    counts = _with_database(work)
    typer.echo("In force: " + ", ".join(f"{count} {what}" for what, count in counts.items()) + ".")


@app.command("show")
def show() -> None:
    """Show what is in force: channels, who is reached by which, schedules, policies. No addresses, no secrets."""

    async def work(database: "Database", _: Settings) -> list[str]:
        from cloud.notify import administer

        return await administer.show(database)

    for line in _with_database(work):
        typer.echo(line)


@app.command("test-send")
def send_test(
    channel: Annotated[str, typer.Argument(help="Its name.")],
    to: Annotated[str, typer.Option(help="Login of a person whom the channel mentions or writes to.")] = "",
) -> None:
    """Send one test message through a channel, and say what its service answered."""

    async def work(database: "Database", settings: Settings) -> "Result":
        from cloud.notify import administer
        from cloud.notify.channels import make_channel
        from cloud.notify.tools import read_tools

        tools = read_tools()
        return await administer.try_channel(
            database, channel, lambda row: make_channel(row.kind, row.config, tools), settings.public_url, BY, to
        )

    result = _with_database(work)
    if not result.accepted:
        said = "it may have arrived: " if result.uncertain else ""
        raise AnjuError(f"{channel} did not confirm it ({result.code}): {said}{result.reason}")
    typer.echo(f"{channel} took it. Look there whether it arrived.")
