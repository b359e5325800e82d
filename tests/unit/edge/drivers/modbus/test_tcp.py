"""The TCP wire against a peer that says what the test tells it: parted frames, other transactions, broken streams."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.clock import mono_ns
from contract.profile import Table
from edge.drivers.modbus.errors import BadAnswer, Disconnected, GivenUp, Silent, TooLate
from edge.drivers.modbus.frame import read_question, tcp_frame, write_question
from edge.drivers.modbus.tcp import TcpWire

QUESTION = read_question(9, Table.INPUT_REGISTER, 0, 2)
GOOD = b"\x04\x04\x00\x01\x00\x02"


class Peer(asyncio.Protocol):
    """One connection's other end; `asked` holds what came, `say` sends."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[bytes] = asyncio.Queue()
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.say, self.close = transport.write, transport.close

    def data_received(self, data: bytes) -> None:
        self.asked.put_nowait(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()

    async def transaction(self) -> int:
        """The transaction of the next question."""
        return int.from_bytes((await self.asked.get())[:2])


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[TcpWire, Peer]]:
    peer = Peer()
    server = await asyncio.get_running_loop().create_server(lambda: peer, "127.0.0.1", 0)
    wire = TcpWire("127.0.0.1", server.sockets[0].getsockname()[1])
    await wire.connect(5.0)
    try:
        yield wire, peer
    finally:
        wire.close()
        await peer.gone.wait()
        server.close()
        await server.wait_closed()


async def asking(wire: TcpWire, peer: Peer, timeout_s: float = 5.0) -> tuple[asyncio.Task[bytes], int]:
    task = asyncio.create_task(wire.ask(QUESTION, timeout_s))
    return task, await peer.transaction()


async def test_an_answer_in_single_bytes_behind_old_frames() -> None:
    async with connected() as (wire, peer):
        task, number = await asking(wire, peer)
        for byte in tcp_frame(number - 1, 9, GOOD) + tcp_frame(0, 9, GOOD) + tcp_frame(number, 9, GOOD):
            peer.say(bytes([byte]))
            await asyncio.sleep(0)
        assert await task == GOOD[2:]
        assert wire.late == 2


async def test_transactions_are_never_0_and_never_twice_in_a_row() -> None:
    async with connected() as (wire, peer):
        wire._transaction = 0xFFFE
        for expected in (0xFFFF, 1, 2):
            task, number = await asking(wire, peer)
            assert number == expected
            peer.say(tcp_frame(number, 9, GOOD))
            await task


@pytest.mark.parametrize(
    "stream",
    [b"\x01" * 16, b"\0\1\0\0\0\1\x09", b"\0\1\0\0\xff\xff\x09\x04", b"\0\1\0\1\0\7\x09" + GOOD],
    ids=["noise", "length 1", "length 65535", "protocol 1"],
)
async def test_a_broken_stream_fails_the_question_at_once_and_not_the_next(stream: bytes) -> None:
    async with connected() as (wire, peer):
        task, _ = await asking(wire, peer)
        peer.say(stream)
        with pytest.raises(BadAnswer, match="no Modbus frame"):
            await task
        task, number = await asking(wire, peer)
        peer.say(tcp_frame(number, 9, GOOD))
        assert await task == GOOD[2:]


async def test_a_frame_that_was_never_finished_hides_no_later_answer() -> None:
    async with connected() as (wire, peer):
        task, number = await asking(wire, peer, 0.05)
        peer.say(tcp_frame(number, 9, b"\x04\xc8" + bytes(200))[:30])
        with pytest.raises(Silent):
            await task
        task, number = await asking(wire, peer)
        peer.say(tcp_frame(number, 9, GOOD))
        assert await task == GOOD[2:]


async def test_the_rest_of_a_slow_frame_is_taken_for_what_it_is() -> None:
    async with connected() as (wire, peer):
        task, number = await asking(wire, peer, 0.05)
        slow = tcp_frame(number, 9, GOOD)
        peer.say(slow[:9])
        with pytest.raises(Silent):
            await task
        task, number = await asking(wire, peer)
        peer.say(slow[9:] + tcp_frame(number, 9, GOOD))
        assert await task == GOOD[2:]
        assert wire.late == 1


async def test_the_answer_of_another_unit_is_none() -> None:
    async with connected() as (wire, peer):
        task, number = await asking(wire, peer)
        peer.say(tcp_frame(number, 8, GOOD))
        with pytest.raises(BadAnswer, match="unit 8"):
            await task


async def test_a_connection_that_goes_fails_the_question_at_once() -> None:
    async with connected() as (wire, peer):
        task, _ = await asking(wire, peer, 60.0)
        peer.close()
        with pytest.raises(Disconnected, match="closed") as e:
            await task
        assert e.value.sent
        assert not wire.connected
        with pytest.raises(Disconnected) as e:
            await wire.ask(QUESTION, 1.0)
        assert not e.value.sent


async def test_closing_fails_who_waits() -> None:
    async with connected() as (wire, peer):
        task, _ = await asking(wire, peer, 60.0)
        wire.close()
        with pytest.raises(Disconnected):
            await task


async def test_a_question_may_be_hurried_but_not_slowed() -> None:
    async with connected() as (wire, peer):
        task, _ = await asking(wire, peer, 60.0)
        wire.hurry(100.0)
        wire.hurry(0.05)
        async with asyncio.timeout(5):
            with pytest.raises(GivenUp):
                await task
        task, _ = await asking(wire, peer, 0.05)
        wire.hurry(60.0)
        async with asyncio.timeout(5):
            with pytest.raises(Silent):
                await task


async def test_a_short_wait_after_a_long_one_is_short() -> None:
    """The timer of the long one is set anew, and one that fires too early for a longer one is set on."""
    async with connected() as (wire, peer):
        for timeout_s in (30.0, 0.05, 0.3):
            task, number = await asking(wire, peer, timeout_s)
            if timeout_s == 30.0:
                peer.say(tcp_frame(number, 9, GOOD))
                await task
                continue
            began = asyncio.get_running_loop().time()
            with pytest.raises(Silent, match="no answer within"):
                await task
            assert timeout_s - 0.01 <= asyncio.get_running_loop().time() - began < timeout_s + 0.5


async def test_nothing_is_sent_after_its_time() -> None:
    async with connected() as (wire, peer):
        write = write_question(9, Table.COIL, 0, [1])
        with pytest.raises(TooLate):
            await wire.ask(write, 1.0, mono_ns() - 1)
        task = asyncio.create_task(wire.ask(write, 5.0, mono_ns() + 60_000_000_000))
        number = await peer.transaction()
        peer.say(tcp_frame(number, 9, write.pdu))
        assert await task == b""
        assert peer.asked.empty()


@given(stream=st.lists(st.binary(max_size=300), max_size=8))
def test_any_bytes_at_all_are_survived_and_not_kept(stream: list[bytes]) -> None:
    async def run() -> None:
        async with connected() as (wire, peer):
            task, number = await asking(wire, peer)
            link = wire._link
            for piece in stream:
                link.data_received(piece)
                assert len(link._begun) <= 260
            link._begun = b""
            link.data_received(tcp_frame(number, 9, GOOD))
            if not task.done():
                await asyncio.wait([task])
            error = task.exception()
            assert error is None or isinstance(error, BadAnswer)

    asyncio.run(run())
