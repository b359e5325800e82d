"""Where boxes post their blocks."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

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
MAX_WAITING = 256
"""Requests of a lane that may wait for their turn; more are told to come back, since the boxes are the buffer."""
MAX_WAITING_BYTES = 128 << 20
"""What has come of their bodies together. What is only announced takes no room: it may never come."""
SMALL_BYTES = 64 << 10
"""A request up to this size comes in whatever the others hold: an alarm is one."""
MAX_PER_S = 50
"""Requests that a box may make in a second: one that is mad, or two of one identity, must not keep the others out."""
BODY_S = 120.0
"""As long as a box on a slow mobile link may take to send a full request."""


class TooLargeError(AnjuError):
    """A request over the limit."""


async def read_body(request: Request, limit: int, came: Callable[[int], None] = lambda _: None) -> bytes:
    """A request's body; `came` is told the bytes of each part, and may raise. Raises TooLargeError as soon as it is
    longer than `limit`, having kept no more than that, and Retryable when its sender goes away.
    """
    if int(request.headers.get("Content-Length", "0") or 0) > limit:
        raise TooLargeError(f"a request may have {limit} bytes")
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise TooLargeError(f"a request may have {limit} bytes")
            came(len(part))
            parts.append(part)
    except ClientDisconnect as e:
        raise Retryable("the box went away while it was sending") from e
    return b"".join(parts)


class Place:
    """A request that was let in: how much of it has come, and its turn to be stored."""

    def __init__(self, turns: "Turns", turn: asyncio.Semaphore) -> None:
        self._turns = turns
        self.turn = turn
        self.bytes = 0

    def came(self, size: int) -> None:
        """So many more bytes have come. Raises Retryable where there is no room for them."""
        self.bytes += size
        self._turns.bytes += size
        if self.bytes > SMALL_BYTES and self._turns.bytes > MAX_WAITING_BYTES:
            raise Retryable("too many boxes at once", after_s=5)


class Turns:
    """Who may store now: so many requests a lane at a time, so that a backlog after an outage holds up no alarm.

    A box has one request in flight a stream; a second one is an earlier life of it, or two boxes of one identity.
    """

    def __init__(self, at_once: int) -> None:
        self._turn = asyncio.Semaphore(at_once)
        self._boxes: set[UUID] = set()
        self.bytes = 0
        self._second = 0.0
        self._in_second: Counter[UUID] = Counter()

    @asynccontextmanager
    async def admit(self, gateway: UUID) -> AsyncIterator[Place]:
        """Lets a request in, before its body is read. Raises Retryable where there are too many."""
        if gateway in self._boxes:
            raise Retryable("an earlier request of this box is still being stored", after_s=1)
        if len(self._boxes) >= MAX_WAITING:
            raise Retryable("too many boxes at once", after_s=5)
        self._count(gateway)
        self._boxes.add(gateway)
        place = Place(self, self._turn)
        try:
            yield place
        finally:
            self._boxes.discard(gateway)
            self.bytes -= place.bytes

    def _count(self, gateway: UUID) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._second >= 1:
            self._second = now
            self._in_second.clear()
        self._in_second[gateway] += 1
        if self._in_second[gateway] > MAX_PER_S:
            raise Retryable(f"a box may make {MAX_PER_S} requests a second", after_s=1)


def router(ingest: Ingest, authenticate: Authenticate, at_once: int) -> APIRouter:
    """The routes; `at_once` urgent requests are stored at a time, bulk in groups; up to MAX_WAITING each are let in."""
    routes = APIRouter()
    turns = {Lane.URGENT: Turns(at_once), Lane.BULK: Turns(MAX_WAITING)}

    async def take(request: Request, stream: Lane) -> Response:
        gateway = await authenticate(request)
        async with turns[stream].admit(gateway.id) as place:
            ingest.admit(gateway.id, stream)
            try:
                async with asyncio.timeout(BODY_S):
                    body = await read_body(request, MAX_REQUEST_BYTES, place.came)
            except TimeoutError as e:
                raise Retryable(f"the request did not come within {BODY_S:g} s") from e
            async with place.turn:
                reply = await ingest.take(gateway.id, gateway.estate, stream, body)
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
