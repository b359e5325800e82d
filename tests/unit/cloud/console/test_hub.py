"""Wake-ups: to whom they go, joined where a stream is slow, and the end."""

import asyncio

import pytest

from cloud.console.live.hub import ClosedError, Hub


async def test_a_wake_up_goes_to_those_who_asked_for_its_topic():
    hub = Hub()
    with hub.subscribe({"alarms": "alarms"}) as alarms, hub.subscribe({"device:4": "device:4"}) as device:
        hub.publish(["alarms"])
        assert await alarms.wait(1) == {"alarms"}
        assert await device.wait(0) == frozenset()


async def test_a_stream_hears_the_name_that_it_asked_for():
    hub = Hub()
    with (
        hub.subscribe({"alarms": "alarms", "alarms:1": "alarms"}) as mine,
        hub.subscribe({"alarms:2": "alarms"}) as other,
    ):
        hub.publish(["alarms:1"])
        assert await mine.wait(1) == {"alarms"}
        assert await other.wait(0) == frozenset()


async def test_a_burst_is_one_wake_up():
    hub = Hub()
    with hub.subscribe({"alarms": "alarms", "device:4": "device:4"}) as stream:
        for _ in range(1000):
            hub.publish(["alarms", "device:4"])
        assert await stream.wait(1) == {"alarms", "device:4"}
        assert await stream.wait(0) == frozenset()


async def test_after_a_cut_everything_is_woken():
    hub = Hub()
    with hub.subscribe({"alarms": "alarms", "gateways": "gateways"}) as stream:
        hub.publish_all()
        assert await stream.wait(1) == {"alarms", "gateways"}


async def test_closing_ends_streams_that_wait_and_those_that_come():
    hub = Hub()
    with hub.subscribe({"alarms": "alarms"}) as stream:
        waiting = asyncio.ensure_future(stream.wait(60))
        await asyncio.sleep(0)
        hub.close()
        with pytest.raises(ClosedError):
            await waiting
    with hub.subscribe({"alarms": "alarms"}) as late, pytest.raises(ClosedError):
        await late.wait(60)


async def test_a_stream_that_is_gone_leaves_nothing_behind():
    hub = Hub()
    with hub.subscribe({"alarms": "alarms"}):
        assert len(hub) == 1
    assert len(hub) == 0
    hub.publish(["alarms"])
