"""The client against uvicorn, which is what the cloud runs, and against servers that misbehave."""

import asyncio
import errno
import gc
import socket
import ssl
import time
from contextlib import aclosing, asynccontextmanager

import h11
import pytest

from edge.http import client as client_module
from edge.http import dial as dial_module
from edge.http.client import MAX_CONNECTIONS, MAX_LINE, Client
from edge.http.dial import UNHEARD_MS
from edge.http.proxy import HttpProxy
from edge.http.wire import Wire
from tests.support.certificates import certificates
from tests.support.http import request_of, scripted_server, uvicorn_server
from tests.support.waiting import eventually
from tests.unit.edge.uplink.test_proxy import LOGIN, forward_proxy

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def app(scope, receive, send):
    """Says what it was asked; some paths say it in an odd way."""
    body, more = b"", scope["path"] != "/early"
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    match scope["path"]:
        case "/early":  # answers without reading what it is sent
            await send({"type": "http.response.start", "status": 413, "headers": [(b"connection", b"close")]})
            await send({"type": "http.response.body", "body": b"too much"})
        case "/busy":
            headers = [(b"retry-after", b"7"), (b"content-length", b"4")]
            await send({"type": "http.response.start", "status": 503, "headers": headers})
            await send({"type": "http.response.body", "body": b"busy"})
        case "/chunked":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for part in (b"one\ntw", b"o\n\n", b"x" * 100_000, b"\nlast"):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        case "/breaks":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise ConnectionError("as if it were killed")
        case _:
            said = f"{scope['method']} {scope['path']} {len(body)} {scope['client'][1]}".encode()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"x-said", b"yes")]})
            await send({"type": "http.response.body", "body": said})


@asynccontextmanager
async def clients(http="h11", **more):
    async with uvicorn_server(app, http=http, **more) as port, Client(f"http://127.0.0.1:{port}") as client:
        yield client


async def get(client, path="/", **more):
    async with client.request("GET", path, total_s=5, **more) as answer:
        return answer.status, await answer.read(1 << 20)


async def post(client, path, body, **more):
    async with client.request("POST", path, body=body, total_s=5, **more) as answer:
        return answer.status, await answer.read(1 << 20)


@pytest.mark.parametrize("http", ["h11", "httptools"])
async def test_one_connection_serves_one_request_after_another(http):
    async with clients(http) as client:
        said = [(await post(client, "/a", b"x" * size))[1].split() for size in (0, 1, 100_000, 3 << 20)]
        said.append((await get(client, "/b"))[1].split())
        assert [(method, size) for method, _, size, _ in said] == [
            (b"POST", b"0"), (b"POST", b"1"), (b"POST", b"100000"), (b"POST", b"3145728"), (b"GET", b"0")
        ]  # fmt: skip
        assert len({port for *_, port in said}) == 1
        assert await post(client, "/busy", b"") == (503, b"busy")
        assert (await get(client))[1].split()[-1] == said[0][-1], "also after a refusal that was read"


async def test_requests_at_once_have_a_connection_each_and_no_more_than_a_few():
    async with clients() as client:
        answers = await asyncio.gather(*(get(client) for _ in range(50)))
    assert len({said.split()[-1] for _, said in answers}) <= MAX_CONNECTIONS
    assert {status for status, _ in answers} == {200}


async def test_a_body_in_chunks_comes_in_lines_or_whole():
    async with clients() as client:
        assert await get(client, "/chunked") == (200, b"one\ntwo\n\n" + b"x" * 100_000 + b"\nlast")
        async with client.request("GET", "/chunked", total_s=5) as answer, aclosing(answer.lines()) as lines:
            with pytest.raises(ValueError, match=f"a line of more than {MAX_LINE} bytes"):
                _ = [line async for line in lines]


async def test_lines_come_as_they_are_said():
    go_on = asyncio.Event()

    async def serve(reader, writer):
        await request_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na\nb\r\n")
        await go_on.wait()
        writer.write(b"5\r\nc\n\nde\r\n0\r\n\r\n")

    async with (
        scripted_server(serve) as (port, _),
        Client(f"http://127.0.0.1:{port}") as client,
        client.request("GET", "/down", total_s=None, silence_s=5) as answer,
    ):
        lines = answer.lines()
        assert await anext(lines) == b"a"
        go_on.set()
        assert [line async for line in lines] == [b"bc", b"", b"de"]
        assert [line async for line in answer.lines()] == []


async def test_an_early_answer_is_heard_though_the_body_was_not_read():
    async with clients() as client:
        for _ in range(3):
            assert await post(client, "/early", b"x" * (4 << 20)) == (413, b"too much")
        assert (await get(client))[0] == 200


async def test_an_answer_that_breaks_off_is_no_answer():
    async with clients() as client:
        with pytest.raises(ConnectionError, match=r"received 4 bytes, expected 10"):
            await get(client, "/breaks")
        assert (await get(client))[0] == 200


async def test_headers_status_and_limits():
    async with clients() as client:
        async with client.request("GET", "/busy", total_s=5) as answer:
            assert (answer.status, answer.headers["retry-after"]) == (503, "7")
        with pytest.raises(ValueError, match="more than 99999 bytes"):
            async with client.request("GET", "/chunked", total_s=5) as answer:
                await answer.read(99_999)
        with pytest.raises(ValueError, match="cannot be sent"):
            await get(client, headers={"Authorization": "Bearer a\r\nEvil: 1"})
        with pytest.raises(ValueError, match="ascii"):
            await get(client, headers={"Authorization": "Bearer 密"})


async def test_a_kept_connection_that_the_server_closed_is_not_used():
    async with clients(keep_alive_s=0) as client:
        _, first = await get(client)
        await eventually(lambda: not client._kept)
        _, second = await post(client, "/", b"x")
        assert first.split()[-1] != second.split()[-1]


def gone_on_reuse(requests):
    """Answers the first request of each connection; closes at the second, unanswered, of the first connection."""

    async def serve(reader, writer):
        is_first = not requests
        requests.append(await request_of(reader))
        writer.write(OK)
        while True:
            requests.append(await request_of(reader))
            if is_first:
                return
            writer.write(OK)

    return serve


@pytest.mark.parametrize(
    ("method", "is_repeatable", "is_repeated"), [("GET", False, True), ("POST", True, True), ("POST", False, False)]
)
async def test_a_request_is_repeated_once_where_that_does_no_harm(method, is_repeatable, is_repeated):
    requests = []
    server = scripted_server(gone_on_reuse(requests))
    async with server as (port, connections), Client(f"http://127.0.0.1:{port}") as client:

        async def ask():
            async with client.request(method, "/", total_s=5, is_repeatable=is_repeatable) as answer:
                return await answer.read(10)

        assert await ask() == b"ok"
        if is_repeated:
            assert await ask() == b"ok"
        else:
            with pytest.raises(ConnectionError, match=r"closed before there was an answer|reset"):
                await ask()
    assert (len(requests), len(connections)) == ((3, 2) if is_repeated else (2, 1))


async def test_a_kept_connection_that_is_dead_without_a_word_costs_no_more_than_its_limit():
    requests = []

    async def serve(reader, writer):
        is_first = not requests
        while True:
            requests.append(await request_of(reader))
            if not is_first or len(requests) == 1:  # the second one is never answered: it did not even arrive
                writer.write(OK)

    async with scripted_server(serve) as (port, connections), Client(f"http://127.0.0.1:{port}") as client:
        await get(client)
        wire = client._kept[0][0]
        assert wire.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == UNHEARD_MS
        asking = asyncio.create_task(get(client))
        await eventually(lambda: len(requests) == 2)
        wire.reader.set_exception(OSError(errno.ETIMEDOUT, "Connection timed out"))  # as the kernel says it then
        assert await asking == (200, b"ok")
        assert len(connections) == 2


async def test_a_request_on_a_new_connection_is_never_repeated():
    async def serve(reader, writer):
        await request_of(reader)

    async with scripted_server(serve) as (port, connections), Client(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(ConnectionError, match="closed before there was an answer"):
            await get(client)
        assert len(connections) == 1


async def test_a_late_word_on_a_kept_connection_answers_no_other_request():
    async def serve(reader, writer):
        await request_of(reader)
        writer.write(OK)
        await writer.drain()
        await late.wait()
        writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    late = asyncio.Event()
    async with scripted_server(serve) as (port, connections), Client(f"http://127.0.0.1:{port}") as client:
        assert await get(client) == (200, b"ok")
        late.set()
        await eventually(lambda: not client._kept)
        assert await get(client) == (200, b"ok")
        assert len(connections) == 2


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (b"", "closed before there was an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 100, "never comes to its answer"),
    ],
)
async def test_what_is_no_answer_is_said(said, problem):
    async def serve(reader, writer):
        await request_of(reader)
        writer.write(said)

    async with scripted_server(serve) as (port, _), Client(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(ConnectionError, match=problem):
            await get(client)


async def test_an_interim_answer_is_passed_over_and_http_1_0_ends_with_its_connection():
    async def serve(reader, writer):
        await request_of(reader)
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 200 OK\r\n\r\nto the end")

    async with scripted_server(serve) as (port, connections), Client(f"http://127.0.0.1:{port}") as client:
        for _ in range(2):
            assert await get(client) == (200, b"to the end")
        assert len(connections) == 2


async def test_time_is_bounded_and_the_words_say_which(monkeypatch):
    async def serve(reader, writer):
        path = (await request_of(reader)).split(b" ")[1]
        if path == b"/drip":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx")
        await reader.read()

    async with scripted_server(serve) as (port, _), Client(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(TimeoutError, match=r"no whole answer within 0\.1 s"):
            async with client.request("GET", "/drip", total_s=0.1) as answer:
                await answer.read(1 << 20)
        with pytest.raises(TimeoutError, match=r"not a word for 0\.1 s"):
            async with client.request("GET", "/", total_s=None, silence_s=0.1) as answer:
                await answer.read(1 << 20)
        assert not client._kept
    mute = socket.create_server(("127.0.0.1", 0), backlog=0)
    monkeypatch.setattr(client_module, "CONNECT_S", 0.1)
    with mute:
        url = f"https://127.0.0.1:{mute.getsockname()[1]}"
        async with Client(url) as client:
            with pytest.raises(TimeoutError, match=r"no connection within 0\.1 s"):
                await get(client)


async def test_a_cancelled_request_leaves_nothing_behind():
    async def serve(reader, writer):
        await request_of(reader)
        await reader.read()
        gone.set()

    gone = asyncio.Event()
    async with scripted_server(serve) as (port, connections), Client(f"http://127.0.0.1:{port}") as client:
        task = asyncio.create_task(get(client))
        await eventually(lambda: connections)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 5)
    gc.collect()  # a stream that was not closed says so here


async def test_nobody_there_is_said_in_words(unused_tcp_port):
    async with Client(f"http://127.0.0.1:{unused_tcp_port}") as client:
        with pytest.raises(OSError, match=f"no connection to 127.0.0.1 port {unused_tcp_port}: Connection refused"):
            await get(client)
    async with Client("http://no-such-host.invalid") as client:
        with pytest.raises(OSError, match=r"the name no-such-host.invalid cannot be looked up"):
            await get(client)


async def test_the_next_address_is_tried_beside_one_that_leads_nowhere():

    async def serve(reader, writer):
        await request_of(reader)
        writer.write(OK)

    async with scripted_server(serve) as (port, _):
        full = socket.create_server(("127.0.0.2", 0), backlog=0)
        stuck = [socket.socket() for _ in range(4)]
        for one in stuck:  # its queue of connections is full: one more gets no answer
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where)
            for where in (full.getsockname(), ("127.0.0.1", 1), ("127.0.0.1", port))
        ]
        began = time.monotonic()
        sock = await dial_module._race(found)
        assert sock.getpeername() == ("127.0.0.1", port)
        assert dial_module.STAGGER_S <= time.monotonic() - began < 2
        sock.close()
        for one in (full, *stuck):
            one.close()


def test_families_are_tried_in_turn():
    six, four = (socket.AF_INET6,), (socket.AF_INET,)
    found = [(*six, 1), (*six, 2), (*six, 3), (*four, 1)]
    assert dial_module._in_turn(found) == [(*six, 1), (*four, 1), (*six, 2), (*six, 3)]


# TLS and proxies


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    folder = tmp_path_factory.mktemp("authority")
    ca, cert, key = certificates(folder)
    return ssl.create_default_context(cafile=str(ca)), cert, key


async def test_tls_with_an_own_authority(authority):
    trust, cert, key = authority
    async with uvicorn_server(app, cert=cert, key=key) as port:
        for host in ("127.0.0.1", "localhost"):
            async with Client(f"https://{host}:{port}", trust=trust) as client:
                first, second = await post(client, "/", b"x" * 1_000_000), await get(client)
                assert first[1].startswith(b"POST / 1000000 ")
                assert first[1].split()[-1] == second[1].split()[-1], "one connection"


async def test_a_certificate_that_is_not_trusted_is_an_error_of_its_own(authority, tmp_path):
    trust, cert, key = authority
    async with uvicorn_server(app, cert=cert, key=key) as port:
        async with Client(f"https://127.0.0.1:{port}") as client:
            with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
                await get(client)
        async with Client(f"https://127.0.0.2:{port}", trust=trust) as client:
            with pytest.raises(OSError, match=r"no connection to 127.0.0.2"):
                await get(client)
    ca, old, old_key = certificates(tmp_path, hours_left=-1)
    own = ssl.create_default_context(cafile=str(ca))
    server = uvicorn_server(app, cert=old, key=old_key)
    async with server as port, Client(f"https://127.0.0.1:{port}", trust=own) as client:
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            await get(client)


async def test_https_to_what_speaks_http_is_said():
    async with uvicorn_server(app) as port, Client(f"https://127.0.0.1:{port}") as client:
        with pytest.raises(OSError, match=r"WRONG_VERSION_NUMBER|RECORD_LAYER|reset|closed"):
            await get(client)


async def test_https_goes_through_a_proxy_s_tunnel_and_keeps_it(authority):
    trust, cert, key = authority
    seen: list[str] = []
    async with forward_proxy(seen) as proxy, uvicorn_server(app, cert=cert, key=key) as port:
        way = HttpProxy.at(proxy, "estate", "s3cret")
        async with Client(f"https://127.0.0.1:{port}", trust=trust, proxy=way) as client:
            for size in (1, 3 << 20):
                assert (await post(client, "/", b"x" * size))[1].startswith(b"POST / %d " % size)
            async with client.request("GET", "/chunked", total_s=5) as answer:
                assert len(await answer.read(1 << 20)) > 100_000
        assert seen == [LOGIN], "one tunnel for all, and the login in no request within it"
        wrong = HttpProxy.at(proxy, "estate", "guessed")
        async with Client(f"https://127.0.0.1:{port}", trust=trust, proxy=wrong) as client:
            problem = r"proxy 127.0.0.1:\d+ answered 407 .*; it does not take its login"
            with pytest.raises(ConnectionError, match=problem) as told:
                await get(client)
            assert "guessed" not in str(told.value)
        without = HttpProxy.at(proxy)
        async with Client(f"https://127.0.0.1:{port}", trust=trust, proxy=without) as client:
            with pytest.raises(ConnectionError, match=r"answered 407 .*; it wants a login: name one"):
                await get(client)
        async with Client(f"https://127.0.0.1:{port}", proxy=way) as client:
            with pytest.raises(ssl.SSLCertVerificationError):
                await get(client)


async def test_the_environment_s_proxy_is_used(monkeypatch, authority):
    trust, cert, key = authority
    seen: list[str] = []
    async with forward_proxy(seen) as proxy, uvicorn_server(app, cert=cert, key=key) as port:
        monkeypatch.setenv("HTTPS_PROXY", proxy.replace("//", "//estate:s3cret@"))
        async with Client(f"https://127.0.0.1:{port}", trust=trust) as client:
            assert (await get(client))[0] == 200
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        async with Client(f"https://127.0.0.1:{port}", trust=trust) as client:
            assert (await get(client))[0] == 200
    assert seen == [LOGIN]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "said more than that it connects us"),
        (b"what?\r\n\r\n", "does not answer as a proxy does"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "answered 502 Bad Gateway$"),
        (b"", "does not answer as a proxy does"),
    ],
)
async def test_a_proxy_that_does_not_connect_us_is_said(said, problem):
    async def serve(reader, writer):
        await request_of(reader)
        writer.write(said)

    async with scripted_server(serve) as (port, _):
        way = HttpProxy.at(f"http://127.0.0.1:{port}")
        async with Client("https://anju.example", proxy=way) as client:
            with pytest.raises(ConnectionError, match=problem):
                await get(client)


class Slowly:
    """A pace for tests: parts of 1,000 bytes, each let through by `gate`."""

    part_bytes, window_bytes = 1000, 4000

    def __init__(self):
        self.gate = asyncio.Event()
        self.let, self.samples = 0, []

    async def let_through(self, size):
        await self.gate.wait()
        self.let += size

    def drained(self, size, took_s, rtt_s):
        self.samples.append((size, took_s, rtt_s))


async def test_a_body_at_a_pace_comes_whole_and_only_as_it_is_let_through():
    async with clients() as client:
        pace = Slowly()
        asking = asyncio.create_task(post(client, "/a", bytes(range(256)) * 100, pace=pace))
        await asyncio.sleep(0.05)
        assert not asking.done()
        pace.gate.set()
        assert (await asking)[1].startswith(b"POST /a 25600 ")
        assert pace.let == 25_600
        assert (await post(client, "/b", b"", pace=pace))[1].startswith(b"POST /b 0 "), "also without a body"


async def test_no_more_is_under_way_than_the_window_when_the_other_side_reads_nothing():
    reads = asyncio.Event()

    async def serve(reader, writer):
        await reads.wait()
        await request_of(reader)
        writer.write(OK)

    async with scripted_server(serve) as (port, _), Client(f"http://127.0.0.1:{port}") as client:
        pace = Slowly()
        pace.gate.set()
        asking = asyncio.create_task(post(client, "/", bytes(30 << 20), pace=pace))
        # The other side's kernel takes what fits its buffers; then it acknowledges no more.
        before = -1
        while before != pace.let:
            before = pace.let
            await asyncio.sleep(0.3)
        (wire,) = client.traffic._counted
        assert pace.let - wire.counts().acked_bytes <= pace.window_bytes + pace.part_bytes
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.parametrize("ends", [True, False])
async def test_an_answer_or_an_end_in_the_middle_of_a_body_at_a_pace_is_heard(ends):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        if not ends:
            writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with scripted_server(serve) as (port, _), Client(f"http://127.0.0.1:{port}") as client:
        pace = Slowly()
        pace.gate.set()
        if ends:
            with pytest.raises(OSError, match=r"closed|reset"):
                await post(client, "/", bytes(20 << 20), pace=pace)
        else:
            assert (await post(client, "/", bytes(20 << 20), pace=pace))[0] == 413


async def test_traffic_is_what_the_wire_carries(authority):
    trust, cert, key = authority
    async with uvicorn_server(app, cert=cert, key=key) as port:
        async with Client(f"https://127.0.0.1:{port}", trust=trust) as client:
            await post(client, "/", b"x" * 10_000)
            first = client.traffic.sent_bytes
            assert 10_500 < first < 13_000, "the body, its head, a handshake, headers of TCP and IP"
            assert 1_500 < client.traffic.received_bytes < 6_000
            await post(client, "/", b"")
            assert 100 < client.traffic.sent_bytes - first < 500
            before = client.traffic.sent_bytes
            client.traffic.look()
            client.traffic.look()
            assert client.traffic.sent_bytes - before < 200, "nothing counts twice"
        assert client.traffic._counted == {}, "connections that are gone are forgotten"


@pytest.mark.parametrize("size", [10, 1 << 20])
async def test_to_send_over_a_connection_that_is_closed_already_is_an_error_of_the_network(size):
    here, there = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=here)
    wire = Wire(h11.CLIENT, reader, writer)
    wire.abort()
    await asyncio.sleep(0.01)  # the loop closes it
    head = [("Host", "h"), ("Content-Length", str(size))]
    request = (h11.Request(method="POST", target="/", headers=head), h11.Data(data=bytes(size)), h11.EndOfMessage())
    if isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
        wire.send(*request)  # says so with the answer
    else:
        with pytest.raises(ConnectionResetError):
            wire.send(*request)
    there.close()
