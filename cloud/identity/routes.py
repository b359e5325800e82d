"""Where boxes enrol and open sessions."""

import time
from typing import TypeVar
from uuid import UUID

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from cloud.identity.beats import Beats
from cloud.identity.gateways import Gateways, NotAuthenticError, NotUnderstoodError, TooLongError
from cloud.store.gateways import Gateway
from contract.decoding import from_json
from contract.session import (
    BEAT_PATH,
    CHALLENGE_PATH,
    ENROL_PATH,
    NOTHING_TO_TELL,
    SESSION_PATH,
    Beat,
    ChallengeReply,
    ChallengeRequest,
    EnrolRequest,
    SessionRequest,
)

M = TypeVar("M", bound=msgspec.Struct)
_MAX_BYTES = 16 << 10
_MAX_BEAT_BYTES = 128 << 10
"""A report of many buses with many troubles is longer."""


async def _decode(request: Request, model: type[M], most: int = _MAX_BYTES) -> M:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise TooLongError(f"a request may have {most} bytes")
    try:
        return from_json(bytes(body), model)
    except msgspec.DecodeError as e:
        raise NotUnderstoodError(f"the request makes no sense: {e}") from e


def _json(message: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(message), media_type="application/json", headers={"Cache-Control": "no-store"})


async def authenticate(gateways: Gateways, request: Request) -> Gateway:
    """The box of a request's bearer token. Raises NotAuthenticError."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    gateway = await gateways.authenticate(token) if scheme == "Bearer" and token else None
    if gateway is None:
        raise NotAuthenticError("the session has ended; open a new one")
    return gateway


def router(gateways: Gateways, beats: Beats) -> APIRouter:
    """The routes by which a box comes to a session and keeps it alive."""
    routes = APIRouter()

    @routes.post(ENROL_PATH)
    async def enrol(request: Request) -> Response:
        """Registers a box's key against a claim."""
        asked = await _decode(request, EnrolRequest)
        return _json(await gateways.enrol(asked, request.client.host if request.client else ""))

    @routes.post(CHALLENGE_PATH)
    async def challenge(request: Request) -> Response:
        """A nonce to sign."""
        asked = await _decode(request, ChallengeRequest)
        return _json(ChallengeReply(await gateways.challenge(_gateway_id(asked.gateway))))

    @routes.post(SESSION_PATH)
    async def session(request: Request) -> Response:
        """A session for a signed nonce; the answer's time is taken last, so that the box's estimate is close."""
        asked = await _decode(request, SessionRequest)
        _gateway_id(asked.gateway)
        reply = await gateways.open_session(asked)
        return _json(msgspec.structs.replace(reply, time_ns=time.time_ns()))

    @routes.post(BEAT_PATH)
    async def beat(request: Request) -> Response:
        """A sign of life."""
        gateway = await authenticate(gateways, request)
        reply = beats.take(gateway, await _decode(request, Beat, _MAX_BEAT_BYTES))
        # Most beats have nothing to be told, and a box may pay for each byte.
        return _json(reply) if reply != NOTHING_TO_TELL else Response(status_code=204)

    return routes


def _gateway_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotAuthenticError("this is no gateway's id") from None
