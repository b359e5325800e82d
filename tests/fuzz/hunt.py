"""One target under atheris, in a process of its own: `python -m tests.fuzz.hunt NAME FOLDER [libFuzzer's options]`.

A find is written down by the place it came from and the hunt goes on, so that one mistake does not hide the next; what
ends the process (a signal, too much memory, a hang) is the parent's to tell from how it ended.
"""

import hashlib
import logging
import sys
import time
import traceback
from pathlib import Path

import structlog

INSTRUMENTED = ["contract", "edge", "cloud", "bthome_ble", "sensor_state_data"]
_SLOWER = 4
"""So many times slower is instrumented code, about; what is suspected is measured again without."""


def hunt(name: str, folder: Path, options: list[str]) -> None:
    """Never returns: libFuzzer ends the process when its time is over."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    known: set[str] = set()
    slowest_s = target.cpu_s * _SLOWER

    def run(data: bytes) -> None:
        nonlocal slowest_s
        began_s = time.thread_time()
        try:
            target.run(data)
        except Exception as e:  # noqa: BLE001  # whatever it is, it is a find
            _keep(folder, known, e, data)
        took_s = time.thread_time() - began_s
        if took_s > slowest_s:
            slowest_s = took_s
            (folder / "slow.bin").write_bytes(data)

    atheris.Setup([name, *options], run)
    atheris.Fuzz()


def _keep(folder: Path, known: set[str], error: Exception, data: bytes) -> None:
    """Writes down the first input of each place that a find comes from, and what was raised there."""
    places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-2:]]
    place = hashlib.blake2b("\n".join([type(error).__name__, *places]).encode(), digest_size=6).hexdigest()
    if place in known:
        return
    known.add(place)
    (folder / f"find-{place}.bin").write_bytes(data)
    (folder / f"find-{place}.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    hunt(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
