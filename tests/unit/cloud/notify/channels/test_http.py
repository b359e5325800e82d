"""The HTTP client against servers that misbehave, and through a proxy."""

import asyncio
import base64
import contextlib
import select
import socket
import ssl
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cloud.notify.http import MOST_BYTES, Http, NoAnswerError, Request, parse_proxy
from cloud.notify.reach import Reach
from tests.support.certificates import certificates
from tests.support.channels import LOCAL


@asynccontextmanager
async def serving(answer: bytes, heard: list[bytes] | None = None, tls: ssl.SSLContext | None = None):
    """A server that reads a request and says this."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
        if heard is not None:
            heard.append(head + await reader.readexactly(length))
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def start():
    yield


async def posted(port: int, **more):
    request = Request(url=f"http://127.0.0.1:{port}/p?q=1", body=b"{}", headers={"X": "y"})
    return await Http(LOCAL, connect_s=2, answer_s=2, **more).post(request, start)


async def test_what_is_sent() -> None:
    heard: list[bytes] = []
    async with serving(b"HTTP/1.1 204 No Content\r\n\r\n", heard) as port:
        answer = await posted(port)
    assert (answer.status, answer.body, answer.whole) == (204, b"", True)
    head, _, body = heard[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /p?q=1 HTTP/1.1\r\n")
    assert b"\r\nX: y" in head
    assert b"\r\nConnection: close" in head
    assert body == b"{}"


@pytest.mark.parametrize(
    ("said", "status", "body", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", 200, b"ok", True),
        (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\nok", 200, b"ok", True),
        (b"HTTP/1.0 200 OK\r\n\r\nok", 200, b"ok", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", 200, b"ok", False),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200_000, 200, b"x" * MOST_BYTES, False),
        (b"HTTP/1.1 307 Go\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", 307, b"", True),
    ],
)
async def test_answers(said: bytes, status: int, body: bytes, whole: bool) -> None:
    async with serving(said) as port:
        answer = await posted(port)
    assert (answer.status, answer.body, answer.whole) == (status, body, whole)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"", "garbage"),
        (b"SSH-2.0\r\n\r\n", "garbage"),
        (b"HTTP/1.1 103 x\r\n\r\n" * 20, "garbage"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "garbage"),
    ],
)
async def test_what_is_no_answer(said: bytes, code: str) -> None:
    async with serving(said) as port:
        with pytest.raises(NoAnswerError, match="may have arrived") as raised:
            await posted(port)
    assert (raised.value.code, raised.value.begun) == (code, True)


@pytest.mark.parametrize(
    "url",
    ["ftp://127.0.0.1/", "http://user:password@127.0.0.1/", "nothing", "http://[::1", "http://127.0.0.1:99999/",
     "http://127.0.0.1:0/", "http://127.0.0.1/\r\nX: 1", "http://127.0.0.1/ü"],
)  # fmt: skip
async def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(NoAnswerError) as raised:
        await Http(LOCAL, connect_s=2).post(Request(url=url, body=b"", headers={}), start)
    assert (raised.value.code, raised.value.begun) == ("address", False)
    assert "password" not in str(raised.value)


async def test_the_kernel_has_the_request_when_the_gate_is_left() -> None:
    """Not a moment later: then somebody may have acknowledged."""
    arrived = []

    class Gate:
        async def __aenter__(self) -> None:
            await asyncio.sleep(0)
            self.peer, _ = server.accept()  # it has connected

        async def __aexit__(self, *_: object) -> None:
            arrived.append(select.select([self.peer], [], [], 1.0)[0] != [])
            self.peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            self.peer.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        request = Request(url=f"http://127.0.0.1:{server.getsockname()[1]}/", body=b"x" * 20_000, headers={})
        with contextlib.suppress(NoAnswerError):  # the peer is rude
            await Http(LOCAL).post(request, Gate)
    assert arrived == [True]


async def test_a_header_cannot_hold_another() -> None:
    request = Request(url="http://127.0.0.1/", body=b"", headers={"X": "a\r\nY: b"})
    with pytest.raises(NoAnswerError, match="character"):
        await Http(LOCAL).post(request, start)


async def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serving(b"HTTP/1.1 204 No Content\r\n\r\n") as port:
        assert (await posted(port)).status == 204


@asynccontextmanager
async def a_proxy(heard: list[bytes], answer: bytes = b"HTTP/1.1 200 Connected\r\n\r\n"):
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heard.append(head)
        writer.write(answer)
        if b" 200 " not in answer:
            return writer.close()
        host, _, port = head.split(b" ")[1].decode().rpartition(":")
        up, down = await asyncio.open_connection(host, int(port))
        for source, sink in ((reader, down), (up, writer)):
            tasks.append(asyncio.create_task(pumped(source, sink)))
        return None

    async def pumped(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1000):
                sink.write(data)
        except ConnectionError:
            pass
        sink.close()

    tasks: list[asyncio.Task[None]] = []
    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*tasks)


async def test_a_proxy_that_is_configured() -> None:
    heard: list[bytes] = []
    async with serving(b"HTTP/1.1 204 No Content\r\n\r\n") as port, a_proxy(heard) as proxy_port:
        proxy = parse_proxy(f"http://user:p%40ss@127.0.0.1:{proxy_port}")
        assert (await posted(port, proxy=proxy)).status == 204
        request = Request(url="https://10.0.0.1/", body=b"", headers={})
        with pytest.raises(NoAnswerError) as raised:
            await Http(Reach(), proxy=proxy).post(request, start)
    assert raised.value.code == "private address"
    assert heard[0].startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n" % port)
    assert base64.b64encode(b"user:p@ss") in heard[0]
    assert len(heard) == 1


async def test_tls_through_a_proxy_is_with_the_host_itself(tmp_path: Path) -> None:
    authority, chain, key = certificates(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain, key)
    body = b"x" * 50_000
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    heard: list[bytes] = []
    async with serving(answer, tls=server) as port, a_proxy(heard) as proxy_port:
        proxy = parse_proxy(f"http://127.0.0.1:{proxy_port}")
        request = Request(url=f"https://localhost:{port}/", body=b"{}", headers={})
        trust = ssl.create_default_context(cafile=str(authority))
        got = await Http(LOCAL, proxy=proxy, trust=trust).post(request, start)
        assert (got.body, got.whole) == (body, True)
        with pytest.raises(NoAnswerError) as raised:
            await Http(LOCAL, proxy=proxy).post(request, start)
    assert raised.value.code == "tls"
    assert all(head.startswith(b"CONNECT localhost:") for head in heard)


async def test_a_server_that_never_shakes_hands() -> None:
    let_go = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        writer.close()
        await writer.wait_closed()
        let_go.set()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        with pytest.raises(NoAnswerError, match=r"within 0\.2 s") as raised:
            await Http(LOCAL, connect_s=0.2).post(Request(url=url, body=b"", headers={}), start)
        assert (raised.value.code, raised.value.begun) == ("time-out", False)
        await asyncio.wait_for(let_go.wait(), 5)


@pytest.mark.parametrize("said", [b"HTTP/1.1 407 No\r\n\r\n", b"what\r\n\r\n"])
async def test_a_proxy_that_refuses(said: bytes) -> None:
    async with a_proxy([], said) as proxy_port:
        with pytest.raises(NoAnswerError, match="proxy") as raised:
            await posted(1, proxy=parse_proxy(f"http://127.0.0.1:{proxy_port}"))
    assert (raised.value.code, raised.value.begun) == ("proxy", False)


@pytest.mark.parametrize("url", ["https://x", "socks5://x", "http://", "http://x/path", "x:3128"])
def test_what_is_no_proxy(url: str) -> None:
    with pytest.raises(ValueError, match=r"is not|port"):
        parse_proxy(url)
