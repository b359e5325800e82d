"""`anju-cloud`: run the cloud service and administer it."""

import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import typer

from cloud.alarms.report_cli import kpi
from cloud.alarms.rules.cli import app as rule_app
from cloud.alarms.windows_cli import app as window_app
from cloud.notify.cli import app as notify_app
from cloud.settings import Settings, read_settings
from contract.errors import AnjuError
from contract.service import configure_logging

if TYPE_CHECKING:
    from cloud.identity.people import People
    from cloud.store.boxes import BoxRow
    from cloud.store.database import Connection
    from cloud.store.people import ListedPerson
    from cloud.store.plans import PlanRow
    from cloud.store.quarantine import BlockRow, WholeBlock

app = typer.Typer(no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
user_app = typer.Typer(no_args_is_help=True, help="People who log in to the console.")
app.add_typer(user_app, name="user")
gateway_app = typer.Typer(no_args_is_help=True, help="Boxes in the estates.")
app.add_typer(gateway_app, name="gateway")
quarantine_app = typer.Typer(no_args_is_help=True, help="Blocks of boxes that could not be stored.")
app.add_typer(quarantine_app, name="quarantine")
plan_app = typer.Typer(no_args_is_help=True, help="Plans of one-press mobilisation.")
app.add_typer(plan_app, name="plan")
app.add_typer(rule_app, name="rule")
app.add_typer(notify_app, name="notify")
app.add_typer(window_app, name="window")
app.command()(kpi)

T = TypeVar("T")
Estate = Annotated[str, typer.Option(help="Name of the estate; it is made when there is none of that name.")]
PasswordStdin = Annotated[bool, typer.Option(help="Read the password from standard input, do not ask.")]
BY = "anju-cloud"
"""Who did it, in the audit log."""
ROLES = "admin, supervisor, manager, operator, grid_worker, installer or auditor"


def main() -> None:
    """The command; prints our errors as sentences and leaves with 2."""
    try:
        app()
    except AnjuError as e:
        typer.echo(str(e), err=True)
        sys.exit(2)


def _run(work: Coroutine[Any, Any, T]) -> T:
    import uvloop

    configure_logging()
    return uvloop.run(work)


@app.command()
def serve() -> None:
    """Serve the console, the API and the boxes, until stopped; migrates the database first."""
    from cloud.main import serve as run_server

    _run(run_server(read_settings()))


@app.command()
def migrate() -> None:
    """Bring the database to the present form, and say what it is."""

    async def work(settings: Settings) -> str:
        from cloud.store import Database

        async with Database.open(settings.database_url, 1) as database:
            return database.tier

    typer.echo(f"The database is up to date (tier: {_run(work(read_settings()))}).")


def _new_password(*, from_stdin: bool) -> str:
    from cloud.identity.passwords import MIN_LENGTH

    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    asked = f"Password (at least {MIN_LENGTH} characters)"
    return str(typer.prompt(asked, hide_input=True, confirmation_prompt=True))


def _with_people(work: Callable[["People"], Coroutine[Any, Any, T]]) -> T:
    async def run(settings: Settings) -> T:
        from cloud.identity.people import People
        from cloud.store import Database

        async with Database.open(settings.database_url, 1) as database:
            return await work(People(database))

    return _run(run(read_settings()))


@user_app.command("add")
def add_user(
    login: str,
    estate: Estate,
    name: Annotated[str, typer.Option(help="The person's name, as others see it.")] = "",
    role: Annotated[str, typer.Option(help=ROLES)] = "operator",
    password_stdin: PasswordStdin = False,
) -> None:
    """Add a person with a role at an estate."""
    password = _new_password(from_stdin=password_stdin)
    _with_people(lambda people: people.add(login, name or login, password, role, estate, BY))
    typer.echo(f"{login} may log in as {role} of {estate}.")


@user_app.command("grant")
def grant_role(
    login: str,
    role: Annotated[str, typer.Option(help=ROLES)],
    area: Annotated[
        str,
        typer.Option(help="Name or number of the estate, grid, community or street; what is beneath it counts too."),
    ],
) -> None:
    """Give a person one more role at a place; its duties begin at once."""
    _with_people(lambda people: people.grant(login, role, area, BY))
    typer.echo(f"{login} is {role} of {area}.")


@user_app.command("password")
def set_password(login: str, password_stdin: PasswordStdin = False) -> None:
    """Give a person a new password, and end their sessions."""
    password = _new_password(from_stdin=password_stdin)
    _with_people(lambda people: people.set_password(login, password, BY))
    typer.echo(f"{login} has a new password; whoever was logged in by the old one is not any more.")


@user_app.command("disable")
def disable_user(login: str) -> None:
    """Take a person's right to log in, and end their sessions."""
    _with_people(lambda people: people.set_disabled(login, disabled=True, by=BY))
    typer.echo(f"{login} may not log in any more. What they did stays in the history under their name.")


@user_app.command("enable")
def enable_user(login: str) -> None:
    """Give a disabled person the right to log in again, with the password they had."""
    _with_people(lambda people: people.set_disabled(login, disabled=False, by=BY))
    typer.echo(f"{login} may log in again.")


@user_app.command("list")
def list_users() -> None:
    """Show who may log in, as what and where, and who is logged in."""

    async def work(settings: Settings) -> "list[ListedPerson]":
        from cloud.store import Database, people

        async with Database.open(settings.database_url, 1) as database, database.connect() as connection:
            return await people.list_people(connection)

    for person in _run(work(read_settings())):
        state = "disabled" if person.disabled else "may log in"
        if person.logged_in_at:
            state = f"logged in since {person.logged_in_at:%Y-%m-%d %H:%M} UTC"
        typer.echo(f"{person.login}\t{person.name}\t{', '.join(person.roles)}\t{state}")


@app.command()
def claim(
    estate: Annotated[str, typer.Option(help="Name of the estate; it is made when there is none of that name.")] = "",
    replaces: Annotated[
        UUID | None, typer.Option(help="Gateway whose place the new one takes: its devices keep their history.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=100_000, help="How many codes, for as many boxes.")] = 1,
) -> None:
    """Make a one-time claim code with which a box enrols in an estate, or in the place of another box."""
    if (replaces is None) == (not estate):
        raise AnjuError("say either --estate, or with --replaces which gateway the new one takes the place of")
    if replaces is not None and count != 1:
        raise AnjuError("one box takes the place of one: --replaces makes one code")

    from cloud.identity.gateways import CLAIM_LASTS, Gateways

    async def work(settings: Settings) -> str:
        from cloud.store import Database

        async with Database.open(settings.database_url, 1) as database:
            gateways = Gateways(database, settings.public_url)
            if replaces is not None:
                return await gateways.make_replacing_claim(replaces, BY)
            return "\n".join([await gateways.make_claim(estate, BY) for _ in range(count)])

    settings = read_settings()
    codes = _run(work(settings))
    typer.echo(codes)
    # Beside the code, which a script takes from the standard output alone.
    where = f"the place of gateway {replaces}" if replaces is not None else f"estate {estate}"
    until = (datetime.now(UTC) + CLAIM_LASTS).astimezone()
    code = codes if count == 1 else "CODE"
    typer.echo(
        f"{'each ' if count > 1 else ''}for one box, for {where}, until {until:%Y-%m-%d %H:%M %z}. On the box, next:\n"
        f"  anju enrol --cloud {settings.box_url or settings.public_url} --claim {code} --state /var/lib/anju",
        err=True,
    )


@app.command()
def history(
    estate: Estate,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many alarms and commands.")] = 20,
) -> None:
    """Print the newest alarms with their transitions, and the newest commands, as lines of JSON."""

    async def work(settings: Settings) -> list[bytes]:
        from cloud.store import Database, reports

        async with Database.open(settings.database_url, 1) as database, database.connect() as connection:
            return await reports.history(connection, estate, limit)

    for line in _run(work(read_settings())):
        typer.echo(line.decode())


@gateway_app.command("revoke")
def revoke_gateway(gateway: UUID) -> None:
    """End a box's session at once and take its right to open another."""

    async def work(settings: Settings) -> bool:
        from cloud.identity.gateways import Gateways
        from cloud.store import Database

        async with Database.open(settings.database_url, 1) as database:
            return await Gateways(database, settings.public_url).revoke(gateway, BY)

    if not _run(work(read_settings())):
        raise AnjuError(f"there is no gateway {gateway} that could be revoked")
    typer.echo(f"Gateway {gateway} is revoked.")


@gateway_app.command("replace")
def replace_gateway(old: UUID, new: UUID) -> None:
    """Give a box's devices, with their history, to another box that has none yet, and revoke the old one."""

    async def work(settings: Settings) -> int:
        from cloud.identity.gateways import Gateways
        from cloud.store import Database

        async with Database.open(settings.database_url, 1) as database:
            return await Gateways(database, settings.public_url).replace(old, new, BY)

    devices = _run(work(read_settings()))
    typer.echo(f"Gateway {new} has the {devices} devices of {old}, which is revoked.")


@gateway_app.command("list")
def list_gateways(estate: Annotated[str, typer.Option(help="Only those of this estate.")] = "") -> None:
    """List the boxes: number, estate, host name, version, how they stand, what waits, and what is wrong."""

    async def work(settings: Settings) -> "list[BoxRow]":
        from cloud.store import Database, boxes

        async with Database.open(settings.database_url, 1) as database, database.connect() as connection:
            return await boxes.list_boxes(connection, None)

    for box in _run(work(read_settings())):
        if estate and box.estate != estate:
            continue
        typer.echo("\t".join((str(box.id), box.estate, box.hostname, box.version, _standing(box))))


def _standing(box: "BoxRow") -> str:
    seen = f"{box.seen_at:%Y-%m-%d %H:%M:%S} UTC" if box.seen_at else "never"
    said = [f"silent since {seen}" if box.silent else "connected"]
    if waiting := (box.urgent_backlog or 0) + (box.bulk_backlog or 0):
        said.append(f"{waiting} blocks wait")
    if box.shared:
        said.append("TWO BOXES SPEAK AS ONE")
    if box.lost_items:
        said.append(f"{box.lost_items} entries lost")
    if box.quarantined:
        said.append(f"{box.quarantined} blocks in quarantine")
    return ", ".join(said)


async def _estate_named(connection: "Connection", name: str) -> int:
    from cloud.store import people

    found = [row for row in await people.areas_named(connection, name.strip()) if row.level == "estate"]
    if len(found) != 1:
        raise AnjuError(f"say which by its number: {[row.id for row in found]}" if found else f"no estate {name!r}")
    return found[0].id


@plan_app.command("import")
def import_plan(file: Path, estate: Annotated[str, typer.Option(help="Name or number of the estate.")]) -> None:
    """Check a plan against what its estate has, and keep it as the newest version."""

    async def work(settings: Settings) -> tuple[str, int]:
        from cloud.incidents.importing import import_plan as bring
        from cloud.incidents.incidents import Actor
        from cloud.store import Database

        async with Database.open(settings.database_url, 1) as database, database.transaction() as connection:
            return await bring(connection, file, await _estate_named(connection, estate), Actor(None, BY))

    name, version = _run(work(read_settings()))
    typer.echo(f"Plan {name} of {estate} is in use, version {version}.")


@plan_app.command("list")
def list_plans(estate: Annotated[str, typer.Option(help="Name or number of the estate.")]) -> None:
    """List an estate's plans: name, version, title, how many are called by name, devices, by whom, when."""

    async def work(settings: Settings) -> "list[PlanRow]":
        from cloud.store import Database, plans

        async with Database.open(settings.database_url, 1) as database, database.connect() as connection:
            return await plans.list_plans(connection, [await _estate_named(connection, estate)])

    for row in _run(work(read_settings())):
        devices = len(row.body.get("doors", ())) + len(row.body.get("say", ()))
        called = ", ".join([*row.body["call"].get("roles", ()), *row.body["call"].get("people", ())])
        title, at = row.body["title"]["zh"], f"{row.at:%Y-%m-%d %H:%M} UTC"
        typer.echo("\t".join((row.name, str(row.version), title, called, f"{devices} devices", row.who, at)))


@plan_app.command("show")
def show_plan(
    name: str,
    estate: Annotated[str, typer.Option(help="Name or number of the estate.")],
    version: Annotated[int | None, typer.Option(help="An older version.")] = None,
) -> None:
    """Print a plan as YAML, ready to be changed and imported again."""

    async def work(settings: Settings) -> "PlanRow | None":
        from cloud.store import Database, plans

        async with Database.open(settings.database_url, 1) as database, database.connect() as connection:
            return await plans.get_plan(connection, await _estate_named(connection, estate), name, version)

    found = _run(work(read_settings()))
    if found is None:
        raise AnjuError(f"there is no such plan {name!r}; `anju-cloud plan list` shows which there are")
    import yaml

    typer.echo(yaml.safe_dump(found.body, allow_unicode=True, sort_keys=False), nl=False)


@quarantine_app.command("list")
def list_quarantine(
    gateway: Annotated[UUID | None, typer.Option(help="Only those of this box.")] = None,
    replayed: Annotated[bool, typer.Option(help="Also those that were stored since.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the newest first.")] = 100,
) -> None:
    """List blocks that could not be stored: number, when, whose, stream, chain and number, size, why."""

    async def work(settings: Settings) -> "tuple[list[BlockRow], int]":
        from cloud.store import Database, quarantine

        async with Database.open(settings.database_url, 1) as database, database.connect() as connection:
            rows = await quarantine.list_blocks(connection, None, gateway, limit, replayed=replayed)
            return rows, await quarantine.count_blocks(connection, None, gateway, replayed=replayed)

    rows, count = _run(work(read_settings()))
    for row in rows:
        stored = f" (stored {row.replayed_at:%Y-%m-%d %H:%M:%S} UTC)" if row.replayed_at else ""
        block, at = f"{row.stream} {row.epoch}/{row.number}", f"{row.at:%Y-%m-%d %H:%M:%S} UTC"
        fields = (str(row.id), at, row.estate, f"{row.hostname} {row.gateway}", block, f"{row.bytes} B", row.reason)
        typer.echo("\t".join(fields) + stored)
    if count > len(rows):
        typer.echo(f"and {count - len(rows)} older ones; see --limit", err=True)


@quarantine_app.command("show")
def show_quarantine(
    block: int,
    output: Annotated[
        Path | None, typer.Option("--output", help="Also write the block, as it came, to this file.")
    ] = None,
) -> None:
    """Say all that is known of a block that could not be stored, and what can be read of it."""

    async def work(settings: Settings) -> "WholeBlock | None":
        from cloud.store import Database, quarantine

        async with Database.open(settings.database_url, 1) as database, database.connect() as connection:
            return await quarantine.get_block(connection, block, None)

    found = _run(work(read_settings()))
    if found is None:
        raise AnjuError(f"there is no block {block} in quarantine")
    from cloud.console.backend.quarantine import readable

    read = readable(found.block)
    typer.echo(f"gateway\t{found.gateway} {found.hostname}, {found.estate}")
    typer.echo(f"came\t{found.at:%Y-%m-%d %H:%M:%S} UTC, {found.bytes} B on the {found.stream} stream")
    typer.echo(f"reason\t{found.reason}")
    if read.header is not None:
        for name in read.header.__struct_fields__:
            value = getattr(read.header, name)
            typer.echo(f"{name}\t{value.hex() if isinstance(value, bytes) else value}")
    typer.echo(f"body\t{read.problem or f'{read.body_bytes} B, decompresses'}")
    if output is not None:
        try:
            output.write_bytes(found.block)
        except OSError as e:
            raise AnjuError(f"{output}: {e.strerror or e}") from e


@quarantine_app.command("replay")
def replay_quarantine(blocks: list[int]) -> None:
    """Store blocks once more, each whole or not at all; what cannot be stored stays in quarantine."""

    async def work(settings: Settings) -> dict[int, str]:
        from cloud.main import Cloud
        from cloud.store import Database, people, quarantine

        problems = {}
        async with Database.open(settings.database_url, 2) as database:
            cloud = Cloud(database, settings)
            await cloud.rules.take_up()
            for block in blocks:
                problems[block] = await cloud.replay(block)
                async with database.transaction() as connection:
                    if found := await quarantine.get_block(connection, block, None):
                        detail = {"block": block, "problem": problems[block][:500]}
                        await people.audit(connection, None, BY, "replay block", f"gateway {found.gateway}", detail)
        return problems

    problems = _run(work(read_settings()))
    for block, problem in problems.items():
        typer.echo(f"{block}\t{problem or 'stored'}", err=bool(problem))
    if any(problems.values()):
        raise AnjuError("what could not be stored stays in quarantine")


@quarantine_app.command("drop")
def drop_quarantine(blocks: list[int]) -> None:
    """Let blocks go for good; that it was done is in the audit log."""

    async def work(settings: Settings) -> list[int]:
        from cloud.store import Database, people, quarantine

        missing = []
        async with Database.open(settings.database_url, 1) as database:
            for block in blocks:
                async with database.transaction() as connection:
                    dropped = await quarantine.drop_block(connection, block, None)
                    if dropped is None:
                        missing.append(block)
                        continue
                    await people.audit(connection, None, BY, "drop block", f"gateway {dropped.gateway}", dropped.detail)
        return missing

    if missing := _run(work(read_settings())):
        raise AnjuError(f"not in quarantine: {', '.join(map(str, missing))}")
    typer.echo(f"Dropped {len(blocks)}.")
