"""A TCP port of a simulated device or converter, and who is connected to it."""

import asyncio
from collections.abc import Callable


class Endpoint:
    """Accepts connections while it is open; `client` makes the protocol that serves one. `connections` counts them."""

    def __init__(self, host: str, port: int, client: Callable[[], "Client"]) -> None:
        self.host, self.port = host, port
        self.connections = 0
        self.clients: set[Client] = set()
        self._client = client
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begins to accept connections; port 0 takes a free one and keeps it. Harmless when already open."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._client, self.host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Closes all connections and accepts no more, as an endpoint without power does."""
        if self._server is not None:
            self._server.close()
            self.cut()
            await self._server.wait_closed()
            self._server = None

    def cut(self) -> None:
        """Closes all connections; new ones are accepted."""
        for client in list(self.clients):
            client.transport.close()


class Client(asyncio.Protocol):
    """One connection to an endpoint."""

    transport: asyncio.Transport

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Is known to the endpoint from now on."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._endpoint.connections += 1
        self._endpoint.clients.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """Is not, any more."""
        self._endpoint.clients.discard(self)
