"""The thread that owns one stream's file."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from contract.errors import Retryable
from edge.disk import is_damaged
from edge.outbox.file import StreamFile

T = TypeVar("T")


class DiskError(Retryable):
    """The disk is full, or it fails; it may work again later."""


class FileWorker:
    """Runs operations on a StreamFile one after the other in its own thread; the event loop only waits.

    An operation that finds the file damaged is run once more on the new file that replaces it.
    """

    def __init__(self, file: StreamFile) -> None:
        self.file = file
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"outbox-{file.stream}")

    async def run(self, operation: Callable[[StreamFile], T]) -> T:
        """The operation's result. Raises DiskError where the disk is full or fails; nothing was changed then."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, operation)

    def _run(self, operation: Callable[[StreamFile], T]) -> T:
        try:
            return operation(self.file)
        except sqlite3.DatabaseError as e:
            if not is_damaged(e):
                raise DiskError(f"{self.file.path}: {e}") from e
            self.file.replace(str(e))
            return operation(self.file)

    async def close(self) -> None:
        """Closes the file and ends the thread."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self.file.close)
        self._thread.shutdown()
