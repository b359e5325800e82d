"""Where a box listens for its orders."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from cloud.commands.commands import Commands
from cloud.store.gateways import Gateway
from contract.session import DOWN_PATH

Authenticate = Callable[[Request], Awaitable[Gateway]]


def router(commands: Commands, authenticate: Authenticate) -> APIRouter:
    """The down stream: newline-delimited JSON that ends with the box's session."""
    routes = APIRouter()

    @routes.get(DOWN_PATH)
    async def down(request: Request) -> Response:
        """A line a command, an empty line as heartbeat."""
        gateway = await authenticate(request)
        lines = commands.down(gateway.id, lambda: authenticate(request))
        return StreamingResponse(lines, media_type="application/x-ndjson", headers={"X-Accel-Buffering": "no"})

    return routes
