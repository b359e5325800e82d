"""The truth log: what the simulated devices really were, answered and were told, to compare a system with.

JSON lines, each in the file before the call returns (a write to the operating system, no fsync), so that whoever reads
it beside a running simulator sees all there is.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import msgspec

from contract.clock import mono_ns


class Change(msgspec.Struct, frozen=True, tag="change", tag_field="kind"):
    """A point of a device took a value, in the profile's words or unit."""

    n: int
    mono_ns: int
    device: str
    point: str
    value: str | float


class Answer(msgspec.Struct, frozen=True, tag="answer", tag_field="kind"):
    """A question was answered: the raw values went out at `mono_ns`, having been read at `read_ns`."""

    n: int
    mono_ns: int
    bus: str
    unit: int
    table: str
    address: int
    values: list[int]
    read_ns: int


class Write(msgspec.Struct, frozen=True, tag="write", tag_field="kind"):
    """Someone wrote raw values to a unit."""

    n: int
    mono_ns: int
    bus: str
    unit: int
    table: str
    address: int
    values: list[int]


Entry = Change | Answer | Write
_decoder = msgspec.json.Decoder(Entry)


class TruthLog:
    """Numbers entries from 1 and writes them to a file, to a callable, or nowhere."""

    def __init__(self, path: Path | None = None, also: Callable[[Entry], None] | None = None) -> None:
        self.n = 0
        self._encoder = msgspec.json.Encoder()
        self._file = path.open("ab", buffering=0) if path else None
        self._also = also

    def change(self, device: str, point: str, value: str | float) -> None:
        """Notes that a point took a value now."""
        self._write(Change, device=device, point=point, value=value)

    def answer(self, bus: str, unit: int, table: str, address: int, values: list[int], read_ns: int) -> None:
        """Notes an answer that goes out now."""
        self._write(Answer, bus=bus, unit=unit, table=table, address=address, values=values, read_ns=read_ns)

    def write(self, bus: str, unit: int, table: str, address: int, values: list[int]) -> None:
        """Notes a write that takes effect now."""
        self._write(Write, bus=bus, unit=unit, table=table, address=address, values=values)

    def _write(self, kind: type[Entry], **fields: Any) -> None:
        self.n += 1
        if self._file is None and self._also is None:
            return
        entry = kind(n=self.n, mono_ns=mono_ns(), **fields)
        if self._file is not None:
            self._file.write(self._encoder.encode(entry) + b"\n")
        if self._also is not None:
            self._also(entry)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def read_log(path: Path) -> list[Entry]:
    """The whole entries of a truth log, in order; a last line still being written is left out."""
    return read_log_from(path, 0)[0]


def read_log_from(path: Path, offset: int) -> tuple[list[Entry], int]:
    """The whole entries from a byte on, and from which byte to read the next time."""
    with path.open("rb") as file:
        file.seek(offset)
        whole, newline, _ = file.read().rpartition(b"\n")
    return [_decoder.decode(line) for line in whole.splitlines()], offset + len(whole) + len(newline)
