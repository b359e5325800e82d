"""A request's body: no more of it than is allowed, and a sender that goes away is no fault of ours."""

import pytest
from starlette.requests import Request

from cloud.ingest.routes import TooLargeError, read_body
from contract.errors import Retryable


def request(*messages: dict) -> Request:
    said = iter(messages)

    async def receive() -> dict:
        return next(said)

    return Request({"type": "http", "headers": []}, receive)


def part(body: bytes, *, more: bool = True) -> dict:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_comes_in_parts():
    assert await read_body(request(part(b"ab"), part(b"c", more=False)), 3) == b"abc"


async def test_a_body_without_a_length_is_cut_off_at_the_limit():
    with pytest.raises(TooLargeError):
        await read_body(request(part(b"ab"), part(b"cd"), part(b"never asked for")), 3)


async def test_a_box_that_is_killed_while_it_sends_is_told_to_come_back():
    with pytest.raises(Retryable, match="went away"):
        await read_body(request(part(b"ab"), {"type": "http.disconnect"}), 3)
