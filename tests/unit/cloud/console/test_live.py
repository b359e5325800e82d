"""The stream of wake-ups: who hears what, how many there may be, and that it is silent where it cannot know."""

import asyncio

import pytest

from cloud.console.live import routes
from cloud.console.live.seats import Seats
from tests.support.console_preview import served
from tests.support.waiting import eventually
from tests.unit.cloud.console.http import browser, events, get


async def test_the_stream_greets_wakes_and_beats(console):
    async with browser(console) as session, session.get("/live?topics=alarms,device:4") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert await events(answer, 1) == ["hello"]
        console.hub.publish(["alarms"])
        assert await events(answer, 2) == ["change", "beat"]


async def test_a_stream_ends_with_its_session(console):
    async with browser(console) as session, session.get("/live?topics=alarms") as answer:
        assert await events(answer, 1) == ["hello"]
        console.identity.ended = True
        rest = (await answer.content.read()).decode()
        assert rest.startswith(("event: bye", "\n", "data"))
        assert "event: bye" in rest
    assert len(console.hub) == 0


async def test_a_stranger_has_no_stream(console):
    async with browser(console, None) as session, session.get("/live?topics=alarms") as answer:
        assert answer.status == 204


async def heard(answer, name):
    """What the next event of this name says."""
    async with asyncio.timeout(5):
        async for line in answer.content:
            if line == f"event: {name}\n".encode():
                return (await answer.content.readline()).decode().removeprefix("data: ").strip()
    raise AssertionError("the stream ended")


async def test_only_what_a_page_may_hear_wakes_it_and_by_the_name_it_asked_for(console):
    asked = "alarms,alarms:2,device:4,device:999,gateway:gw-1,command:1,device:04x"
    async with browser(console) as session, session.get(f"/live?topics={asked}") as answer:
        await events(answer, 1)
        assert set(console.hub._by_topic) == {"alarms", "alarms:1", "device:4"}
        console.hub.publish(["alarms:2", "gateway:gw-1", "device:999", "alarms:1"])
        assert await heard(answer, "change") == "alarms"


async def test_other_rights_are_followed_at_the_next_beat_and_the_page_is_read_again(console):
    async with browser(console) as session, session.get("/live?topics=alarms,device:4") as answer:
        await events(answer, 1)
        console.estate.estates = [2]
        assert await heard(answer, "change") == "alarms,device:4"
        assert set(console.hub._by_topic) == {"alarms", "alarms:2", "device:4"}
        console.estate.estates = []
        assert await heard(answer, "change") == "alarms,device:4"
        assert set(console.hub._by_topic) == {"alarms"}


async def test_what_changes_while_the_rights_are_looked_at_is_heard(console):
    looking, go_on = asyncio.Event(), asyncio.Event()
    topics = console.estate.topics

    async def slow(person, wanted):
        if console.hub._by_topic:
            looking.set()
            await go_on.wait()
        return await topics(person, wanted)

    console.estate.topics = slow
    async with browser(console) as session, session.get("/live?topics=alarms") as answer:
        await events(answer, 1)
        await looking.wait()
        console.hub.publish(["alarms:1"])
        go_on.set()
        assert await heard(answer, "change") == "alarms"


async def test_one_blink_of_the_database_skips_a_beat_and_two_end_the_stream(console):
    async with browser(console) as session, session.get("/live?topics=alarms") as answer:
        await events(answer, 1)
        asked = 0
        person = console.identity.person

        async def blinking(request):
            nonlocal asked
            asked += 1
            console.identity.away = asked == 1
            return await person(request)

        console.identity.person = blinking
        assert await events(answer, 1) == ["beat"]
        assert asked == 2
        console.identity.person = person
        console.identity.away = True
        rest = (await answer.content.read()).decode()
        assert "bye" not in rest  # the browser comes back by itself
    assert len(console.hub) == 0


async def test_without_its_data_a_stream_does_not_begin(console):
    async with browser(console) as session:
        console.identity.away = True
        answer = await get(session, "/live?topics=alarms")
        assert (answer.status, answer.text) == (503, "away")
        assert 5 <= int(answer.headers["Retry-After"]) <= 8
        console.identity.away, console.hub.alive = False, False
        answer = await get(session, "/live?topics=alarms")
        assert (answer.status, answer.text) == (503, "away")


async def test_a_process_that_does_not_hear_the_database_sends_no_beats(console):
    async with browser(console) as session, session.get("/live?topics=alarms") as answer:
        assert await events(answer, 2) == ["hello", "beat"]
        console.hub.alive = False
        await answer.content.readline()  # the beat's data
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.7):  # three beats
                await events(answer, 1)
        console.hub.alive = True
        assert await events(answer, 1) == ["beat"]


async def test_a_session_has_few_streams_and_a_process_not_endlessly_many():
    async with (
        served(beat_s=0.2, seats=Seats(most=3, most_each=2)) as console,
        browser(console) as session,
        browser(console, "auditor") as other,
    ):
        held = [await session.get("/live?topics=alarms") for _ in range(2)]
        refused = await get(session, "/live?topics=alarms")
        assert (refused.status, refused.text) == (503, "full")
        assert 30 <= int(refused.headers["Retry-After"]) <= 45
        held.append(await other.get("/live?topics=alarms"))
        assert held[-1].status == 200
        assert (await get(other, "/live?topics=alarms")).text == "full"
        for answer in held:
            answer.close()
        await eventually(lambda: len(console.hub) == 0)
        again = await session.get("/live?topics=alarms")
        assert again.status == 200
        again.close()


async def test_streams_that_come_at_once_are_counted(console):
    async with browser(console) as session:
        answers = await asyncio.gather(*(session.get("/live?topics=alarms") for _ in range(20)))
        assert sorted(answer.status for answer in answers) == [200] * 6 + [503] * 14
        for answer in answers:
            answer.close()


async def test_what_cannot_be_asked_for_is_refused(console):
    async with browser(console) as session:
        many = ",".join(f"device:{n}" for n in range(routes.MOST_TOPICS + 1))
        assert (await get(session, f"/live?topics={many}")).status == 400
