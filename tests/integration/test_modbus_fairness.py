"""Slow units, dead units, late commands and faults of the box: what each of them takes from the others, and when."""

import asyncio
import time
from contextlib import suppress

import pytest
from msgspec.structs import replace

from contract.clock import mono_ns
from contract.messages import CommandStatus, Sample
from contract.profile import Confirm, Table
from contract.site import ModbusDevice, ModbusTcpBus, Resolved
from edge.drivers.modbus import ModbusDriver
from edge.drivers.modbus.config import Timing
from edge.drivers.modbus.plan import Planned
from simulators.bus import Fault
from simulators.log import Write
from simulators.modbus.pdu import GATEWAY_SILENT, ILLEGAL_ADDRESS, ModbusException
from tests.support.modbus import LATER_NS, PROFILES, QUICK, Collected, ModbusRig, detector, door, modbus_rig
from tests.support.waiting import eventually

S = 1_000_000_000
SLOW_S = 0.4
UNLOCK = replace(
    PROFILES["anju-door-unit"].points["unlock"], confirm=Confirm(point="lock", state="unlocked", within_s=1)
)
HASTY = {
    "anju-door-unit": replace(PROFILES["anju-door-unit"], points=PROFILES["anju-door-unit"].points | {"unlock": UNLOCK})
}
"""Doors whose effect is looked for during one second."""


def tell_slow(rig: ModbusRig, *units: int) -> None:
    for unit in units:
        rig.server.fail(unit, Fault(kind="slow", delay_s=SLOW_S))


async def seconds_to_good(rig: ModbusRig, device: str, since: int) -> float:
    """From now to the first good value of a device that came after so many samples."""
    start = time.monotonic()
    await rig.collected.until(
        lambda: any(s.device == device and s.raw is not None for s in rig.collected.samples[since:])
    )
    return time.monotonic() - start


@pytest.mark.parametrize("others", [[], [2]], ids=["alone", "beside a fast one"])
async def test_a_slow_unit_that_its_time_out_allows_is_read_at_once_and_after_a_cut(others: list[int]) -> None:
    async with modbus_rig([door(u) for u in [1, *others]], poll_s=0.5, timeout_s=1.0, timing=Timing()) as rig:
        tell_slow(rig, 1)
        assert await seconds_to_good(rig, "door-1", 0) < 2.0
        rig.estate.cut("bus")
        await rig.collected.error("door-1", "contact")
        assert await seconds_to_good(rig, "door-1", len(rig.collected.samples)) < 2.0
        assert not any("no answer" in sample.error for sample in rig.collected.samples), "only the cut failed"


async def test_a_new_slow_unit_that_was_dead_is_found_after_a_reconnect() -> None:
    async with modbus_rig([door(1), door(2)], poll_s=0.1, timeout_s=0.6, timing=QUICK) as rig:
        rig.server.fail(1, Fault(kind="silent"))
        await rig.collected.until(lambda: len({s.mono_ns for s in rig.collected.of("door-1", "contact")}) >= 3)
        tell_slow(rig, 1)
        rig.estate.cut("bus")
        await rig.collected.until(lambda: rig.driver.counts().reconnects == 1)
        asked = rig.server.questions[1]
        await rig.collected.value("door-1", "contact", 0)
        assert rig.server.questions[1] - asked <= 2, "its first questions were given their time"


async def test_row_1_a_dead_unit_takes_little_of_the_bus_by_commands_too() -> None:
    """Four commands to a dead unit, all looking for their effect all the while: its neighbour is polled on."""
    async with modbus_rig([door(1), door(2)], 0.1, timeout_s=1.0, timing=Timing(), profiles=HASTY) as rig:
        await rig.collected.value("door-2", "contact", 0)
        rig.server.fail(1, Fault(kind="silent"))
        for _ in range(2):
            await rig.collected.error("door-1", "contact")
        before, start = rig.server.questions[2], time.monotonic()
        commands = [rig.driver.execute("door-1", "unlock", {"seconds": 1}, LATER_NS) for _ in range(4)]
        outcomes = await asyncio.gather(*commands)
        polled = rig.server.questions[2] - before
        assert {outcome.status for outcome in outcomes} == {CommandStatus.SENT_NOT_CONFIRMED}
        assert polled >= 0.8 * (time.monotonic() - start) / 0.1


DEAD = range(1, 11)


@pytest.mark.parametrize("is_known", [True, False], ids=["known to be dead", "dying just now"])
async def test_a_door_that_answers_waits_for_no_dead_one(is_known: bool) -> None:
    """Ten doors of a line are dead when a fire releases all: the eleventh comes before them, or before their looks."""
    async with modbus_rig([door(u) for u in [*DEAD, 11]], 0.2, timeout_s=0.2, timing=Timing(), profiles=HASTY) as rig:
        for unit in DEAD:
            await rig.collected.value(f"door-{unit}", "contact", 0)
            rig.server.fail(unit, Fault(kind="silent"))
        if is_known:
            await eventually(lambda: rig.driver.silent_units == len(DEAD))
        orders = [
            asyncio.create_task(rig.driver.execute(f"door-{u}", "unlock", {"seconds": 1}, LATER_NS)) for u in DEAD
        ]
        await asyncio.sleep(0)
        if not is_known:  # until all were written to: from then on they are only looked at
            await eventually(lambda: sum(isinstance(o.what, Planned) for o in rig.driver._orders) >= len(DEAD) - 1)
        before = sum(rig.server.questions[unit] for unit in DEAD)
        orders.append(asyncio.create_task(rig.driver.execute("door-11", "unlock", {"seconds": 1}, LATER_NS)))
        async with asyncio.timeout(5):
            while not any(isinstance(entry, Write) and entry.unit == 11 for entry in rig.truth):  # noqa: ASYNC110
                await asyncio.sleep(0)
        asked = sum(rig.server.questions[unit] for unit in DEAD) - before
        assert asked <= 3, "after what was under way and a poll or two"
        assert (await orders[-1]).status is CommandStatus.EXECUTED
        for order in orders:
            order.cancel()
        await asyncio.gather(*orders, return_exceptions=True)


async def test_row_1_orders_that_wait_in_full_let_a_poll_pass_after_each() -> None:
    async with modbus_rig([door(1), door(2)], poll_s=0.02, timeout_s=0.3, profiles=HASTY) as rig:
        await rig.collected.value("door-2", "contact", 0)
        rig.server.fail(1, Fault(kind="silent"))
        before = rig.server.questions[2]
        await asyncio.gather(*(rig.driver.execute("door-1", "unlock", {"seconds": 1}, mono_ns() + S) for _ in range(4)))
        assert rig.server.questions[2] - before > 10


async def test_a_command_whose_time_passes_while_the_bus_is_busy_is_not_written() -> None:
    async with modbus_rig([door(1)], poll_s=10, timeout_s=2.0) as rig:
        await rig.collected.value("door-1", "contact", 0)
        tell_slow(rig, 1)
        first = asyncio.create_task(rig.driver.execute("door-1", "unlock", {"seconds": 1}, LATER_NS))
        await asyncio.sleep(0)
        late = await rig.driver.execute("door-1", "unlock", {"seconds": 9}, mono_ns() + S // 10)
        assert late.status is CommandStatus.REFUSED
        assert late.reason == "its time to be done passed while it waited for the bus; nothing was written"
        assert (await first).status is CommandStatus.EXECUTED
        assert [entry.values for entry in rig.truth if isinstance(entry, Write)] == [[1]]


async def test_row_1_a_question_that_stays_unanswered_does_not_hide_those_behind_it() -> None:
    """The first question of a poll gets no answer, from the start: what the second asks for is read all the same."""
    async with modbus_rig([detector(1, 0)]) as rig:
        unit = rig.estate.buses["bus"].units[1]
        answered = unit.read

        def without_alarms(table: Table, address: int, count: int) -> list[int]:
            if table is Table.DISCRETE_INPUT:
                raise ModbusException(GATEWAY_SILENT)
            return answered(table, address, count)

        unit.read = without_alarms
        rig.estate.cut("bus")
        await rig.collected.error("smoke-1-0", "smoke")
        for _ in range(5):
            await rig.collected.value("smoke-1-0", "temperature", 0)


async def test_a_question_whose_parts_are_all_silent_is_asked_on() -> None:
    async with modbus_rig([detector(1, 0)]) as rig:
        await rig.collected.value("smoke-1-0", "temperature", 0)
        unit = rig.estate.buses["bus"].units[1]
        answered, is_back = unit.read, False

        def only_refuses(table: Table, address: int, count: int) -> list[int]:
            if is_back:
                return answered(table, address, count)
            raise ModbusException(ILLEGAL_ADDRESS if count > 1 else GATEWAY_SILENT)

        unit.read = only_refuses
        await rig.collected.error("smoke-1-0", "smoke")
        for _ in range(3):
            await rig.collected.error("smoke-1-0", "temperature")
        assert all(poll.reads for poll in rig.driver._schedule._polls)
        assert rig.driver.counts().silent_units == 1
        is_back = True
        for point in ("smoke", "fault", "temperature", "obscuration"):
            await rig.collected.value("smoke-1-0", point, 0)


@pytest.mark.parametrize("host", ["panel..lan", "a" * 64 + ".lan", "bad\0host"])
async def test_a_name_that_is_none_ends_nothing(host: str) -> None:
    bus = ModbusTcpBus(id="bus", protocol="modbus-tcp", host=host, devices=[])
    collected = Collected()
    driver = ModbusDriver(bus, [Resolved(door(1), bus, PROFILES["anju-door-unit"])], collected.consume, QUICK)
    running = asyncio.create_task(driver.run())
    try:
        for _ in range(3):
            assert host in (await collected.error("door-1", "contact")).error
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_fault_of_the_box_ends_no_bus_and_does_not_spin(capsys: pytest.CaptureFixture[str]) -> None:
    async with modbus_rig([door(1)], timing=replace(QUICK, reconnect_max_s=2.0)) as rig:
        await rig.collected.value("door-1", "contact", 0)
        taken, failed = rig.driver._consume, 0

        async def broken(samples: list[Sample]) -> None:
            nonlocal failed
            failed += 1
            raise KeyError("a bug")

        rig.driver._consume = broken
        await asyncio.sleep(2.0)
        assert 2 <= failed <= 8, "backs off, though each connection has a good answer"
        rig.driver._consume = taken
        await rig.collected.value("door-1", "contact", 0)
        assert "a bug" in capsys.readouterr().out


@pytest.mark.parametrize("unit", [0, 255])
async def test_a_device_that_speaks_tcp_itself(unit: int) -> None:
    async with modbus_rig([ModbusDevice(id="door", name="门", profile="anju-door-unit", unit=unit)]) as rig:
        await rig.collected.value("door", "contact", 0)
        outcome = await rig.driver.execute("door", "unlock", {"seconds": 1}, LATER_NS)
        assert outcome.status is CommandStatus.EXECUTED


async def test_a_command_cuts_the_wait_for_a_unit_that_says_nothing() -> None:
    """A unit nobody knows is waited for in full, here for 5 s; a door must not wait behind that."""
    async with modbus_rig([door(1), door(2)], poll_s=0.5, timeout_s=5.0, timing=Timing()) as rig:
        rig.server.fail(1, Fault(kind="silent"))
        await eventually(lambda: rig.server.questions[1] == 1)
        await asyncio.sleep(0.1)
        start = time.monotonic()
        outcome = await rig.driver.execute("door-2", "unlock", {"seconds": 1}, LATER_NS)
        assert outcome.status is CommandStatus.EXECUTED
        assert time.monotonic() - start < 1.0
        assert rig.driver.silent_units == 0, "what was cut short is no silence"
        await rig.collected.error("door-1", "contact")
        assert rig.driver.silent_units == 1


async def test_a_busy_unit_is_asked_again_soon_and_nothing_has_failed() -> None:
    async with modbus_rig([door(1), door(2)], poll_s=30.0, timing=replace(QUICK, busy_s=0.05)) as rig:
        rig.server.fail(1, Fault(kind="exception", code=6, times=3))
        await rig.collected.value("door-1", "contact", 0)
        assert rig.server.questions[1] == 4
        assert rig.driver.failures == 0
        assert not [sample for sample in rig.collected.samples if sample.raw is None]


async def test_a_unit_that_stays_busy_has_failed_and_is_not_silent() -> None:
    async with modbus_rig([door(1), door(2)], poll_s=0.5, timing=replace(QUICK, busy_s=0.02)) as rig:
        await rig.collected.value("door-1", "contact", 0)
        rig.server.fail(1, Fault(kind="exception", code=6))
        assert "device busy" in (await rig.collected.error("door-1", "contact")).error
        assert rig.driver.silent_units == 0
        rig.server.fail(1, None)
        await rig.collected.value("door-1", "contact", 0)


async def test_a_point_with_a_period_of_its_own_is_read_at_that() -> None:
    profile = PROFILES["anju-door-unit"]
    tamper = profile.points["tamper"]
    seldom = replace(tamper, read=replace(tamper.read, every_s=0.5))
    models = {profile.id: replace(profile, points=profile.points | {"tamper": seldom})}
    async with modbus_rig([door(1)], poll_s=0.05, profiles=models) as rig:
        await rig.collected.until(lambda: len(rig.collected.of("door-1", "tamper")) == 4)
        assert 25 <= len(rig.collected.of("door-1", "contact")) <= 34


async def test_a_connection_on_which_nobody_answers_is_opened_anew() -> None:
    """A gateway may hang with its connection open. One that answers for one unit is left alone."""
    async with modbus_rig([door(1), door(2)], timing=replace(QUICK, unheard_s=0.5)) as rig:
        await rig.collected.value("door-2", "contact", 0)
        rig.server.fail(1, Fault(kind="silent"))
        await rig.collected.error("door-1", "contact")
        await asyncio.sleep(1.5)
        assert rig.server.connections == 1
        rig.server.fail(2, Fault(kind="silent"))
        lost = await rig.collected.fresh("door-2", "contact", lambda sample: "opened anew" in sample.error)
        assert lost.error == "nothing was heard for 0.5 s; it is opened anew"
        await eventually(lambda: rig.server.connections >= 2)
        rig.server.fail(2, None)
        await rig.collected.value("door-2", "contact", 0)
        assert rig.driver.counts().reconnects == 1
