"""The server against people who ask politely, and against everybody else on the network."""

import asyncio
import socket
import time
from contextlib import asynccontextmanager

import pytest

from edge.http import server as server_module
from edge.http.messages import Answered, Request, Response, cookie
from edge.http.server import Server
from tests.support.waiting import eventually

HEADERS = {"X-Frame-Options": "DENY"}
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


class Pages:
    """A page for each thing a page can do."""

    def __init__(self):
        self.asked = []
        self.go_on = asyncio.Event()

    def routes(self):
        return {
            "/": {"GET": self.page},
            "/large": {"GET": self.large},
            "/slow": {"GET": self.slow},
            "/breaks": {"GET": self.breaks},
            "/form": {"POST": self.form},
            "/zones/{zone}/{what}": {"GET": self.zone, "POST": self.zone},
        }

    async def page(self, request: Request) -> Response:
        self.asked.append(request)
        return Response.text("好\n", "text/html; charset=utf-8").with_header(*cookie("a", "b.c", 60))

    async def large(self, _: Request) -> Response:
        return Response(b"x" * (8 << 20))

    async def slow(self, _: Request) -> Response:
        self.asked.append("slow")
        await self.go_on.wait()
        return Response(b"at last")

    async def breaks(self, _: Request) -> Response:
        raise KeyError("a mistake of ours")

    async def form(self, request: Request) -> Response:
        fields = await request.form(1000, 0.2)
        if fields.get("a") == "no":
            raise Answered(Response.bare(403))
        return Response.text(repr(fields))

    async def zone(self, request: Request) -> Response:
        return Response.text(repr((request.values, request.remote, request.cookie("a"))))


@asynccontextmanager
async def served(**more):
    pages = Pages()
    server = Server(pages.routes(), HEADERS, **more)
    await server.listen("127.0.0.1", 0)
    try:
        yield server, pages
    finally:
        await server.close()


async def said(server, sent, *, half_close=False):
    """All that the server says to some bytes until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(sent)
    if half_close:
        writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


def ask(target="/", method="GET", headers=b"", body=b"", close=True, version="1.1"):
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    end = b"Connection: close\r\n" if close else b""
    return f"{method} {target} HTTP/{version}\r\nHost: box\r\n".encode() + headers + length + end + b"\r\n" + body


async def test_a_page_with_its_headers():
    async with served() as (server, pages):
        head, _, body = (await said(server, ask(headers=b"Cookie: x=1; a=b.c\r\nCookie: y=2\r\n"))).partition(
            b"\r\n\r\n"
        )
    lines = head.split(b"\r\n")
    assert (lines[0], body.decode()) == (b"HTTP/1.1 200 OK", "好\n")
    assert set(lines[1:]) == {
        b"X-Frame-Options: DENY", b"Set-Cookie: a=b.c; Max-Age=60; Path=/; HttpOnly; SameSite=Strict",
        b"Content-Length: 4", b"Content-Type: text/html; charset=utf-8", b"Connection: close",
    }  # fmt: skip
    (request,) = pages.asked
    assert (request.cookie("a"), request.cookie("y"), request.cookie("z")) == ("b.c", "2", "")
    assert request.remote == "127.0.0.1"


async def test_requests_follow_each_other_on_one_connection():
    async with served() as (server, pages):
        answers = await said(server, ask(close=False) * 20 + ask())
        assert answers.count(b"HTTP/1.1 200 OK") == len(pages.asked) == 21
        assert answers.count(b"Connection: close") == 1
        assert (await said(server, ask(close=False, version="1.0"))).count(b"HTTP/1.1 200 OK") == 1


async def test_head_is_a_page_without_its_body():
    async with served() as (server, _):
        answers = await said(server, ask(method="HEAD", close=False) + ask("/nothing", "HEAD"))
    assert b"Content-Length: 4\r\n" in answers
    assert answers.endswith(b"\r\n\r\n")
    assert answers.count(b"HTTP/1.1 ") == 2


@pytest.mark.parametrize(
    ("sent", "status", "shown"),
    [
        (ask("/nothing"), 404, b""),
        (ask("/zones//reset"), 404, b""),
        (ask("/zones/a/b/c"), 404, b""),
        (ask("/", "POST"), 405, b"Allow: GET, HEAD"),
        (ask("/zones/a/b", "DELETE"), 405, b"Allow: GET, HEAD, POST"),
        (ask("/", "OPTIONS"), 405, b""),
        (ask("/form"), 405, b"Allow: POST\r\n"),
        (ask("/zones/a%2Fb/%E5%A5%BD?x=1"), 200, "{'zone': 'a/b', 'what': '好'}".encode()),
        (ask("http://box/zones/a/b"), 200, b"{'zone': 'a', 'what': 'b'}"),
        (ask("/zones/../b"), 200, b"{'zone': '..', 'what': 'b'}"),
        (ask("/zones/%00/b"), 200, b"'\\x00'"),
        (ask("/zones/%ff/b"), 400, b""),
        (ask("*", "OPTIONS"), 400, b""),
        (ask("box:80", "CONNECT"), 400, b""),
        (ask("ftp://box/"), 400, b""),
        (ask("http://[/"), 400, b""),
        (b"GET / HTTP/1.1\r\n\r\n", 400, b""),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400, b""),
        (b"PRI * HTTP/2.0\r\nConnection: close\r\n\r\n", 400, b""),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, b""),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000, 431, b""),
        (b"GET /" + b"x" * 20_000, 431, b""),
        (ask("/form", "POST", FORM + b"Transfer-Encoding: gzip\r\n"), 501, b""),
        (ask("/form", "POST", FORM + b"Content-Length: 5\r\nContent-Length: 6\r\n"), 400, b""),
        (ask("/form", "POST", FORM, b"a=%E5%A5%BD&b=&c"), 200, "{'a': '好', 'b': '', 'c': ''}".encode()),
        (ask("/form", "POST", FORM, b"a=no"), 403, b""),
        (ask("/form", "POST", FORM, b"a" * 1001), 413, b""),
        (ask("/form", "POST", FORM + b"Content-Length: 99999999999999999999999\r\n"), 400, b""),
        (ask("/form", "POST", FORM + b"Content-Length: 99999999999999999999\r\n"), 413, b""),
        (ask("/form", "POST", FORM, b"&" * 500), 400, b""),
        (ask("/form", "POST", FORM, b"\xff"), 400, b""),
        (ask("/form", "POST", FORM[:-2] + b"; charset=UTF-8\r\n", b"a=b"), 200, b"{'a': 'b'}"),
        (ask("/form", "POST", FORM[:-2] + b"; charset=utf-7\r\n", b"a=b"), 400, b""),
        (ask("/form", "POST", b"Content-Type: application/json\r\n", b"{}"), 415, b""),
        (ask("/form", "POST", b"", b"a=b"), 415, b""),
        (ask("/form", "POST", FORM + b"Transfer-Encoding: chunked\r\n") + b"3\r\na=b\r\n0\r\n\r\n", 200, b"{'a': 'b'}"),
        (ask("/form", "POST", FORM + b"Transfer-Encoding: chunked\r\n") + b"fff\r\n" + b"a" * 4095, 413, b""),
        (ask("/form", "POST", FORM + b"Transfer-Encoding: chunked\r\n") + b"zz\r\n", 400, b""),
        (ask("/breaks"), 500, b"500 Internal Server Error"),
    ],
)  # fmt: skip
async def test_what_is_asked_in_any_way_is_answered_rightly(sent, status, shown):
    async with served() as (server, _):
        answer = await said(server, sent)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert shown in answer
        assert b"X-Frame-Options: DENY" in answer
        assert answer.count(b"HTTP/1.1 ") == 1
        assert (await said(server, ask())).startswith(b"HTTP/1.1 200 OK"), "it serves on"


async def test_an_answer_arrives_though_much_more_is_sent():
    async with served() as (server, _):
        for _ in range(5):
            answer = await said(server, ask("/form", "POST", FORM, b"a" * 500_000))
            assert answer.startswith(b"HTTP/1.1 413 ")


async def test_who_asks_whether_to_go_on_is_told_so():
    async with served() as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(ask("/form", "POST", FORM + b"Expect: 100-continue\r\nContent-Length: 3\r\n"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 \r\n\r\n"
        writer.write(b"a=b")
        assert b"{'a': 'b'}" in await reader.read()
        writer.close()
        assert (await said(server, ask("/", headers=b"Expect: 100-continue\r\nContent-Length: 3\r\n"))).count(
            b"1.1"
        ) == 1


async def test_the_slow_are_given_up(monkeypatch):
    monkeypatch.setattr(server_module, "HEAD_S", 0.1)
    async with served() as (server, _):
        assert await said(server, b"") == b""
        assert (await said(server, b"GET / HTTP/1.1\r\nHo")).startswith(b"HTTP/1.1 408 ")
        assert (await said(server, ask("/form", "POST", FORM + b"Content-Length: 10\r\n") + b"a")).startswith(
            b"HTTP/1.1 408 "
        )
        began = time.monotonic()
        assert (await said(server, ask(close=False))).count(b"200 OK") == 1
        assert time.monotonic() - began < 5


async def test_who_does_not_read_is_given_up(monkeypatch):
    monkeypatch.setattr(server_module, "WRITE_S", 0.1)
    async with served() as (server, _):
        _reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1)
        writer.write(ask("/large", close=False) * 100)
        await eventually(lambda: server._connections)
        await eventually(lambda: not server._connections)
        writer.close()


async def test_all_of_a_large_answer_arrives_at_a_slow_reader():
    async with served() as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=4096)
        writer.write(ask("/large"))
        size = 0
        while part := await reader.read(1 << 16):
            size += len(part)
            if size < 1 << 20:
                await asyncio.sleep(0.01)
        assert size > 8 << 20
        writer.close()


async def test_the_oldest_idle_connection_goes_and_one_that_is_answered_stays():
    async with served(max_connections=3) as (server, pages):
        busy_reader, busy = await asyncio.open_connection("127.0.0.1", server.port)
        busy.write(ask("/slow"))
        await eventually(lambda: pages.asked == ["slow"])
        idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(10)]
        for reader, _ in idle[:8]:
            assert await asyncio.wait_for(reader.read(), 5) == b""
        assert len(server._connections) == 3
        pages.go_on.set()
        assert (await busy_reader.read()).endswith(b"at last")
        for writer in (busy, *(writer for _, writer in idle)):
            writer.close()


async def test_forms_whose_rest_never_comes_keep_nobody_out():
    form = ask("/form", "POST", FORM + b"Content-Length: 10\r\n")
    async with served(max_connections=3) as (server, _):
        slow = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
        for _, writer in slow:
            writer.write(form)
        await eventually(lambda: all(c.is_answering and c.is_listening for c in server._connections.values()))
        assert (await said(server, ask("/"))).startswith(b"HTTP/1.1 200 OK")
        assert await asyncio.wait_for(slow[0][0].read(), 5) == b"", "the oldest of them went"
        for _, writer in slow:
            writer.close()


async def test_the_address_that_has_most_connections_loses_one():
    async with served(max_connections=3) as (server, pages):
        guard_reader, guard = await asyncio.open_connection("127.0.0.1", server.port)
        guard.write(ask(close=False))
        await eventually(lambda: len(pages.asked) == 1)
        other = ("127.0.0.2", 0)
        flood = [await asyncio.open_connection("127.0.0.1", server.port, local_addr=other) for _ in range(10)]
        for reader, _ in flood[:8]:
            assert await asyncio.wait_for(reader.read(), 5) == b""
        guard.write(ask())
        assert (await asyncio.wait_for(guard_reader.read(), 5)).count(b"200 OK") == 2, "the oldest of all stayed"
        for writer in (guard, *(writer for _, writer in flood)):
            writer.close()


async def test_where_all_are_being_answered_one_more_is_told_so():
    async with served(max_connections=2) as (server, pages):
        slow = [asyncio.create_task(said(server, ask("/slow"))) for _ in range(2)]
        await eventually(lambda: len(pages.asked) == 2)
        assert (await said(server, b"")).startswith(b"HTTP/1.1 503 Service Unavailable")
        pages.go_on.set()
        assert all(answer.endswith(b"at last") for answer in await asyncio.gather(*slow))


async def test_it_ends_soon_and_finishes_what_it_can():
    async with served() as (server, pages):
        idle_reader, idle = await asyncio.open_connection("127.0.0.1", server.port)
        answered = asyncio.create_task(said(server, ask("/slow", close=False)))
        await eventually(lambda: pages.asked)
        closing = asyncio.create_task(server.close())
        assert await asyncio.wait_for(idle_reader.read(), 5) == b""
        pages.go_on.set()
        await closing
        answer = await answered
        assert answer.endswith(b"at last")
        assert b"Connection: close" in answer
        idle.close()
    async with served() as (server, pages):
        port = server.port
        stuck = asyncio.create_task(said(server, ask("/slow")))
        await eventually(lambda: pages.asked)
        began = time.monotonic()
        await server.close()
        assert time.monotonic() - began < 0.8
        assert await stuck == b""
        again = Server(pages.routes())
        await again.listen("127.0.0.1", port)
        await again.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()


async def test_who_goes_away_in_the_middle_leaves_nothing(caplog):
    async with served() as (server, pages):
        for sent in (b"", b"GET", ask("/form", "POST", FORM + b"Content-Length: 10\r\n"), ask("/large"), ask("/slow")):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(sent)
            await writer.drain()
            writer.transport.abort()
        pages.go_on.set()
        await eventually(lambda: not server._connections)
    assert not caplog.records


async def test_many_requests_sent_at_once_do_not_hold_up_the_box():
    async with served() as (server, pages):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(ask(close=False) * 2000)
        longest = last = 0.0
        while len(pages.asked) < 200:
            last = time.monotonic()
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - last)
        assert longest < 0.1
        writer.transport.abort()
