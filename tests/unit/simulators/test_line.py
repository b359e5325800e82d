"""A simulated line takes the time that a wire takes, is deaf to what is damaged, and fails as it is told."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.profile import Table
from simulators.bus import Fault
from simulators.log import Answer, Entry, TruthLog
from simulators.modbus.line import Line
from simulators.modbus.rtu import crc16, frame
from tests.support.waiting import eventually
from tests.unit.simulators.cells import Cells

READ_TWO = bytes.fromhex("03 00 00 00 02")
ANSWER = frame(5, bytes.fromhex("03 04 00 00 00 00"))
FAST = 115200


class Master:
    """The box's end of a line: what it heard, with the loop's time of each piece."""

    def __init__(self, baud: int, *units: int) -> None:
        self.pieces: list[tuple[float, bytes]] = []
        self.truth: list[Entry] = []
        self.cuts = 0
        self.units = {unit: Cells() for unit in units or (5, 6)}
        self.line = Line(self.units, TruthLog(also=self.truth.append), "line", baud, 1, self._hear, self._cut)
        self.line.power(is_on=True)

    def _hear(self, data: bytes) -> None:
        self.pieces.append((asyncio.get_running_loop().time(), data))

    def _cut(self) -> None:
        self.cuts += 1

    @property
    def heard(self) -> bytes:
        return b"".join(data for _, data in self.pieces)

    def say(self, pdu: bytes, unit: int = 5) -> float:
        """Asks, and says when."""
        now = asyncio.get_running_loop().time()
        self.line.received(frame(unit, pdu))
        return now

    async def ask(self, pdu: bytes = READ_TWO, unit: int = 5, size: int = len(ANSWER)) -> bytes:
        self.pieces.clear()
        self.say(pdu, unit)
        await eventually(lambda: len(self.heard) >= size)
        return self.heard

    async def hears_nothing(self) -> None:
        """An answer at this baud rate takes some 10 ms."""
        await asyncio.sleep(0.03)
        assert self.heard == b""


@pytest.fixture
async def master() -> AsyncIterator[Master]:
    one = Master(FAST)
    yield one
    one.line.power(is_on=False)


@pytest.mark.parametrize("baud", [2400, 9600])
async def test_an_answer_takes_the_wires_time_and_comes_in_pieces(baud: int) -> None:
    master = Master(baud)
    asked = master.say(bytes.fromhex("03 00 00 00 0a"))
    await eventually(lambda: len(master.heard) == 25)
    due = master.line.answer_s(5, 8, 25)
    assert due == pytest.approx((8 + 3.5 + 25) * 11 / baud + 0.005)
    assert due <= master.pieces[-1][0] - asked < due + 0.2
    assert len(master.pieces) > 1, "the first of them long before the last"
    assert all(len(data) % 8 == 0 for _, data in master.pieces[:-1])
    for i, (at, _) in enumerate(master.pieces):  # no byte is heard before the wire could have carried it
        gone = sum(len(data) for _, data in master.pieces[: i + 1])
        assert at - asked >= due - master.line.wire_s(25 - gone) - 1e-6


async def test_characters_and_units_may_be_quicker_or_slower() -> None:
    units = {5: Cells(), 6: Cells()}
    line = Line(units, TruthLog(), "line", 9600, 1, lambda _: None, lambda: None, bits=10, turnarounds_s={5: 0.1})
    assert line.answer_s(5, 8, 7) == pytest.approx((8 + 3.5 + 7) * 10 / 9600 + 0.1)
    assert line.answer_s(6, 8, 7) == pytest.approx((8 + 3.5 + 7) * 10 / 9600 + 0.005)


async def test_the_truth_log_has_what_went_out(master: Master) -> None:
    master.units[5].tables[Table.HOLDING_REGISTER][1] = 7
    assert (await master.ask())[3:7].hex(" ") == "00 00 00 07"
    (answer,) = master.truth
    assert isinstance(answer, Answer)
    assert (answer.bus, answer.unit, answer.table, answer.values) == ("line", 5, "holding_register", [0, 7])
    assert answer.mono_ns > answer.read_ns


async def test_who_is_not_there_and_what_is_damaged_get_no_answer(master: Master) -> None:
    master.say(READ_TWO, unit=9)
    await master.hears_nothing()
    master.line.received(frame(5, READ_TWO)[:-1] + b"\0")
    await master.hears_nothing()
    master.line.received(frame(5, READ_TWO)[:5])
    await master.hears_nothing()
    assert await master.ask() == ANSWER
    assert master.line.questions == {5: 1, 6: 0}
    assert master.line.early == 0


async def test_a_question_may_come_in_pieces(master: Master) -> None:
    question = frame(5, READ_TWO)
    for byte in question:
        master.line.received(bytes([byte]))
    await eventually(lambda: master.heard == ANSWER)


async def test_all_obey_a_broadcast_and_none_answers(master: Master) -> None:
    master.say(bytes.fromhex("06 00 03 00 2a"), unit=0)
    master.say(READ_TWO, unit=0)
    await master.hears_nothing()
    assert [unit.tables[Table.HOLDING_REGISTER][3] for unit in master.units.values()] == [42, 42]


async def test_a_refusal(master: Master) -> None:
    assert await master.ask(bytes.fromhex("03 00 09 00 02"), size=5) == frame(5, bytes.fromhex("83 02"))
    assert await master.ask(bytes.fromhex("2b 0e 01 00"), size=5) == frame(5, bytes.fromhex("ab 01"))


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("exception", frame(5, bytes.fromhex("83 06"))),
        ("unit", frame(6, ANSWER[1:-2])),
        ("function", frame(5, b"\x02" + ANSWER[2:-2])),
        ("length", frame(5, bytes.fromhex("03 02 00 00"))),
        ("crc", ANSWER[:-1] + bytes([ANSWER[-1] ^ 0x5A])),
        ("truncated", ANSWER[:4]),
        ("echo", frame(5, READ_TWO) + ANSWER),
        ("slow", ANSWER),
    ],
)
async def test_faults_spoil_one_thing_each(master: Master, kind: str, answer: bytes) -> None:
    master.line.faults.fail(5, Fault(kind=kind, code=6, delay_s=0.02))
    assert await master.ask(size=len(answer)) == answer
    master.line.faults.fail(5, None)
    assert await master.ask() == ANSWER


async def test_noise_is_around_a_sound_answer_and_garbage_is_none(master: Master) -> None:
    master.line.faults.fail(5, Fault(kind="noise", times=1))
    heard = await master.ask(size=len(ANSWER) + 2)
    assert ANSWER in heard
    assert not heard.startswith(ANSWER)
    master.line.faults.fail(5, Fault(kind="garbage", times=1))
    heard = await master.ask(size=16)
    assert crc16(heard[:-2]) != heard[-2:]
    assert await master.ask() == ANSWER


async def test_wild_and_ever_changing_numbers(master: Master) -> None:
    for kind in ("jump", "flood"):
        master.line.faults.fail(5, Fault(kind=kind))
        seen = {(await master.ask())[3:7] for _ in range(5)}
        assert len(seen) == 5
    assert any(unit.tables[Table.HOLDING_REGISTER][0] == 0 for unit in master.units.values())


async def test_a_busy_unit_is_busy_so_many_times(master: Master) -> None:
    master.line.faults.fail(5, Fault(kind="exception", code=6, times=2))
    answers = [await master.ask(size=5) for _ in range(3)]
    assert [answer[1:3].hex() for answer in answers] == ["8306", "8306", "0304"]


async def test_a_share_of_the_answers_fails_the_same_way_each_time() -> None:
    async def course() -> list[bool]:
        master = Master(0)
        master.line.turnarounds_s[5] = 0
        master.line.faults.fail(5, Fault(kind="crc", share=0.5))
        return [await master.ask() == ANSWER for _ in range(12)]

    first, second = await course(), await course()
    assert first == second
    assert 2 < sum(first) < 10


async def test_a_late_answer_comes_before_the_next_units(master: Master) -> None:
    master.line.faults.fail(5, Fault(kind="late", times=1))
    master.say(READ_TWO)
    await master.hears_nothing()
    assert await master.ask(unit=6, size=2 * len(ANSWER)) == ANSWER + frame(6, ANSWER[1:-2])


async def test_who_speaks_into_an_answer_spoils_both() -> None:
    master = Master(9600)
    master.say(bytes.fromhex("03 00 00 00 0a"))
    await eventually(lambda: bool(master.pieces))
    master.say(READ_TWO, unit=6)
    await eventually(lambda: len(master.heard) == 25)
    assert crc16(master.heard[:-2]) != master.heard[-2:]
    assert master.line.collisions >= 1
    assert master.truth == [], "nobody can have read it"
    await asyncio.sleep(0.03)
    assert await master.ask() == ANSWER


async def test_a_slow_unit_speaks_into_its_neighbours_answer() -> None:
    master = Master(9600)
    master.line.faults.fail(5, Fault(kind="slow", delay_s=0.03))
    master.say(READ_TWO)
    await asyncio.sleep(0.02)
    master.say(bytes.fromhex("03 00 00 00 0a"), unit=6)  # 25 bytes from 0.03 s to 0.07 s; the slow one at 0.05
    await eventually(lambda: master.line.collisions > 0)


async def test_a_question_right_behind_an_answer_is_counted_as_early() -> None:
    master = Master(2400)
    await master.ask()
    await master.ask()
    assert master.line.early >= 1, "asked within a moment of the last byte; 3.5 characters are 16 ms"
    await asyncio.sleep(0.03)
    before = master.line.early
    await master.ask()
    assert master.line.early == before


async def test_without_power_nothing_is_said(master: Master) -> None:
    master.say(READ_TWO)
    master.line.power(is_on=False)
    await master.hears_nothing()
    master.say(READ_TWO)
    await master.hears_nothing()
    master.line.power(is_on=True)
    assert await master.ask() == ANSWER


async def test_a_fault_may_cut_the_line(master: Master) -> None:
    master.line.faults.fail(5, Fault(kind="cut"))
    master.say(READ_TWO)
    await eventually(lambda: master.cuts == 1)
    assert master.heard == b""


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(st.binary(max_size=40), st.sampled_from([frame(5, READ_TWO)[:6], frame(7, READ_TWO)])), max_size=8
    )
)
def test_whatever_was_said_before_a_question_after_silence_is_answered(pieces: list[bytes]) -> None:
    async def run() -> None:
        master = Master(0)
        master.line.turnarounds_s[5] = 0
        for piece in pieces:
            master.line.received(piece)
        await asyncio.sleep(0.012)  # three times the silence that ends a frame
        assert await master.ask() == ANSWER
        assert len(master.line._timers) <= 1
        master.line.power(is_on=False)

    asyncio.run(run())


async def test_a_master_that_does_not_stop_is_bounded() -> None:
    master = Master(1200)
    for _ in range(50):
        master.line.received(b"\x55" * 256)
        assert len(master.line._begun) <= 512
