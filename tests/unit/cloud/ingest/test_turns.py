"""Who may store now."""

import asyncio
from uuid import uuid4

import pytest

from cloud.ingest.routes import MAX_WAITING, Turns
from contract.errors import Retryable


async def test_a_box_has_one_request_in_flight() -> None:
    turns, box = Turns(3), uuid4()
    async with turns.admit(box):
        with pytest.raises(Retryable, match="earlier request"):
            async with turns.admit(box):
                pass
    async with turns.admit(box):
        pass


async def test_too_many_boxes_are_sent_away_before_their_bodies_are_read() -> None:
    turns, release = Turns(3), asyncio.Event()

    async def occupy() -> None:
        async with turns.admit(uuid4()):
            await release.wait()

    tasks = [asyncio.create_task(occupy()) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Retryable, match="too many boxes"):
        async with turns.admit(uuid4()):
            pass
    release.set()
    await asyncio.gather(*tasks)
    async with turns.admit(uuid4()):
        pass
