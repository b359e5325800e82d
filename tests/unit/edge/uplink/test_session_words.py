"""What a person reads when the way to the cloud is not as it should be, over the session's own requests."""

import asyncio
import ssl
from email.utils import formatdate

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contract.errors import Retryable
from contract.kinds import Lane
from contract.session import CHALLENGE_PATH, NO_CURSOR, ChallengeReply, SessionReply
from edge.http.client import Client
from edge.http.proxy import HttpProxy
from edge.provision.enrol import EnrolError, enrol
from edge.provision.identity import Enrolment, Identity
from edge.uplink import session
from edge.uplink.pace import BulkPace
from edge.uplink.session import Busy, Requests
from tests.support.certificates import certificates
from tests.support.http import request_of, scripted_server, uvicorn_server

KEY = Ed25519PrivateKey.generate()


def cloud_app(token="good", page=b""):
    """Just enough of a cloud to open a session; then it answers 503 with a page."""

    async def app(scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        if scope["path"] == CHALLENGE_PATH:
            status, body = 200, msgspec.json.encode(ChallengeReply(b"nonce"))
        elif scope["path"].endswith("/session"):
            status, body = 200, msgspec.json.encode(SessionReply(token, 900.0, 0, NO_CURSOR, NO_CURSOR))
        else:
            status, body = 503, page
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    return app


async def opened(client, url):
    requests = Requests(client, url)
    await requests.open(Identity(Enrolment("gw", "estate", url), KEY), "0")
    return requests


async def test_an_own_authority_opens_a_session_and_without_it_the_words_help(tmp_path):
    ca, cert, key = certificates(tmp_path)
    async with uvicorn_server(cloud_app(), cert=cert, key=key) as port:
        url = f"https://127.0.0.1:{port}"
        async with Client(url, trust=ssl.create_default_context(cafile=str(ca))) as client:
            assert (await opened(client, url)).token == "good"
        async with Client(url) as client:
            with pytest.raises(Retryable, match=r"certificate is not trusted \(.*\); name your .* cloud\.ca, or check"):
                await opened(client, url)
        with pytest.raises(EnrolError, match=r"is not trusted: .*\n.*--ca FILE"):
            await enrol(url, "X", tmp_path / "state", version="0")


async def test_nobody_there_and_no_cloud_there_are_told_apart(unused_tcp_port):
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with Client(url) as client:
        with pytest.raises(Retryable, match=r"cannot be reached: no connection to 127.0.0.1 port \d+: Connection refu"):
            await opened(client, url)

    async def serve(reader, writer):
        await request_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    async with scripted_server(serve) as (port, _), Client(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(Retryable, match="answered something unexpected"):
            await opened(client, f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("token", ["a\r\nEvil: 1", "a\x00", "密"])
async def test_a_token_that_cannot_be_sent_ends_no_more_than_the_session(token):
    async with uvicorn_server(cloud_app(token)) as port, Client(f"http://127.0.0.1:{port}") as client:
        requests = await opened(client, f"http://127.0.0.1:{port}")
        with pytest.raises(Retryable, match="answered something unexpected"):
            await requests.send(Lane.URGENT, [b"block"])


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (b'{"detail": "the database is away"}', "answered 503: the database is away$"),
        (b"<html>" + b"x" * 100_000, "answered 503$"),
    ],
)
async def test_the_cloud_s_own_words_are_passed_on_and_a_long_page_is_not(page, said):
    async with uvicorn_server(cloud_app(page=page)) as port, Client(f"http://127.0.0.1:{port}") as client:
        requests = await opened(client, f"http://127.0.0.1:{port}")
        with pytest.raises(Busy, match=said):
            await requests.send(Lane.URGENT, [b"block"])


NOW = 1_795_000_000


@pytest.mark.parametrize(
    ("header", "utc_ns", "told_s"),
    [
        ("7", None, 7.0),
        ("0.5", None, 0.5),
        ("-3", None, 0.0),
        ("nan", None, None),
        ("1e999", None, None),
        ("soon", NOW * 10**9, None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", NOW * 10**9, None),
        (formatdate(NOW + 90, usegmt=True), NOW * 10**9, 90.0),
        (formatdate(NOW - 90, usegmt=True), NOW * 10**9, 0.0),
        (formatdate(NOW + 90, usegmt=True), None, None),
        (None, NOW * 10**9, None),
    ],
)
async def test_retry_after_is_understood_as_seconds_and_as_a_date_of_the_clouds_time(header, utc_ns, told_s):
    async def serve(reader, writer):
        await request_of(reader)
        after = f"Retry-After: {header}\r\n" if header is not None else ""
        writer.write(f"HTTP/1.1 503 Away\r\n{after}Content-Length: 0\r\n\r\n".encode())

    async with scripted_server(serve) as (port, _), Client(f"http://127.0.0.1:{port}") as client:
        requests = Requests(client, f"http://127.0.0.1:{port}", lambda: utc_ns)
        requests.token = "good"
        with pytest.raises(Busy) as told:
            await requests.send(Lane.URGENT, [b"block"])
        assert told.value.after_s == (pytest.approx(told_s, abs=0.01) if told_s else told_s)


async def test_a_large_block_has_the_time_that_a_slow_link_takes_for_it(monkeypatch):
    monkeypatch.setattr(session, "BLOCKS_TIMEOUT_S", 0.1)

    async def serve(reader, writer):
        await request_of(reader)
        await asyncio.sleep(0.3)
        writer.write(b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n")

    async with scripted_server(serve) as (port, _), Client(f"http://127.0.0.1:{port}") as client:
        requests, blocks = Requests(client, f"http://127.0.0.1:{port}"), [bytes(2000)]
        requests.token = "good"
        with pytest.raises(Busy):
            await requests.send(Lane.BULK, blocks, BulkPace(lambda: asyncio.sleep(0)))
        with pytest.raises(Retryable, match="no whole answer within"):
            await requests.send(Lane.URGENT, blocks)


async def test_a_proxy_in_clear_that_wants_a_login_is_said_as_such():
    async def serve(reader, writer):
        await request_of(reader)
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    async with scripted_server(serve) as (port, _):
        way = HttpProxy.at(f"http://127.0.0.1:{port}")
        async with Client("http://anju.example", proxy=way) as client:
            requests = Requests(client, "http://anju.example")
            requests.token = "good"
            with pytest.raises(Retryable, match=r"the proxy 127.0.0.1:\d+ answered 407; it wants a login"):
                await requests.send(Lane.URGENT, [b"block"])
