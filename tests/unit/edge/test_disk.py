"""What must be on disk is asked of the disk: the fsync of each file and folder, and SQLite's own."""

import os
from pathlib import Path

import pytest

from contract.site import Storage
from edge import disk
from edge.disk import connect, move_aside, write_durably
from edge.outbox import Outbox
from tests.unit.edge.outbox.examples import BOOT, INVENTORY


@pytest.fixture
def synced(monkeypatch):
    """The names of what was fsynced, in order."""
    paths: list[Path] = []
    fsync = os.fsync

    def record(handle):
        paths.append(Path(f"/proc/self/fd/{handle}").readlink())
        fsync(handle)

    monkeypatch.setattr(disk.os, "fsync", record)
    return paths


def test_a_file_is_on_disk_before_its_name_and_its_name_before_it_is_said(tmp_path, synced, monkeypatch):
    replaced: list[int] = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, to: (replaced.append(len(synced)), replace(path, to))[1])
    write_durably(tmp_path / "identity.key", b"secret")
    file, folder = synced
    assert file.name.startswith(".identity.key.")
    assert folder == tmp_path
    assert replaced == [1]
    assert (tmp_path / "identity.key").stat().st_mode & 0o777 == 0o600


def test_a_new_database_and_one_moved_aside_are_there_after_a_power_cut(tmp_path, synced):
    connect(tmp_path / "a.db").close()
    assert synced == [tmp_path]
    connect(tmp_path / "a.db").close()
    assert synced == [tmp_path]
    move_aside(tmp_path / "a.db")
    assert synced == [tmp_path, tmp_path]


async def test_every_commit_of_the_outbox_is_on_disk(tmp_path):
    async with Outbox.open(tmp_path, boot=BOOT, storage=Storage(), inventory=INVENTORY) as outbox:
        for stream in (outbox._urgent, outbox._bulk):
            found = await stream.worker.run(
                lambda file: [file.db.execute(f"PRAGMA {n}").fetchone()[0] for n in ("synchronous", "journal_mode")]
            )
            assert found == [2, b"wal"]  # FULL
