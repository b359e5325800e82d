"""The estate's key and the counters over restarts, and files that people or power cuts have spoilt."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import AnjuError
from edge.kept import (
    COUNTERS_FILE,
    KEY_FILE,
    _make_key,
    estate_key,
    estate_key_or_other,
    keep_counters,
    load_counters,
    parse_key,
    put_estate_key,
    show_key,
)
from edge.seams import CounterState


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    key = estate_key(tmp_path)
    assert estate_key(tmp_path) == key
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o077 == 0


def test_another_box_takes_it_over_by_hand(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    put_estate_key(other, show_key(estate_key(one)).lower())
    assert estate_key(other) == estate_key(one)


@given(st.binary(min_size=32, max_size=32))
def test_what_is_shown_is_read_back(key: bytes) -> None:
    assert parse_key(show_key(key)) == key


@pytest.mark.parametrize("text", ["", "ABCD", "!" * 52, "A" * 60, "钥匙" * 26])
def test_no_key_is_told_without_being_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(AnjuError, match="no estate key") as told:
        put_estate_key(tmp_path, text)
    assert not text or text not in str(told.value)
    assert not (tmp_path / KEY_FILE).exists()


def test_a_spoilt_key_says_what_to_do_and_does_not_keep_the_box_from_starting(tmp_path: Path) -> None:
    for text in (b"nonsense", b"", b"\xff\xfe\n"):
        (tmp_path / KEY_FILE).write_bytes(text)
        with pytest.raises(AnjuError, match=r"estate\.key is damaged. Put the estate's key back"):
            estate_key(tmp_path)
        assert len(estate_key_or_other(tmp_path)) == 32
        assert estate_key_or_other(tmp_path) != estate_key_or_other(tmp_path), "nobody must think that it lasts"
        assert (tmp_path / KEY_FILE).read_bytes() == text


def test_processes_that_start_at_once_use_one_key(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from edge.kept import estate_key; sys.stdin.read(1);"
        "print(estate_key(Path(sys.argv[1])).hex())"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    said = [process.communicate(b"x", timeout=60)[0].strip() for process in started]
    assert set(said) == {estate_key(tmp_path).hex().encode()}
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_a_key_that_comes_first_is_not_replaced(tmp_path: Path) -> None:
    key = estate_key(tmp_path)
    _make_key(tmp_path / KEY_FILE)  # of a process that looked before it was there
    assert estate_key(tmp_path) == key


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_writes_belongs_to_the_box(tmp_path: Path) -> None:
    os.chown(tmp_path, 4711, 4712)
    key = estate_key(tmp_path)
    put_estate_key(tmp_path, show_key(key))
    found = (tmp_path / KEY_FILE).stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (4711, 4712, 0o600)


def test_counters_are_kept(tmp_path: Path) -> None:
    counters = {("m", "energy"): CounterState(4, 500), ("w", "volume"): CounterState(1.5, 0)}
    assert load_counters(tmp_path) == {}
    keep_counters(tmp_path, counters)
    assert load_counters(tmp_path) == counters


@pytest.mark.parametrize("text", ["", "[", '[["m"]]', "{}", "\x00\xff"])
def test_spoilt_counters_stop_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / COUNTERS_FILE).write_bytes(text.encode("latin-1"))
    assert load_counters(tmp_path) == {}
