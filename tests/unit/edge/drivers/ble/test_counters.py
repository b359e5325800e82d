"""What is kept of encrypted sensors over restarts, and what becomes of a disk that does not let it."""

from pathlib import Path

from structlog.testing import capture_logs

from edge.drivers.ble.counters import Counters

KEY, OTHER = bytes(16), bytes(range(16))


def test_kept_by_device_key_and_resets(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    counters = Counters(path)
    counters.note("a", KEY, 0, 7)
    counters.save(counters.unsaved())
    again = Counters(path)
    assert again.last("a", KEY, 0) == 7
    assert again.last("a", OTHER, 0) == again.last("a", KEY, 1) == again.last("b", KEY, 0) == -1
    assert KEY.hex() not in path.read_text()
    assert OTHER.hex() not in path.read_text()


def test_nothing_new_is_nothing_written(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    counters = Counters(path)
    counters.save(counters.unsaved())
    assert not path.exists()
    counters.note("a", KEY, 0, 7)
    counters.save(counters.unsaved())
    written = path.stat().st_mtime_ns
    counters.save(counters.unsaved())
    assert path.stat().st_mtime_ns == written


def test_devices_that_are_no_more_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    counters = Counters(path)
    for n in range(50):
        counters.note(f"device-{n}", KEY, 0, n)
    counters.restrict({"device-3"})
    counters.save(counters.unsaved())
    assert path.read_text().count("device-") == 1


def test_a_damaged_file_is_moved_aside_and_said(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"a": {"counter"')
    with capture_logs() as logs:
        assert Counters(path).last("a", KEY, 0) == -1
    assert "old frames could pass once" in logs[0]["event"]
    assert not path.exists()
    assert len(list(tmp_path.glob("c.json.damaged-*"))) == 1


def test_a_disk_that_refuses_is_said_once_and_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "not-yet"
    counters = Counters(folder / "c.json")
    counters.note("a", KEY, 0, 7)
    with capture_logs() as logs:
        counters.save(counters.unsaved())
        counters.save(counters.unsaved())
    assert len(logs) == 1
    folder.mkdir()
    counters.save(counters.unsaved())
    assert Counters(folder / "c.json").last("a", KEY, 0) == 7


def test_without_a_path_it_lasts_as_long_as_the_run() -> None:
    counters = Counters(None)
    counters.note("a", KEY, 0, 7)
    counters.save(counters.unsaved())
    assert counters.last("a", KEY, 0) == 7


def test_a_sensor_that_is_heard_by_another_radio_brings_its_counter(tmp_path: Path) -> None:
    for name, key, counter in (("hall", KEY, 9), ("cellar", OTHER, 99)):
        before = Counters(tmp_path / f"ble-counters-{name}.json")
        before.note("a", key, 0, counter)
        before.save(before.unsaved())
    (tmp_path / "ble-counters-attic.json").write_bytes(b"\xff")
    roof = Counters(tmp_path / "ble-counters-roof.json")
    roof.note("a", KEY, 0, 5)
    roof.save(roof.unsaved())
    again = Counters(tmp_path / "ble-counters-roof.json")
    assert again.last("a", KEY, 0) == 9, "the higher one of the same key"
    assert again.unsaved() is not None
    assert Counters(tmp_path / "ble-counters-new.json").last("a", OTHER, 0) == 99
