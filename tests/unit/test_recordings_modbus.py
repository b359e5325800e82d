"""Real Modbus answers, from their frames to readings: what the source says of them is what the box says."""

from collections.abc import Iterator

import pytest

from contract.messages import Event, Quality, Reading
from contract.modbus_plan import Item, Read
from contract.profile import ModbusProfile, Table, load_profiles, shipped_profiles
from contract.site import ModbusDevice, ModbusRtuBus, Resolved, ResolvedModbus
from edge.drivers.modbus.decode import decoder_of
from edge.drivers.modbus.encode import encode_write
from edge.drivers.modbus.frame import READS, check_answer, read_question, rtu_frame, write_question
from edge.drivers.modbus.rtu import Listener
from edge.normalise import Normaliser, tokeniser
from tests.support.recordings import Exchange, Order, Recording, profile_and_channel, recordings

PROFILES = load_profiles(shipped_profiles())
RECORDINGS = recordings("modbus")
EXCHANGES = [
    pytest.param(exchange, key, id=f"{name}-{n}-{key}")
    for name, recording in RECORDINGS.items()
    for n, exchange in enumerate(recording.exchanges)
    for key in exchange.says
]
ORDERS = [
    pytest.param(order, id=f"{name}-{n}")
    for name, recording in RECORDINGS.items()
    for n, order in enumerate(recording.orders)
]
TABLES = {function: table for table, function in READS.items()}


def question(exchange: Exchange) -> tuple[int, Table, int, int]:
    """What was asked: unit, table, address, count."""
    if exchange.request:
        frame = bytes.fromhex(exchange.request)
        return frame[0], TABLES[frame[1]], int.from_bytes(frame[2:4]), int.from_bytes(frame[4:6])
    unit = bytes.fromhex(exchange.response)[0] if exchange.response else 1
    return unit, Table(exchange.table), exchange.address, exchange.count or len(exchange.words)


def data_of(exchange: Exchange) -> bytes:
    """What the driver takes out of the recorded answer; it also asks as was asked in the recording."""
    asked = read_question(*question(exchange))
    if exchange.request:
        assert rtu_frame(asked.unit, asked.pdu) == bytes.fromhex(exchange.request)
    if exchange.words:
        return b"".join(word.to_bytes(2) for word in exchange.words)
    frame = bytes.fromhex(exchange.response)
    if not exchange.has_crc:
        return check_answer(asked, frame[1:])
    pdu = Listener(asked).feed(frame)
    assert pdu is not None, "no answer was found in the recorded frame"
    return check_answer(asked, pdu)


def resolved(profile_id: str, unit: int, channel: int = 0) -> ResolvedModbus:
    """A device of a profile on a serial line."""
    profile = PROFILES[profile_id]
    assert isinstance(profile, ModbusProfile)
    device = ModbusDevice(id="d", name="设备", profile=profile_id, unit=unit, channel=channel)
    return Resolved(device, ModbusRtuBus(id="b", protocol="modbus-rtu", port="/dev/null", devices=[device]), profile)


def items_within(device: ResolvedModbus, table: Table, address: int, count: int) -> Iterator[Item]:
    """The points of a device that lie within a question."""
    for name, point in device.profile.points.items():
        if point.read is not None and point.read.table is table:
            at = point.read.address + point.read.stride * device.device.channel - address
            if 0 <= at <= count - point.read.count:
                yield Item("d", name, at, point.read)


@pytest.mark.parametrize(("exchange", "key"), EXCHANGES)
def test_a_recorded_answer_becomes_the_readings_its_source_states(exchange: Exchange, key: str) -> None:
    profile_id, channel = profile_and_channel(key)
    unit, table, address, count = question(exchange)
    device = resolved(profile_id, unit, channel)
    read = Read(unit, table, address, count, tuple(items_within(device, table, address, count)))
    normaliser = Normaliser([device], tokenise=tokeniser(b"a key"))
    taken = normaliser.take(decoder_of(read)(data_of(exchange), 10**9))
    readings = {r.point: r for r in taken if isinstance(r, Reading) and r.point != "link"}
    assert {r.quality for r in readings.values()} <= {Quality.GOOD}
    said = {p: v if isinstance(v, str) else pytest.approx(v, rel=1e-6) for p, v in exchange.says[key].items()}
    assert {point: reading.value for point, reading in readings.items()} == said
    assert not any(isinstance(r, Event) for r in taken)


@pytest.mark.parametrize("order", ORDERS)
def test_a_command_is_the_frame_its_source_shows(order: Order) -> None:
    frame = bytes.fromhex(order.request)
    device = resolved(order.profile, frame[0], order.channel)
    write = device.profile.points[order.point].write
    assert write is not None
    address = write.address + write.stride * order.channel
    asked = write_question(frame[0], write.table, address, encode_write(write, order.args), write.multiple)
    assert rtu_frame(asked.unit, asked.pdu) == frame


@pytest.mark.parametrize("recording", RECORDINGS.values(), ids=RECORDINGS)
def test_a_recording_says_where_it_comes_from(recording: Recording) -> None:
    source = recording.source
    assert source.url.startswith(("http://", "https://"))
    assert source.place
    assert source.quote
    assert all(exchange.quote for exchange in recording.exchanges)


def test_a_wrong_byte_in_a_recorded_frame_would_be_noticed() -> None:
    exchange = RECORDINGS["PZEM-004T_x_v3.0"].exchanges[1]
    frame = bytearray.fromhex(exchange.response)
    frame[4] ^= 1
    assert Listener(read_question(*question(exchange))).feed(bytes(frame)) is None


REAL = sorted(p.id for p in PROFILES.values() if isinstance(p, ModbusProfile) and p.vendor != "Anju")


@pytest.mark.parametrize("profile_id", REAL)
def test_every_real_model_has_a_recording(profile_id: str) -> None:
    known = {profile_and_channel(key)[0] for r in RECORDINGS.values() for e in r.exchanges for key in e.says}
    assert profile_id in known
