"""The real cloud on a free port of this machine, in this process, and a box that talks to it.

async with running_cloud(database.url) as cloud:
    box = await cloud.enrolled_box()
    await box.open_session()
    await box.post(Lane.URGENT, block)
"""

import asyncio
import io
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import aiohttp
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cloud.main import Cloud, http_server
from cloud.settings import Settings
from cloud.store import Database, people
from contract.kinds import Lane
from contract.messages import Command
from contract.session import (
    CHALLENGE_PATH,
    DOWN_PATH,
    ENROL_PATH,
    SESSION_PATH,
    BlocksReply,
    ChallengeReply,
    ChallengeRequest,
    EnrolReply,
    EnrolRequest,
    SessionReply,
    SessionRequest,
    blocks_path,
    join_blocks,
    signed_text,
)

PASSWORD = "a long enough password"


@dataclass
class Answer:
    """A response, read whole."""

    status: int
    headers: "aiohttp.typedefs.LooseHeaders"
    body: bytes

    def json(self) -> dict:
        return msgspec.json.decode(self.body)


@dataclass
class Box:
    """A box with its key. `gateway` is empty until it has enrolled, `token` until it has a session."""

    cloud: "RunningCloud"
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    gateway: str = ""
    estate: int = 0
    token: str = ""

    async def enrol(self, claim: str, **changes: object) -> Answer:
        asked = EnrolRequest(claim, self.key.public_key().public_bytes_raw(), "box", "0.1.0")
        answer = await self.cloud.post(ENROL_PATH, msgspec.json.encode(msgspec.structs.replace(asked, **changes)))
        if answer.status == 200:
            reply = msgspec.json.decode(answer.body, type=EnrolReply)
            self.gateway, self.estate = reply.gateway, int(reply.estate)
        return answer

    async def challenge(self) -> bytes:
        answer = await self.cloud.post(CHALLENGE_PATH, msgspec.json.encode(ChallengeRequest(self.gateway)))
        assert answer.status == 200
        return msgspec.json.decode(answer.body, type=ChallengeReply).nonce

    async def try_session(self, nonce: bytes, audience: str | None = None) -> Answer:
        """Signs a nonce, for this cloud unless told otherwise."""
        signature = self.key.sign(signed_text(self.gateway, nonce, audience or self.cloud.url))
        asked = SessionRequest(self.gateway, nonce, signature, "0.1.0")
        return await self.cloud.post(SESSION_PATH, msgspec.json.encode(asked))

    async def open_session(self) -> SessionReply:
        answer = await self.try_session(await self.challenge())
        assert answer.status == 200, answer.body
        reply = msgspec.json.decode(answer.body, type=SessionReply)
        self.token = reply.token
        return reply

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    async def try_post(self, stream: Lane, *blocks: bytes) -> Answer:
        return await self.cloud.post(blocks_path(stream), join_blocks(blocks), self.headers)

    async def post(self, stream: Lane, *blocks: bytes) -> BlocksReply:
        answer = await self.try_post(stream, *blocks)
        assert answer.status == 200, answer.body
        return msgspec.json.decode(answer.body, type=BlocksReply)

    @asynccontextmanager
    async def down(self) -> AsyncIterator["DownStream"]:
        """The down stream, after its first heartbeat."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=10)
        async with self.cloud.client.get(self.cloud.url + DOWN_PATH, headers=self.headers, timeout=timeout) as response:
            assert response.status == 200
            yield DownStream(response)


@dataclass
class DownStream:
    """What comes down to a box."""

    response: aiohttp.ClientResponse

    async def line(self) -> bytes | None:
        """The next line without its end, empty for a heartbeat; None when the stream has ended."""
        line = await self.response.content.readline()
        return line.rstrip(b"\n") if line else None

    async def command(self) -> Command:
        """The next command; heartbeats are passed over."""
        while True:
            line = await self.line()
            assert line is not None, "the stream ended"
            if line:
                return msgspec.json.decode(line, type=Command)


@dataclass
class RunningCloud:
    """One process of the cloud, as a test sees it."""

    cloud: Cloud
    database: Database
    url: str
    client: aiohttp.ClientSession

    async def request(self, method: str, path: str, **how: object) -> Answer:
        """One request; redirections are not followed."""
        if isinstance(how.get("data"), bytes):
            how["data"] = io.BytesIO(how["data"])  # what aiohttp asks for above a megabyte
        async with self.client.request(method, self.url + path, allow_redirects=False, **how) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        return await self.request("GET", path, headers=headers)

    async def post(self, path: str, data: object = b"", headers: dict[str, str] | None = None) -> Answer:
        return await self.request("POST", path, data=data, headers=headers)

    async def rows(self, sql: str, *args: object) -> list[tuple]:
        async with self.database.connect() as connection:
            return [tuple(row) for row in await connection.fetch(sql, *args)]

    async def area(self, name: str = "西苑小区") -> int:
        """An estate, made where there is none of that name."""
        async with self.database.transaction() as connection:
            return await people.put_area(connection, None, "estate", name, "Asia/Shanghai")

    async def person(self, login: str = "wang", role: str = "operator", area: int | str = "西苑小区") -> int:
        """A person who may log in with PASSWORD."""
        return await self.cloud.people.add(login, login, PASSWORD, role, area, "test")

    async def claim(self, area: int | None = None) -> str:
        return await self.cloud.gateways.make_claim(area or await self.area(), "test")

    def box(self) -> Box:
        return Box(self)

    async def enrolled_box(self, area: int | None = None) -> Box:
        box = self.box()
        answer = await box.enrol(await self.claim(area))
        assert answer.status == 200, answer.body
        return box

    async def order(self, box: Box, point: str = "unlock", device: str = "door-0", seconds: int = 5) -> UUID:
        """A person's order to a device of a box; the box must have sent its inventory."""
        ((device_id,),) = await self.rows(
            "SELECT id FROM device WHERE gateway = $1 AND key = $2", UUID(box.gateway), device
        )
        ((person,),) = await self.rows("SELECT id FROM person LIMIT 1")
        return await self.cloud.commands.order(device_id, point, {"seconds": seconds}, [box.estate], person, "test")


@asynccontextmanager
async def running_cloud(
    database_url: str,
    *,
    connections: int = 5,
    heartbeat_s: float = 0.2,
    public_url: str | None = None,
    box_url: str = "",
) -> AsyncIterator[RunningCloud]:
    """One process of the cloud over a database, from its first answer to its orderly stop.

    `public_url` is what it is told of how others reach it, its own address unless told otherwise.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    settings = Settings(database_url, "127.0.0.1", port, public_url or url, "", box_url=box_url)
    async with (
        Database.open(database_url, connections) as database,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client,
    ):
        cloud = Cloud(database, settings, heartbeat_s)
        server = http_server(cloud.app, settings)
        async with cloud.running():
            serving = asyncio.create_task(server.serve([listening]))
            try:
                yield RunningCloud(cloud, database, url, client)
            finally:
                cloud.close_streams()
                server.should_exit = True
                await serving
