"""`anju-cloud kpi`: how good the alarms are."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from contract.errors import AnjuError

if TYPE_CHECKING:
    from cloud.alarms.kpis import Kpis
    from cloud.settings import Settings


def kpi(
    estate: Annotated[str, typer.Option(help="Name of an estate, or of an area above some; all without it.")] = "",
    since: Annotated[str, typer.Option(help="So many days back (30), or a date (2026-11-01).")] = "30",
    until: Annotated[str, typer.Option(help="A date; now without it.")] = "",
    operators: Annotated[int, typer.Option(min=1, help="How many people look after these alarms at a time.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with every figure.")] = False,
) -> None:
    """Print the figures of EEMUA 191 and ISA-18.2, each beside its target, and the sources that alarm most."""
    import msgspec
    import uvloop

    from cloud.settings import read_settings
    from contract.service import configure_logging

    end = _time(until) if until else datetime.now(UTC)
    begin = end - timedelta(days=int(since)) if since.isdecimal() and len(since) <= 4 else _time(since)
    if begin >= end:
        raise AnjuError("the period ends before it begins: choose an earlier --since")
    configure_logging()
    found = uvloop.run(_report(read_settings(), estate, begin, end, operators))
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        _print(found)


def _time(said: str) -> datetime:
    """A date, or a date and time; without a zone it is UTC. Raises AnjuError for anything else."""
    try:
        at = datetime.fromisoformat(said)
    except ValueError as e:
        raise AnjuError(f"{said!r} is no date: write it like 2026-11-01, or a number of days") from e
    return at if at.tzinfo else at.replace(tzinfo=UTC)


async def _report(settings: "Settings", estate: str, since: datetime, until: datetime, operators: int) -> "Kpis":
    from cloud.alarms.report import report
    from cloud.store import Database, kpis

    async with Database.open(settings.database_url, 1) as database, database.connect() as connection:
        estates = await kpis.estates_of(connection, estate or None)
        return await report(connection, estates, since, until, operators)


def _print(found: "Kpis") -> None:
    from rich.console import Console
    from rich.table import Table

    from cloud.alarms.report import rows_of

    period = f"{found.since:%Y-%m-%d %H:%M} to {found.until:%Y-%m-%d %H:%M} UTC"
    table = Table(title=f"Alarms, {period}: {found.alarms:,} told, {found.annunciations:,} times", title_justify="left")
    for heading, side in (("figure", "left"), ("value", "right"), ("unit", "left"), ("target", "right"), ("", "left")):
        table.add_column(heading, justify="right" if side == "right" else "left", no_wrap=True)
    for row in rows_of(found):
        table.add_row(*row, style="red" if row[-1] == "OUTSIDE" else "")
    console = Console(soft_wrap=True)
    console.print(table)
    if found.top:
        worst = Table(title="What alarms most", title_justify="left")
        for heading in ("times", "share", "rule", "source", "where"):
            worst.add_column(heading, justify="right" if heading in {"times", "share"} else "left")
        for source in found.top:
            chatters = " (chatters)" if source.chatters else ""
            worst.add_row(
                str(source.count), f"{source.share:.1f} %", source.rule + chatters, source.source, source.name
            )  # fmt: skip
        console.print(worst)
