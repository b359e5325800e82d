"""The power cut keeps what was promised and nothing else: judged on processes that say what they asked for."""

import os
import sqlite3
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.powercut import SECTOR, PowerCut

PRELUDE = """
import os, sys
def put(name, data, flags=os.O_CREAT | os.O_WRONLY, sync=False):
    fd = os.open(name, flags, 0o600)
    os.write(fd, data)
    if sync:
        os.fsync(fd)
    os.close(fd)
def sync_folder(name="."):
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)
"""
SEEDS = range(40)


def run(disk, script):
    """Runs a script in the folder, to its end."""
    environment = os.environ | disk.environment
    subprocess.run([sys.executable, "-c", PRELUDE + script], cwd=disk.folder, env=environment, check=True)


def cuts(tmp_path, script, before=lambda _: None):
    """What the folder may hold after a script and a power cut, for many seeds and for none: as {name: content}."""
    found = []
    for seed in (None, *SEEDS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        before(folder)
        disk = PowerCut(folder)
        run(disk, script)
        disk.cut(seed)
        found.append({p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()})
    return found


def test_a_write_without_fsync_may_be_forgotten_and_with_it_is_kept(tmp_path: Path) -> None:
    found = cuts(tmp_path, "put('kept', b'k' * 2000, sync=True); put('not', b'n' * 2000)")
    assert all(files["kept"] == b"k" * 2000 for files in found)
    assert "not" not in found[0]
    assert {files.get("not") for files in found} >= {None, b"", b"n" * 2000}


@pytest.mark.parametrize("flag", ["O_SYNC", "O_DSYNC"])
def test_a_file_opened_to_write_through_needs_no_fsync(tmp_path: Path, flag: str) -> None:
    script = f"put('through', b'x' * 3000, os.O_WRONLY | os.{flag})"
    for files in cuts(tmp_path, script, lambda folder: (folder / "through").write_bytes(b"-" * 10)):
        assert files == {"through": b"x" * 3000}


def test_what_was_not_synced_is_torn_and_reordered_by_sectors(tmp_path: Path) -> None:
    script = """
fd = os.open("file", os.O_RDWR)
for n in range(16):
    os.pwrite(fd, b"n" * 512, n * 512)
os.pwrite(fd, b"m" * 256, 3 * 512 + 256)
"""
    old, seen = b"o" * 16 * SECTOR, set()
    for files in cuts(tmp_path, script, lambda folder: (folder / "file").write_bytes(old)):
        sectors = [files["file"][at : at + SECTOR] for at in range(0, len(old), SECTOR)]
        assert len(sectors) == 16
        for n, sector in enumerate(sectors):
            torn = {b"n" * 256 + b"m" * 256} if n == 3 else set()
            assert sector in {b"o" * SECTOR, b"n" * SECTOR} | torn
        seen.add(tuple(sector == b"o" * SECTOR for sector in sectors))
    assert (True,) * 16 in seen
    assert (False,) * 16 in seen
    # A later write may be there and an earlier one not.
    assert any(was_lost and not after for pattern in seen for was_lost, after in pairwise(pattern))


def test_only_what_was_written_before_the_fsync_is_durable(tmp_path: Path) -> None:
    script = """
fd = os.open("file", os.O_RDWR)
os.pwrite(fd, b"1" * 512, 0)
os.fdatasync(fd)
os.pwrite(fd, b"2" * 512, 0)
"""
    found = cuts(tmp_path, script, lambda folder: (folder / "file").write_bytes(b"0" * 512))
    assert found[0] == {"file": b"1" * 512}
    assert {files["file"] for files in found} == {b"1" * 512, b"2" * 512}


def test_what_was_cut_off_a_file_does_not_come_back(tmp_path: Path) -> None:
    script = """
fd = os.open("file", os.O_RDWR)
os.ftruncate(fd, 100)
os.ftruncate(fd, 2000)
"""
    found = {files["file"] for files in cuts(tmp_path, script, lambda f: (f / "file").write_bytes(b"0" * 1000))}
    assert found == {b"0" * 1000, b"0" * 100, b"0" * 100 + bytes(1900)}


def test_a_rename_is_durable_by_the_folder_and_may_otherwise_be_forgotten(tmp_path: Path) -> None:
    def before(folder):
        (folder / "file").write_bytes(b"old")

    write = "put('new', b'new', sync=True); os.rename('new', 'file')"
    found = cuts(tmp_path, write, before)
    assert found[0] == {"file": b"old", "new": b"new"}
    assert {files["file"] for files in found} == {b"old", b"new"}
    (tmp_path / "again").mkdir()
    assert all(files == {"file": b"new"} for files in cuts(tmp_path / "again", f"{write}; sync_folder()", before))


def test_a_file_renamed_before_its_content_was_synced_may_be_empty(tmp_path: Path) -> None:
    found = cuts(tmp_path, "put('new', b'new'); os.rename('new', 'file'); sync_folder()")
    assert {files["file"] for files in found} >= {b"", b"new"}


def test_a_removed_file_may_be_there_again(tmp_path: Path) -> None:
    found = cuts(tmp_path, "os.unlink('file')", lambda folder: (folder / "file").write_bytes(b"old"))
    assert found[0] == {"file": b"old"}
    assert {} in found


def test_a_folder_that_is_renamed_takes_what_is_in_it_along(tmp_path: Path) -> None:
    def before(folder):
        (folder / "old").mkdir()
        (folder / "old" / "was").write_bytes(b"w")

    script = "os.mkdir('in'); put('in/file', b'x', sync=True); sync_folder('in'); sync_folder(); os.rename('in', 'out')"
    found = cuts(tmp_path, f"{script}; os.rename('old', 'new')", before)
    assert found[0] == {"file": b"x", "was": b"w"}
    assert (tmp_path / "None" / "in" / "file").exists()
    assert (tmp_path / "None" / "old" / "was").exists()
    again = tmp_path / "again"
    again.mkdir()
    assert all(files == {"file": b"x"} for files in cuts(again, f"{script}; sync_folder()"))
    assert (again / "None" / "out" / "file").exists()
    assert not (again / "None" / "in").exists()


def test_a_folder_and_what_is_in_it_need_both_folders_synced(tmp_path: Path) -> None:
    found = cuts(tmp_path, "os.mkdir('in'); put('in/file', b'x', sync=True); sync_folder('in')")
    assert found[0] == {}
    (tmp_path / "again").mkdir()
    script = "os.mkdir('in'); put('in/file', b'x', sync=True); sync_folder('in'); sync_folder()"
    assert all(files == {"file": b"x"} for files in cuts(tmp_path / "again", script))


def test_it_says_how_much_was_lost(tmp_path: Path) -> None:
    disk = PowerCut(tmp_path / "disk")
    run(disk, "put('kept', b'x', sync=True); put('lost', b'x')")
    cut = disk.cut(None)
    assert (cut.durable, cut.unsynced, cut.lost, cut.names_unsynced, cut.names_lost) == (1, 1, 1, 1, 1)


def test_a_process_that_was_not_watched_is_no_proof(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no process was watched"):
        PowerCut(tmp_path / "disk").cut(None)


def test_what_the_model_does_not_know_is_refused(tmp_path: Path) -> None:
    disk = PowerCut(tmp_path / "disk")
    (disk.folder / "file").write_bytes(bytes(4096))
    run(disk, "import mmap; mmap.mmap(os.open('file', os.O_RDWR), 4096)")
    with pytest.raises(AssertionError, match="a writable shared mapping"):
        disk.cut(None)


def test_copies_and_vectors_are_seen(tmp_path: Path) -> None:
    script = """
import shutil
put('from', b'a' * 200_000, sync=True)
shutil.copyfile('from', 'to')
fd = os.open('to', os.O_RDWR)
os.pwritev(fd, [b'b' * 10, b'c' * 10], 5)
os.fsync(fd)
sync_folder()
"""
    for files in cuts(tmp_path, script):
        assert files["to"] == b"a" * 5 + b"b" * 10 + b"c" * 10 + b"a" * (200_000 - 25)


COMMITS = """
import sqlite3
db = sqlite3.connect("x.db", isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute(f"PRAGMA synchronous = {sys.argv[1]}")
db.execute("PRAGMA wal_autocheckpoint = 20")
db.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, x BLOB)")
sync_folder()
n = db.execute("SELECT count(*) FROM t").fetchone()[0]
while True:
    db.execute("INSERT INTO t VALUES (?, ?)", (n, bytes(700)))
    n += 1
    print(n, flush=True)
"""


def committed_and_found(disk: PowerCut, synchronous: str, seed: int) -> tuple[int, int]:
    """Rows that a process said were committed, and those that are there after a power cut; -1 for a broken file."""
    command = [sys.executable, "-c", PRELUDE + COMMITS, synchronous]
    with subprocess.Popen(
        command, cwd=disk.folder, env=os.environ | disk.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(seed * 7 % 90 + 1):
            said = process.stdout.readline()
        disk.cut(seed, process.pid)
        said = (process.stdout.read().splitlines() or [said])[-1]
    try:
        with sqlite3.connect(disk.folder / "x.db") as db:
            return int(said), int(db.execute("SELECT count(*) FROM t").fetchone()[0])
    except sqlite3.DatabaseError:
        return int(said), -1
    finally:
        db.close()


def test_sqlite_keeps_its_commits_in_wal_with_full_sync_and_not_without(tmp_path: Path) -> None:
    disk = PowerCut(tmp_path / "full")
    for seed in range(10):
        said, found = committed_and_found(disk, "FULL", seed)
        assert said <= found <= said + 1
    broken = 0
    for seed in range(6):
        disk = PowerCut(tmp_path / f"off-{seed}")
        said, found = committed_and_found(disk, "OFF", seed)
        broken += found < said
    assert broken
