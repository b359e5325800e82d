"""A server that is lost comes back as it was at a chosen time, by the scripts of deploy/backup, and the boxes go on.

What the boxes had sent after that time they no longer have: their streams go on under a new epoch.
"""

import gzip
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from cloud.ingest.ingest import RefusedError
from cloud.store import Database as Store
from contract.columns import Row
from contract.kinds import Lane
from contract.messages import Quality
from contract.session import RefusalReason
from tests.contract.conftest import Estate, estate_of, make_estate
from tests.support.blocks import SECOND, Chain, body, clock, inventory, position
from tests.support.servers import ApacheServer, PlainServer, apache_folders, plain_folders
from tests.support.waiting import eventually

SCRIPTS = Path(__file__).resolve().parents[2] / "deploy/backup"
Server = PlainServer | ApacheServer
KINDS = {"plain": (PlainServer, plain_folders), "apache": (ApacheServer, apache_folders)}


class Place:
    """A server with a folder for its backups beside it, and the scripts where both can see them."""

    def __init__(self, kind: type[Server], folder: Path) -> None:
        self.backups, self.tools = folder / "backup", folder / "tools"
        shutil.copytree(SCRIPTS, self.tools)
        inside = kind(folder)._inside
        archive = f"sh {inside(self.tools)}/archive.sh %p %f {inside(self.backups)}/wal"
        self.server = kind(folder, settings={"archive_mode": "on", "archive_command": archive})
        for made in (self.backups, self.backups / "wal", self.backups / "base"):
            made.mkdir()
            if (account := self.server._account()) is not None:
                os.chown(made, *account)

    def run(self, script: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Runs a script as the server's user, where the server is; paths are said as the server sees them."""
        become = self.server._command("psql")[:-1]
        path = f"PATH={self.server._bin_dir()}:/usr/bin:/bin"
        login = ["PGHOST=127.0.0.1", f"PGPORT={self.server.port}", "PGUSER=postgres"]
        login.append(f"PGPASSWORD={self.server._password()}")
        said = [self.server._inside(word) if isinstance(word, Path) else word for word in words]
        tool = self.server._inside(self.tools / script)
        command = [*become, "/usr/bin/env", path, *login, "sh", tool, *said]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    kind, folders = KINDS[request.param]
    folder = folders().take()
    folder.mkdir(mode=0o711)
    made = Place(kind, folder)
    made.server.start()
    yield made
    made.server.remove()


def reading(value: float) -> list[Row]:
    return [Row(position(inventory(), "smoke-0", "temperature"), 1000 * SECOND, value, Quality.GOOD)]


async def send(estate: Estate, chain: Chain, *blocks: bytes) -> int:
    return (await estate.ingest.take(estate.gateway, estate.area, chain.stream, body(*blocks))).cursor.number


async def test_a_lost_server_comes_back_as_it_was_and_the_boxes_go_on(place: Place) -> None:
    with ExitStack() as stack:
        async with Store.open(place.server.url, 4) as store:
            estate = await make_estate(store)
            urgent, bulk = Chain(Lane.URGENT), Chain(Lane.BULK, inventory_id=inventory().inventory_id)
            await send(estate, urgent, urgent.urgent(inventory(), clock(time.time_ns())))
            await send(estate, bulk, bulk.bulk(reading(1.0)))
            based = place.run("base.sh", place.backups, "1")
            assert based.returncode == 0, based.stderr
            named = Path(based.stdout.strip()).name
            await eventually(lambda: f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}" > named)
            await send(estate, bulk, bulk.bulk(reading(2.0)))
            await estate.settler.settle_all()
            ((before,),) = await estate.rows("SELECT clock_timestamp()")
            assert await send(estate, bulk, bulk.bulk(reading(3.0))) == 3  # acknowledged: the box has it no more
            await estate.settler.settle_all()
            assert [v for (v,) in await estate.rows("SELECT value FROM readings ORDER BY 1")] == [1.0, 2.0, 3.0]
            ((piece,),) = await estate.rows("SELECT pg_walfile_name(pg_switch_wal())")
            await eventually((place.backups / "wal" / f"{piece}.gz").exists)
            place.server.kill()
        folder = KINDS[place.server.tier][1]().take()
        folder.mkdir(mode=0o711)
        if (account := place.server._account()) is not None:
            os.chown(folder, *account)
        restored = place.run("restore.sh", place.backups, folder / "cluster", f"{before:%Y-%m-%dT%H:%M:%S.%fZ}")
        assert restored.returncode == 0, restored.stderr
        shutil.copy(place.server.data_dir / "password", folder / "password")
        again = type(place.server)(folder)
        stack.callback(again.remove)
        again.start()
        await eventually(lambda: again.sql("SELECT pg_is_in_recovery()") == "f")
        async with Store.open(again.url, 4) as store:
            there = estate_of(store, estate.area, estate.gateway, estate.person)
            assert [v for (v,) in await there.rows("SELECT value FROM readings ORDER BY 1")] == [1.0, 2.0]
            await _the_box_goes_on(there, bulk)


async def _the_box_goes_on(estate: Estate, bulk: Chain) -> None:
    with pytest.raises(RefusedError) as refused:
        await send(estate, bulk, bulk.bulk(reading(4.0)))
    assert refused.value.refusal.reason == RefusalReason.GAP
    assert refused.value.refusal.cursor.number == 2
    anew = Chain(Lane.BULK, epoch=bulk.epoch + 1, inventory_id=bulk.inventory_id, sealed_ns=bulk.sealed_ns - SECOND)
    assert await send(estate, anew, anew.bulk(reading(4.0))) == 1
    await estate.settler.settle_all()
    assert [v for (v,) in await estate.rows("SELECT value FROM readings ORDER BY 1")] == [1.0, 2.0, 4.0]
    with pytest.raises(RefusedError) as refused:
        await send(estate, bulk, bulk.sent[-1])
    assert refused.value.refusal.reason == RefusalReason.CLOSED_EPOCH


def test_a_piece_of_the_log_is_kept_once_and_never_written_over(tmp_path: Path) -> None:
    def archive(piece: bytes) -> subprocess.CompletedProcess[str]:
        (tmp_path / "piece").write_bytes(piece)
        command = ["sh", SCRIPTS / "archive.sh", tmp_path / "piece", "000000010000000000000001", tmp_path]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert archive(b"one" * 1000).returncode == 0
    assert archive(b"one" * 1000).returncode == 0  # asked again after a crash
    other = archive(b"two" * 1000)
    assert other.returncode == 1
    assert "do two servers archive into one folder?" in other.stderr
    assert gzip.decompress((tmp_path / "000000010000000000000001.gz").read_bytes()) == b"one" * 1000


def test_nothing_is_restored_over_a_folder_in_use_or_from_before_the_first_backup(tmp_path: Path) -> None:
    def restore(time: str) -> str:
        command = ["sh", SCRIPTS / "restore.sh", tmp_path, tmp_path / "data", time]
        return subprocess.run(command, capture_output=True, text=True, check=False).stderr

    (tmp_path / "base/20261124T063000Z").mkdir(parents=True)
    assert "no base backup" in restore("2026-11-24T06:29:59Z")
    assert "no base backup" in restore("2026-11-24T06:30:00.5Z")  # it ended within this second, who knows when
    (tmp_path / "data").mkdir()
    (tmp_path / "data/PG_VERSION").write_text("17")
    assert "is not empty" in restore("2026-11-24T07:00:00Z")


def test_the_override_of_compose_adds_the_archive_and_nothing_open() -> None:
    services = YAML(typ="safe").load((SCRIPTS.parent / "compose/compose.backup.yaml").read_text())["services"]
    base = YAML(typ="safe").load((SCRIPTS.parent / "compose/compose.yaml").read_text())["services"]
    assert services["backup-folder"]["image"] == base["db"]["image"]
    assert services["backup-folder"]["cap_drop"] == ["ALL"]
    assert services["db"].keys() == {"depends_on", "command", "volumes"}
    assert services["db"]["command"][-1].startswith("-carchive_command=sh /backup-tools/archive.sh %p %f ")
    assert "../backup:/backup-tools:ro" in services["db"]["volumes"]
