"""What a simulated box reads of its cloud."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.load.wire import join_chunks, parse_head


def test_a_head_is_a_status_and_headers() -> None:
    status, headers = parse_head(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\ncontent-length:0")
    assert (status, headers) == (503, {b"retry-after": b"3", b"content-length": b"0"})


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1", b"HTTP/2 200 OK", b"HTTP/1.1 two", b"HTTP/1.1 200 OK\r\nnothing"])
def test_what_is_no_head_is_refused(head: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whatever it says
        parse_head(head)


@given(st.lists(st.binary(min_size=1, max_size=50)), st.integers(min_value=0))
def test_chunks_are_joined_once_they_end(parts: list[bytes], cut: int) -> None:
    sent = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    assert join_chunks(sent) == b"".join(parts)
    assert join_chunks(sent[: cut % len(sent)]) is None


@pytest.mark.parametrize("data", [b"x\r\n", b"-1\r\n\r\n\r\n", b"ffffffff\r\n\r\n"])
def test_chunks_without_sense_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        join_chunks(data)
