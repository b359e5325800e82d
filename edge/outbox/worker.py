"""The thread that owns one stream's file."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import structlog

from edge.disk import DiskError, DiskFullError, damage_said, is_damaged, is_full
from edge.outbox.file import StreamFile

log = structlog.get_logger(__name__)
T = TypeVar("T")


class FileWorker:
    """Runs operations on a StreamFile one after the other in its own thread; the event loop only waits.

    An operation that finds the file damaged is run once more on the new file that replaces it, or in memory where the
    disk does not take a new one. One that finds the disk full is run once more in the room of the ballast.
    """

    def __init__(self, file: StreamFile) -> None:
        self.file = file
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"outbox-{file.stream}")

    async def run(self, operation: Callable[[StreamFile], T], *, ballast: bool = True) -> T:
        """The operation's result. `ballast`: what it writes frees room, so the ballast may go for it.

        Raises DiskError where the disk fails and DiskFullError where it is full; nothing was changed then.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, operation, ballast)

    def _run(self, operation: Callable[[StreamFile], T], ballast: bool) -> T:
        try:
            try:
                with damage_said():
                    return operation(self.file)
            except sqlite3.Error as e:
                if is_damaged(e):
                    self._recover(str(e))
                elif not (is_full(e) and self._found_room(ballast)):
                    raise
                return operation(self.file)
        except (sqlite3.Error, OSError) as e:
            kind = DiskFullError if isinstance(e, sqlite3.Error) and is_full(e) else DiskError
            raise kind(f"{self.file.path}: {e}") from e

    def _found_room(self, ballast: bool) -> bool:
        """On a full disk: what is free within the log, and then the ballast."""
        emptied = self.file.empty_log()
        released = ballast and self.file.room.release()
        return (released and self.file.empty_log()) or emptied or released

    def _recover(self, problem: str) -> None:
        try:
            self.file.replace(problem)
        except (sqlite3.Error, OSError) as e:
            self.file.leave_disk(f"{problem}, and no new file could be made: {e}")

    async def close(self) -> None:
        """Closes the file, if it was opened, and ends the thread."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _close(self) -> None:
        with suppress(sqlite3.Error, OSError):
            self.file.return_to_disk()
            self.file.settle()  # if not, what was delivered is sent again, and known
        if self.file.in_memory and self.file.chain.pending:
            log.error(
                "blocks were in memory only and are lost", stream=self.file.stream, blocks=self.file.chain.pending
            )
        self.file.close()
