"""What the box did by itself is found in the simulator's log, and told apart from what people did."""

from pathlib import Path

import pytest

from simulators.demo.linkage import Watched
from simulators.demo.once import _tells_release
from simulators.log import Change, TruthLog, Write, read_log, read_log_from

SCENARIO = Path(__file__).resolve().parents[3] / "simulators" / "scenarios" / "smoke.yaml"
MS = 1_000_000


@pytest.fixture
def watched() -> Watched:
    return Watched(SCENARIO)


def smoke(floor: int, at_ms: int, value: str = "smoke") -> Change:
    return Change(1, at_ms * MS, f"smoke-3-2-0{floor}", "smoke", value)


def release(at_ms: int) -> Write:
    return Write(2, at_ms * MS, "doors", 3, "coil", 0, [1])


def sound(at_ms: int) -> Write:
    return Write(3, at_ms * MS, "doors", 4, "holding_register", 0, [60])


def test_the_release_counts_from_the_alarm_that_confirmed(watched: Watched) -> None:
    told = list(watched.take([smoke(7, 0), smoke(8, 9000), release(9240), sound(9250)]))
    assert [done.words for done in told] == [
        "fire-b3-u2: 3号楼2单元门 released after 240 ms",
        "fire-b3-u2: 3号楼2单元声光 sounds after 250 ms",
    ]
    assert {done.trigger for done in told} == {"3号楼2单元8层烟感"}


def test_what_no_rule_explains_is_nothing_that_the_box_did(watched: Watched) -> None:
    unlock = Write(4, 5 * MS, "doors", 3, "holding_register", 0, [5])
    elsewhere = Change(1, 0, "smoke-1-1-01", "smoke", "smoke")
    assert list(watched.take([release(1), smoke(7, 2), release(3), elsewhere, release(4), smoke(8, 5), unlock])) == []


def test_it_is_told_once_until_it_is_confirmed_again(watched: Watched) -> None:
    first = [smoke(7, 0), smoke(8, 10), release(20), release(30), smoke(6, 40), release(50)]
    assert [done.took_ms for done in watched.take(first)] == [10]
    over = [smoke(6, 60, "clear"), smoke(8, 60, "clear"), smoke(7, 60, "clear"), release(70)]
    assert list(watched.take(over)) == []
    assert [done.took_ms for done in watched.take([smoke(1, 80), smoke(2, 90), release(95)])] == [5]


def test_a_log_is_read_on_from_where_it_was_left(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with TruthLog(path) as log:
        log.change("a", "p", 1)
        first, offset = read_log_from(path, 0)
        log.change("b", "p", 2)
        with path.open("ab") as half:
            half.write(b'{"kind":')
        second, end = read_log_from(path, offset)
        assert [entry.device for entry in (*first, *second) if isinstance(entry, Change)] == ["a", "b"]
        assert read_log_from(path, end) == ([], end)
        assert read_log(path) == [*first, *second]


def test_a_release_of_an_earlier_run_is_not_taken_for_this_one() -> None:
    line = '<li><span class="at"><time><span data-ago="{}">x</span></time></span> <span><b>联动</b> {}</span></li>'
    done, other = "消防释放：已执行，已回读 · 规则 fire", "消防释放：失败，继续重试 · 规则 fire"
    head = '<h2 id="events-title">'
    assert _tells_release(head + line.format("1000.5", done), 1000.4)
    assert not _tells_release(head + line.format("990.5", done) + line.format("1000.5", other), 1000.4)
    assert not _tells_release(line.format("1000.5", done), 1000.4)
