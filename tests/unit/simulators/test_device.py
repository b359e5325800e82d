"""A simulated unit shows by the profile's map what it is set to, and does what its commands say."""

import asyncio
import random
from pathlib import Path

import pytest

from contract.errors import Permanent
from contract.profile import (
    Confirm,
    DataType,
    ModbusLimits,
    ModbusPoint,
    ModbusProfile,
    ModbusRead,
    ModbusWrite,
    Table,
)
from contract.site import ModbusDevice, ModbusTcpBus, resolve
from simulators.log import Answer, Change, Entry, TruthLog, Write, read_log
from simulators.modbus.device import SimulatedUnit
from simulators.modbus.encode import raw_of
from simulators.modbus.pdu import ModbusException, reply_to
from simulators.modbus.server import ModbusServer
from tests.support.waiting import eventually
from tests.unit.simulators.sites import PROFILES, detector, door, site_of


def unit_of(*devices: object, log: TruthLog | None = None, speed: float = 1.0) -> SimulatedUnit:
    bus = ModbusTcpBus(id="bus", protocol="modbus-tcp", host="h", devices=list(devices))
    return SimulatedUnit(resolve(site_of(bus), PROFILES), log or TruthLog(), speed)


def test_a_panel_shows_each_detector_on_its_channel() -> None:
    unit = unit_of(detector(1, 3), detector(1, 7))
    unit.set("smoke-1-3", "smoke", "smoke")
    unit.set("smoke-1-7", "temperature", -12.34)
    unit.set("smoke-1-7", "obscuration", 4.567)
    assert unit.read(Table.DISCRETE_INPUT, 0, 32) == [0] * 3 + [1] + [0] * 28
    assert unit.read(Table.INPUT_REGISTER, 23, 1) == [0x10000 - 123]
    assert unit.read(Table.INPUT_REGISTER, 7, 1) == [457]
    assert unit.get("smoke-1-7", "temperature") == -12.3


@pytest.mark.parametrize(
    ("point", "value"), [("smoke", "fire"), ("temperature", "warm"), ("temperature", 9999.0), ("lock", "locked")]
)
def test_what_cannot_be_is_said(point: str, value: str | float) -> None:
    with pytest.raises(Permanent):
        unit_of(detector(1, 0)).set("smoke-1-0", point, value)


def test_numbers_go_through_the_inverse_of_the_scale() -> None:
    mapped = ModbusPoint(
        scale=0.5, offset=-40.0, read=ModbusRead(table=Table.INPUT_REGISTER, address=0, type=DataType.UINT16)
    )
    assert raw_of(mapped, 10.2) == 100


@pytest.mark.parametrize(
    ("table", "address", "count", "code"),
    [(Table.COIL, 0, 1, 1), (Table.DISCRETE_INPUT, 4, 1, 2), (Table.DISCRETE_INPUT, 0, 5, 2)],
)
def test_only_what_the_profile_maps_exists(table: Table, address: int, count: int, code: int) -> None:
    with pytest.raises(ModbusException) as caught:
        unit_of(door(1)).read(table, address, count)
    assert caught.value.code == code


async def test_an_unlocked_door_locks_again_by_itself_and_a_second_order_prolongs_it() -> None:
    unit = unit_of(door(1), speed=4)  # two seconds last half of one
    unit.write(Table.HOLDING_REGISTER, 0, [2])
    assert unit.get("door-1", "lock") == "unlocked"
    await asyncio.sleep(0.3)
    unit.write(Table.HOLDING_REGISTER, 0, [2])
    await asyncio.sleep(0.3)
    assert unit.get("door-1", "lock") == "unlocked"
    await asyncio.sleep(0.45)
    assert unit.get("door-1", "lock") == "locked"
    assert unit.read(Table.DISCRETE_INPUT, 1, 1) == [0]


async def test_an_order_out_of_bounds_is_refused_and_does_nothing() -> None:
    unit = unit_of(door(1))
    for seconds in (0, 61):
        with pytest.raises(ModbusException):
            unit.write(Table.HOLDING_REGISTER, 0, [seconds])
    assert unit.get("door-1", "lock") == "locked"
    assert unit.read(Table.HOLDING_REGISTER, 0, 1) == [0]


def made(points: dict[str, ModbusPoint], kind: str = "lighting", log: TruthLog | None = None) -> SimulatedUnit:
    """A unit of a model that has these points; the device is called it."""
    profile = ModbusProfile(
        id="made", protocol="modbus", vendor="v", model="m", kind=kind, source="s", points=points,
        modbus=ModbusLimits(max_gap=8),
    )  # fmt: skip
    device = ModbusDevice(id="it", name="it", profile="made", unit=1)
    bus = ModbusTcpBus(id="bus", protocol="modbus-tcp", host="h", devices=[device])
    return SimulatedUnit(resolve(site_of(bus), {"made": profile}), log or TruthLog())


COIL = ModbusRead(table=Table.COIL, address=2, type=DataType.BIT)
LIT = {0: "stopped", 1: "running"}


def test_what_is_written_where_a_point_is_read_shows_at_the_point() -> None:
    entries: list[Entry] = []
    write = ModbusWrite(table=Table.COIL, address=2, argument="on")
    points = {"running": ModbusPoint(read=COIL, states=LIT), "switch": ModbusPoint(write=write)}
    unit = made(points, log=TruthLog(also=entries.append))
    unit.write(Table.COIL, 2, [1])
    assert unit.get("it", "running") == "running"
    assert [type(entry).__name__ for entry in entries[1:]] == ["Write", "Change"]
    unit.write(Table.COIL, 2, [0])
    assert unit.get("it", "running") == "stopped"


def test_several_commands_may_share_a_register() -> None:
    position = ModbusRead(table=Table.INPUT_REGISTER, address=0)
    orders = {"open": (1, "up"), "close": (2, "down")}
    points = {"barrier": ModbusPoint(read=position, states={0: "down", 1: "up", 2: "moving"})} | {
        name: ModbusPoint(
            write=ModbusWrite(table=Table.HOLDING_REGISTER, address=7, value=value),
            confirm=Confirm(point="barrier", state=state),
        )
        for name, (value, state) in orders.items()
    }
    unit = made(points, "vehicle_gate")
    for name, (value, state) in orders.items():
        unit.write(Table.HOLDING_REGISTER, 7, [value])
        assert unit.get("it", "barrier") == state, name
    unit.write(Table.HOLDING_REGISTER, 7, [3])
    assert unit.get("it", "barrier") == "down", "3 is no command"


def test_a_model_that_knows_only_multiple_writes_refuses_the_others() -> None:
    write = ModbusWrite(table=Table.COIL, address=2, argument="on", multiple=True)
    unit = made({"running": ModbusPoint(read=COIL, states=LIT), "switch": ModbusPoint(write=write)})
    dice = random.Random(1)
    assert reply_to(1, unit, bytes.fromhex("05 00 02 ff 00"), None, dice).pdu.hex(" ") == "85 01"
    assert reply_to(1, unit, bytes.fromhex("0f 00 02 00 01 01 01"), None, dice).pdu.hex(" ") == "0f 00 02 00 01"
    assert unit.get("it", "running") == "running"


async def test_an_argument_is_in_the_unit_of_people_and_half_a_value_orders_nothing() -> None:
    write = ModbusWrite(
        table=Table.HOLDING_REGISTER, address=4, type=DataType.UINT32, scale=0.1, argument="seconds", maximum=60
    )
    confirm = Confirm(point="active", state="running")
    unit = made(
        {"active": ModbusPoint(read=COIL, states=LIT), "sound": ModbusPoint(write=write, confirm=confirm)}, "sounder"
    )
    unit.write(Table.HOLDING_REGISTER, 5, [100])
    assert unit.get("it", "active") == "stopped"
    with pytest.raises(ModbusException):
        unit.write(Table.HOLDING_REGISTER, 4, [0, 700])
    unit.write(Table.HOLDING_REGISTER, 4, [0, 1])
    assert unit.get("it", "active") == "running"
    await eventually(lambda: unit.get("it", "active") == "stopped")
    unit.close()


def test_an_event_happens_and_is_over() -> None:
    where = ModbusRead(table=Table.INPUT_REGISTER, address=3, type=DataType.BIT, bit=4, bits=3)
    unit = made({"forced_open": ModbusPoint(read=where, when=(0, 5))}, "door")
    assert unit.read(Table.INPUT_REGISTER, 3, 1) == [1 << 4], "the least number that means nothing"
    unit.set("it", "forced_open", 1)
    assert unit.read(Table.INPUT_REGISTER, 3, 1) == [0]
    assert unit.get("it", "forced_open") == 1
    with pytest.raises(Permanent, match="happens"):
        unit.set("it", "forced_open", 2)


async def test_the_truth_log_has_every_change_write_and_answer_in_order(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    with TruthLog(path) as log:
        unit = unit_of(door(1), log=log)
        start = log.n
        unit.set("door-1", "contact", "open")
        unit.set("door-1", "contact", "open")
        unit.write(Table.HOLDING_REGISTER, 0, [5])
        async with ModbusServer("127.0.0.1", 0, {1: unit}, log, "doors") as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(bytes.fromhex("00 01 00 00 00 06 01 02 00 00 00 04"))
            await reader.readexactly(10)
            entries = read_log(path)[start:]  # while the log is open: each line is there at once
            writer.close()
            await writer.wait_closed()
        unit.close()
    assert [entry.n for entry in entries] == list(range(start + 1, start + 5))
    assert sorted(entry.mono_ns for entry in entries) == [entry.mono_ns for entry in entries]
    change, write, lock, answer = entries
    assert isinstance(change, Change)
    assert (change.device, change.point, change.value) == ("door-1", "contact", "open")
    assert isinstance(write, Write)
    assert (write.bus, write.unit, write.table, write.address, write.values) == ("bus", 1, "holding_register", 0, [5])
    assert isinstance(lock, Change)
    assert lock.value == "unlocked"
    assert isinstance(answer, Answer)
    assert (answer.bus, answer.table, answer.address, answer.values) == ("doors", "discrete_input", 0, [1, 1, 0, 0])
