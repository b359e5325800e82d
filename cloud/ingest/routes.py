"""Where boxes post their blocks."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from fastapi import APIRouter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from cloud.ingest.ingest import Ingest
from cloud.store.gateways import Gateway
from contract.errors import AnjuError, Retryable
from contract.kinds import Lane
from contract.session import MAX_REQUEST_BYTES, blocks_path

Authenticate = Callable[[Request], Awaitable[Gateway]]
"""The box of a request's token. Raises what the caller maps to 401."""
MAX_WAITING = 64
"""Requests that may wait for a database connection; more are told to come back, since the boxes are the buffer."""


class TooLargeError(AnjuError):
    """A request over the limit."""


async def read_body(request: Request, limit: int) -> bytes:
    """A request's body. Raises TooLargeError as soon as it is longer than `limit`, having kept no more than that, and
    Retryable when its sender goes away.
    """
    if int(request.headers.get("Content-Length", "0") or 0) > limit:
        raise TooLargeError(f"a request may have {limit} bytes")
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise TooLargeError(f"a request may have {limit} bytes")
            parts.append(part)
    except ClientDisconnect as e:
        raise Retryable("the box went away while it was sending") from e
    return b"".join(parts)


def router(ingest: Ingest, authenticate: Authenticate, at_once: int) -> APIRouter:
    """The routes; `at_once` requests are stored at a time, up to MAX_WAITING wait for their turn."""
    routes = APIRouter()
    turn = asyncio.Semaphore(at_once)
    waiting = 0

    async def take(request: Request, stream: Lane) -> Response:
        nonlocal waiting
        gateway = await authenticate(request)
        if waiting >= MAX_WAITING:
            raise Retryable("too many boxes at once", after_s=5)
        body = await read_body(request, MAX_REQUEST_BYTES)
        waiting += 1
        try:
            async with turn:
                reply = await ingest.take(gateway.id, gateway.estate, stream, body)
        finally:
            waiting -= 1
        return Response(msgspec.json.encode(reply), media_type="application/json")

    @routes.post(blocks_path(Lane.URGENT))
    async def urgent(request: Request) -> Response:
        """Blocks of the urgent stream."""
        return await take(request, Lane.URGENT)

    @routes.post(blocks_path(Lane.BULK))
    async def bulk(request: Request) -> Response:
        """Blocks of the bulk stream."""
        return await take(request, Lane.BULK)

    return routes
