"""Rules in the database: versions, the pack that people may overrule, who follows them; and trials on what was."""

import asyncio
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import asyncpg
import msgspec
import pytest

from cloud.alarms.rules import Rule
from cloud.alarms.rules.load import pack
from cloud.alarms.rules.model import Rate, Silence, Stage, Threshold, body_of, rule_of
from cloud.alarms.rules.stored import InForce, checked, follow, in_force, sync_pack
from cloud.alarms.rules.trial import Would, try_rule
from cloud.store import Connection, landing, rules, streams, trials
from cloud.store.streams import StateRow
from contract.errors import Permanent
from contract.kinds import Lane
from tests.contract.conftest import Estate
from tests.support.blocks import Chain, body, clock, inventory
from tests.support.rows import as_readings

BY_NAME = {rule.name: rule for rule in pack().rules}
START = datetime(2026, 11, 1, 16, tzinfo=UTC)
OF_PLAIN = pytest.mark.parametrize("database", ["plain"], indirect=True)
"""What does not depend on the tier is tried at one."""
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@OF_PLAIN
async def test_the_pack_is_taken_over_once_and_again_where_it_changed(estate: Estate) -> None:
    shipped = {name: body_of(rule) for name, rule in BY_NAME.items()}
    async with estate.store.transaction() as connection:
        assert await sync_pack(connection) == sorted(BY_NAME)
    async with estate.store.transaction() as connection:
        assert await sync_pack(connection) == []
    older = {name: body for name, body in shipped.items() if name != "gas"}
    older["smoke"] = shipped["smoke"] | {"priority": "high"}
    async with estate.store.transaction() as connection:
        assert await rules.sync_pack(connection, older) == ["gas", "smoke"]
        now = await in_force(connection)
    assert now.book.get("gas") is None  # no longer shipped
    assert now.book.get("smoke") == rule_of(older["smoke"])
    assert (now.versions["smoke"], now.versions["leak"]) == (2, 1)
    async with estate.store.transaction() as connection:
        assert await sync_pack(connection) == ["gas", "smoke"]
        assert {rule.name: rule for rule in (await in_force(connection)).book.rules} == BY_NAME


@OF_PLAIN
async def test_what_a_person_changed_or_switched_off_stands_above_the_pack(estate: Estate) -> None:
    mine = body_of(BY_NAME["smoke"]) | {"on_delay_s": 5.0}
    async with estate.store.transaction() as connection:
        await sync_pack(connection)
        assert await rules.put(connection, "smoke", mine, "王芳", "cooks downstairs", estate.person) == 2
        assert await rules.put(connection, "tamper", None, "王芳", "all false", estate.person) == 2
        ours = body_of(BY_NAME["leak"]) | {"name": "ours"}
        assert await rules.put(connection, "ours", ours, "王芳", "new", estate.person) == 1
    async with estate.store.transaction() as connection:
        changed = {name: body_of(rule) | {"priority": "low"} for name, rule in BY_NAME.items()}
        assert {"smoke", "tamper", "ours"}.isdisjoint(await rules.sync_pack(connection, changed))
        now = await in_force(connection)
    assert now.book.get("smoke") == rule_of(mine)
    assert now.book.get("tamper") is None
    assert "ours" in now.versions
    assert now.book.get("leak").priority == "low"  # type: ignore[union-attr]
    async with estate.store.connect() as connection:
        (row,) = [row for row in await rules.newest(connection) if row.name == "tamper"]
        assert (row.body, row.last_body) == (None, body_of(BY_NAME["tamper"]))
        assert [(row.version, row.origin, row.who) for row in await rules.versions(connection, "smoke")] == [
            (2, "person", "王芳"), (1, "pack", "system"),
        ]  # fmt: skip
    audited = await estate.rows(
        "SELECT who, action, object, detail->>'why' FROM audit WHERE object LIKE 'rule %' ORDER BY id"
    )
    assert audited == [
        ("王芳", "change rule", "rule smoke", "cooks downstairs"),
        ("王芳", "switch rule off", "rule tamper", "all false"),
        ("王芳", "change rule", "rule ours", "new"),
    ]


@OF_PLAIN
async def test_a_rule_goes_back_to_the_pack_and_follows_it_again(estate: Estate) -> None:
    async with estate.store.transaction() as connection:
        await sync_pack(connection)
        await rules.put(connection, "smoke", None, "王芳", "off", estate.person)
        shipped = body_of(BY_NAME["smoke"])
        await rules.put(connection, "smoke", shipped, "王芳", "on again", estate.person, origin="pack")
        newer = {name: body_of(rule) for name, rule in BY_NAME.items()} | {"smoke": shipped | {"off_delay_s": 3.0}}
        assert await rules.sync_pack(connection, newer) == ["smoke"]


@OF_PLAIN
async def test_a_rule_keeps_its_form(estate: Estate) -> None:
    """What is remembered of its sources would make no sense to another one."""
    async with estate.store.transaction() as connection:
        await sync_pack(connection)
        other = body_of(BY_NAME["panic"]) | {"name": "smoke"}
        with pytest.raises(Permanent, match="give the new one another name"):
            await rules.put(connection, "smoke", other, "王芳", "", estate.person)
        await rules.put(connection, "smoke", None, "王芳", "", estate.person)
        with pytest.raises(Permanent, match="of the form state"):
            await rules.put(connection, "smoke", other, "王芳", "", estate.person)


@OF_PLAIN
async def test_versions_are_never_rewritten_and_two_who_change_at_once_both_count(estate: Estate) -> None:
    async def change(why: str) -> int:
        async with estate.store.transaction() as connection:
            return await rules.put(connection, "smoke", None, "王芳", why, estate.person)

    assert sorted(await asyncio.gather(*(change(str(n)) for n in range(4)))) == [1, 2, 3, 4]
    for statement in ("UPDATE rule SET why = ''", "DELETE FROM rule"):
        with pytest.raises(asyncpg.RaiseError, match="rule keeps history"):
            async with estate.store.transaction() as connection:
                await connection.execute(statement)


@OF_PLAIN
async def test_a_rule_that_cannot_be_used_stops_no_other(estate: Estate) -> None:
    async with estate.store.transaction() as connection:
        await sync_pack(connection)
        for name, body in (
            ("odd", {"name": "odd"}),
            ("other-name", body_of(BY_NAME["smoke"])),
            ("of-later", body_of(BY_NAME["smoke"]) | {"form": {"form": "guess"}}),
            ("unknown", body_of(BY_NAME["smoke"]) | {"kinds": ["dragon"]}),
        ):
            await rules.put(connection, name, body, "王芳", "", estate.person)
        now = await in_force(connection)
    assert now.versions.keys() == BY_NAME.keys()
    with pytest.raises(Permanent, match="dragon"):
        checked(body_of(BY_NAME["smoke"]) | {"kinds": ["dragon"]})


@OF_PLAIN
async def test_processes_follow_the_rules(estate: Estate) -> None:
    taken: asyncio.Queue[InForce] = asyncio.Queue()
    following = asyncio.create_task(follow(estate.store, taken.put_nowait, every_s=0.05))
    try:
        assert (await asyncio.wait_for(taken.get(), 10)).versions == {}
        async with estate.store.transaction() as connection:
            await sync_pack(connection)
        assert (await asyncio.wait_for(taken.get(), 10)).versions.keys() == BY_NAME.keys()
        async with estate.store.transaction() as connection:
            await rules.put(connection, "smoke", None, "王芳", "", estate.person)
        assert "smoke" not in (await asyncio.wait_for(taken.get(), 10)).versions
        assert taken.empty()
    finally:
        following.cancel()


# Trials ---------------------------------------------------------------------------------------------------------------


async def introduce(estate: Estate) -> dict[tuple[str, str], int]:
    """An estate with two smoke detectors; series by device and point."""
    urgent = Chain(Lane.URGENT)
    await estate.ingest.take(estate.gateway, estate.area, Lane.URGENT, body(urgent.urgent(inventory(2), clock(0))))
    found = await estate.rows(
        "SELECT device.key, point, series.id FROM series JOIN device ON device.id = series.device"
    )
    return {(device, point): series for device, point, series in found}


async def tried(connection: Connection, rule: Rule, days: int = 3) -> list[Would]:
    estate = await trials.estate(connection, "西苑小区")
    assert estate is not None
    zone = ZoneInfo(estate.zone)
    return [one async for one in try_rule(connection, rule, estate, zone, pack().calendar, START, START + days * DAY)]


def hot(**fields: object) -> Rule:
    form = Threshold(
        form="threshold", points=["temperature"], side="above", hysteresis=2,
        stages=[Stage(at=50, priority="medium"), Stage(at=70, priority="high")],
    )  # fmt: skip
    return rule_of(body_of(BY_NAME["smoke"]) | {"form": msgspec.to_builtins(form), "on_delay_s": 300.0} | fields)


async def test_a_rule_is_tried_on_numbers_settled_or_not(estate: Estate) -> None:
    series = (await introduce(estate))["smoke-0", "temperature"]
    rows = [(series, START + n * MINUTE, 20.0 + (n % 7), 0) for n in range(2 * 24 * 60)]
    for first, last, value in ((100, 200, 60.0), (300, 303, 90.0), (1000, 1500, 80.0)):
        rows[first:last] = [(series, START + n * MINUTE, value, 0) for n in range(first, last)]
    rows[1200] = (series, START + 1200 * MINUTE, 5.0, 1)  # not good: neither raises nor clears
    async with estate.store.transaction() as connection:
        await landing.put_readings(connection, as_readings(rows))
    async with estate.store.connect() as connection:
        found = await tried(connection, hot())
    assert [(one.from_at - START, one.until_at - START, one.priority) for one in found if one.until_at] == [
        (105 * MINUTE, 200 * MINUTE, "medium"),
        (1005 * MINUTE, 1500 * MINUTE, "high"),
    ]
    assert found[0].where.endswith(found[0].where.split()[-1])
    assert {one.kind for one in found} == {"smoke_detector"}
    async with estate.store.connect() as connection:
        assert await tried(connection, hot(devices=[10**6])) == []
        assert await tried(connection, hot(areas=[10**6])) == []
        assert len(await tried(connection, hot(areas=[estate.area]))) == 2
        assert len(await tried(connection, hot(when={"from": "03:00", "to": "05:00"}))) == 1
    assert await estate.rows("SELECT count(*) FROM alarm") == [(0,)]
    assert await estate.rows("SELECT count(*) FROM condition") == [(0,)]


@OF_PLAIN
async def test_a_rule_on_changes_is_tried(estate: Estate) -> None:
    series = (await introduce(estate))["smoke-1", "temperature"]
    rising = [20.0] * 60 + [20.0 + n for n in range(30)] + [50.0] * 600
    rows = [(series, START + n * MINUTE, value, 0) for n, value in enumerate(rising)]
    async with estate.store.transaction() as connection:
        await landing.put_readings(connection, as_readings(rows))
    form = Rate(
        form="rate", points=["temperature"], direction="rises", over_s=900, stages=[Stage(at=10, priority="high")]
    )
    async with estate.store.connect() as connection:
        (found,) = await tried(connection, hot(form=msgspec.to_builtins(form), on_delay_s=0.0))
    assert 68 * MINUTE <= found.from_at - START <= 71 * MINUTE
    assert found.until_at is not None


async def test_a_rule_is_tried_on_states_and_on_what_agrees(estate: Estate) -> None:
    ids = await introduce(estate)
    first, second = ids["smoke-0", "smoke"], ids["smoke-1", "smoke"]
    said = [(first, 0, "clear"), (first, 10, "smoke"), (second, 12, "smoke"), (second, 20, None), (first, 30, "clear")]
    async with estate.store.transaction() as connection:
        await streams.put_states(
            connection, [StateRow(series, START + n * MINUTE, value, 0 if value else 3) for series, n, value in said]
        )
    async with estate.store.connect() as connection:
        found = await tried(connection, BY_NAME["smoke"])
        assert [(one.from_at - START, one.until_at and one.until_at - START) for one in found] == [
            (10 * MINUTE, 30 * MINUTE), (12 * MINUTE, None),
        ]  # fmt: skip
        (confirmed,) = await tried(connection, BY_NAME["fire_confirmed"])
        assert (confirmed.from_at - START, confirmed.priority) == (12 * MINUTE, "critical")
        with pytest.raises(Permanent, match="no history"):
            await tried(connection, BY_NAME["gateway_silent"])
        with pytest.raises(Permanent, match="no history"):
            await tried(connection, BY_NAME["clock_wrong"])
        silence = Silence(form="silence", subject="point", point="temperature", intervals=5)
        with pytest.raises(Permanent, match="no history"):
            await tried(connection, hot(form=msgspec.to_builtins(silence)))
