"""Few alarms of many: confirmation, windows, drills, silent boxes, floods and figures over the real store."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from cloud.alarms import flood
from cloud.alarms.report import report
from cloud.alarms.rules import RuleBook
from cloud.alarms.windows import By, NoSuchWindowError, WindowRefusedError
from cloud.store import Database as Store
from cloud.store import floods, people, windows
from cloud.store.windows import Scope
from tests.contract.conftest import Estate, make_estate
from tests.support.desk import NOW, Desk
from tests.support.servers import Database

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def desk(database_plain: Database) -> AsyncIterator[Desk]:
    """What differs between the tiers is no matter of these tests."""
    async with Store.open(database_plain.url, 4) as store:
        yield Desk(await make_estate(store))


@pytest.fixture
def desk_of_each_tier(estate: Estate) -> Desk:
    return Desk(estate)


async def test_two_detectors_of_two_boxes_confirm_a_fire(desk_of_each_tier: Desk) -> None:
    desk = desk_of_each_tier
    one, two = await desk.box("a", 2), await desk.box("b", 2)
    await one.says("smoke-0", "smoke", "smoke")
    assert [rule for (rule,) in await desk.alarms("rule")] == ["smoke"]
    await two.says("smoke-1", "smoke", "smoke")
    ((source, value, priority),) = await desk.estate.rows(
        "SELECT source, value, priority FROM alarm WHERE rule = 'fire_confirmed'"
    )
    assert (source, priority) == (f"place:{desk.estate.area}/3/2", "critical")
    assert value == "烟感0、烟感1", "it names who agrees"
    assert len(desk.told) == 3


async def test_one_detector_twice_or_two_units_confirm_nothing(desk: Desk) -> None:
    one, two = await desk.box("a", 1, unit="1"), await desk.box("b", 1, unit="2")
    for word in ("smoke", "clear", "smoke"):
        await one.says("smoke-0", "smoke", word)
    await two.says("smoke-0", "smoke", "smoke")
    assert [rule for (rule,) in await desk.alarms("rule")] == ["smoke", "smoke"]


async def test_a_confirmed_fire_is_over_when_nobody_sees_it(desk: Desk) -> None:
    one, two = await desk.box("a", 1), await desk.box("b", 1)
    await one.says("smoke-0", "smoke", "smoke")
    await two.says("smoke-0", "smoke", "smoke")
    await one.says("smoke-0", "smoke", None)  # fire destroys detectors: a lost one does not say that it is over
    ((holds,),) = await desk.estate.rows("SELECT holds FROM alarm WHERE rule = 'fire_confirmed'")
    assert holds
    desk.now += MINUTE
    await one.says("smoke-0", "smoke", "clear")
    await two.says("smoke-0", "smoke", "clear")
    assert await desk.estate.rows("SELECT state, holds FROM alarm WHERE rule = 'fire_confirmed'") == [("RTNUN", False)]
    assert await desk.estate.rows("SELECT * FROM condition") == []


async def test_what_is_raised_in_a_window_is_out_of_service_until_its_end(desk: Desk) -> None:
    box = await desk.box("a", 2)
    await desk.open("maintenance", timedelta(hours=2), building="3")
    await box.says("smoke-0", "tamper" if ("smoke-0", "tamper") in box.series else "link", "offline")
    ((rule, state, until),) = await desk.alarms("rule", "state", "hold_until")
    assert (rule, state, until) == ("silent", "OOSRV", NOW + timedelta(hours=2))
    assert desk.told == []
    await box.says("smoke-1", "smoke", "smoke")
    assert ("smoke", "UNACK") in await desk.alarms("rule", "state"), "life safety is raised as ever"
    ((note,),) = await desk.estate.rows("SELECT text FROM alarm_comment")
    assert "检修" in note
    assert "work here" in note


async def test_a_window_covers_its_scope_only(desk_of_each_tier: Desk) -> None:
    desk = desk_of_each_tier
    box = await desk.box("a", 2)
    door, detector = box.series["door-0", "link"][1], box.series["smoke-0", "link"][1]
    await desk.open("maintenance", timedelta(hours=2), building="4")
    await desk.open("maintenance", timedelta(hours=2), devices=(door,))
    await desk.open("maintenance", timedelta(hours=2), gateway=box.gateway, bus="bus-2")
    await box.says_all([("smoke-0", "link", "offline"), ("door-0", "link", "offline")])
    assert await desk.estate.rows("SELECT device, state FROM alarm ORDER BY device") == sorted(
        [(door, "OOSRV"), (detector, "UNACK")]
    )


async def test_a_window_ended_before_its_time_lets_go(desk: Desk) -> None:
    box = await desk.box("a", 1)
    window = await desk.open("maintenance", timedelta(hours=2))
    await box.says("smoke-0", "link", "offline")
    desk.now += MINUTE
    async with desk.estate.store.transaction() as connection:
        by = By(desk.estate.person, "王芳")
        with pytest.raises(NoSuchWindowError):
            await desk.fewer.windows.end(connection, window, [], by, now=desk.now)
        await desk.fewer.windows.end(connection, window, [desk.estate.area], by, now=desk.now)
        with pytest.raises(NoSuchWindowError):
            await desk.fewer.windows.end(connection, window, [desk.estate.area], by, now=desk.now)
    assert await desk.alarms("state", "hold_until") == [("OOSRV", desk.now)]
    audited = await desk.estate.rows("SELECT action, who FROM audit WHERE action LIKE '%maintenance' ORDER BY id")
    assert audited == [("open maintenance", "王芳"), ("end maintenance", "王芳")]


async def test_windows_end_by_themselves_and_say_so_five_minutes_before(desk_of_each_tier: Desk) -> None:  # LESSONS 19
    desk = desk_of_each_tier
    await desk.open("drill", timedelta(hours=1), why="季度演练")
    await desk.open("maintenance", timedelta(hours=2))
    assert await desk.due(54 * MINUTE) == frozenset()
    assert await desk.due(MINUTE) == {f"alarms:{desk.estate.area}"}
    assert await desk.due() == frozenset(), "each is said once"
    assert desk.ending == ["drill"]
    assert await desk.due(5 * MINUTE) == {f"alarms:{desk.estate.area}"}
    async with desk.estate.store.connect() as connection:
        left = await windows.standing(connection, [desk.estate.area], now=desk.now)
        assert [window.kind for window in left] == ["maintenance"]
        assert [window.kind for window in await windows.over(connection, [desk.estate.area])] == ["drill"]


async def test_what_cannot_be_a_window(desk: Desk) -> None:
    with pytest.raises(WindowRefusedError, match="4 hours"):
        await desk.open("drill", timedelta(hours=4, seconds=1))
    with pytest.raises(WindowRefusedError, match="not of this estate"):
        await desk.open("maintenance", MINUTE, devices=(999,))
    async with desk.estate.store.transaction() as connection:
        other = await people.put_area(connection, None, "estate", "东苑小区", "Asia/Shanghai")
        with pytest.raises(WindowRefusedError, match="no such estate"):
            await desk.fewer.windows.open(
                connection, "drill", Scope(estate=other), [desk.estate.area], By(desk.estate.person, "王芳"), "演练",
                NOW + MINUTE, now=NOW,
            )  # fmt: skip


async def test_a_fire_in_a_drill_is_raised_and_marked(desk: Desk) -> None:
    one, two = await desk.box("a", 1), await desk.box("b", 1)
    drill = await desk.open("drill", timedelta(hours=1), why="季度演练", building="3")
    await one.says("smoke-0", "smoke", "smoke")
    await two.says("smoke-0", "smoke", "smoke")
    await one.says("door-0", "link", "offline")
    assert await desk.alarms("rule", "state", "label", "drill") == [
        ("fire_confirmed", "UNACK", "test", drill),
        ("silent", "UNACK", None, None),
        ("smoke", "UNACK", "test", drill),
        ("smoke", "UNACK", "test", drill),
    ]
    assert len(desk.told) == 4, "never silent on the console"
    async with desk.estate.store.connect() as connection:
        assert len(await windows.in_drill(connection, desk.told)) == 3


@pytest.mark.parametrize("ended_by_a_person", [False, True])
async def test_a_fire_that_outlasts_its_drill_is_a_fire(desk: Desk, ended_by_a_person: bool) -> None:
    box = await desk.box("a", 2)
    drill = await desk.open("drill", timedelta(hours=1))
    await box.says("smoke-0", "smoke", "smoke")
    await box.says("smoke-1", "smoke", "smoke")
    await box.says("smoke-1", "smoke", "clear")
    desk.told.clear()
    if ended_by_a_person:
        async with desk.estate.store.transaction() as connection:
            by = By(desk.estate.person, "王芳")
            await desk.fewer.windows.end(connection, drill, [desk.estate.area], by, now=desk.now)
    await desk.due(timedelta() if ended_by_a_person else timedelta(hours=1))
    alarms = await desk.alarms("rule", "state", "label", "drill IS NULL")
    assert alarms == [
        ("fire_confirmed", "RTNUN", "test", False),
        ("smoke", "UNACK", None, True),
        ("smoke", "RTNUN", "test", False),
    ]
    assert len(desk.told) == 1, "people are told anew, as of a real one"


async def _alarms_at(desk: Desk, minutes: list[float], **columns: object) -> None:
    """Alarms that came to people at these minutes, at devices of their own."""
    box = columns.pop("box")
    async with desk.estate.store.transaction() as connection:
        for n, minute in enumerate(minutes):
            at = NOW + minute * MINUTE
            await connection.execute(
                "INSERT INTO alarm (rule, source, estate, device, gateway, priority, state, holds, value, raised_at,"
                " created_at, changed_at, announced_at)"
                " VALUES ('x', $1, $2, $3, $4, 'low', 'UNACK', true, '', $5, $5, $5, $5)",
                f"x:{minute}/{n}", desk.estate.area, box.series["smoke-0", "link"][1], box.gateway, at,
            )  # fmt: skip


async def test_a_flood_begins_above_ten_and_ends_below_five(desk_of_each_tier: Desk) -> None:
    desk = desk_of_each_tier
    box = await desk.box("a", 1)
    area = [desk.estate.area]
    await _alarms_at(desk, [n / 10 for n in range(10)], box=box)
    async with desk.estate.store.transaction() as connection:
        assert await flood.update(connection, now=NOW + MINUTE) == set()
        assert await flood.flood_now(connection, area, now=NOW + MINUTE) is None
    await _alarms_at(desk, [1.5], box=box)
    async with desk.estate.store.transaction() as connection:
        began = NOW + 2 * MINUTE
        assert await flood.update(connection, now=began) == {f"alarms:{desk.estate.area}"}
        assert await floods.in_flood(connection, area) == set(area)
        assert await flood.update(connection, now=began + MINUTE) == set()
        banner = await flood.flood_now(connection, area, now=began + MINUTE)
        assert (banner.since, banner.alarms) == (began, 11)
        assert [(place.building, place.alarms) for place in banner.places] == [("3", 11)]
        assert await flood.update(connection, now=NOW + 10.55 * MINUTE) == set(), "five are left"
        assert await flood.update(connection, now=NOW + 10.65 * MINUTE) == {f"alarms:{desk.estate.area}"}
        assert await floods.in_flood(connection, area) == set()
    async with desk.estate.store.connect() as connection:
        (group,) = await floods.grouped(connection, area)
        assert (group.building, group.unit, group.low, group.alarms) == ("3", "2", 11, 11)


async def test_a_guard_of_many_estates_sees_the_flood_of_all(desk: Desk) -> None:
    box = await desk.box("a", 1)
    await _alarms_at(desk, [n / 10 for n in range(11)], box=box)
    async with desk.estate.store.transaction() as connection:
        others = [await people.put_area(connection, None, "estate", f"{n} 号", "UTC") for n in range(3)]
        await connection.execute(
            "UPDATE alarm SET estate = ($1::int[])[1 + (row_number - 1) % 3] FROM"
            " (SELECT id, row_number() OVER (ORDER BY announced_at) FROM alarm) AS n WHERE n.id = alarm.id",
            others,
        )
        await flood.update(connection, now=NOW + MINUTE)
        assert await floods.in_flood(connection, others) == set()
        assert await flood.flood_now(connection, others[:2], now=NOW + MINUTE) is None
        assert (await flood.flood_now(connection, others, now=NOW + MINUTE)).alarms == 11


async def test_a_box_is_silent_after_three_beats_to_the_second(desk: Desk) -> None:  # LESSONS 16
    box = await desk.box("a", 1)
    other = await desk.box("b", 1)
    await desk.sweep()
    for n in range(1, 260):
        await desk.sweep(timedelta(seconds=0.5))
        if n % 10 == 0:
            await other.beat()
    at = NOW + timedelta(seconds=65)
    ((source, raised, created),) = await desk.estate.rows("SELECT source, raised_at, created_at FROM alarm")
    assert (source, raised) == (f"gateway:{box.gateway}", at)
    assert created - at < timedelta(seconds=1)
    await box.beat()
    await desk.sweep()
    assert await desk.alarms("rule", "state") == [("gateway_silent", "RTNUN")]


async def test_while_nobody_could_hear_no_box_was_silent(desk: Desk) -> None:
    boxes = [await desk.box(name, 1) for name in "abc"]
    for _ in range(8):
        await desk.sweep(timedelta(seconds=10))
    assert len(await desk.alarms("rule")) == 3
    await boxes[0].beat()
    await desk.sweep()
    await desk.sweep(timedelta(minutes=30))  # the cloud was down: nobody heard them beat
    assert await desk.alarms("rule", "state") == [("gateway_silent", s) for s in ("UNACK", "UNACK", "RTNUN")]
    for _ in range(6):
        await desk.sweep(timedelta(seconds=10))
    assert [state for (state,) in await desk.alarms("state")].count("UNACK") == 2, "it has had no time to be heard"
    await desk.sweep(timedelta(seconds=10))
    assert [state for (state,) in await desk.alarms("state")].count("UNACK") == 3


async def test_a_box_that_is_revoked_is_not_silent_any_more(desk: Desk) -> None:
    box = await desk.box("a", 1)
    for _ in range(8):
        await desk.sweep(timedelta(seconds=10))
    async with desk.estate.store.transaction() as connection:
        await connection.execute("UPDATE gateway SET revoked_at = $1 WHERE id = $2", desk.now, box.gateway)
    await desk.sweep()
    await desk.sweep()
    assert await desk.alarms("state", "holds") == [("RTNUN", False)]
    assert await desk.estate.rows("SELECT * FROM box_told WHERE gateway = $1", box.gateway) == []


async def test_rules_are_told_what_changes_of_a_box(desk_of_each_tier: Desk) -> None:
    desk = desk_of_each_tier
    box = await desk.box("a", 1)
    await desk.sweep()
    heard = desk.watch()

    async def beats(blocks: int, off_s: float) -> list[tuple[str, object]]:
        heard.clear()
        await box.beat(blocks, off_s)
        await desk.sweep()
        return sorted((one.subject.point, one.seen.value) for one in heard)

    assert await beats(5, 0.01) == [("clock_offset_s", 0.01)]
    assert await beats(9, 0.05) == []
    assert await beats(11, 0.05) == [("backlog_blocks", 11.0)]
    assert await beats(1000, 3.0) == [("backlog_blocks", 1000.0), ("clock_offset_s", 3.0)]
    assert await beats(1049, 3.0) == []
    assert await beats(0, 3.0) == [("backlog_blocks", 0.0)]
    rules = desk.estate.engine.book.rules
    desk.estate.engine.book = RuleBook([rule for rule in rules if rule.name != "clock_wrong"])
    assert await beats(0, 3.0) == [("backlog_blocks", 0.0), ("clock_offset_s", 3.0), ("silent", "heard")]


async def test_figures_come_from_history(desk_of_each_tier: Desk) -> None:
    desk = desk_of_each_tier
    box = await desk.box("a", 2)
    await box.says("smoke-0", "smoke", "smoke")
    ((alarm,),) = await desk.estate.rows("SELECT id FROM alarm")
    desk.now += MINUTE
    async with desk.estate.store.transaction() as connection:
        await desk.estate.engine.acknowledge(
            connection, alarm, [desk.estate.area], desk.estate.person, "王芳", now=desk.now
        )
        await desk.estate.engine.label(
            connection, alarm, [desk.estate.area], desk.estate.person, "王芳", "false", now=desk.now
        )
    desk.now += MINUTE
    await box.says("smoke-0", "smoke", "clear")
    await desk.open("maintenance", timedelta(hours=2))
    await box.says("smoke-1", "link", "offline")  # goes out of service at once: it came to nobody
    async with desk.estate.store.connect() as connection:
        found = await report(connection, [desk.estate.area], NOW - MINUTE, NOW + timedelta(hours=1))
    assert (found.annunciations, found.alarms) == (1, 1)
    assert (found.get("acknowledge_median_s").value, found.get("clear_median_s").value) == (60, 120)
    assert (found.get("labelled_false").value, found.get("out_of_service").value) == (1, 1)
    assert [source.name for source in found.top] == ["西苑小区 3 2 烟感0 smoke"]
