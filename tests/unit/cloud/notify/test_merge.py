"""One message of many alarms: nothing is left out, the worst comes first, and no name can pretend to be more."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cloud.notify.channel import Recipient
from cloud.notify.merge import Item, merge
from cloud.notify.policy import PRIORITIES

AT = datetime(2026, 1, 1, tzinfo=UTC)
ITEMS = st.lists(
    st.builds(
        Item,
        subject=st.just("alarm"),
        id=st.integers(0, 40).map(str),
        priority=st.sampled_from(PRIORITIES),
        title=st.text(max_size=50),
        lines=st.tuples(st.text(max_size=20)),
        at=st.integers(0, 1000).map(lambda s: AT + timedelta(seconds=s)),
        drill=st.booleans(),
    ),
    min_size=1,
    max_size=60,
)


@given(ITEMS, st.sampled_from(["zh", "en"]))
def test_every_alarm_has_one_line_and_the_worst_comes_first(items, language) -> None:
    message = merge("1", items, language, "https://anju.example.org")
    assert {line.id for line in message.lines} == {item.id for item in items}
    assert len(message.lines) == len({item.id for item in items})
    order = [PRIORITIES.index(line.priority) for line in message.lines]
    assert order == sorted(order)
    if len(message.lines) > 1:
        assert str(len(message.lines)) in message.title
        assert all("\n" not in line.text for line in message.lines)


def item(number: int, priority: str, title: str, **more) -> Item:
    return Item(subject="alarm", id=str(number), priority=priority, title=title, at=AT, **more)


def test_one_alarm_is_said_whole() -> None:
    alone = item(
        1, "critical", "西苑小区 3号楼 烟感报警", lines=("去看。", "119。"), path="/alarms/1", url="https://a/x"
    )
    message = merge("m", [alone], "zh", "https://anju.example.org", [Recipient(name="王芳")])
    assert message.title == "【紧急】西苑小区 3号楼 烟感报警"
    assert message.lines[0].text == "【紧急】西苑小区 3号楼 烟感报警\n去看。\n119。"
    assert message.lines[0].url == "https://a/x"
    assert message.url == "https://anju.example.org/alarms/1"
    assert message.to[0].name == "王芳"


def test_many_are_counted_in_the_title() -> None:
    many = [item(1, "low", "a"), item(2, "critical", "b"), item(3, "low", "c")]
    assert merge("m", many, "zh", "https://x").title == "3 条：紧急 1、低 2"
    assert merge("m", many, "en", "https://x").title == "3 to see: 1 critical, 2 low"
    assert merge("m", many, "en", "https://x").url == "https://x/alarms"


def test_a_drill_is_marked_wherever_it_is_named() -> None:
    drill = [item(1, "high", "a", drill=True), item(2, "high", "b", drill=True)]
    assert merge("m", drill, "zh", "").title.startswith("【演练】")
    assert all(line.text.startswith("【演练】") for line in merge("m", drill, "zh", "").lines)
    mixed = merge("m", [*drill, item(3, "high", "c")], "en", "")
    assert not mixed.title.startswith("[DRILL]")
    assert [line.text.startswith("[DRILL]") for line in mixed.lines] == [True, True, False]


def test_a_name_with_line_breaks_pretends_nothing() -> None:
    message = merge("m", [item(1, "low", "a\n【紧急】b" + "x" * 1000), item(2, "low", "c")], "zh", "")
    assert "\n" not in message.lines[0].text
    assert len(message.lines[0].text) < 320
