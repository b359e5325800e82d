"""Brings a database to the present form: numbered `.sql` files, each in a transaction, under one advisory lock.

Header lines of a file, before anything else:
  `-- tier: apache community`  only on these tiers; a database that moves to such a tier later gets it then
  `-- transaction: none`       must run outside a transaction, statement by statement
"""

import re
from pathlib import Path

import asyncpg
import msgspec
import structlog

from contract.errors import AnjuError

log = structlog.get_logger()
FOLDER = Path(__file__).parent / "migrations"
_STEM = re.compile(r"\d{4}_[a-z0-9_]+")
_LOCK = 0x414E4A55  # "ANJU"


class Migration(msgspec.Struct, frozen=True):
    """One file: its number, its name, the tiers it is for (empty: all), and its statements."""

    number: int
    name: str
    tiers: frozenset[str]
    in_transaction: bool
    text: str


def load_migrations(folder: Path = FOLDER) -> list[Migration]:
    """All migrations by number. Raises AnjuError for a file of another name, or when two have one number."""
    migrations = []
    for path in sorted(folder.glob("*.sql")):
        if not _STEM.fullmatch(path.stem):
            raise AnjuError(f"{path} should be called NUMBER_name.sql, like 0001_core.sql")
        number, _, name = path.stem.partition("_")
        text = path.read_text(encoding="utf-8")
        headers = dict(
            line.removeprefix("-- ").split(": ", 1)
            for line in text.splitlines()
            if line.startswith(("-- tier: ", "-- transaction: "))
        )
        tiers = frozenset(headers.get("tier", "").split())
        migrations.append(Migration(int(number), name, tiers, headers.get("transaction") != "none", text))
    numbers = [migration.number for migration in migrations]
    if len(numbers) != len(set(numbers)):
        raise AnjuError(f"two migrations in {folder} have one number")
    return migrations


async def migrate(connection: asyncpg.Connection, tier: str, folder: Path = FOLDER) -> list[str]:
    """Applies what is missing for this tier and returns the names; safe to call from many processes at once.

    Raises AnjuError when the database is newer than this version of Anju.
    """
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        return await _apply(connection, tier, folder)
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)


async def _apply(connection: asyncpg.Connection, tier: str, folder: Path) -> list[str]:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS migration"
        " (number int PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    done = {row["number"] for row in await connection.fetch("SELECT number FROM migration")}
    migrations = load_migrations(folder)
    unknown = done - {migration.number for migration in migrations}
    if unknown:
        raise AnjuError(
            f"the database has migration {max(unknown)}, which this version of Anju does not know:"
            " it was made by a newer version. Install that one, or restore a backup from before it."
        )
    applied = []
    for migration in migrations:
        if migration.number in done or (migration.tiers and tier not in migration.tiers):
            continue
        log.info("migrating", number=migration.number, name=migration.name)
        mark = f"INSERT INTO migration (number, name) VALUES ({migration.number}, '{migration.name}')"  # noqa: S608  # our own file names
        # execute without arguments takes many statements at once; a prepared statement would take one.
        if migration.in_transaction:
            async with connection.transaction():
                await connection.execute(migration.text)
                await connection.execute(mark)
        else:
            for statement in migration.text.split(";\n"):
                if statement.strip():
                    await connection.execute(statement)
            await connection.execute(mark)
        applied.append(migration.name)
    return applied
