"""The stream of wake-ups (server-sent events): one a browser, shared between its tabs by live-worker.js."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

import structlog
from fastapi import APIRouter, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from cloud.console.data import DevicesData
from cloud.console.live.hub import ClosedError, Hub
from cloud.console.live.seats import Seats
from cloud.console.web import Web
from contract.errors import Retryable

log = structlog.get_logger()
BEAT_S = 5.0
"""A page that misses two of them says that it is not live (stream.js)."""
APART_S = 0.1
"""Least time between two wake-ups of a stream: the first goes at once, a burst is joined behind it."""
MOST_TOPICS = 64
MOST_MISSED = 2
"""Beats that may be missed in a row since the database could not say whether the session still holds."""
_TOPIC = re.compile(r"alarms|devices|gateways|incidents|device:[0-9]{1,10}")
_AGAIN_S = 5
_FULL_S = 30


def router(pages: Web, devices: DevicesData, hub: Hub, seats: Seats, *, beat_s: float = BEAT_S) -> APIRouter:
    """The stream. `beat_s` is shorter in tests."""
    routes = APIRouter()

    @routes.get("/live")
    async def live(request: Request, topics: Annotated[str, Query(max_length=4000)] = "") -> Response:
        wanted = frozenset(topic for topic in topics.split(",") if _TOPIC.fullmatch(topic))
        if len(wanted) > MOST_TOPICS:
            raise HTTPException(400, "topics")
        if not hub.alive:
            return _later("away", _AGAIN_S)
        try:
            # Not the signed-in dependency: a stream is told that the session ended, not sent to the login page.
            person = await pages.identity.person(request)
            if person is None:
                return Response(status_code=204)  # EventSource gives up on 204, and tries for ever on anything else
            allowed = await devices.topics(person, wanted)
        except Retryable as e:
            log.warning("cannot begin a stream", problem=str(e))
            return _later("away", _AGAIN_S)
        events = stream(request, pages, devices, hub, wanted, dict(allowed), beat_s)
        return Seated(events, seats, f"{person.id} {person.session}")

    return routes


class Seated(StreamingResponse):
    """A stream that takes a seat for as long as it is sent; 503 where there is none."""

    def __init__(self, events: AsyncIterator[str], seats: Seats, who: str) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self._seats = seats
        self._who = who

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the events until either side ends it."""
        with self._seats.seat(self._who) as seated:
            if seated:
                await super().__call__(scope, receive, send)
                return
        await _later("full", _FULL_S)(scope, receive, send)


def _later(why: str, after_s: int) -> Response:
    """What live.js reads where there is no stream now: `full` or `away`. Retry-After is spread by half."""
    retry = str(round(after_s * random.uniform(1, 1.5)))  # noqa: S311  # spreads load
    return Response(why, 503, {"Retry-After": retry}, media_type="text/plain")


async def stream(
    request: Request, pages: Web, devices: DevicesData, hub: Hub, wanted: frozenset[str], topics: dict[str, str],
    beat_s: float,
) -> AsyncIterator[str]:  # fmt: skip
    """Events `hello`, `change` (names as asked for, comma-separated), `beat` (server's Unix time in ms), `bye`.

    The session and its rights are asked for again at each beat, so that a stream outlives them by one beat at most.
    """
    loop = asyncio.get_running_loop()
    greeting = f"retry: 2000\n{_event('hello', _ms(pages.now()))}"
    beat_at = loop.time() + beat_s
    missed = 0
    allowed = topics
    try:
        while True:
            topics = allowed
            with hub.subscribe(topics) as subscription:
                yield greeting
                while allowed == topics:
                    changed = await subscription.wait(max(0.0, beat_at - loop.time()))
                    if changed:
                        yield _event("change", ",".join(sorted(changed)))
                        await asyncio.sleep(APART_S)
                    if loop.time() < beat_at:
                        continue
                    beat_at = loop.time() + beat_s
                    try:
                        person = await pages.identity.person(request)
                        allowed = dict(await devices.topics(person, wanted)) if person else {}
                    except Retryable as e:
                        missed += 1
                        log.warning("a stream misses a beat", problem=str(e), missed=missed)
                        if missed >= MOST_MISSED:
                            return
                        continue
                    missed = 0
                    if person is None:
                        yield _event("bye", "")
                        return
                    if hub.alive:
                        yield _event("beat", _ms(pages.now()))
            # Other rights than a moment ago: what the page shows may not be what this person may see now.
            greeting = _event("change", ",".join(sorted(wanted)))
    except ClosedError:
        return


def _ms(at: datetime) -> str:
    return str(int(at.timestamp() * 1000))


def _event(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n\n"
