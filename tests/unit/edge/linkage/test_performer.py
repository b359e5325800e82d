"""Acts are tried until they are read back, told each time, held while they last, and ended when it is over."""

import asyncio
from collections import deque
from contextlib import asynccontextmanager

import pytest

from contract.clock import mono_ns
from contract.messages import CommandStatus, Outcome
from edge.linkage import performer as performing
from edge.linkage.orders import Begin, End
from edge.linkage.performer import Performer
from edge.linkage.plan import Act
from tests.support.waiting import eventually
from tests.unit.edge.linkage.examples import S, plan, state

EXECUTED = Outcome(CommandStatus.EXECUTED)
FAILED = Outcome(CommandStatus.FAILED, "no connection to 192.0.2.10:502")
UNSEEN = Outcome(CommandStatus.SENT_NOT_CONFIRMED, "lock did not become unlocked within 3 s")
(RULE, _) = plan().rules
DOOR, BACK_DOOR, GATE, SIREN = RULE.then


class Scripted:
    """A driver that answers as it is told, then that it was done."""

    def __init__(self, *answers):
        self.answers = deque(answers)
        self.calls = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def execute(self, device, point, args, deadline_ns):
        self.calls.append((device, point, dict(args), deadline_ns))
        await self.gate.wait()
        answer = self.answers.popleft() if self.answers else EXECUTED
        if isinstance(answer, Exception):
            raise answer
        return answer


@asynccontextmanager
async def performing_with(driver):
    notes = []
    performer = Performer(lambda device: driver, notes.append)
    performer.watch((*RULE.first, *RULE.then, *RULE.silence))
    try:
        yield performer, notes
    finally:
        await performer.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Tries follow each other in hundredths of seconds."""
    monkeypatch.setattr(performing, "BACKOFF_S", (0.01, 0.02))


def order(act: Act, part="then", until_ns=None, mode=""):
    return Begin(("fire-b3", part, 0), act, "b3", mode, "rule", until_ns)


def told(notes):
    return [(note.device, note.action, note.status) for note in notes]


async def test_it_is_tried_until_it_is_read_back_and_each_try_is_told():
    driver = Scripted(FAILED, UNSEEN, RuntimeError("a bug"))
    async with performing_with(driver) as (performer, notes):
        performer.begin(order(DOOR, mode="drill"))
        await eventually(lambda: ("door-1", "release", "executed") in told(notes))
        assert [n.status for n in notes] == ["failed", "sent_not_confirmed", "sent_not_confirmed", "executed"]
        assert notes[0].why == FAILED.reason
        assert {(n.zone, n.rule, n.by, n.mode) for n in notes} == {("b3", "fire-b3", "rule", "drill")}
        assert [call[:3] for call in driver.calls] == [("door-1", "release", {})] * 4
        assert all(call[3] > mono_ns() for call in driver.calls)
        (progress,) = performer.progress("fire-b3")
        assert (progress.status, progress.tries) == ("executed", 4)


async def test_it_goes_on_trying_for_as_long_as_it_lasts_and_then_says_that_it_failed():
    driver = Scripted(*[FAILED] * 1000)
    async with performing_with(driver) as (performer, notes):
        performer.begin(order(DOOR))
        await eventually(lambda: len(driver.calls) >= 45)
        performer.end(End("fire-b3", "then"))
        tries = len(driver.calls)
        assert notes[-1].status == "given_up"
        assert "tries: no connection" in notes[-1].why
        assert [n.status for n in notes[:-1]] == ["failed"] * (10 + (tries - 10) // 10), "ten, then one in ten"
        await asyncio.sleep(0.1)
        assert len(driver.calls) == tries


async def test_a_door_that_locks_again_is_released_again():
    driver = Scripted()
    async with performing_with(driver) as (performer, notes):
        performer.begin(order(DOOR))
        await eventually(lambda: len(notes) == 1)
        performer.take(state("door-1", "lock", "unlocked", mono_ns()))
        performer.take(state("door-1", "contact", "open", mono_ns()))
        performer.take(state("door-1", "lock", "locked", mono_ns()))
        await eventually(lambda: len(notes) == 3)
        assert [n.status for n in notes] == ["executed", "undone", "executed"]
        performer.end(End("fire-b3", "then"))
        performer.take(state("door-1", "lock", "locked", mono_ns()))
        await asyncio.sleep(0.05)
        assert len(driver.calls) == 2, "it is over: nobody holds it any more"
        assert len(notes) == 3


async def test_a_door_that_is_shut_again_and_again_is_neither_given_up_nor_told_without_end(monkeypatch):
    driver = Scripted()
    async with performing_with(driver) as (performer, notes):
        performer.begin(order(DOOR))
        for n in range(1, 40):
            await eventually(lambda n=n: len(driver.calls) == n)
            await asyncio.sleep(0)
            performer.take(state("door-1", "lock", "locked", mono_ns()))
        assert [n.status for n in notes].count("undone") == 10 + 2


async def test_a_door_that_is_shut_at_once_each_time_is_released_ever_more_seldom(monkeypatch):
    """A lock that reads back wrongly must not wear its relay out until somebody resets the fire in the morning."""
    driver = Scripted()
    async with performing_with(driver) as (performer, _):
        monkeypatch.setattr(performing, "BACKOFF_S", (0.01, 0.02, 0.04, 0.4))
        performer.begin(order(DOOR))
        at = []
        for n in range(1, 7):
            await eventually(lambda n=n: len(driver.calls) == n)
            at.append(mono_ns())
            await asyncio.sleep(0)
            performer.take(state("door-1", "lock", "locked", mono_ns()))
        assert at[-1] - at[-2] >= 0.35 * S


async def test_what_has_no_release_is_unlocked_again_before_it_locks(monkeypatch):
    assert (BACK_DOOR.command, dict(BACK_DOOR.args), BACK_DOOR.renew_ns) == ("unlock", {"seconds": 60}, 30 * S)
    quick = Act(**{f: getattr(BACK_DOOR, f) for f in BACK_DOOR.__struct_fields__} | {"renew_ns": S // 50})
    driver = Scripted()
    async with performing_with(driver) as (performer, notes):
        performer.begin(order(quick))
        await eventually(lambda: len(driver.calls) >= 5)
        assert {call[1] for call in driver.calls} == {"unlock"}
        assert [n.status for n in notes] == ["executed"], "and is told once"


async def test_a_sounder_sounds_once():
    driver = Scripted()
    async with performing_with(driver) as (performer, notes):
        performer.begin(order(SIREN))
        await eventually(lambda: len(notes) == 1)
        performer.take(state("siren-1", "active", "stopped", mono_ns()))
        await asyncio.sleep(0.05)
        assert len(driver.calls) == 1


async def test_what_cannot_be_read_back_is_told_three_times():
    blind = Act("door-9", "门", "release", "release", {})
    driver = Scripted(*[Outcome(CommandStatus.SENT_NOT_CONFIRMED, "nothing to read back")] * 10)
    async with performing_with(driver) as (performer, notes):
        performer.begin(order(blind))
        await eventually(lambda: len(notes) == 3)
        await asyncio.sleep(0.1)
        assert len(driver.calls) == 3


async def test_what_the_device_shows_counts_where_the_driver_looked_for_something_else():
    """A sounder that is silenced never shows what its profile says of sounding."""
    (silence,) = [act for act in RULE.silence if act.device == "siren-1"]
    driver = Scripted(Outcome(CommandStatus.SENT_NOT_CONFIRMED, "active did not become running within 3 s"))
    driver.gate.clear()
    async with performing_with(driver) as (performer, notes):
        performer.begin(order(silence, "silence"))
        await eventually(lambda: bool(driver.calls))
        performer.take(state("siren-1", "active", "stopped", mono_ns()))
        driver.gate.set()
        await eventually(lambda: bool(notes))
        assert told(notes) == [("siren-1", "silence", "executed")]


async def test_what_a_person_ordered_is_tried_for_its_time():
    driver = Scripted(*[FAILED] * 100)
    async with performing_with(driver) as (performer, notes):
        performer.begin(order(DOOR, "by hand", until_ns=mono_ns() + S // 10))
        await eventually(lambda: notes and notes[-1].status == "given_up")
        assert 3 <= len(driver.calls) <= 10


async def test_silencing_ends_the_noise_and_no_release():
    driver = Scripted(*[FAILED] * 100)
    async with performing_with(driver) as (performer, _):
        performer.begin(Begin(("fire-b3", "then", 0), DOOR, "b3", "", "rule"))
        performer.begin(Begin(("fire-b3", "then", 3), SIREN, "b3", "", "rule"))
        await eventually(lambda: len(driver.calls) >= 4)
        performer.end(End("fire-b3", "then", sounds_only=True))
        before = len(driver.calls)
        await eventually(lambda: len(driver.calls) >= before + 3)
        assert {call[0] for call in driver.calls[before:]} == {"door-1"}


async def test_a_driver_that_never_answers_is_asked_again(monkeypatch):
    monkeypatch.setattr(performing, "WRITE_S", 0.01)
    monkeypatch.setattr(performing, "ANSWER_S", 0.01)
    driver = Scripted()
    driver.gate.clear()
    quick = Act(**{f: getattr(DOOR, f) for f in DOOR.__struct_fields__} | {"read_back_s": 0.01})
    async with performing_with(driver) as (performer, notes):
        performer.begin(order(quick))
        await eventually(lambda: len(driver.calls) >= 2)
        driver.gate.set()
        await eventually(lambda: notes and notes[-1].status == "executed")
        assert notes[0].why == "the driver did not answer in time"


async def test_a_long_reason_is_cut():
    driver = Scripted(Outcome(CommandStatus.FAILED, "x\x00" * 5000))
    async with performing_with(driver) as (performer, notes):
        performer.begin(order(DOOR))
        await eventually(lambda: len(notes) == 2)
        assert notes[0].why == "x" * 150
