"""HTTP on the box: what anybody on the local network sends to the guard page, and what answers instead of the cloud."""

import asyncio
import re
from functools import cache
from typing import Any, cast

import h11

from edge.guard.access import Access
from edge.guard.server import _HEADERS, COOKIE, _Pages
from edge.http.address import Address
from edge.http.client import MAX_LINE, _ask
from edge.http.dial import _tunnel
from edge.http.proxy import HttpProxy
from edge.http.router import Router
from edge.http.server import _Connection
from edge.http.wire import READ_BYTES, Wire
from tests.fuzz.modbus import _loop
from tests.fuzz.target import chosen
from tests.unit.edge.guard.views import Asked

SESSION, TOKEN = b"@S@", b"@T@"
"""Stand in an input for a session that is good, and for what its forms carry."""
WORDS = (
    SESSION, TOKEN, b"\r\n", b"\r\n\r\n", b"HTTP/1.1", b"HTTP/1.0", b"Content-Length: ", b"Transfer-Encoding: chunked",
    b"Expect: 100-continue", b"Connection: close", b"Upgrade: h2c", b"application/x-www-form-urlencoded", b"%00",
    b"%ff", b"%2f", b"/zones/b3-u2/drill", b"mode=drill&minutes=15", b"Cookie: ", b"0\r\n\r\n", b"Origin: null",
)  # fmt: skip
_LIMIT = 64 << 10
_MOST_WRITTEN = 4 << 20


class _Sink:
    """A connection's other end that takes everything; as a writer and as its transport."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.transport = self

    def write(self, data: bytes) -> None:
        self.written += data

    def writelines(self, parts: list[bytes]) -> None:
        for part in parts:
            self.written += part

    async def drain(self) -> None:
        """All is gone at once."""

    def set_write_buffer_limits(self, **_: int) -> None:
        """There is no buffer."""

    def get_extra_info(self, _: str) -> Any:
        return ("192.0.2.7", 50000)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Nobody reads."""

    def abort(self) -> None:
        """Nothing is open."""


def _wire(role: Any, data: bytes) -> tuple[Wire, _Sink]:
    """A wire on which these bytes came, and then the end."""
    reader, sink = asyncio.StreamReader(limit=READ_BYTES, loop=_loop()), _Sink()
    reader.feed_data(data)
    reader.feed_eof()
    return Wire(role, reader, cast("asyncio.StreamWriter", sink)), sink


class _Young(Access):
    """Takes a session for as old as it was at the boot's first moment, so that an input is good at any time."""

    def age_ns(self, session: str, now_ns: int) -> int | None:
        return super().age_ns(session, 0)


def _make_access() -> Access:
    return _Young("correct horse", bytes(32), bytes(16))


@cache
def _good() -> tuple[bytes, bytes]:
    """A session of the boot's first moment, and what its forms carry."""
    session = _make_access().session(0)
    return session.encode(), _make_access().form_token(session).encode()


def server(data: bytes) -> None:
    """Any bytes to the guard page: whole answers, none of which says that a page failed."""
    session, token = _good()
    data = data.replace(SESSION, session).replace(TOKEN, token)
    pages = _Pages(cast("Any", Asked()), _make_access())
    wire, sink = _wire(h11.SERVER, data)
    _loop().run_until_complete(_Connection(wire, Router(pages.routes()), tuple(_HEADERS.items())).run())
    assert not re.search(rb"^HTTP/1.1 500", sink.written, re.MULTILINE), "a page failed"
    assert len(sink.written) < _MOST_WRITTEN
    assert not sink.written or sink.written.startswith(b"HTTP/1.1 ")


def server_seeds() -> list[bytes]:
    """What browsers send, logged in and not, and what is between a request and none."""
    cookie = b"Host: box:8444\r\nCookie: " + COOKIE.encode() + b"=" + SESSION + b"\r\n"
    form = b"Content-Type: application/x-www-form-urlencoded\r\n"
    press = b"token=" + TOKEN + b"&mode=drill&minutes=15"
    sized = b"Content-Length: %d\r\n\r\n" % len(press.replace(TOKEN, b"x" * 64)) + press
    chunked = (
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(press.replace(TOKEN, b"x" * 64)) + press + b"\r\n0\r\n\r\n"
    )
    paths = [
        b"/",
        b"/live",
        b"/zones/b3-u2/release",
        b"/zones/b3-u2/drill",
        b"/zones/x/reset",
        b"/static/live.js",
        b"/a",
    ]
    shown = [b"GET " + path + b" HTTP/1.1\r\n" + cookie + b"\r\n" for path in paths]
    done = [b"POST /zones/b3-u2/" + what + b" HTTP/1.1\r\n" + cookie + form + sized
            for what in (b"release", b"reset", b"silence", b"stop", b"drill")]  # fmt: skip
    login = b"password=correct+horse"
    return [
        *shown, *done, b"".join(shown), b"HEAD / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: b\r\n" + form + b"Content-Length: %d\r\n\r\n" % len(login) + login,
        b"POST /logout HTTP/1.1\r\n" + cookie + form + chunked,
        b"POST /silence HTTP/1.1\r\n" + cookie + form + b"Expect: 100-continue\r\n" + sized,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 3000, b"\x16\x03\x01\x02\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /a%ff HTTP/1.1\r\nHost: x\r\n\r\n",
    ]  # fmt: skip


def client(data: bytes) -> None:
    """Any bytes as an answer, to the box or to its tunnel through a proxy: a bounded body, or OSError or ValueError."""
    how, data = chosen(data)
    _loop().run_until_complete(_answer(how % 3, data))


async def _answer(how: int, data: bytes) -> None:
    wire, _ = _wire(h11.CLIENT, data)
    try:
        if how == 2:
            await _tunnel(wire, Address(is_tls=True, host="anju.example.com", port=443), HttpProxy("proxy", 3128))
            return
        request = h11.Request(method=b"GET" if how else b"POST", target=b"/edge/v1/down", headers=[("Host", "a")])
        answer = await _ask(wire, request, b"", 5.0)
        if how:
            async for line in answer.lines():
                assert len(line) <= MAX_LINE
        else:
            assert len(await answer.read(_LIMIT)) <= _LIMIT
    except (OSError, ValueError) as e:
        assert str(e)


def client_seeds() -> list[bytes]:
    """Answers of a cloud, of a proxy, of somebody else."""
    said = b'{"time_ns":1}'
    answers = [
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(said) + said,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n\n{}\n\n\r\n3\r\n{}\n\r\n0\r\n\r\n",
        b"HTTP/1.1 503 Busy\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.0 200\r\n\r\nuntil the end\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 12, b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 204 None\r\n\r\n",
        b"HTTP/1.1 407 Login\r\nProxy-Authenticate: Basic\r\n\r\n", b"HTTP/1.1 200 Connected\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nLocation: https://elsewhere/\r\n\r\n", b"SSH-2.0-OpenSSH_9\r\n", b"\x15\x03\x01\0\x02",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx", b"HTTP/1.1 101 Switching\r\n\r\n",
    ]  # fmt: skip
    return [bytes((how,)) + answer for how in range(3) for answer in answers]
