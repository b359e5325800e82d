"""Small disks for tests of full ones: a real one where that is allowed, and one that only says that it is full."""

import functools
import os
import sqlite3
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.outbox.room import measure_disk

SIZE_BYTES = 12 << 20


class SmallDisk:
    """A folder on a disk of SIZE_BYTES. `measure` is what the outbox is to ask of it."""

    measure = staticmethod(measure_disk)

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / "state"
        self.state.mkdir(exist_ok=True)

    def fill(self) -> None:
        """Something else takes all that is free."""
        with (self.folder / "foreign").open("ab", buffering=0) as file:
            for size in (64 << 10, 4096):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue

    def free(self) -> None:
        """It gives all of that back."""
        (self.folder / "foreign").unlink()

    @contextmanager
    def read_only(self):
        """As the kernel makes of a disk that fails."""
        subprocess.run(["mount", "-o", "remount,ro", str(self.folder)], check=True)
        try:
            yield
        finally:
            subprocess.run(["mount", "-o", "remount,rw", str(self.folder)], check=True)


class SayingDisk(SmallDisk):
    """Counts what is in its folder. Full, it refuses whatever would write, as SQLite says it of a full disk."""

    refuses = 0
    """The error of SQLite that whatever would write gets."""

    @contextmanager
    def read_only(self):
        self.refuses = sqlite3.SQLITE_READONLY
        try:
            yield
        finally:
            self.refuses = 0

    def measure(self, _: Path) -> tuple[int, int]:
        return SIZE_BYTES, max(0, SIZE_BYTES - sum(path.stat().st_size for path in self.folder.rglob("*")))

    def fill(self) -> None:
        with (self.folder / "foreign").open("ab") as file:
            file.truncate(file.tell() + self.measure(self.folder)[1])


def _connection(disk: SayingDisk) -> type[sqlite3.Connection]:
    class Connection(sqlite3.Connection):
        def __init__(self, database, **options):
            super().__init__(database, **options)
            self.on_disk = str(database).startswith(str(disk.folder))

        def execute(self, sql, *parameters):
            self.refuse_if_full(sql.startswith("BEGIN"))
            return super().execute(sql, *parameters)

        def executescript(self, script):
            self.refuse_if_full("vacuum" in script)
            return super().executescript(script)

        def refuse_if_full(self, writes):
            full = sqlite3.SQLITE_FULL if disk.measure(disk.folder)[1] <= 0 else 0
            if writes and self.on_disk and (disk.refuses or full):
                error = sqlite3.OperationalError("the disk refuses it")
                error.sqlite_errorcode = disk.refuses or full
                raise error

    return Connection


@pytest.fixture
def saying_disk(tmp_path, monkeypatch):
    disk = SayingDisk(tmp_path)
    monkeypatch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, factory=_connection(disk)))
    return disk


@pytest.fixture(params=["real", "said"])
def small_disk(request, tmp_path):
    if request.param == "said":
        yield request.getfixturevalue("saying_disk")
        return
    if os.geteuid() != 0:
        pytest.fail('this test mounts a disk that is soon full: run it as root, or leave it out with -k "not real"')
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES},mode=700", "tmpfs", str(folder)], check=True)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
