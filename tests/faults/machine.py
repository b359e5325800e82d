"""How the machine itself does beside a test: how late it wakes who sleeps, and how long its disk takes.

What the machine owes is not the system's fault: a test that promises a time adds what the machine owed just then.
"""

import os
import threading
import time
from pathlib import Path
from typing import Self

from contract.clock import mono_ns

S = 1_000_000_000
NAP_S = 0.01
WRITE_EVERY = 5
"""Naps between two writes."""


class Machine:
    """Measures in a thread of its own while open, by a file in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "machine"
        self._wakes: list[tuple[int, int]] = []
        self._writes: list[tuple[int, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="machine")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        count = 0
        with self._path.open("wb", buffering=0) as file:
            while not self._stop.is_set():
                began = mono_ns()
                time.sleep(NAP_S)
                woke = mono_ns()
                self._wakes.append((woke, woke - began - round(NAP_S * S)))
                count += 1
                if count % WRITE_EVERY == 0:
                    file.seek(0)
                    file.write(os.urandom(4096))
                    os.fsync(file.fileno())
                    now = mono_ns()
                    self._writes.append((now, now - woke))

    def owed_ns(self, from_ns: int, to_ns: int) -> int:
        """The longest that anyone had to wait for the processor in a span of time, as far as was seen."""
        return max((late for at, late in self._wakes if from_ns <= at <= to_ns + late), default=0)

    def wrote_ns(self, from_ns: int, to_ns: int) -> int:
        """The longest that a small write took to be on disk in a span of time."""
        return max((took for at, took in self._writes if from_ns <= at <= to_ns + took), default=0)
