"""The RTU wire on a port that says what the test tells it: late answers, echoes, noise, silence between frames."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.clock import mono_ns
from contract.modbus_time import Line
from contract.profile import Table
from edge.drivers.modbus.errors import BadAnswer, Disconnected, GivenUp, Refused, Silent, TooLate
from edge.drivers.modbus.frame import Question, read_question, rtu_frame, write_question
from edge.drivers.modbus.line import RtuWire

READ = read_question(7, Table.HOLDING_REGISTER, 0, 3)
OTHER = read_question(8, Table.HOLDING_REGISTER, 0, 3)
WRITE = write_question(7, Table.HOLDING_REGISTER, 0, [5])
OLD, NEW = bytes(6), bytes.fromhex("0001 0002 0003")
FAST = Line(115200)


class ScriptedPort:
    """A port whose far end answers each frame by a function, at once; None says nothing."""

    pause_s = 0.02
    where = "scripted"

    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self.sent: list[bytes] = []
        self.sent_at: list[float] = []
        self.waiting = 0
        self.is_open = False
        self._answer = answer

    async def open(self, came: Callable[[bytes], None], lost: Callable[[str], None], timeout_s: float) -> None:
        self.came, self.lost, self.is_open = came, lost, True

    def flush(self) -> int:
        waiting, self.waiting = self.waiting, 0
        return waiting

    def write(self, data: bytes) -> None:
        self.sent.append(data)
        self.sent_at.append(asyncio.get_running_loop().time())
        said = self._answer(data)
        if said:
            asyncio.get_running_loop().call_soon(self.came, said)

    def close(self) -> None:
        self.is_open = False


def answer_of(frame: bytes, data: bytes) -> bytes:
    """What a unit answers to a read, cut or filled to what was asked for."""
    size = 2 * int.from_bytes(frame[4:6])
    return rtu_frame(frame[0], bytes((frame[1], size)) + data[:size].ljust(size, b"\0"))


async def wired(answer: Callable[[bytes], bytes | None], line: Line = FAST) -> tuple[RtuWire, ScriptedPort]:
    port = ScriptedPort(answer)
    wire = RtuWire(port, line)
    await wire.connect(1.0)
    return wire, port


async def test_a_read_and_a_write() -> None:
    wire, port = await wired(lambda frame: answer_of(frame, NEW) if frame[1] == 3 else frame)
    assert await wire.ask(READ, 1.0) == NEW
    assert await wire.ask(WRITE, 1.0) == b""
    assert port.sent == [rtu_frame(7, READ.pdu), rtu_frame(7, WRITE.pdu)]
    assert wire.late == 0


async def test_frames_are_parted_by_three_and_a_half_characters() -> None:
    slow = Line(1200)
    wire, port = await wired(lambda frame: answer_of(frame, NEW), slow)
    heard = []
    for _ in range(3):
        await wire.ask(READ, 1.0)
        heard.append(asyncio.get_running_loop().time())
    for before, sent in zip(heard, port.sent_at[1:], strict=False):
        assert sent - before >= slow.gap_s


async def test_row_12_after_a_silence_the_same_question_is_not_asked_before_the_unit_is_in_step() -> None:
    """The late answer to the first question arrives with the second: nothing but its size tells it apart."""
    late: list[bytes] = []

    def one_behind(frame: bytes) -> bytes | None:
        late.append(answer_of(frame, OLD if len(late) == 0 else NEW))
        return late[-2] if len(late) > 1 else None

    wire, port = await wired(one_behind)
    outcomes = []
    for _ in range(8):
        try:
            outcomes.append(await wire.ask(READ, 0.03))
        except (Silent, BadAnswer) as e:
            outcomes.append(type(e))
    assert OLD not in outcomes
    assert outcomes[0] is Silent
    assert int.from_bytes(port.sent[1][4:6]) != 3, "another number of registers is asked for"
    assert len({tuple(port.sent[n : n + 2]) for n in range(7)}) > 1
    assert all(a != b for a, b in zip(port.sent, port.sent[1:], strict=False)), "never one shape twice in a row"
    assert wire.late > 0


async def test_a_unit_that_is_back_costs_one_short_question() -> None:
    silent = True
    wire, port = await wired(lambda frame: None if silent else answer_of(frame, NEW))
    with pytest.raises(Silent):
        await wire.ask(READ, 0.03)
    silent = False
    assert await wire.ask(READ, 1.0) == NEW
    assert [int.from_bytes(frame[4:6]) for frame in port.sent] == [3, 1, 3]
    assert await wire.ask(READ, 1.0) == NEW
    assert len(port.sent) == 4, "in step again"


async def test_a_refusal_of_the_short_question_is_a_sign_of_life_too() -> None:
    answers = iter([None, rtu_frame(7, b"\x83\x03"), answer_of(rtu_frame(7, READ.pdu), NEW)])
    wire, _ = await wired(lambda frame: next(answers))
    with pytest.raises(Silent):
        await wire.ask(READ, 0.03)
    assert await wire.ask(READ, 1.0) == NEW


async def test_the_silence_of_one_unit_changes_nothing_for_another_nor_for_a_write() -> None:
    wire, port = await wired(lambda frame: None if frame[:2] == b"\x07\x03" else answer_of(frame, NEW)
                             if frame[1] == 3 else frame)  # fmt: skip
    with pytest.raises(Silent):
        await wire.ask(READ, 0.03)
    assert await wire.ask(OTHER, 1.0) == NEW
    await wire.ask(WRITE, 1.0)
    assert len(port.sent) == 3


async def test_a_late_answer_of_another_unit_in_the_middle_is_passed_over() -> None:
    wire, _ = await wired(lambda frame: rtu_frame(8, b"\x03\x06" + OLD) + answer_of(frame, NEW))
    assert await wire.ask(READ, 1.0) == NEW
    assert wire.late == 1


async def test_what_comes_unasked_is_counted_once_a_burst_and_flushed() -> None:
    wire, port = await wired(lambda frame: answer_of(frame, NEW))
    for byte in rtu_frame(7, b"\x03\x06" + OLD):
        port.came(bytes([byte]))
    assert wire.late == 1
    port.waiting = 9
    assert await wire.ask(READ, 1.0) == NEW
    assert wire.late == 2
    port.came(b"\x00")  # the glitch of a line that changes its direction
    assert wire.late == 2


async def test_a_damaged_answer_is_told_from_silence_long_before_the_time_out() -> None:
    wire, _ = await wired(lambda frame: answer_of(frame, NEW)[:-1] + b"?")
    async with asyncio.timeout(1.0):
        with pytest.raises(BadAnswer, match="11 bytes"):
            await wire.ask(READ, 30.0)


async def test_an_answer_that_begins_in_time_may_take_what_its_bytes_take() -> None:
    wire, port = await wired(lambda frame: None)
    task = asyncio.create_task(wire.ask(READ, 0.03))
    await asyncio.sleep(0.02)
    wire.hurry(0.0)
    answer = answer_of(port.sent[0], NEW)
    port.came(answer[:4])
    wire.hurry(0.0)
    await asyncio.sleep(0.01)
    port.came(answer[4:8])
    await asyncio.sleep(0.01)
    port.came(answer[8:])
    assert await task == NEW


async def test_a_line_that_trickles_for_ever_ends_all_the_same() -> None:
    wire, port = await wired(lambda frame: None)
    task = asyncio.create_task(wire.ask(READ, 0.05))
    async with asyncio.timeout(2.0):
        while not task.done():
            await asyncio.sleep(0.005)
            port.came(b"\x55\xaa")
        with pytest.raises(BadAnswer):
            await task


async def test_a_line_that_babbles_is_not_asked_and_said_so() -> None:
    wire, port = await wired(lambda frame: answer_of(frame, NEW), Line(1200))

    async def babble() -> None:
        while True:
            port.came(b"\x55")
            await asyncio.sleep(0.005)

    babbling = asyncio.create_task(babble())
    await asyncio.sleep(0)
    with pytest.raises(BadAnswer, match="never quiet"):
        await wire.ask(READ, 1.0)
    assert not port.sent
    babbling.cancel()
    assert await wire.ask(READ, 1.0) == NEW


@pytest.mark.parametrize("question", [READ, WRITE], ids=["read", "write"])
async def test_on_a_line_with_echo_the_answer_behind_it_counts(question: Question) -> None:
    """Once a read has shown the echo, a write is believed by the second frame only."""
    writes = 0

    def echo(frame: bytes) -> bytes:
        nonlocal writes
        if frame[1] == 3:
            return frame + answer_of(frame, NEW)
        writes += 1
        return frame if writes == 1 else frame + frame

    wire, _ = await wired(echo)
    await wire.ask(READ, 1.0)
    if question is READ:
        assert await wire.ask(READ, 1.0) == NEW
        return
    with pytest.raises(Silent):
        await wire.ask(WRITE, 0.05)
    assert await wire.ask(WRITE, 1.0) == b""


async def test_nothing_is_sent_after_its_time_nor_on_a_port_that_went() -> None:
    wire, port = await wired(lambda frame: frame)
    with pytest.raises(TooLate):
        await wire.ask(WRITE, 1.0, mono_ns() - 1)
    port.is_open = False
    port.lost("scripted: unplugged")
    with pytest.raises(Disconnected, match="unplugged") as e:
        await wire.ask(WRITE, 1.0)
    assert not e.value.sent
    assert not port.sent


async def test_a_port_that_goes_fails_the_question_under_way() -> None:
    wire, port = await wired(lambda frame: None)
    task = asyncio.create_task(wire.ask(READ, 60.0))
    await asyncio.sleep(0.01)
    port.lost("scripted: unplugged")
    with pytest.raises(Disconnected, match="unplugged") as e:
        await task
    assert e.value.sent


async def test_a_hurried_question_is_given_up_and_its_answer_owed() -> None:
    wire, port = await wired(lambda frame: None)
    task = asyncio.create_task(wire.ask(READ, 60.0))
    await asyncio.sleep(0.01)
    wire.hurry(0.02)
    with pytest.raises(GivenUp):
        await task
    with pytest.raises(Silent):
        await wire.ask(READ, 0.02)
    assert port.sent[0] != port.sent[1]


async def test_a_refusal() -> None:
    wire, _ = await wired(lambda frame: rtu_frame(7, b"\x83\x02"))
    with pytest.raises(Refused, match="illegal address"):
        await wire.ask(READ, 1.0)


@settings(max_examples=50, deadline=None)
@given(said=st.lists(st.binary(max_size=40), max_size=5))
def test_whatever_a_line_says_only_a_sound_answer_is_taken(said: list[bytes]) -> None:
    async def run() -> None:
        answers = iter(said)
        wire, port = await wired(lambda frame: next(answers, None))
        for _ in range(len(said)):
            with pytest.raises((Silent, BadAnswer)):
                await wire.ask(READ, 0.001)
        assert len(wire._owed) <= 1 + len(said)
        port.close()
        wire.close()

    asyncio.run(run())
