"""Modbus: answers over TCP and on a line, and the values in them, of every shipped model."""

import asyncio
import atexit
from functools import cache
from typing import Any, cast

from contract.messages import Sample
from contract.modbus_plan import Read, plan_unit
from contract.profile import ModbusProfile, Table
from contract.site import ModbusDevice, ModbusTcpBus, Resolved, ResolvedDevice
from edge.drivers.modbus.decode import Decode, decoder_of
from edge.drivers.modbus.errors import BadAnswer, Busy, Refused, Unreachable
from edge.drivers.modbus.frame import (
    CRC_SIZE,
    MAX_PDU,
    MBAP,
    Question,
    check_answer,
    read_question,
    rtu_frame,
    tcp_frame,
    write_question,
)
from edge.drivers.modbus.rtu import MAX_HELD, Listener
from edge.drivers.modbus.tcp import TcpWire, _Link
from tests.fuzz.onward import normaliser_of, send_on
from tests.fuzz.target import chosen, joined, parts
from tests.support.modbus import PROFILES
from tests.support.recordings import recordings

UNIT = 1
QUESTIONS = [
    read_question(UNIT, Table.HOLDING_REGISTER, 0, 2),
    read_question(UNIT, Table.INPUT_REGISTER, 0, 125),
    read_question(UNIT, Table.COIL, 0, 9),
    read_question(UNIT, Table.DISCRETE_INPUT, 16, 2000),
    write_question(UNIT, Table.COIL, 3, [1]),
    write_question(UNIT, Table.HOLDING_REGISTER, 3, [0x1234]),
    write_question(UNIT, Table.HOLDING_REGISTER, 3, [1, 2, 3]),
    write_question(UNIT, Table.COIL, 0, [1] * 9),
]
NAMED = (BadAnswer, Busy, Refused, Unreachable)
_WITH_CHECK = 0x80
"""A message with this bit in its first byte gets the check sum, or the header, that makes a whole frame of it."""


def good_answer(question: Question) -> bytes:
    """The PDU of an answer that counts: noughts where something was asked for, the echo of a write."""
    return question.start + bytes(question.size - len(question.start))


def tcp_answers(data: bytes) -> None:
    """Whatever a Modbus TCP device sends to an open question: an answer, or an error with a name."""
    number, data = chosen(data)
    _loop().run_until_complete(_tcp(QUESTIONS[number % len(QUESTIONS)], parts(data)))


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """One loop for all inputs: to make one takes longer than to decode."""
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)
    return loop


async def _tcp(question: Question, messages: list[bytes]) -> None:
    wire = TcpWire("box", 502)
    link = _Link(wire)
    link.write = link.close = lambda *_: None
    wire._link = link
    asked = asyncio.get_running_loop().create_task(wire.ask(question, 60.0))
    await asyncio.sleep(0)
    for message in messages:
        flags, message = chosen(message)
        if flags & _WITH_CHECK:
            transaction = wire._transaction if flags & 1 else flags
            message = tcp_frame(transaction, flags & 2 or UNIT, message[:MAX_PDU])
        link.data_received(message)
        assert len(link._begun) < MBAP.size + MAX_PDU, "more is held than one frame"
    if not asked.done() and not link._begun:
        link.data_received(tcp_frame(wire._transaction, UNIT, good_answer(question)))
        await asyncio.sleep(0)
        assert asked.done(), "between frames, and the answer was not taken"
    try:
        if asked.done():
            assert len(await asked) == question.size - len(question.start)
    except NAMED as e:
        assert str(e)
    finally:
        wire.close()
        await asyncio.wait([asked])
        asked.exception()


def tcp_seeds() -> list[bytes]:
    """Good answers, exceptions, parted and older frames."""
    whole = [bytes((n, _WITH_CHECK | 1)) + good_answer(question) for n, question in enumerate(QUESTIONS)]
    frame = tcp_frame(1, UNIT, good_answer(QUESTIONS[0]))
    parted = b"\0" + joined(b"\0" + part for part in (frame[:5], frame[5:]))
    refused = b"\0" + bytes((_WITH_CHECK | 1, 0x83, 2))
    return [*whole, b"\0\0" + frame, parted, refused, b"\0" + joined([b"\0" + tcp_frame(9, 1, b"\x03\x02\0\0"), frame])]


def rtu_answers(data: bytes) -> None:
    """Whatever comes down a line: what is no answer is bounded and passed over, and the answer behind it is found."""
    number, data = chosen(data)
    question = QUESTIONS[number % len(QUESTIONS)]
    listener = Listener(question, has_echo=bool(number & 0x40))
    pdu = None
    for message in parts(data):
        flags, message = chosen(message)
        if flags & _WITH_CHECK:
            message = rtu_frame(flags & 3, message)
        pdu = listener.feed(message)
        assert listener.unexplained <= MAX_HELD
        if pdu is not None:
            break
    if pdu is None:
        frame = rtu_frame(UNIT, good_answer(question))
        pdu = listener.feed(frame) or (listener.feed(frame) if listener._is_its_own_echo else None)
        assert pdu is not None, "the answer behind the noise was not found"
    assert len(pdu) <= MAX_PDU
    try:
        assert len(check_answer(question, pdu)) == question.size - len(question.start)
    except NAMED as e:
        assert str(e)


def rtu_seeds() -> list[bytes]:
    """The recordings' answers, an echo before, noise before, a frame of before, an exception."""
    seeds = [
        b"\0\0" + bytes.fromhex(exchange.response)
        for recording in recordings("modbus").values()
        for exchange in recording.exchanges
        if exchange.response
    ]
    for n, question in enumerate(QUESTIONS):
        answer, echo = rtu_frame(UNIT, good_answer(question)), rtu_frame(UNIT, question.pdu)
        seeds += [bytes((n, 0)) + answer, bytes((n | 0x40, 0)) + joined([echo, b"\0" + answer]),
                  bytes((n, _WITH_CHECK | 1)) + good_answer(question)]  # fmt: skip
    return [*seeds, b"\0\x81\x83\x02", b"\0\0" + b"\xff\x00" * 9, b"\0" + joined([b"\x82\x03\x02\0\0", b"\0\x01\x03"])]


@cache
def _models() -> list[tuple[list[ResolvedDevice], list[tuple[Read, Decode]]]]:
    """Of each shipped model its devices on one unit, and its questions with their decoders."""
    models = []
    for profile in PROFILES.values():
        if not isinstance(profile, ModbusProfile):
            continue
        devices = [
            ModbusDevice(id=f"d{channel}", name="d", profile=profile.id, unit=UNIT, channel=channel)
            for channel in sorted({0, profile.modbus.channels - 1})
        ]
        bus = ModbusTcpBus(id="bus", protocol="modbus-tcp", host="h", devices=devices)
        resolved = cast("list[ResolvedDevice]", [Resolved(device, bus, profile) for device in devices])
        reads = plan_unit(UNIT, profile, [(device.id, device.channel) for device in devices], profile.modbus)
        models.append((resolved, [(read, decoder_of(read)) for read in reads]))
    return models


def values(data: bytes) -> None:
    """Any bytes in sound answers of any shipped model: a sample for each point, each fit for what follows."""
    number, data = chosen(data)
    devices, reads = _models()[number % len(_models())]
    normaliser = normaliser_of(devices)
    for mono_ns, message in enumerate(parts(data), 1):
        which, message = chosen(message)
        read, decode = reads[which % len(reads)]
        size = read_question(UNIT, read.table, read.address, read.count).size - 2
        samples: list[Sample] = decode(message[:size].ljust(size, b"\0"), mono_ns * 10**9)
        assert len(samples) == len(read.items)
        assert all((sample.raw is None) == bool(sample.error) for sample in samples)
        send_on(normaliser, samples)


def value_seeds() -> list[bytes]:
    """Each model's every question with noughts, ones, numbers that are none, and what recordings hold."""
    said = [
        bytes.fromhex(exchange.response)[3:-CRC_SIZE]
        for recording in recordings("modbus").values()
        for exchange in recording.exchanges
        if exchange.response
    ]
    fills: list[Any] = [b"", b"\xff" * 250, b"\x7f\xc0\0\0" * 60, b"\x12\x34" * 120, *said]
    seeds = []
    for n, (_, reads) in enumerate(_models()):
        some = fills[n % len(fills)], fills[(n + 3) % len(fills)]
        seeds += [bytes((n,)) + joined(bytes((i,)) + fill for i in range(min(len(reads), 8))) for fill in some]
    return seeds
