"""Who may take what of the disk: urgent's room is kept free of bulk, and a ballast is let go when the disk is full.

A full disk lets nothing be deleted either: SQLite writes before it frees. The ballast is the room for that.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from edge.disk import WAL_LIMIT_BYTES

log = structlog.get_logger(__name__)

MAX_URGENT_BYTES: Final = 64 << 20
"""Most that is kept free for urgent, however large its quota and the disk."""
URGENT_SHARE: Final = 8
"""On a small disk, this fraction of it is kept free for urgent."""
MAX_BALLAST_BYTES: Final = 4 << 20
BALLAST_SHARE: Final = 12
BALLAST_FILE: Final = "ballast"

Measure = Callable[[Path], tuple[int, int]]
"""Bytes of the disk a folder is on: all, and those that are free. Raises OSError."""


def measure_disk(folder: Path) -> tuple[int, int]:
    """The disk as the kernel counts it, without what is reserved for root."""
    disk = os.statvfs(folder)
    return disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize


class Room:
    """The disk under a state folder. Every method may be called from any thread and raises nothing.

    The ballast and the write-ahead logs count as free: that is what they are kept for.
    """

    def __init__(self, folder: Path, urgent_quota_bytes: int, measure: Measure = measure_disk) -> None:
        self._folder, self._measure = folder, measure
        self._path = folder / BALLAST_FILE
        try:
            total, _ = measure(folder)
        except OSError:
            total = 0
        self.ballast_bytes = min(MAX_BALLAST_BYTES, total // BALLAST_SHARE)
        self._logs_bytes = 2 * WAL_LIMIT_BYTES
        self.reserve_bytes = (
            min(urgent_quota_bytes, MAX_URGENT_BYTES, total // URGENT_SHARE) + self._logs_bytes + self.ballast_bytes
        )

    def spare_bytes(self) -> int | None:
        """Free bytes above the reserve; negative where it is touched; None where the disk does not tell."""
        try:
            _, free = self._measure(self._folder)
            logs = sum(min(path.stat().st_size, WAL_LIMIT_BYTES) for path in self._folder.glob("*.db-wal"))
        except OSError:
            return None
        return free + min(logs, self._logs_bytes) + self._ballast_here() - self.reserve_bytes

    def release(self) -> bool:
        """Lets the ballast go, so that what frees room can be written; False when it is gone already."""
        try:
            self._path.unlink()
        except OSError:
            return False
        log.warning("the disk is full: the ballast was let go", file=str(self._path), bytes=self.ballast_bytes)
        return True

    def restore(self) -> None:
        """Makes the ballast again where there is room for it."""
        if self._ballast_here() >= self.ballast_bytes:
            return
        try:
            _, free = self._measure(self._folder)
            if free < self.ballast_bytes + self._logs_bytes:
                return
            handle = os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600)
            try:
                os.posix_fallocate(handle, 0, self.ballast_bytes)
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as e:
            log.warning("the ballast could not be made", file=str(self._path), problem=str(e))

    def _ballast_here(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0
