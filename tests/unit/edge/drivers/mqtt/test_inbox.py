"""The queue of messages is bounded and fair, whatever comes."""

import aiomqtt
from hypothesis import given
from hypothesis import strategies as st

from edge.drivers.mqtt.config import Limits
from edge.drivers.mqtt.decode import MAX_PAYLOAD
from edge.drivers.mqtt.inbox import Arrived, Inbox

LIMITS = Limits(messages=3, total_bytes=60)


def arrived(key: str, n: int, size: int = 1) -> Arrived:
    return Arrived(key, bytes(size), False, 0, n, [key])


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 30)) | st.integers(1, 5), max_size=60))
def test_bounded_in_order_and_all_is_counted(steps: list[tuple[str, int] | int]) -> None:
    inbox = Inbox(lambda topic: [topic], LIMITS)
    put, taken = 0, []
    for step in steps:
        if isinstance(step, int):
            taken += inbox.take(step)
            continue
        put += 1
        inbox.put(arrived(step[0], put, step[1]))
        assert len(inbox) <= 4 * LIMITS.messages
        assert inbox.bytes <= LIMITS.total_bytes
    taken += inbox.take(1000)
    assert (len(inbox), inbox.bytes, inbox.oldest_ns()) == (0, 0, None)
    assert [m.mono_ns for m in taken] == sorted(m.mono_ns for m in taken)
    assert len(taken) + inbox.dropped == put


def test_who_floods_loses_its_own_oldest() -> None:
    inbox = Inbox(lambda topic: [topic], LIMITS)
    inbox.put(arrived("smoke", 0))
    for n in range(1, 100):
        inbox.put(arrived("lamp", n))
    assert [(m.topic, m.mono_ns) for m in inbox.take(9)] == [("smoke", 0), ("lamp", 97), ("lamp", 98), ("lamp", 99)]


def test_whoever_has_most_makes_room() -> None:
    inbox = Inbox(lambda topic: [topic], LIMITS)
    inbox.put(arrived("a", 0, size=2))
    inbox.put(arrived("b", 1, size=30))
    inbox.put(arrived("b", 2, size=20))
    inbox.put(arrived("c", 3, size=10))
    assert [m.mono_ns for m in inbox.take(9)] == [0, 2, 3]


def test_messages_of_nobody_are_counted_and_large_ones_cut() -> None:
    inbox = Inbox(lambda topic: [topic] if topic == "a" else [], Limits())
    for topic in ("a", "b"):
        inbox.put_nowait(aiomqtt.Message(topic, bytes(2 * MAX_PAYLOAD), 1, False, 7, None))
    assert (inbox.foreign, inbox.qsize()) == (1, 1)
    (message,) = inbox.take(2)
    assert (len(message.payload), message.mid) == (MAX_PAYLOAD + 1, 7)
