"""The stream of wake-ups (server-sent events): one a browser, shared between its tabs by live-worker.js."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from cloud.console.live.hub import ClosedError, Hub
from cloud.console.web import Web

BEAT_S = 10.0
"""A page that hears nothing for two and a half beats says that it is not live."""
APART_S = 0.1
"""Least time between two wake-ups of a stream: the first goes at once, a burst is joined behind it."""
MOST_TOPICS = 64
_TOPIC = re.compile(r"[a-z]{1,20}(:[A-Za-z0-9-]{1,40})?")


def router(pages: Web, hub: Hub, *, beat_s: float = BEAT_S) -> APIRouter:
    """The stream. `beat_s` is shorter in tests."""
    routes = APIRouter()

    @routes.get("/live")
    async def live(request: Request, topics: Annotated[str, Query(max_length=4000)] = "") -> Response:
        wanted = {topic for topic in topics.split(",") if _TOPIC.fullmatch(topic)}
        if len(wanted) > MOST_TOPICS:
            raise HTTPException(400, "topics")
        # Not the signed-in dependency: a stream is told that the session ended, it is not sent to the login page.
        if await pages.identity.person(request) is None:
            return Response(status_code=204)  # EventSource gives up on 204, and tries for ever on anything else
        return StreamingResponse(
            stream(request, pages, hub, wanted, beat_s),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return routes


async def stream(request: Request, pages: Web, hub: Hub, topics: set[str], beat_s: float) -> AsyncIterator[str]:
    """Events `hello`, `change` (topics, comma-separated), `beat` (server's Unix time in ms), `bye` (session over).

    The rights are asked for again at each beat, so that a stream outlives its session by one beat at most.
    """
    loop = asyncio.get_running_loop()
    with hub.subscribe(topics) as subscription:
        yield f"retry: 2000\n{_event('hello', _ms(pages.now()))}"
        beat_at = loop.time() + beat_s
        try:
            while True:
                changed = await subscription.wait(max(0.0, beat_at - loop.time()))
                if changed:
                    yield _event("change", ",".join(sorted(changed)))
                    await asyncio.sleep(APART_S)
                if loop.time() >= beat_at:
                    if await pages.identity.person(request) is None:
                        yield _event("bye", "")
                        return
                    yield _event("beat", _ms(pages.now()))
                    beat_at = loop.time() + beat_s
        except ClosedError:
            return


def _ms(at: datetime) -> str:
    return str(int(at.timestamp() * 1000))


def _event(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n\n"
