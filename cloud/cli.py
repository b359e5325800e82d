"""`anju-cloud`: run the cloud service and administer it."""

import sys
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer

from cloud.settings import Settings, read_settings
from contract.errors import AnjuError
from contract.service import configure_logging

app = typer.Typer(no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
user_app = typer.Typer(no_args_is_help=True, help="People who log in to the console.")
app.add_typer(user_app, name="user")
gateway_app = typer.Typer(no_args_is_help=True, help="Boxes in the estates.")
app.add_typer(gateway_app, name="gateway")

T = TypeVar("T")
Estate = Annotated[str, typer.Option(help="Name of the estate; it is made when there is none of that name.")]
ROLES = "admin, supervisor, manager, operator or auditor"


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


@user_app.command("add")
def add_user(
    login: str,
    estate: Estate,
    name: Annotated[str, typer.Option(help="The person's name, as others see it.")] = "",
    role: Annotated[str, typer.Option(help=ROLES)] = "operator",
    password_stdin: Annotated[bool, typer.Option(help="Read the password from standard input, do not ask.")] = False,
) -> None:
    """Add a person with a role at an estate."""
    from cloud.identity.passwords import MIN_LENGTH
    from cloud.identity.people import ROLES as KNOWN

    if role not in KNOWN:
        raise AnjuError(f"role {role!r} does not exist; one of {ROLES}")
    password = sys.stdin.readline().rstrip("\n") if password_stdin else typer.prompt(
        f"Password (at least {MIN_LENGTH} characters)", hide_input=True, confirmation_prompt=True
    )  # fmt: skip
    if len(password) < MIN_LENGTH:
        raise AnjuError(f"the password has {len(password)} characters; take at least {MIN_LENGTH}")

    async def work(settings: Settings) -> None:
        from cloud.identity.people import People
        from cloud.store import Database, people

        async with Database.open(settings.database_url, 1) as database:
            async with database.transaction() as connection:
                if await people.by_login(connection, login) is not None:
                    raise AnjuError(f"there is a person {login!r} already")
                area = await people.put_area(connection, None, "estate", estate, "Asia/Shanghai")
            await People(database).add(login, name or login, password, role, area, "anju-cloud")

    _run(work(read_settings()))
    typer.echo(f"{login} may log in as {role} of {estate}.")


@app.command()
def claim(estate: Estate) -> None:
    """Make a one-time claim code with which a box enrols in an estate."""

    async def work(settings: Settings) -> str:
        from cloud.identity.gateways import Gateways
        from cloud.store import Database, people

        async with Database.open(settings.database_url, 1) as database:
            async with database.transaction() as connection:
                area = await people.put_area(connection, None, "estate", estate, "Asia/Shanghai")
            return await Gateways(database, settings.public_url).make_claim(area, "anju-cloud")

    typer.echo(_run(work(read_settings())))


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
            return await Gateways(database, settings.public_url).revoke(gateway, "anju-cloud")

    if not _run(work(read_settings())):
        raise AnjuError(f"there is no gateway {gateway} that could be revoked")
    typer.echo(f"Gateway {gateway} is revoked.")
