"""Who may store now."""

import asyncio
from uuid import uuid4

import pytest

from cloud.ingest.routes import MAX_PER_S, MAX_WAITING, MAX_WAITING_BYTES, SMALL_BYTES, Turns
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


async def test_only_what_has_come_takes_room_and_small_requests_come_in_nevertheless() -> None:
    turns = Turns(3)
    async with turns.admit(uuid4()) as large, turns.admit(uuid4()) as alarm, turns.admit(uuid4()) as other:
        large.came(MAX_WAITING_BYTES)
        alarm.came(SMALL_BYTES)
        with pytest.raises(Retryable, match="too many boxes"):
            other.came(SMALL_BYTES + 1)
    async with turns.admit(uuid4()) as again:
        again.came(MAX_WAITING_BYTES)


async def test_a_box_that_asks_without_end_is_slowed_and_no_other() -> None:
    turns, mad = Turns(3), uuid4()
    refused = 0
    for _ in range(2 * MAX_PER_S):
        try:
            async with turns.admit(mad):
                pass
        except Retryable:
            refused += 1
    assert refused == MAX_PER_S
    async with turns.admit(uuid4()):
        pass
