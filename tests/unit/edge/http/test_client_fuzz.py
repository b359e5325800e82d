"""Whatever a server says: an answer, or an error that the uplink knows; never anything else, and no more than asked."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.http.client import MAX_LINE, Client
from tests.support.http import request_of, scripted_server

LIMIT = 5000
PIECES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 503 \r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 101 Switching\r\n",
        b"HTTP/1.1 204 No\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"Content-Length: 3\r\n",
        b"Content-Length: 99999999\r\n", b"Content-Length: -3\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n", b"\n",
        b"Connection: close\r\n", b"Retry-After: \xff\r\n", b"abc", b"3\r\nabc\r\n", b"ffff\r\n", b"0\r\n\r\n",
        b"x" * 3000, b"X: " + b"x" * 9000,
    ]
)  # fmt: skip
SAID = st.lists(st.one_of(PIECES, st.binary(max_size=100)), max_size=10)


async def heard(parts: list[bytes], *, by_line: bool) -> list[bytes]:
    async def serve(reader, writer):
        await request_of(reader)
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0)

    found = []
    async with scripted_server(serve) as (port, _), Client(f"http://127.0.0.1:{port}") as client:
        for _ in range(2):  # the second on a kept connection, where there is one
            try:
                async with client.request("GET", "/", total_s=5) as answer:
                    assert 200 <= answer.status <= 999
                    found += [line async for line in answer.lines()] if by_line else [await answer.read(LIMIT)]
            except TimeoutError:
                raise
            except (OSError, ValueError):
                pass
    return found


@settings(max_examples=150, deadline=None)
@given(parts=SAID, by_line=st.booleans())
def test_any_answer_is_one_or_an_error_that_is_known(parts, by_line):
    for part in asyncio.run(heard(parts, by_line=by_line)):
        assert len(part) <= (MAX_LINE if by_line else LIMIT)
