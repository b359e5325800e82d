"""A place for a box from which the cloud cannot be reached until it is healed: a network namespace of its own.

Where this machine gives no namespace (no root), the cloud itself is away instead, and everything else is the same.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.support.fake_cloud import FakeCloud
from tests.support.namespace import inside, ip, remove


class Away:
    """The cloud is away. `prefix` goes before every command that is to run in this place."""

    prefix: tuple[str, ...] = ()
    is_namespace = False

    def __init__(self, cloud: FakeCloud) -> None:
        self._cloud = cloud
        self.url = cloud.url

    async def cut(self) -> None:
        await self._cloud.stop()

    async def heal(self) -> None:
        await self._cloud.start()


class Namespace(Away):
    """A network namespace, joined to this one by a cable that can be pulled."""

    is_namespace = True

    def __init__(self, cloud: FakeCloud, name: str, address: str, port: int) -> None:
        super().__init__(cloud)
        self.prefix = inside(name)
        self.url = f"http://{address}:{port}"

    async def cut(self) -> None:
        await ip("link", "set", "box", "down", place=self.prefix)

    async def heal(self) -> None:
        await ip("link", "set", "box", "up", place=self.prefix)


@asynccontextmanager
async def cut_off_place(cloud: FakeCloud) -> AsyncIterator[Away]:
    """A place from which the cloud cannot be reached yet; the cloud's own address there is `url`."""
    number = os.getpid() % 16000
    name, here = f"anju-{number}", f"anju-{number}h"
    address, box = (f"198.18.{number // 64}.{number % 64 * 4 + part}" for part in (1, 2))  # for tests: RFC 2544
    made = Away(cloud)
    try:
        await ip("netns", "add", name)
        await ip("link", "add", here, "type", "veth", "peer", "name", "box", "netns", name)
        await ip("addr", "add", f"{address}/30", "dev", here)
        await ip("link", "set", here, "up")
        await ip("addr", "add", f"{box}/30", "dev", "box", place=inside(name))
        await ip("link", "set", "lo", "up", place=inside(name))
        server = await asyncio.start_server(_forward_to(cloud), address, 0)
    except OSError:
        await remove(name)
        await made.cut()
        yield made
        return
    try:
        yield Namespace(cloud, name, address, server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await remove(name)


def _forward_to(cloud: FakeCloud):
    """Serves the cloud of this machine at another address."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = cloud.url.removeprefix("http://").split(":")
        try:
            up_reader, up_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.close()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, up_writer))
                group.create_task(_copy(up_reader, writer))
        finally:
            writer.close()
            up_writer.close()

    return forward


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
