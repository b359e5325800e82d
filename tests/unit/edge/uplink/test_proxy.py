"""The way to the cloud through a proxy that wants a login."""

import asyncio
import base64
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from edge.http.proxy import HttpProxy
from tests.support.fake_cloud import FakeCloud
from tests.support.waiting import eventually
from tests.unit.edge.outbox.examples import state
from tests.unit.edge.uplink.test_uplink import box, delivered

LOGIN = "Basic " + base64.b64encode(b"estate:s3cret").decode()


@asynccontextmanager
async def forward_proxy(seen: list[str]):
    """An HTTP proxy that passes on requests of who is logged in, and connects them; notes what each said of itself."""

    async def pipe(reader, writer):
        try:
            while part := await reader.read(65536):
                writer.write(part)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            writer.close()
            return
        line, _, fields = head.decode("latin-1").partition("\r\n")
        method, url, version = line.split(" ")
        login = next((f[21:] for f in fields.split("\r\n") if f.lower().startswith("proxy-authorization: ")), "")
        seen.append(login)
        if login != LOGIN:
            writer.write(
                b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            writer.close()
            return
        if method == "CONNECT":
            host, _, port = url.rpartition(":")
            up_reader, up_writer = await asyncio.open_connection(host, port)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(pipe(reader, up_writer), pipe(up_reader, writer))
            return
        target = urlsplit(url)
        up_reader, up_writer = await asyncio.open_connection(target.hostname, target.port)
        # One request a connection: what comes next on it would need its own line rewritten.
        fields = "\r\n".join(f for f in fields.split("\r\n") if not f.lower().startswith(("connection:", "proxy-")))
        up_writer.write(f"{method} {target.path} {version}\r\nConnection: close\r\n{fields}".encode("latin-1"))
        await asyncio.gather(pipe(reader, up_writer), pipe(up_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def test_all_goes_through_a_proxy_with_its_login(tmp_path):
    seen: list[str] = []
    async with forward_proxy(seen) as url, FakeCloud() as cloud:
        proxy = HttpProxy.at(url, "estate", "s3cret")
        async with box(tmp_path / "box", cloud, proxy=proxy) as outbox:
            await outbox.put([state("smoke", 1)])
            await delivered(outbox)
    assert len(seen) >= 3
    assert set(seen) == {LOGIN}


async def test_a_wrong_login_is_said_and_the_box_goes_on(tmp_path):
    seen: list[str] = []
    async with forward_proxy(seen) as url, FakeCloud() as cloud:
        proxy = HttpProxy.at(url, "estate", "wrong")
        async with box(tmp_path / "box", cloud, proxy=proxy) as outbox:
            await outbox.put([state("smoke", 1)])
            await eventually(lambda: "407" in outbox.uplink.status.problem)
            assert "wrong" not in outbox.uplink.status.problem
            assert outbox.status("urgent").pending_blocks > 0
