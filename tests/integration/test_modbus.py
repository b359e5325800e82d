"""The Modbus driver over real TCP, against our simulator and, once, against pymodbus's own server."""

import asyncio
import time
from collections import Counter
from contextlib import suppress

import pytest
from pymodbus import FramerType
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType as SimType
from pymodbus.simulator import SimData, SimDevice

from contract.messages import CommandStatus, Outcome
from contract.profile import Confirm, DataType, ModbusLimits, ModbusPoint, ModbusProfile, ModbusRead, ModbusWrite, Table
from contract.profile.modbus import Order
from contract.site import AnyModbusBus, ModbusDevice, ModbusRtuTcpBus, ModbusTcpBus, Resolved
from edge.drivers.modbus import ModbusDriver
from edge.drivers.modbus.config import Timing
from edge.normalise import Normaliser, tokeniser
from simulators.bus import Fault
from simulators.log import Answer, Write
from simulators.modbus.pdu import GATEWAY_SILENT, ModbusException
from tests.support.modbus import LATER_NS, QUICK, Collected, detector, door, modbus_rig
from tests.support.waiting import eventually

S = 1_000_000_000


def environment(*, max_gap: int = 0, **points: ModbusPoint) -> ModbusProfile:
    """A model with a point of every type."""
    limits = ModbusLimits(max_gap=max_gap)
    return ModbusProfile(
        protocol="modbus",
        id="all-types",
        vendor="v",
        model="m",
        kind="environment",
        source="test",
        modbus=limits,
        points=points,
    )


def holding(address: int, data_type: DataType, bit: int | None = None) -> ModbusPoint:
    return ModbusPoint(read=ModbusRead(table=Table.HOLDING_REGISTER, address=address, type=data_type, bit=bit))


async def test_row_1_five_silent_of_ten_leave_the_others_95_percent_of_their_rate() -> None:
    period_s, for_s = 0.2, 5.0
    timing = Timing()  # as in production
    async with modbus_rig([door(u) for u in range(1, 11)], period_s, timeout_s=0.3, timing=timing) as rig:
        for unit in range(6, 11):
            rig.server.fail(unit, Fault(kind="silent"))
        for unit in range(6, 11):
            await rig.collected.until(lambda unit=unit: bool(rig.collected.of(f"door-{unit}", "lock")))
        before, start = dict(rig.server.questions), time.monotonic()
        await asyncio.sleep(for_s)
        took = time.monotonic() - start
        for unit in range(1, 6):
            # The window may cut off one poll at its edge.
            assert rig.server.questions[unit] - before[unit] + 1 >= 0.95 * took / period_s
        assert rig.driver.silent_units == 5
        assert sum(rig.server.questions[u] - before[u] for u in range(6, 11)) > 0, "they are still asked"


async def test_row_1_what_the_unit_does_answer_is_kept() -> None:
    """The panel's alarms answer, its telemetry does not: the alarms keep their rate, the telemetry is backed off."""
    async with modbus_rig([detector(1, 0)]) as rig:
        await rig.collected.value("smoke-1-0", "temperature", 0)
        unit = rig.estate.buses["bus"].units[1]
        answered = unit.read

        def without_telemetry(table: Table, address: int, count: int) -> list[int]:
            if table is Table.INPUT_REGISTER:
                raise _gateway_silence()
            return answered(table, address, count)

        unit.read = without_telemetry
        await rig.collected.error("smoke-1-0", "temperature")
        start = len(rig.collected.samples)
        rig.estate.set("smoke-1-0", "smoke", "smoke")
        await rig.collected.value("smoke-1-0", "smoke", 1)

        def seen() -> Counter[tuple[str, bool]]:
            return Counter((s.point, s.raw is not None) for s in rig.collected.samples[start:])

        await rig.collected.until(lambda: seen()["smoke", True] >= 40)
        assert 1 <= seen()["temperature", False] <= 10
        unit.read = answered
        await rig.collected.value("smoke-1-0", "temperature", 0)


async def test_a_dead_line_says_that_nothing_is_heard_and_why_the_wait_was_so_short() -> None:
    async with modbus_rig([door(1)], timeout_s=0.2) as rig:
        await rig.collected.value("door-1", "contact", 0)
        assert rig.driver.counts().is_heard
        heard_ns = rig.driver.counts().last_answer_ns
        rig.server.fail(1, Fault(kind="silent"))
        await eventually(lambda: not rig.driver.counts().is_heard)
        counts = rig.driver.counts()
        assert counts.connected
        assert counts.last_answer_ns - heard_ns < counts.last_poll_ns - heard_ns
        await eventually(
            lambda: any("the wait is shortened from 0.2 s" in s.error for s in rig.collected.samples if s.raw is None)
        )
        rig.server.fail(1, None)
        await eventually(lambda: rig.driver.counts().is_heard)


def _gateway_silence() -> Exception:
    return ModbusException(GATEWAY_SILENT)


@pytest.mark.parametrize("kind", ["late", "transaction", "transaction_0"])
async def test_row_12_a_late_answer_is_never_taken_for_the_answer_to_a_newer_question(kind: str) -> None:
    """Unit 1 answers each question only when the next has come; its old values must not show under new questions."""
    async with modbus_rig([door(1), door(2)], timeout_s=0.05) as rig:
        await rig.collected.value("door-2", "contact", 0)
        rig.server.fail(1, Fault(kind=kind))
        await rig.collected.error("door-1", "contact")
        rig.estate.set("door-2", "contact", "open")
        await rig.collected.value("door-2", "contact", 1)
        start = len(rig.collected.samples)
        await asyncio.sleep(0.5)
        later = rig.collected.samples[start:]
        assert {s.raw for s in later if (s.device, s.point) == ("door-2", "contact")} == {1}
        assert {s.raw for s in later if s.device == "door-1"} <= {None}
        assert rig.driver.late > 0
        assert rig.server.connections == 1, "no connection was given up for it"


async def test_row_12_after_a_time_out_the_late_value_of_the_same_point_is_thrown_away() -> None:
    async with modbus_rig([door(1)], timeout_s=0.05) as rig:
        await rig.collected.value("door-1", "contact", 0)
        rig.server.fail(1, Fault(kind="slow", delay_s=0.4, times=1))
        failed = await rig.collected.error("door-1", "contact")
        rig.estate.set("door-1", "contact", "open")

        def late() -> list[Answer]:
            return [a for a in rig.truth if isinstance(a, Answer) and a.mono_ns > failed.mono_ns and a.values[0] == 0]

        await rig.collected.until(lambda: bool(late()))
        await rig.collected.value("door-1", "contact", 1)
        since = [s.raw for s in rig.collected.of("door-1", "contact") if s.mono_ns > failed.mono_ns]
        assert set(since) <= {1, None}


async def test_row_9_a_full_panel_takes_two_questions_a_poll() -> None:
    async with modbus_rig([detector(1, c) for c in range(16)]) as rig:
        await rig.collected.value("smoke-1-15", "temperature", 0)
        await asyncio.sleep(0.3)
        assert rig.driver.failures == 0
        assert rig.server.questions[1] / rig.driver.polls == pytest.approx(2, abs=0.2)
        assert {(a.table, a.address, len(a.values)) for a in rig.truth if isinstance(a, Answer)} == {
            ("discrete_input", 0, 32),
            ("input_register", 0, 32),
        }


async def test_a_gap_the_unit_refuses_costs_one_split_and_no_point() -> None:
    profile = environment(max_gap=4, temperature=holding(0, DataType.INT16), humidity=holding(3, DataType.UINT16))
    device = ModbusDevice(id="env", name="env", profile="all-types", unit=1)
    async with modbus_rig([device], profiles={"all-types": profile}) as rig:
        del rig.estate.buses["bus"].units[1]._memory._cells[Table.HOLDING_REGISTER][1]
        await rig.collected.value("env", "temperature", 0)
        await rig.collected.value("env", "humidity", 0)
        assert rig.driver.silent_units == 0
        start = len(rig.collected.samples)
        await rig.collected.value("env", "humidity", 0)
        assert all(s.raw is not None for s in rig.collected.samples[start:])


async def test_row_10_an_idle_driver_does_next_to_nothing() -> None:
    async with modbus_rig([door(1)], poll_s=3600) as rig:
        await rig.collected.value("door-1", "contact", 0)
        start = time.process_time()
        await asyncio.sleep(0.5)
        assert time.process_time() - start < 0.02
        assert rig.driver.polls == 1
        outcome = await asyncio.wait_for(rig.driver.execute("door-1", "unlock", {"seconds": 1}, LATER_NS), 1)
        assert outcome.status is CommandStatus.EXECUTED, "and wakes at once for a command"


async def test_row_13_a_silent_unit_is_offline_while_its_connection_stands() -> None:
    async with modbus_rig([door(1), door(2)]) as rig:
        normaliser = Normaliser(rig.devices, tokenise=tokeniser(bytes(32)))
        await rig.collected.value("door-1", "contact", 0)
        rig.server.fail(1, Fault(kind="silent"))
        for _ in range(3):
            await rig.collected.error("door-1", "contact")
        links = [(r.device, r.value) for r in normaliser.take(rig.collected.samples) if r.point == "link"]
        assert links == [("door-1", "online"), ("door-2", "online"), ("door-1", "offline")]
        assert rig.driver.connected


async def test_row_24_every_answer_is_delivered_once_with_the_time_of_its_read() -> None:
    async with modbus_rig([door(1), door(2)]) as rig:
        for k in range(20):
            rig.estate.set("door-1", "contact", "open" if k % 2 == 0 else "closed")
            await rig.collected.value("door-1", "contact", 1 - k % 2)
        answers = [a for a in rig.truth if isinstance(a, Answer) and a.unit == 1]
        samples = rig.collected.of("door-1", "contact")
        assert len(answers) - len(samples) in {0, 1}, "the last may be on its way"
        assert len({s.mono_ns for s in samples}) == len(samples)
        for answer, sample in zip(answers, samples, strict=False):
            assert sample.raw == answer.values[0]
            assert 0 <= sample.mono_ns - answer.mono_ns < S // 4
        assert rig.driver.samples == len(rig.collected.samples)


async def test_the_period_does_not_drift() -> None:
    async with modbus_rig([door(1)], poll_s=0.05) as rig:
        await rig.collected.value("door-1", "contact", 0)
        await asyncio.sleep(1.5)
        times = [s.mono_ns / S for s in rig.collected.of("door-1", "contact")]
        phases = [(t - times[0] + 0.025) % 0.05 - 0.025 for t in times]
        assert sorted(phases)[len(phases) // 2] == pytest.approx(0, abs=0.015)
        assert (times[-1] - times[0]) / 0.05 == pytest.approx(len(times) - 1 + rig.driver.skipped, abs=0.5)


async def test_a_door_unlocks_and_locks_again_by_itself() -> None:
    async with modbus_rig([door(1)]) as rig:
        await rig.collected.value("door-1", "lock", 0)
        outcome = await rig.driver.execute("door-1", "unlock", {"seconds": 1}, LATER_NS)
        assert outcome == Outcome(CommandStatus.EXECUTED)
        writes = [entry for entry in rig.truth if isinstance(entry, Write)]
        assert [(w.unit, w.table, w.address, w.values) for w in writes] == [(1, "holding_register", 0, [1])]
        assert rig.collected.of("door-1", "lock")[-1].raw == 1, "what was read back is handed on too"
        start = time.monotonic()
        await rig.collected.value("door-1", "lock", 0)
        assert 0.7 < time.monotonic() - start < 1.3


async def test_a_command_goes_before_the_polls_of_a_busy_bus() -> None:
    async with modbus_rig([door(u) for u in range(1, 21)], poll_s=0.02) as rig:
        for unit in range(1, 21):
            rig.server.fail(unit, Fault(kind="slow", delay_s=0.005))  # 20 units, 5 ms each: five times too much
        await rig.collected.value("door-20", "contact", 0)
        start = time.monotonic()
        assert (await rig.driver.execute("door-7", "unlock", {"seconds": 1}, LATER_NS)).status is CommandStatus.EXECUTED
        assert time.monotonic() - start < 0.08, "a round of polls takes 0.1 s, and this is a write and a read"
        assert rig.driver.skipped > 0


async def test_one_unit_whose_answers_kill_the_connection_leaves_the_others_most_of_their_rate() -> None:
    async with modbus_rig([door(u) for u in range(1, 5)], poll_s=0.05, timing=Timing()) as rig:
        await rig.collected.value("door-4", "contact", 0)
        rig.server.fail(1, Fault(kind="cut"))
        await asyncio.sleep(1.0)
        before = rig.server.questions[2]
        await asyncio.sleep(2.0)
        assert (rig.server.questions[2] - before) / 2.0 > 0.7 / 0.05


@pytest.mark.parametrize("framer", [FramerType.SOCKET, FramerType.RTU], ids=["tcp", "rtu over tcp"])
async def test_a_second_opinion_on_the_wire_pymodbus_own_server(framer: FramerType) -> None:
    """Every table, writes of one and of many, a refusal: against a server we did not write."""
    profile = environment(
        temperature=holding(0, DataType.INT16),
        humidity=holding(1, DataType.UINT16),
        pm25=holding(2, DataType.UINT32),
        noise=holding(4, DataType.INT32),
        co2=holding(6, DataType.FLOAT32),
        fault=ModbusPoint(read=ModbusRead(table=Table.HOLDING_REGISTER, address=8, type=DataType.BIT, bit=9)),
        tamper=ModbusPoint(read=ModbusRead(table=Table.DISCRETE_INPUT, address=3, type=DataType.BIT)),
        battery=ModbusPoint(read=ModbusRead(table=Table.INPUT_REGISTER, address=5)),
        rssi=ModbusPoint(read=ModbusRead(table=Table.INPUT_REGISTER, address=40)),
        coil=ModbusPoint(
            write=ModbusWrite(table=Table.COIL, address=2, value=1), confirm=Confirm(point="is_on", state="on")
        ),
        is_on=ModbusPoint(read=ModbusRead(table=Table.COIL, address=2, type=DataType.BIT), states={0: "off", 1: "on"}),
        level=ModbusPoint(
            write=ModbusWrite(table=Table.HOLDING_REGISTER, address=9, argument="to"),
            confirm=Confirm(point="level_is", state="five"),
        ),
        setpoint=ModbusPoint(
            write=ModbusWrite(table=Table.HOLDING_REGISTER, address=10, argument="to", type=DataType.FLOAT32),
            confirm=Confirm(point="setpoint_is", state="set"),
        ),
        setpoint_is=ModbusPoint(
            read=ModbusRead(table=Table.HOLDING_REGISTER, address=10), states={0: "none", 0x40A0: "set"}
        ),
        both=ModbusPoint(
            write=ModbusWrite(table=Table.COIL, address=4, value=1, multiple=True),
            confirm=Confirm(point="both_on", state="on"),
        ),
        both_on=ModbusPoint(
            read=ModbusRead(table=Table.COIL, address=4, type=DataType.BIT), states={0: "off", 1: "on"}
        ),
        name=ModbusPoint(read=ModbusRead(table=Table.HOLDING_REGISTER, address=12, type=DataType.STRING, length=2)),
        total=ModbusPoint(
            read=ModbusRead(table=Table.HOLDING_REGISTER, address=14, type=DataType.BCD32, words=Order.LOW_FIRST)
        ),
        level_is=ModbusPoint(read=ModbusRead(table=Table.HOLDING_REGISTER, address=9), states={0: "none", 5: "five"}),
    )
    registers = [
        0xFFD8,
        40000,
        0x1234,
        0x5678,
        0xFFFF,
        0xFFFB,
        0x40A0,
        0x0000,
        1 << 9,
        0,
        0,
        0,
        0x414E,
        0x4A55,
        0x5678,
        0x1234,
    ]
    device = SimDevice(
        7,
        simdata=(
            [SimData(0, values=[False] * 16, datatype=SimType.BITS)],
            [SimData(0, values=[False, False, False, True] + [False] * 12, datatype=SimType.BITS)],
            [SimData(0, values=registers, datatype=SimType.REGISTERS)],
            [SimData(0, values=[0, 0, 0, 0, 0, 77], datatype=SimType.REGISTERS)],
        ),
    )
    server = ModbusTcpServer(device, framer=framer, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    port = server.transport.sockets[0].getsockname()[1]
    bus: AnyModbusBus = ModbusTcpBus(
        id="bus", protocol="modbus-tcp", host="127.0.0.1", port=port, poll_s=0.05, devices=[]
    )
    if framer is FramerType.RTU:
        bus = ModbusRtuTcpBus(id="bus", protocol="modbus-rtu-tcp", host="127.0.0.1", port=port, poll_s=0.2, devices=[])
    resolved = Resolved(ModbusDevice(id="env", name="env", profile="all-types", unit=7), bus, profile)
    collected = Collected()
    driver = ModbusDriver(bus, [resolved], collected.consume, QUICK)
    running = asyncio.create_task(driver.run())
    try:
        expected = {"temperature": -40, "humidity": 40000, "pm25": 0x12345678, "noise": -5, "co2": 5.0, "fault": 1,
                    "tamper": 1, "battery": 77, "is_on": 0, "level_is": 0, "name": "ANJU",
                    "total": 12345678}  # fmt: skip
        for point, raw in expected.items():
            await collected.value("env", point, raw)
        assert "illegal address" in (await collected.error("env", "rssi")).error
        assert await driver.execute("env", "coil", {}, LATER_NS) == Outcome(CommandStatus.EXECUTED)
        for command, args in [("level", {"to": 5}), ("setpoint", {"to": 5.0}), ("both", {})]:
            assert await driver.execute("env", command, args, LATER_NS) == Outcome(CommandStatus.EXECUTED)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await server.shutdown()
