"""The disk as every stage of the box uses it.

SQLite in WAL with every commit on disk, one process, no full scan at start; files written whole or not at all.
"""

import os
import sqlite3
import tempfile
import time
from pathlib import Path

WAL_LIMIT_BYTES = 4 << 20
"""The write-ahead log is cut back to this when it was larger."""
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def connect(path: Path) -> sqlite3.Connection:
    """A connection for one thread, outside any transaction.

    Exclusive: no other process can read it meanwhile, and none of it depends on shared memory, which a full disk could
    take away. Raises sqlite3.Error.
    """
    fresh = not path.exists()
    db = sqlite3.connect(path, isolation_level=None, timeout=1.0)
    try:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
        db.execute("PRAGMA temp_store = MEMORY")
    except BaseException:
        db.close()
        raise
    if fresh:
        path.chmod(0o600)
        sync_folder(path.parent)
    return db


def is_damaged(error: sqlite3.Error) -> bool:
    """Whether the file itself is beyond use, rather than the disk full or slow."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def used_bytes(db: sqlite3.Connection) -> int:
    """Bytes of the database in use (pages less free ones); costs no scan."""
    pages, free, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in _SIZES)
    return int((pages - free) * size)


_SIZES = ("page_count", "freelist_count", "page_size")


def move_aside(path: Path) -> Path:
    """Renames a damaged file, and its write-ahead log with it, to NAME.damaged-TIME; returns the new path."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    while aside.exists():
        aside = aside.with_name(f"{aside.name}x")
    for suffix in ("", "-wal", "-shm"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            source.rename(aside.with_name(aside.name + suffix))
    sync_folder(path.parent)
    return aside


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
