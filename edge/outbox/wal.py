"""Whether SQLite's write-ahead log still holds all that was committed to it.

SQLite ends its log at the first frame that does not hold, as it must: after a power cut the last frames may be torn. A
bit that flips within it therefore takes every later commit away without a word. But a commit is on disk before anything
is written after it (`synchronous = FULL`), so a frame of the same log that comes after a commit proves that commit.
Only damage to the very last commit, or also to the mark of the one before, looks like a write that the power cut off.

Source: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

import os
import sqlite3
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final

from edge.disk import is_damaged

_HEADER: Final = struct.Struct(">IIIIIIII")
_FRAME: Final = struct.Struct(">IIIIII")
_MAGIC: Final = 0x377F0682
"""Its last bit tells the byte order of the checksums."""
Salts = tuple[int, int]


def proven_frames(database: Path, page_bytes: int) -> int:
    """Frames that the log of a database must hold, as far as later ones prove it; before SQLite has opened it."""
    try:
        with database.with_name(f"{database.name}-wal").open("rb") as log:
            salts, frames = _salts(log.read(_HEADER.size)), list(_frames(log, page_bytes))
    except OSError:
        return 0
    if salts is None:  # that of two frames in a row
        salts = next((own for (own, _), (after, _) in pairwise(frames) if own == after), None)
    proven = last_commit = 0
    for number, (own, is_commit) in enumerate(frames, 1):
        if own == salts:
            proven, last_commit = last_commit, number if is_commit else last_commit
    return proven


def _frames(log: BinaryIO, page_bytes: int) -> Iterator[tuple[Salts, bool]]:
    """Of each frame what tells its log, and whether a commit ends with it."""
    while len(header := log.read(_FRAME.size)) == _FRAME.size:
        _, pages, *own, _, _ = _FRAME.unpack(header)
        yield (own[0], own[1]), pages != 0
        log.seek(page_bytes, os.SEEK_CUR)


def _salts(header: bytes) -> Salts | None:
    """What tells this log's frames from those of the one before it; None where the header itself is damaged."""
    if len(header) < _HEADER.size:
        return None
    magic, _, _, _, *own, first, second = _HEADER.unpack(header)
    words = struct.unpack("<6I" if magic == _MAGIC else ">6I", header[:24])
    a = b = 0
    for even, odd in zip(words[::2], words[1::2], strict=True):
        a = (a + even + b) & 0xFFFFFFFF
        b = (b + odd + a) & 0xFFFFFFFF
    is_sound = magic in {_MAGIC, _MAGIC + 1} and (a, b) == (first, second)
    return (own[0], own[1]) if is_sound else None


def frames_found(db: sqlite3.Connection) -> int | None:
    """Frames of the log that SQLite has taken up; they go into the database. None where the disk does not let it.

    Raises sqlite3.DatabaseError where the database itself is damaged.
    """
    try:
        _, frames, _ = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error as e:
        if is_damaged(e):
            raise
        return None
    return int(frames)
