"""A wall clock that a test can set, for the processes that are started with its environment (wallclock.c)."""

import struct
from pathlib import Path

from tests.support.preload import library


class WallClock:
    """How far the wall clock of some processes is off; `file` is made anew."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.off_by(0.0)
        self.library = library(Path(__file__).with_suffix(".c"))

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs beside `library` in LD_PRELOAD."""
        return {"ANJU_WALLCLOCK": str(self._file)}

    def off_by(self, seconds: float) -> None:
        """From now on the clock is so many seconds ahead; negative is behind."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:  # the processes have it mapped
            file.write(struct.pack("=q", round(seconds * 1e9)))
