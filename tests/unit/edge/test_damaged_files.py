"""What the box keeps beside the outbox may come back damaged after a power cut; it starts all the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.errors import AnjuError
from edge.drivers.ble.counters import Counters
from edge.kept import COUNTERS_FILE, load_counters
from edge.linkage.memory import load
from edge.provision.identity import IDENTITY_FILE, load_identity

DAMAGED = [b"\0" * 512, b'{"a\xff\xfe', b'[{"device":"\x80', b'{"gateway":"\xc3(', b'{"x":' + b"[" * 100_000, b""]
FILES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "counters of meters": (COUNTERS_FILE, lambda path: load_counters(path.parent)),
    "counters of sensors": ("ble.json", lambda path: Counters(path).last("d", bytes(16), 0)),
    "what linkage kept": ("linkage.json", load),
}


@pytest.mark.parametrize("data", DAMAGED, ids=range(len(DAMAGED)))
@pytest.mark.parametrize("what", FILES)
def test_a_damaged_file_stops_nothing(what: str, data: bytes, tmp_path: Path) -> None:
    name, open_ = FILES[what]
    path = tmp_path / name
    sound = open_(path)
    path.write_bytes(data)
    assert open_(path) == sound, "as if there were none"


@pytest.mark.parametrize("data", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_identity_is_said(data: bytes, tmp_path: Path) -> None:
    (tmp_path / IDENTITY_FILE).write_bytes(data)
    with pytest.raises(AnjuError, match="makes no sense"):
        load_identity(tmp_path)
