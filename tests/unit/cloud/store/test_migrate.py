"""A database comes to the present form in steps that are done once, whole, and in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from cloud.store.database import Tier, detect_tier
from cloud.store.migrate import FOLDER, load_migrations, migrate
from cloud.store.sql import load_queries
from contract.errors import AnjuError
from tests.support.servers import Database

ON_PLAIN = [migration.name for migration in load_migrations() if not migration.tiers]
QUERIES = sorted(path.stem for path in (FOLDER.parent / "queries").glob("*.sql"))


@asynccontextmanager
async def connected(database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.url)
    try:
        yield connection
    finally:
        await connection.close()


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name.removeprefix('m')}.sql").write_text(text)
    return folder


def test_ours_are_numbered_without_gaps_and_say_their_tiers() -> None:
    ours = load_migrations()
    assert [migration.number for migration in ours] == list(range(1, len(ours) + 1))
    assert all(migration.tiers <= set(Tier) for migration in ours)


def test_headers_say_tier_and_transaction(tmp_path: Path) -> None:
    write(
        tmp_path,
        m0002_b="-- tier: apache community\n-- transaction: none\nSELECT 1;\n",
        m0001_a="-- What it is for.\nSELECT 1;\n",
    )
    first, second = load_migrations(tmp_path)
    assert (first.number, first.name, first.tiers, first.in_transaction) == (1, "a", frozenset(), True)
    assert (second.name, second.tiers, second.in_transaction) == ("b", {"apache", "community"}, False)


def test_a_number_stands_once(tmp_path: Path) -> None:
    with pytest.raises(AnjuError, match="one number"):
        load_migrations(write(tmp_path, m0001_a="", m0001_b=""))


@pytest.mark.parametrize("name", ["0001.sql", "x_a.sql", "0001_a'b.sql"])
def test_a_file_whose_name_is_no_number_and_name_is_told_off(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(AnjuError, match="NUMBER_name"):
        load_migrations(tmp_path)


async def test_once_and_no_more(database_plain: Database) -> None:
    async with connected(database_plain) as connection:
        assert await migrate(connection, "plain") == ON_PLAIN
        assert await migrate(connection, "plain") == []
        assert await connection.fetchval("SELECT count(*) FROM area") == 0


async def test_many_processes_may_start_at_once(database_plain: Database) -> None:
    async def start() -> list[str]:
        async with connected(database_plain) as connection:
            return await migrate(connection, "plain")

    done = await asyncio.gather(*(start() for _ in range(4)))
    assert sorted(done) == [[], [], [], ON_PLAIN]


async def test_a_database_of_a_newer_version_is_left_alone(database_plain: Database) -> None:
    async with connected(database_plain) as connection:
        await migrate(connection, "plain")
        await connection.execute("INSERT INTO migration (number, name) VALUES (9999, 'future')")
        with pytest.raises(AnjuError, match=r"9999.*newer version"):
            await migrate(connection, "plain")
        assert await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


async def test_a_step_that_fails_leaves_nothing_behind(database_plain: Database, tmp_path: Path) -> None:
    write(tmp_path, m0001_a="CREATE TABLE a ();", m0002_b="CREATE TABLE b (); CREATE TABLE a ();")
    async with connected(database_plain) as connection:
        with pytest.raises(asyncpg.DuplicateTableError):
            await migrate(connection, "plain", tmp_path)
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        assert {row["tablename"] for row in await connection.fetch(tables)} == {"a", "migration"}
        write(tmp_path, m0002_b="CREATE TABLE b ();")  # mended
        assert await migrate(connection, "plain", tmp_path) == ["b"]


async def test_what_must_run_outside_a_transaction_does(database_plain: Database, tmp_path: Path) -> None:
    write(
        tmp_path,
        m0001_a="CREATE TABLE a (x int);",
        m0002_b="-- transaction: none\n" + "".join(f"CREATE INDEX CONCURRENTLY a_{i} ON a (x);\n" for i in range(2)),
    )
    async with connected(database_plain) as connection:
        assert await migrate(connection, "plain", tmp_path) == ["a", "b"]
        assert await connection.fetchval("SELECT count(*) FROM pg_indexes WHERE tablename = 'a'") == 2


async def test_a_database_that_moves_to_timescaledb_gets_its_hypertables_then(database_apache: Database) -> None:
    async with connected(database_apache) as connection:
        assert await migrate(connection, "plain") == ON_PLAIN
        await connection.execute("INSERT INTO readings VALUES (1, now(), 2.5, 0)")
        assert await detect_tier(connection) is Tier.APACHE
        assert await migrate(connection, "apache") == ["hypertables", "rollup_hypertables"]
        assert await connection.fetchval("SELECT value FROM readings") == 2.5
        tables = await connection.fetch("SELECT hypertable_name AS name FROM timescaledb_information.hypertables")
        assert {row["name"] for row in tables} == {"readings", "states", "events"} | {
            f"{rows}_{span}" for rows in ("readings", "states") for span in ("hour", "day")
        }


async def test_every_query_fits_the_tables(database: Database) -> None:
    async with connected(database) as connection:
        tier = await detect_tier(connection)
        await migrate(connection, tier)
        for file in QUERIES:
            for name, text in load_queries(file).items():
                if tier is Tier.PLAIN and "_chunks(" in text:
                    continue
                prepared = await connection.prepare(text)
                assert prepared.get_parameters() is not None, f"{file}.{name}"
