"""The disk as every stage of the box uses it.

SQLite in WAL with every commit on disk, one process, no full scan at start; files written whole or not at all.
"""

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.errors import Retryable

WAL_LIMIT_BYTES = 1 << 20
"""The write-ahead log goes into the database at this size, and is cut back to it when it was larger."""
KEEP_DAMAGED = 2
"""So many damaged files of one name are kept for people to look at; older ones are removed."""
CACHE_KIB = 256
"""Memory for pages, each connection; SQLite would take eight times as much."""
PAGE_BYTES = 1024
"""A commit writes each page that it changes twice, and most change few bytes: small pages halve what is written."""
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT})


class DiskError(Retryable):
    """The disk is full, or it fails; it may work again later."""


class DiskFullError(DiskError):
    """There is no room left on the disk, or none that this may take."""


class DamagedError(sqlite3.DatabaseError):
    """The file holds what no version of ours wrote, though SQLite itself can read it."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def connect(path: Path) -> sqlite3.Connection:
    """A connection for one thread, outside any transaction.

    Exclusive: no other process can read it meanwhile, and none of it depends on shared memory, which a full disk could
    take away. Raises sqlite3.Error.
    """
    fresh = not path.exists()
    db = sqlite3.connect(path, isolation_level=None, timeout=1.0)
    try:
        with damage_said():
            _set_up(db, is_fresh=fresh)
    except BaseException:
        db.close()
        raise
    if fresh:
        path.chmod(0o600)
        sync_folder(path.parent)
    return db


def _set_up(db: sqlite3.Connection, *, is_fresh: bool) -> None:
    db.execute("PRAGMA locking_mode = EXCLUSIVE")  # before anything is read: that would make shared memory
    if is_fresh:  # so that the file can give room back; before anything is written
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
    db.execute(f"PRAGMA wal_autocheckpoint = {WAL_LIMIT_BYTES // PAGE_BYTES}")
    db.execute("PRAGMA secure_delete = OFF")  # Debian's default overwrites what is deleted: wear, and room for it
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")  # blocks are written once and read once


@contextmanager
def damage_said() -> Iterator[None]:
    """Raises DamagedError where SQLite cannot even say what is damaged: the name in its words is no text any more."""
    try:
        yield
    except UnicodeDecodeError as e:
        raise DamagedError(f"SQLite names something that is no text: {e.object!r}") from e


def is_damaged(error: sqlite3.Error) -> bool:
    """Whether the file itself is beyond use, rather than the disk full or slow."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def is_full(error: sqlite3.Error) -> bool:
    """Whether there was no room on the disk."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def used_bytes(db: sqlite3.Connection) -> int:
    """Bytes of the database in use (pages less free ones); costs no scan."""
    pages, free, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in _SIZES)
    return int((pages - free) * size)


_SIZES = ("page_count", "freelist_count", "page_size")


def move_aside(path: Path) -> Path:
    """Renames a damaged file, and its write-ahead log with it, to NAME.damaged-TIME; returns the new path.

    The newest KEEP_DAMAGED such files stay, older ones are removed. Raises OSError.
    """
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    before = _damaged(path)
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    if before and aside.name <= before[-1].name:  # within the same second, or the clock was set back
        aside = aside.with_name(f"{before[-1].name}x")
    for source, suffix in _parts(path):
        source.rename(aside.with_name(aside.name + suffix))
    for old in _damaged(path)[:-KEEP_DAMAGED]:
        for part, _ in _parts(old):
            part.unlink()
    sync_folder(path.parent)
    return aside


def _damaged(path: Path) -> list[Path]:
    """The damaged files of a name, the newest last."""
    found = (old for old in path.parent.glob(f"{path.name}.damaged-*") if not old.name.endswith(("-wal", "-shm")))
    return sorted(found, key=lambda old: old.name)


def _parts(path: Path) -> Iterator[tuple[Path, str]]:
    """The files of a database that are there, each with what its name adds to the path."""
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            yield part, suffix


def copy_into_memory(path: Path, max_bytes: int) -> sqlite3.Connection:
    """A database on a disk that cannot be written, as a database in memory. Raises sqlite3.Error and OSError.

    SQLite wants to write where it reads a write-ahead log, so the files are copied to where that is possible.
    """
    size = path.stat().st_size
    if size > max_bytes:
        raise OSError(f"its {size} bytes are too many for the memory")
    shared_memory = Path("/dev/shm")  # noqa: S108  # a folder of our own within it
    with tempfile.TemporaryDirectory(dir=shared_memory if shared_memory.is_dir() else None) as folder:
        copy = Path(folder) / path.name
        for part, suffix in _parts(path):
            copy.with_name(copy.name + suffix).write_bytes(part.read_bytes())
        source = connect(copy)
        try:
            return into_memory(source)
        finally:
            source.close()


def into_memory(source: sqlite3.Connection | None) -> sqlite3.Connection:
    """A database in memory with all that the source holds, outside any transaction. Raises sqlite3.Error."""
    memory = sqlite3.connect(":memory:", isolation_level=None)
    try:
        if source is not None:
            source.backup(memory)
        else:  # SQLite copies it to a file of the same pages only
            memory.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    except BaseException:
        memory.close()
        raise
    return memory


def sync_folder(folder: Path) -> None:
    """Makes names in a folder durable (files made, renamed or removed)."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all, on disk when this returns, mode 0600."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
