"""Caddy, haproxy and Mosquitto, the real ones, run with the configuration that deploy/compose gives them."""

import asyncio
import contextlib
import datetime as dt
import io
import os
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from contract.session import BEAT_PATH, DOWN_PATH, MAX_REQUEST_BYTES
from tests.support.certificates import certificates

COMPOSE = Path(__file__).resolve().parents[2] / "deploy/compose"


def tool(name: str) -> str:
    """Path of a Debian program, also of one in /usr/sbin when the person testing is not root."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        pytest.fail(f"{name} is missing; `make test-servers` installs it")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def anybody() -> ssl.SSLContext:
    """A client's TLS that takes any certificate: those of these tests are self-signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def listening(process: asyncio.subprocess.Process, port: int) -> None:
    """Returns once `port` speaks TLS for localhost; fails when the process ends first or ten seconds pass."""
    async with asyncio.timeout(10):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=anybody(), server_hostname="localhost")
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.transport.abort()
                return
    pytest.fail(f"the server ended with {process.returncode} before it listened")


@contextlib.asynccontextmanager
async def running(*command: str, port: int, **environment: str) -> AsyncIterator[None]:
    """The server `command` while the block runs; pytest shows its output when a test fails."""
    process = await asyncio.create_subprocess_exec(*command, env=os.environ | environment)
    try:
        await listening(process, port)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


# Caddy: one instance a test, in front of a backend of the test's own.


@pytest.fixture
async def proxied(tmp_path: Path) -> AsyncIterator[tuple[aiohttp.ClientSession, asyncio.Event]]:
    """A client of the real Caddy with our Caddyfile before a backend of this test, and the stream's next event."""
    go_on = asyncio.Event()

    async def echo(request: web.Request) -> web.Response:
        return web.json_response({"for": request.headers["X-Forwarded-For"], "size": len(await request.read())})

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await go_on.wait()
        await response.write(b"data: 2\n\n")
        return response

    app = web.Application(client_max_size=2**30)
    app.router.add_get("/live", stream)
    app.router.add_get(DOWN_PATH, stream)
    app.router.add_route("*", "/{rest:.*}", echo)
    backend, front, plain = free_port(), free_port(), free_port()
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", backend).start()
    here = {
        "DOMAIN": f"https://localhost:{front}", "TLS": "internal", "UPSTREAM": f"127.0.0.1:{backend}",
        "HTTP_PORT": str(plain), "HTTPS_PORT": str(front),
        "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path),
    }  # fmt: skip
    command = (tool("caddy"), "run", "--config", str(COMPOSE / "Caddyfile"), "--adapter", "caddyfile")
    try:
        async with (
            running(*command, port=front, **here),
            aiohttp.ClientSession(
                f"https://localhost:{front}", connector=aiohttp.TCPConnector(ssl=False), auto_decompress=False
            ) as client,
        ):
            yield client, go_on
    finally:
        go_on.set()
        await runner.cleanup()


async def test_caddy_hides_forged_addresses_and_the_metrics(proxied) -> None:
    client, _ = proxied
    async with client.get("/page", headers={"X-Forwarded-For": "6.6.6.6"}) as response:
        assert (await response.json())["for"] in {"127.0.0.1", "::1"}
        assert response.headers["Strict-Transport-Security"].startswith("max-age=")
        assert "Server" not in response.headers or "Caddy" not in response.headers["Server"]
    async with client.get("/metrics") as response:
        assert response.status == 404


async def test_caddy_adds_nothing_to_a_boxs_answers_that_it_would_pay_for(proxied) -> None:
    client, _ = proxied
    async with client.post(BEAT_PATH, data=b"{}") as response:
        assert response.headers.keys() <= {"Content-Type", "Content-Length", "Date"}


@pytest.mark.parametrize("path", ["/live", DOWN_PATH])
async def test_caddy_passes_each_event_of_a_stream_at_once(proxied, path) -> None:
    client, go_on = proxied
    async with client.get(path, headers={"Accept-Encoding": "gzip"}) as response:
        assert "Content-Encoding" not in response.headers
        async with asyncio.timeout(5):
            assert await response.content.readuntil(b"\n\n") == b"data: 1\n\n"
            go_on.set()
            assert await response.content.readuntil(b"\n\n") == b"data: 2\n\n"


async def test_caddy_bounds_what_is_sent(proxied) -> None:
    client, _ = proxied
    block = bytes(MAX_REQUEST_BYTES)  # the largest request that the cloud itself would take
    async with client.post("/edge/v1/blocks", data=io.BytesIO(block)) as response:
        assert (await response.json())["size"] == len(block)
    for path, size in (("/edge/v1/blocks", 6_500_000), ("/login", 1_200_000)):
        async with client.post(path, data=io.BytesIO(bytes(size))) as response:
            assert response.status >= 400


# haproxy, for the boxes


@pytest.fixture
async def box_front(tmp_path: Path) -> AsyncIterator[tuple[aiohttp.ClientSession, int, asyncio.Event]]:
    """A client of the real haproxy with our configuration before a backend of this test, its port, and the stream's
    next line.
    """
    go_on = asyncio.Event()

    async def echo(request: web.Request) -> web.Response:
        told = {name: request.headers.getall(name) for name in ("X-Forwarded-For", "X-Forwarded-Proto")}
        return web.json_response(told | {"size": len(await request.read())})

    async def down(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"\n")
        await go_on.wait()
        await response.write(b"order\n")
        return response

    app = web.Application(client_max_size=2**30)
    app.router.add_get("/edge/v1/down", down)
    app.router.add_route("*", "/{rest:.*}", echo)
    backend, front = free_port(), free_port()
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", backend).start()
    _, certificate, key = certificates(tmp_path)
    (tmp_path / "both.pem").write_bytes(certificate.read_bytes() + key.read_bytes())
    here = {
        "CERTIFICATE": str(tmp_path / "both.pem"), "LISTEN": f"127.0.0.1:{front}", "UPSTREAM": f"127.0.0.1:{backend}",
        "MOST_CONNECTIONS": "100",
    }  # fmt: skip
    try:
        async with (
            running(tool("haproxy"), "-db", "-f", str(COMPOSE / "haproxy.cfg"), port=front, **here),
            aiohttp.ClientSession(f"https://localhost:{front}", connector=aiohttp.TCPConnector(ssl=False)) as client,
        ):
            yield client, front, go_on
    finally:
        go_on.set()
        await runner.cleanup()


async def test_the_boxes_front_serves_boxes_only_and_says_who_they_are(box_front) -> None:
    client, _, _ = box_front
    forged = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "http"}
    async with client.post("/edge/v1/beat", data=b"x", headers=forged) as response:
        assert await response.json() == {"X-Forwarded-For": ["127.0.0.1"], "X-Forwarded-Proto": ["https"], "size": 1}
    for path in ("/", "/login", "/metrics", "/healthz", "/edge/v1", "/edge/v2/beat"):
        async with client.get(path) as response:
            assert response.status == 404, path


async def test_the_boxes_front_passes_each_line_at_once(box_front) -> None:
    client, _, go_on = box_front
    async with client.get("/edge/v1/down") as response, asyncio.timeout(5):
        assert await response.content.readline() == b"\n"
        go_on.set()
        assert await response.content.readline() == b"order\n"


async def test_the_boxes_front_bounds_what_is_sent(box_front) -> None:
    client, _, _ = box_front
    block = bytes(MAX_REQUEST_BYTES)
    async with client.post("/edge/v1/blocks/bulk", data=io.BytesIO(block)) as response:
        assert (await response.json())["size"] == len(block)
    with contextlib.suppress(aiohttp.ClientOSError):  # it may hang up before it was heard
        async with client.post("/edge/v1/blocks/bulk", data=io.BytesIO(bytes(6_500_000))) as response:
            assert response.status == 413


async def test_the_boxes_front_speaks_no_old_tls(box_front) -> None:
    _, port, _ = box_front
    old = anybody()
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", port, ssl=old, server_hostname="localhost")


# Mosquitto


def self_signed(folder: Path) -> None:
    """A certificate and its key for localhost, as the files that the broker's configuration names."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "mqtt_tls_cert").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "mqtt_tls_key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def field(text: str) -> bytes:
    return len(text).to_bytes(2) + text.encode()


async def connect(port: int, *login: str) -> int:
    """The return code of an MQTT 3.1.1 CONNECT over TLS: 0 accepted, 5 not authorised."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=anybody())
    flags = 0xC2 if login else 0x02  # user name and password, clean session
    body = field("MQTT") + bytes([4, flags, 0, 10]) + field("test") + b"".join(map(field, login))
    writer.write(bytes([0x10, len(body)]) + body)
    answer = await reader.readexactly(4)
    writer.transport.abort()
    assert answer[0] == 0x20
    return answer[3]


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[int]:
    """The port of the real Mosquitto with our configuration, its paths and port put under this test's."""
    self_signed(tmp_path)
    make_user = (tool("mosquitto_passwd"), "-b", "-c", str(tmp_path / "mqtt_passwords"), "anju", "geheim")
    assert await (await asyncio.create_subprocess_exec(*make_user)).wait() == 0
    port = free_port()
    text = (COMPOSE / "mosquitto/mosquitto.conf").read_text()
    for theirs, ours in (
        ("/run/secrets/", f"{tmp_path}/"), ("/mosquitto/data/", f"{tmp_path}/"),
        ("/mosquitto/config/acl", str(COMPOSE / "mosquitto/acl")), ("listener 8883", f"listener {port} 127.0.0.1"),
    ):  # fmt: skip
        assert theirs in text
        text = text.replace(theirs, ours)
    config = tmp_path / "mosquitto.conf"
    # Started by root it would become a user who may not read this test's folder.
    config.write_text(text + ("user root\n" if os.geteuid() == 0 else ""))
    async with running(tool("mosquitto"), "-c", str(config), port=port):
        yield port


async def test_the_broker_refuses_who_has_no_password(broker: int) -> None:
    assert await connect(broker) == 5
    assert await connect(broker, "anju", "falsch") == 5
    assert await connect(broker, "anju", "geheim") == 0
