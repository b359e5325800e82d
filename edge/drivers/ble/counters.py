"""The counters of sensors that encrypt, kept over restarts, so that a frame recorded before one is still refused.

One small file in the box's state folder, written whole and seldom. Between two writes a power cut forgets at most the
counters of that time; frames with events are written down at once.
"""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

from contract.decoding import from_json
from edge.disk import move_aside, write_durably

PATTERN = "ble-counters-*.json"
"""A file a radio; the star is its bus."""
MOST_FILES = 64

log = structlog.get_logger(__name__)


class Kept(msgspec.Struct, frozen=True):
    """The highest counter of a device, for one key and one count of resets: with another it begins anew."""

    counter: int
    key: str
    resets: int = 0


class Counters:
    """What is kept, by device. Without a path nothing outlives the run."""

    def __init__(self, path: Path | None) -> None:
        """What the files of other radios beside `path` know counts too: a sensor may have been moved from one."""
        self._path = path
        self._kept: dict[str, Kept] = {}
        self._saved: dict[str, Kept] = {}
        self._is_failing = False
        if path is not None and path.exists():
            try:
                self._kept = from_json(path.read_bytes(), dict[str, Kept])
            except (OSError, msgspec.MsgspecError) as e:
                log.warning("counters of encrypted sensors cannot be read; old frames could pass once", error=str(e))
                self._set_aside(path)
            self._saved = dict(self._kept)
        for other in _beside(path) if path is not None else ():
            for device, kept in other.items():
                known = self._kept.get(device)
                is_newer = known is not None and (known.resets, known.counter) < (kept.resets, kept.counter)
                if known is None or (is_newer and known.key == kept.key):
                    self._kept[device] = kept

    def restrict(self, devices: set[str]) -> None:
        """Forgets devices that are no more, so that the file stays as small as the site."""
        self._kept = {device: kept for device, kept in self._kept.items() if device in devices}

    def last(self, device: str, key: bytes, resets: int) -> int:
        """The highest counter seen of a device with this key; -1 for none."""
        kept = self._kept.get(device)
        same = kept is not None and kept.key == _name_of(key) and kept.resets == resets
        return kept.counter if kept is not None and same else -1

    def note(self, device: str, key: bytes, resets: int, counter: int) -> None:
        """A frame with this counter was taken."""
        self._kept[device] = Kept(counter, _name_of(key), resets)

    def unsaved(self) -> dict[str, Kept] | None:
        """What belongs on disk, as it is now; None where it is there already."""
        return dict(self._kept) if self._path is not None and self._kept != self._saved else None

    def save(self, kept: dict[str, Kept] | None) -> None:
        """Puts what `unsaved` gave on disk; for a thread of its own. What the disk refuses stays unsaved; told once."""
        if self._path is None or kept is None:
            return
        try:
            write_durably(self._path, msgspec.json.encode(kept))
        except OSError as e:
            if not self._is_failing:
                log.warning("counters of encrypted sensors are not on disk", error=str(e), path=str(self._path))
            self._is_failing = True
            return
        self._saved, self._is_failing = kept, False

    @staticmethod
    def _set_aside(path: Path) -> None:
        try:
            move_aside(path)
        except OSError as e:
            log.warning("a damaged file cannot be moved aside", path=str(path), error=str(e))


def _beside(path: Path) -> Iterator[dict[str, Kept]]:
    """What the files of other radios hold, as far as they can be read."""
    try:
        others = sorted(other for other in path.parent.glob(PATTERN) if other != path)[:MOST_FILES]
    except OSError:
        return
    for other in others:
        with suppress(OSError, msgspec.MsgspecError):  # whoever owns it says so
            yield from_json(other.read_bytes(), dict[str, Kept])


def _name_of(key: bytes) -> str:
    """Tells keys apart without telling them."""
    return hashlib.blake2b(key, digest_size=8, person=b"anju-ble-counter").hexdigest()
