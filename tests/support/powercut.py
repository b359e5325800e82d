"""Power cuts: what a disk would have kept of a folder, had the power gone while processes wrote to it.

    disk = PowerCut(state_folder)
    process = Popen([...], env=os.environ | disk.environment)
    ...                                                # any number of processes, one after the other or at once
    cut = disk.cut(seed, process.pid)                  # SIGKILL, and the folder is as after the power cut
    process.wait()
    ...                                                # start it again, with the environment asked anew; cut again

The processes are watched by a preloaded library (powercut.c) that notes what they do to files in the folder. The model,
which is ext4's at its worst:

- What was written to a file, and its size, is durable once an fsync or fdatasync of it began after the write and ended;
  with O_SYNC or O_DSYNC once the write ended.
- A name (made, renamed, removed) is durable once its folder was fsynced, or the file that bears it.
- Of all else anything may have been kept. With a seed: of each 512-byte sector its old content or that of any later
  write, each sector for itself, so that writes are torn and come in any order; of each file's sizes any; of names any
  number in their order, as a journal commits them. Without a seed nothing of it was kept.

`cut` raises AssertionError where the model does not hold (a writable mapping, stdio is not seen at all) or where no
process was watched. It is synchronous: from asyncio call it with `asyncio.to_thread`.
"""

import fcntl
import mmap
import os
import random
import shutil
import signal
import stat
import struct
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from tests.support.preload import library

SOURCE = Path(__file__).with_suffix(".c")
SECTOR = 512
DEATH_S = 30.0
"""So long after SIGKILL a process may still hold the log."""
_RECORD = struct.Struct("<IIQQQIIQ")
_MAGIC = 0x54554350
CREATE, WRITE, TRUNCATE, SYNC, SYNC_FOLDER, SYNC_ALL, RENAME, UNLINK, MAKE_FOLDER, LINK, UNKNOWN, RENAME_FOLDER = range(
    1, 13
)


@dataclass(frozen=True)
class Cut:
    """What a power cut did: writes and names that were durable, and of those that were not, how many were lost.

    A write counts as lost where at least one of its sectors was, or all of it lies beyond the size that was kept.
    """

    durable: int
    unsynced: int
    lost: int
    names_unsynced: int
    names_lost: int


@dataclass
class _File:
    """A file's content on disk, and what was done since: (place in the log, offset, data), or data None to a size."""

    mode: int
    content: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, int, bytes | None]] = field(default_factory=list)

    def sync(self, upto: int) -> int:
        """What came before a place of the log is durable; how many writes that were."""
        done = [op for op in self.pending if op[0] < upto]
        self.pending = [op for op in self.pending if op[0] >= upto]
        for _, at, data in done:
            if data is None:
                _resize(self.content, at)
            else:
                _resize(self.content, max(len(self.content), at + len(data)))
                self.content[at : at + len(data)] = data
        return len(done)

    def tear(self, dice: random.Random) -> int:
        """Keeps anything of what is not durable; how many writes were lost."""
        sizes = [len(self.content)]
        for _, at, data in self.pending:
            sizes.append(at if data is None else max(sizes[-1], at + len(data)))
        kept = dice.choice([0, len(sizes) - 1, dice.randrange(len(sizes))])
        _resize(self.content, min(sizes[: kept + 1]))  # what was cut off does not come back
        _resize(self.content, sizes[kept])
        share = dice.choice([0.0, 0.2, 0.5, 0.8, 1.0])
        touched = Counter(n for _, at, data in self.pending for n in _sectors(at, data))
        last = {
            n: dice.choice([count, dice.randint(1, count)]) for n, count in touched.items() if dice.random() < share
        }
        seen: Counter[int] = Counter()
        lost = 0
        for _, at, data in self.pending:
            is_lost = data is not None and at >= len(self.content)
            for n in _sectors(at, data):
                seen[n] += 1
                if seen[n] > last.get(n, 0):
                    is_lost = True
                    continue
                begin, end = max(at, n * SECTOR), min(at + len(data or b""), (n + 1) * SECTOR, len(self.content))
                if data is not None and begin < end:
                    self.content[begin:end] = data[begin - at : end - at]
            lost += is_lost
        return lost


def _resize(content: bytearray, size: int) -> None:
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))


def _sectors(at: int, data: bytes | None) -> range:
    return range(at // SECTOR, -(-(at + len(data)) // SECTOR)) if data else range(0)


@dataclass
class _Name:
    """A change of names: `path` names `file` from now on (None: a folder), or nothing where `is_gone`."""

    place: int
    path: str
    file: _File | None
    mode: int = 0
    is_gone: bool = False
    was: str | None = None
    """The name it had before."""
    is_durable: bool = False
    is_folder_moved: bool = False
    """All that was beneath `was` is beneath `path`."""

    @property
    def folders(self) -> set[str]:
        """The folders whose fsync makes it durable."""
        return {str(PurePath(path).parent) for path in (self.path, self.was) if path is not None}


class PowerCut:
    """A folder that can lose its power; see the module. `sync_s` makes each fsync take at least so long; `log` is where
    to note what is done, on another disk where that of the folder is to be full."""

    def __init__(self, folder: Path, *, sync_s: float = 0.0, log: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._sync_s = folder.resolve(), sync_s
        self._log = log or self.folder.with_name(f".{self.folder.name}.powercut")
        self._log.unlink(missing_ok=True)
        self._library = library(SOURCE)

    @property
    def environment(self) -> dict[str, str]:
        """What a process that is to be watched needs in its environment; its children are watched too.

        Ask for it anew at each start: what unwatched processes did to the folder while no watched one ran is durable.
        """
        if not self._log.exists():
            self._begin()
        before = os.environ.get("LD_PRELOAD")
        return {
            "LD_PRELOAD": f"{self._library}:{before}" if before else str(self._library),
            "ANJU_POWERCUT_FOLDER": str(self.folder),
            "ANJU_POWERCUT_LOG": str(self._log),
            "ANJU_POWERCUT_SYNC_US": str(round(self._sync_s * 1e6)),
        }

    def cut(self, seed: int | None, *pids: int) -> Cut:
        """Kills the processes, waits until none that is watched is left, and leaves what the disk kept.

        Raises AssertionError where none was watched since the last cut, one does not die, or the model does not hold.
        """
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert self._log.exists(), "no process was watched: was it started with this environment?"
        with self._log.open("rb") as log:
            deadline = time.monotonic() + DEATH_S
            while True:
                try:
                    fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    assert time.monotonic() < deadline, "a process that is watched still runs"
                    time.sleep(0.005)  # a dying process tells nobody
                else:
                    break
            durable = self._replay(log.fileno())
        self._log.unlink()
        result = self._lose(None if seed is None else random.Random(seed), durable)
        self._restore()
        return result

    def _begin(self) -> None:
        """All that is in the folder now is durable."""
        self._names: dict[str, _File | int] = {}
        """What is on disk by its path: a file, or a folder's mode."""
        self._live: dict[int, _File] = {}
        """Files by their inode, as the processes see them."""
        self._changes: list[_Name] = []
        for path in sorted(self.folder.rglob("*")):
            status, name = path.lstat(), str(path.relative_to(self.folder))
            if stat.S_ISDIR(status.st_mode):
                self._names[name] = status.st_mode
            elif stat.S_ISREG(status.st_mode):
                file = self._live.get(status.st_ino) or _File(status.st_mode, bytearray(path.read_bytes()))
                self._names[name] = self._live[status.st_ino] = file

    def _replay(self, log: int) -> int:
        """Takes up what the log says; how many writes are durable."""
        durable, size = 0, os.fstat(log).st_size
        if not size:
            return 0
        with mmap.mmap(log, size, access=mmap.ACCESS_READ) as data:
            for record in _records(data):
                durable += self._take(*record)
        return durable

    def _take(self, place: int, kind: int, inode: int, at: int, size: int, path: str, to: str, data: bytes) -> int:
        """One record of the log; how many writes are durable by it."""
        live = self._live
        assert inode in live or kind not in {WRITE, TRUNCATE, SYNC, RENAME, LINK}, "a file was made unseen"
        if kind == CREATE:
            live[inode] = _File(at)
            self._changes.append(_Name(place, path, live[inode]))
        elif kind == MAKE_FOLDER:
            self._changes.append(_Name(place, path, None, mode=at))
        elif kind == LINK:
            self._changes.append(_Name(place, path, live[inode]))
        elif kind == RENAME:
            self._changes.append(_Name(place, to, live[inode], was=path))
        elif kind == RENAME_FOLDER:
            self._changes.append(_Name(place, to, None, was=path, is_folder_moved=True))
        elif kind == UNLINK:
            self._changes.append(_Name(place, path, None, is_gone=True))
        elif kind in {WRITE, TRUNCATE}:
            live[inode].pending.append((place, at, data) if kind == WRITE else (place, size, None))
        elif kind == SYNC:
            file = live[inode]
            for change in self._changes:
                change.is_durable |= change.file is file and change.place < at
            return file.sync(at)
        elif kind == SYNC_FOLDER:
            for change in self._changes:
                change.is_durable |= (path or ".") in change.folders and change.place < at
        elif kind == SYNC_ALL:
            for change in self._changes:
                change.is_durable |= change.place < at
            return sum(file.sync(at) for file in live.values())
        else:
            raise AssertionError(f"the model of the power cut does not know {path}")
        return 0

    def _lose(self, dice: random.Random | None, durable: int) -> Cut:
        unsure = [change for change in self._changes if not change.is_durable]
        kept = dice.choice([0, len(unsure), dice.randint(0, len(unsure))]) if dice else 0
        for change in unsure[:kept]:
            change.is_durable = True
        for change in self._changes:
            if not change.is_durable:
                continue
            if change.is_folder_moved:
                self._move(change.was or "", change.path)
                continue
            if change.was is not None:
                self._names.pop(change.was, None)
            if change.is_gone:
                self._names.pop(change.path, None)
            else:
                self._names[change.path] = change.mode if change.file is None else change.file
        files = {id(file): file for file in self._live.values()}
        files |= {id(file): file for file in self._names.values() if isinstance(file, _File)}
        unsynced = sum(len(file.pending) for file in files.values())
        lost = sum(file.tear(dice) if dice else len(file.pending) for file in files.values())
        return Cut(durable, unsynced, lost, len(unsure), len(unsure) - kept)

    def _move(self, old: str, new: str) -> None:
        """A folder and all beneath it is called otherwise, for what was done to it later too."""
        for name in [name for name in self._names if name == old or name.startswith(f"{old}/")]:
            self._names[new + name.removeprefix(old)] = self._names.pop(name)

    def _restore(self) -> None:
        """Makes the folder what is on disk. Modes are those that the files have now; they are not modelled."""
        modes = {str(path.relative_to(self.folder)): path.lstat().st_mode for path in self.folder.rglob("*")}
        for entry in self.folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        made: dict[int, Path] = {}
        for name, what in sorted(self._names.items()):
            path = self.folder / name
            if not path.parent.is_dir():
                continue  # the folder it was in is gone, or never was
            if isinstance(what, int):
                path.mkdir(mode=stat.S_IMODE(what))
            elif id(what) in made:
                path.hardlink_to(made[id(what)])
            else:
                path.write_bytes(what.content)
                path.chmod(stat.S_IMODE(modes.get(name, what.mode)))
                made[id(what)] = path


def _records(data: mmap.mmap) -> Iterator[tuple[int, int, int, int, int, str, str, bytes]]:
    """The log's records; of one that SIGKILL cut off nothing was promised."""
    place = 0
    while place + _RECORD.size <= len(data):
        magic, kind, inode, at, size, path_bytes, to_bytes, data_bytes = _RECORD.unpack_from(data, place)
        assert magic == _MAGIC, "the log of the power cut is no log"
        begin = place + _RECORD.size
        end = begin + path_bytes + to_bytes + data_bytes
        if end > len(data):
            return
        path = os.fsdecode(data[begin : begin + path_bytes])
        to = os.fsdecode(data[begin + path_bytes : begin + path_bytes + to_bytes])
        yield place, kind, inode, at, size, path, to, data[begin + path_bytes + to_bytes : end]
        place = end
