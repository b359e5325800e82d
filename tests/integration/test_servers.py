"""The servers the tests stand on are what they claim to be, and keep their data as a database should."""

import asyncio
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest

from simulators.postgres import EmbeddedPostgres, PostgresError
from tests.support.servers import PGLITE, CommunityServer, Database, ServerMissingError, plain_folders, timescaledb_root

EXTENSION = "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"
AVAILABLE = "SELECT count(*) FROM pg_available_extensions WHERE name = 'timescaledb'"


async def query(url: str, *statements: str):
    """Runs the statements on a connection of their own; the value of the last one."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1])
    finally:
        await connection.close()


async def test_data_outlives_stop_and_kill(fresh_plain_server):
    server = fresh_plain_server()
    url = server.url
    await query(url, "CREATE TABLE kept (number int)", "INSERT INTO kept VALUES (1)", "SELECT 1")

    server.stop()
    assert not server.running
    server.start()
    assert server.url == url
    assert await query(url, "INSERT INTO kept VALUES (2)", "SELECT count(*) FROM kept") == 2

    server.kill()
    assert not server.running
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await query(url, "SELECT 1")
    server.start()
    assert server.url == url
    assert await query(url, "SELECT count(*) FROM kept") == 2


async def test_kill_leaves_no_process_of_the_server(fresh_plain_server):
    server = fresh_plain_server()
    pids = {int(pid) for pid in server.sql("SELECT pid FROM pg_stat_activity").split()}
    connection = await asyncpg.connect(server.url)
    pids.add(connection.get_server_pid())
    server.kill()
    assert not {process.pid for process in psutil.process_iter(["status"]) if process.pid in pids and alive(process)}
    connection.terminate()


def alive(process: psutil.Process) -> bool:
    return process.info["status"] != psutil.STATUS_ZOMBIE


OWNER = """
import sys, time
from pathlib import Path
from simulators.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print(server.url, flush=True)
time.sleep(600)
"""


async def test_a_server_whose_owner_was_killed_is_found_at_the_next_start():
    folder = plain_folders().take()
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", OWNER, folder, stdout=asyncio.subprocess.PIPE)
    url = (await owner.stdout.readline()).decode().strip()
    await query(url, "CREATE TABLE kept ()", "SELECT 1")
    with pytest.raises(PostgresError, match=f"in use by process {owner.pid}"):
        EmbeddedPostgres(folder).start()
    owner.kill()
    await owner.wait()
    assert await query(url, "SELECT count(*) FROM kept") == 0  # it lives on, unowned

    heir = EmbeddedPostgres(folder)
    assert heir.running
    heir.start()
    assert await query(heir.url, "SELECT count(*) FROM kept") == 0
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await query(url, "SELECT 1")
    heir.remove()


async def test_a_pid_file_whose_number_is_somebody_elses_by_now_is_no_obstacle(fresh_plain_server):
    server = fresh_plain_server()
    server.kill()
    pid_file = server.cluster / "postmaster.pid"
    pid_file.write_text("\n".join(["1", *pid_file.read_text().splitlines()[1:]]) + "\n")
    assert not server.running
    server.start()
    assert await query(server.url, "SELECT 1") == 1


async def test_only_the_password_opens_it(plain_server):
    host = f"127.0.0.1:{plain_server.port}"
    with pytest.raises(asyncpg.InvalidPasswordError):
        await query(f"postgresql://postgres:guess@{host}/postgres", "SELECT 1")
    assert (plain_server.data_dir / "password").stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_start_says_why(fresh_plain_server):
    taken = fresh_plain_server()
    rival = EmbeddedPostgres(plain_folders().take(), taken.port)
    with pytest.raises(PostgresError, match=rf"did not start on port {taken.port}(.|\n)*Address already in use"):
        rival.start()
    rival.remove()


async def test_plain_offers_no_timescaledb(database_plain: Database):
    assert await query(database_plain.url, AVAILABLE) == 0
    assert await query(database_plain.url, "SHOW server_version_num") >= "180000"


async def test_apache_refuses_compression(database_apache: Database):
    url = database_apache.url
    assert await query(url, "CREATE EXTENSION timescaledb", EXTENSION) == "2.19.3"
    assert await query(url, "SHOW timescaledb.license") == "apache"
    await query(url, "CREATE TABLE m (ts timestamptz NOT NULL)", "SELECT create_hypertable('m', by_range('ts'))::text")
    with pytest.raises(asyncpg.FeatureNotSupportedError, match='not supported under the current "apache" license'):
        await query(url, "ALTER TABLE m SET (timescaledb.compress)")


async def test_community_compresses(database_community: Database):
    url = database_community.url
    assert (await query(url, "CREATE EXTENSION timescaledb", EXTENSION)).startswith("2.23.")
    assert await query(url, "SHOW timescaledb.license") == "timescale"
    await query(
        url,
        "CREATE TABLE m (ts timestamptz NOT NULL)",
        "SELECT create_hypertable('m', by_range('ts'))",
        "ALTER TABLE m SET (timescaledb.compress)",
        "INSERT INTO m VALUES ('2026-01-01T00:00:00Z')",
        "SELECT 1",
    )
    assert await query(url, "SELECT count(compress_chunk(c)) FROM show_chunks('m') AS c") == 1
    assert await query(url, "SELECT count(*) FROM m") == 1


@pytest.mark.parametrize("turn", ["first", "second"])
async def test_each_test_has_an_empty_database(database: Database, turn: str):
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert await query(database.url, tables) == 0
    assert await query(database.url, "CREATE TABLE left_behind ()", tables) == 1


async def test_every_tier_takes_copy_and_its_stated_connections(database: Database):
    rows = [(number, "安居") for number in range(20_000)]
    pool = asyncpg.create_pool(database.url, min_size=0, max_size=min(database.max_connections, 8))
    async with pool, pool.acquire() as connection:
        await connection.execute("CREATE TABLE copied (number int, name text)")
        assert await connection.copy_records_to_table("copied", records=rows) == "COPY 20000"
        with pytest.raises(asyncpg.UndefinedTableError):
            await connection.copy_records_to_table("missing", records=rows)
        assert await connection.fetchval("SELECT sum(number) FROM copied WHERE name = $1", "安居") == 199_990_000
    async with asyncpg.create_pool(database.url, min_size=0, max_size=min(database.max_connections, 8)) as pool:
        numbers = await asyncio.gather(*(pool.fetchval("SELECT $1::int", number) for number in range(16)))
    assert numbers == list(range(16))


async def test_a_server_that_is_not_installed_says_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("tests.support.servers.PGLITE", tmp_path / PGLITE.name)
    with pytest.raises(ServerMissingError, match="make test-servers"):
        CommunityServer().start()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ServerMissingError, match="make test-servers"):
        timescaledb_root()
