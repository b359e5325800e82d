"""Finding an answer on a line: however the bytes are parted, among noise and echoes, and never a wrong one."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.profile import Table
from edge.drivers.modbus.frame import Question, check_answer, read_question, rtu_frame, write_question
from edge.drivers.modbus.rtu import MAX_HELD, Listener

READ = read_question(7, Table.HOLDING_REGISTER, 0x10, 3)
WRITE = write_question(7, Table.HOLDING_REGISTER, 0x10, [5])
DATA = bytes.fromhex("0001 0A0B FFFE")
ANSWER = rtu_frame(7, b"\x03\x06" + DATA)
NOISE = st.binary(max_size=3)


def heard(listener: Listener, stream: bytes, cuts: list[int] | None = None) -> bytes | None:
    """Feeds a stream, cut at some places; what the listener found, which it must find once only."""
    found = None
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts or [])})
    for low, high in pairwise(edges):
        found = found or listener.feed(stream[low:high])
    return found


@given(before=NOISE, after=NOISE, cuts=st.lists(st.integers(0, 99)))
def test_an_answer_is_found_however_it_is_parted_and_among_noise(before: bytes, after: bytes, cuts: list[int]) -> None:
    assert check_answer(READ, heard(Listener(READ), before + ANSWER + after, cuts)) == DATA


@given(unit=st.integers(1, 247), count=st.integers(1, 125), cuts=st.lists(st.integers(0, 300)), seed=st.integers(0, 99))
def test_answers_of_every_size(unit: int, count: int, cuts: list[int], seed: int) -> None:
    question = read_question(unit, Table.INPUT_REGISTER, 0, count)
    data = random.Random(seed).randbytes(2 * count)
    found = heard(Listener(question), rtu_frame(unit, bytes((4, 2 * count)) + data), cuts)
    assert check_answer(question, found) == data


@given(cuts=st.lists(st.integers(0, 99)))
def test_a_refusal_is_found(cuts: list[int]) -> None:
    assert heard(Listener(READ), rtu_frame(7, b"\x83\x02"), cuts) == b"\x83\x02"


@given(at=st.integers(0, len(ANSWER) - 1), flip=st.integers(1, 255), cuts=st.lists(st.integers(0, 99)))
def test_a_damaged_answer_is_none(at: int, flip: int, cuts: list[int]) -> None:
    broken = bytearray(ANSWER)
    broken[at] ^= flip
    listener = Listener(READ)
    assert heard(listener, bytes(broken), cuts) is None
    assert listener.has_begun
    assert listener.unexplained


@given(end=st.integers(0, len(ANSWER) - 1))
def test_a_truncated_answer_is_none(end: int) -> None:
    assert heard(Listener(READ), ANSWER[:end]) is None


@given(stream=st.binary(max_size=3000))
def test_nothing_is_found_in_noise_and_it_is_not_kept(stream: bytes) -> None:
    listener = Listener(READ)
    assert listener.feed(stream) is None
    assert listener.unexplained <= MAX_HELD


@pytest.mark.parametrize("question", [READ, WRITE], ids=["read", "write"])
@pytest.mark.parametrize(
    "stray",
    [
        rtu_frame(8, b"\x03\x06" + DATA), rtu_frame(7, b"\x04\x06" + DATA), rtu_frame(7, b"\x03\x02\x00\x01"),
        rtu_frame(7, b"\x06\x00\x10\x00\x06"), rtu_frame(9, b"\x83\x02"),
    ],
    ids=["another unit", "another function", "another size", "another write", "another's refusal"],
)  # fmt: skip
def test_row_12_whole_frames_of_older_questions_are_thrown_away_and_counted(question: Question, stray: bytes) -> None:
    answer = ANSWER if question is READ else rtu_frame(7, question.pdu)
    together, apart = Listener(question), Listener(question)
    assert together.feed(stray + answer) == answer[1:-2]
    assert together.strays == 1
    assert apart.feed(stray) is None
    assert not apart.has_begun, "the line may still wait in full for the answer"
    assert apart.feed(answer) == answer[1:-2]
    assert apart.strays == 1


@given(cuts=st.lists(st.integers(0, 99)), before=NOISE)
def test_the_echo_of_a_read_is_noticed_and_taken_out(cuts: list[int], before: bytes) -> None:
    listener = Listener(READ)
    assert check_answer(READ, heard(listener, before + listener.sent + ANSWER, cuts)) == DATA
    assert listener.echoed


def test_an_echo_alone_is_no_answer_begun() -> None:
    listener = Listener(READ)
    for at in range(len(listener.sent)):
        assert listener.feed(listener.sent[at : at + 1]) is None
        assert not listener.has_begun
    assert listener.echoed
    assert listener.unexplained == 0


def test_on_a_line_known_to_echo_a_write_is_answered_by_the_second_frame_only() -> None:
    listener = Listener(WRITE, has_echo=True)
    assert listener.feed(listener.sent) is None
    assert listener.feed(listener.sent) == WRITE.pdu
    assert Listener(WRITE).feed(listener.sent) == WRITE.pdu


def test_a_write_of_many_values_is_not_its_own_echo() -> None:
    many = write_question(7, Table.HOLDING_REGISTER, 0x10, [1, 2])
    listener = Listener(many)
    assert listener.feed(listener.sent) is None
    assert listener.echoed
    assert check_answer(many, listener.feed(rtu_frame(7, many.pdu[:5]))) == b""
