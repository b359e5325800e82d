"""A down stream by itself: how often it says that we live, and who is let go."""

from datetime import UTC, datetime
from typing import cast
from uuid import uuid4

import pytest

from cloud.commands.downs import Downs, _Down
from cloud.store import Database
from cloud.store.gateways import Gateway
from contract.session import MAX_BEAT_S, MIN_BEAT_S


class FakeTransport:
    """A connection whose other end reads, or not."""

    def __init__(self) -> None:
        self.written = b""
        self.unread = 0
        self.how_closed = ""

    def write(self, data: bytes) -> None:
        assert not self.how_closed
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return bool(self.how_closed)

    def close(self) -> None:
        self.how_closed = "in order"

    def abort(self) -> None:
        self.how_closed = "at once"


async def nobody(_: object) -> Gateway:
    raise AssertionError("nobody asks")


@pytest.fixture
def downs() -> Downs:
    return Downs(cast("Database", None), nobody, 10.0)


@pytest.fixture
def down(downs: Downs) -> _Down:
    return _Down(downs, Gateway(uuid4(), 1, datetime.now(UTC), b""), 10.0)


@pytest.mark.parametrize(
    ("asked", "is_given"),
    [
        (None, 10), ("", 10), ("x", 10), ("nan", 10), ("inf", 10), ("30", 30), ("0", MIN_BEAT_S), ("-1", MIN_BEAT_S),
        ("1e9", MAX_BEAT_S),
    ],
)  # fmt: skip
def test_a_box_is_given_the_heartbeat_it_asks_for_within_bounds(downs: Downs, asked: str | None, is_given: int) -> None:
    assert downs._period_s(asked) == is_given


def test_what_is_told_is_chunks_and_ends_once(down: _Down) -> None:
    transport = FakeTransport()
    assert down.begin(lambda _: transport)
    head, _, _ = transport.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    down.tell(b"order\n")
    down.end()
    down.end()
    down.tell(b"late\n")
    assert transport.written == head + b"\r\n\r\n6\r\norder\n\r\n0\r\n\r\n"
    assert transport.how_closed == "in order"


def test_who_reads_nothing_is_let_go(down: _Down) -> None:
    transport = FakeTransport()
    down.begin(lambda _: transport)
    transport.unread = 64 << 10
    down.tell(b"\n")
    assert not transport.how_closed
    transport.unread += 1
    down.tell(b"\n")
    assert transport.how_closed == "at once"
    down.end()


def test_who_has_gone_before_the_answer_is_not_served(down: _Down) -> None:
    transport = FakeTransport()
    transport.close()
    assert not down.begin(lambda _: transport)
    assert transport.written == b""
