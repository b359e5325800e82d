"""Whatever bytes are sent to the server: an answer or a closed connection, and no memory that grows with them."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.http import server as server_module
from edge.http.messages import Request, Response
from edge.http.server import Server
from edge.http.wire import MAX_HEAD

FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
PIECES = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n", b"POST /form HTTP/1.1\r\n", b"HEAD / HTTP/1.0\r\n", b"PUT /a/%ff HTTP/1.1\r\n",
        b"Host: x\r\n",
        FORM, b"Content-Length: 3\r\n", b"Content-Length: 999999999\r\n", b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: websocket\r\n",
        b"\r\n", b"\n", b"a=b", b"3\r\n", b"a=b\r\n", b"0\r\n\r\n", b"ffffffffff\r\n", b"\x00", b" ",
        b"Cookie: a=\xff;;=;\r\n",
        b"X: " + b"x" * 9000, b"\r\n" * 500, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 50,
    ]
)  # fmt: skip
SENT = st.lists(st.one_of(PIECES, st.binary(max_size=200)), max_size=12)


async def page(request: Request) -> Response:
    request.cookie("a")
    return Response.text(request.remote)


async def form(request: Request) -> Response:
    return Response.text(repr(await request.form(1000, 0.05)))


async def exchange(parts: list[bytes], *, ends: bool) -> bytes:
    server = Server({"/": {"GET": page}, "/form": {"POST": form}, "/a/{b}": {"PUT": page}})
    await server.listen("127.0.0.1", 0)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            for part in parts:
                writer.write(part)
                await asyncio.sleep(0)
                for connection in server._connections.values():
                    held = len(connection._wire.engine.trailing_data[0]) + len(connection._wire.reader._buffer)
                    assert held < 2 * MAX_HEAD + 65_536
            if ends:
                writer.write_eof()
            return await asyncio.wait_for(reader.read(), 5)
        except ConnectionError:
            return b""
        finally:
            writer.close()
    finally:
        await server.close()
        assert not server._connections


@settings(max_examples=150, deadline=None)
@given(parts=SENT, ends=st.booleans())
def test_any_bytes_end_in_an_answer_or_a_closed_connection(parts, ends):
    kept = server_module.HEAD_S, server_module.LINGER_S
    server_module.HEAD_S = server_module.LINGER_S = 0.05
    try:
        answer = asyncio.run(exchange(parts, ends=ends))
    finally:
        server_module.HEAD_S, server_module.LINGER_S = kept
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert b"HTTP/1.1 500" not in answer
