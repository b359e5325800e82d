"""The simulator's server, spoken to in bare bytes as the standard writes them."""

import asyncio
import struct
from collections.abc import AsyncIterator

import pytest

from contract.profile import Table
from simulators.bus import Fault
from simulators.log import TruthLog
from simulators.modbus.server import ModbusServer
from tests.unit.simulators.cells import Cells


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer, self.transaction = reader, writer, 0

    def send(self, pdu: str, unit: int = 5) -> None:
        self.transaction += 1
        body = bytes.fromhex(pdu)
        self.writer.write(struct.pack(">HHHB", self.transaction, 0, len(body) + 1, unit) + body)

    async def receive(self) -> tuple[int, int, str]:
        async with asyncio.timeout(2):
            transaction, protocol, length, unit = struct.unpack(">HHHB", await self.reader.readexactly(7))
            assert protocol == 0
            return transaction, unit, (await self.reader.readexactly(length - 1)).hex(" ")

    async def ask(self, pdu: str, unit: int = 5) -> str:
        self.send(pdu, unit)
        transaction, answered, body = await self.receive()
        assert (transaction, answered) == (self.transaction, unit)
        return body


@pytest.fixture
async def server() -> AsyncIterator[ModbusServer]:
    async with ModbusServer("127.0.0.1", 0, {5: Cells()}, TruthLog()) as server:
        yield server


@pytest.fixture
async def client(server: ModbusServer) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    yield Client(reader, writer)
    writer.close()
    await writer.wait_closed()


def cells(server: ModbusServer) -> dict[Table, list[int]]:
    unit = server.units[5]
    assert isinstance(unit, Cells)
    return unit.tables


async def test_reads(server: ModbusServer, client: Client) -> None:
    cells(server)[Table.COIL][:] = [1, 0, 1, 1, 0, 0, 1, 1, 1, 0]
    cells(server)[Table.DISCRETE_INPUT][2] = 1
    cells(server)[Table.HOLDING_REGISTER][8:] = [0x022B, 0x0064]
    cells(server)[Table.INPUT_REGISTER][8] = 10
    assert await client.ask("01 00 00 00 0a") == "01 02 cd 01"
    assert await client.ask("02 00 02 00 01") == "02 01 01"
    assert await client.ask("03 00 08 00 02") == "03 04 02 2b 00 64"
    assert await client.ask("04 00 08 00 01") == "04 02 00 0a"


async def test_writes(server: ModbusServer, client: Client) -> None:
    assert await client.ask("05 00 03 ff 00") == "05 00 03 ff 00"
    assert await client.ask("06 00 01 00 03") == "06 00 01 00 03"
    assert await client.ask("0f 00 00 00 0a 02 cd 01") == "0f 00 00 00 0a"
    assert await client.ask("10 00 04 00 02 04 00 0a 01 02") == "10 00 04 00 02"
    assert cells(server)[Table.COIL] == [1, 0, 1, 1, 0, 0, 1, 1, 1, 0]
    assert cells(server)[Table.HOLDING_REGISTER][:6] == [0, 3, 0, 0, 10, 0x0102]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("07", "87 01"),
        ("2b 0e 01 00", "ab 01"),
        ("03 00 09 00 02", "83 02"),
        ("03 00 00 00 00", "83 03"),
        ("03 00 00 00 7e", "83 03"),
        ("01 00 00 07 d1", "81 03"),
        ("03 00 00", "83 03"),
        ("05 00 00 12 34", "85 03"),
        ("10 00 00 00 02 02 00 01", "90 03"),
        ("0f 00 00 00 00 00", "8f 03"),
        ("06 00 0a 00 01", "86 02"),
    ],
)
async def test_exceptions(client: Client, question: str, answer: str) -> None:
    assert await client.ask(question) == answer


async def test_a_unit_that_is_not_there_is_answered_by_the_gateway(client: Client) -> None:
    assert await client.ask("03 00 00 00 01", unit=9) == "83 0b"


async def test_frames_may_come_in_any_pieces(client: Client) -> None:
    frame = bytes.fromhex("00 01 00 00 00 06 05 03 00 00 00 01")
    for byte in frame:
        client.writer.write(bytes([byte]))
        await client.writer.drain()
    assert await client.receive() == (1, 5, "03 02 00 00")
    client.writer.write(frame + frame)
    assert [(await client.receive())[0] for _ in range(2)] == [1, 1]


async def test_what_is_no_modbus_ends_the_connection(client: Client) -> None:
    client.writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await client.reader.read() == b""


async def test_late_answers_come_before_the_next_ones(server: ModbusServer, client: Client) -> None:
    server.fail(5, Fault(kind="late", times=1))
    client.send("03 00 00 00 01")
    client.send("03 00 01 00 01")
    assert [(await client.receive())[0] for _ in range(2)] == [1, 2]


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("exception", (2, 5, "83 06")),
        ("transaction", (1, 5, "03 04 00 00 00 00")),
        ("transaction_0", (0, 5, "03 04 00 00 00 00")),
        ("unit", (2, 6, "03 04 00 00 00 00")),
        ("function", (2, 5, "02 04 00 00 00 00")),
        ("length", (2, 5, "03 02 00 00")),
        ("slow", (2, 5, "03 04 00 00 00 00")),
    ],
)
async def test_faults_spoil_one_thing_each(
    server: ModbusServer, client: Client, kind: str, answer: tuple[int, int, str]
) -> None:
    await client.ask("03 00 00 00 02")
    server.fail(5, Fault(kind=kind, code=6, delay_s=0.01, times=1))
    client.send("03 00 00 00 02")
    assert await client.receive() == answer
    assert await client.ask("03 00 00 00 02") == "03 04 00 00 00 00", "one question long"


async def test_silence_and_cuts(server: ModbusServer, client: Client) -> None:
    server.fail(5, Fault(kind="silent", times=1))
    client.send("03 00 00 00 01")
    assert await client.ask("03 00 01 00 01") == "03 02 00 00", "the first stays without an answer"
    server.fail(5, Fault(kind="cut"))
    client.send("03 00 00 00 01")
    assert await client.reader.read() == b""
