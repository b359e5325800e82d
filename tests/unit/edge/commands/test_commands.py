"""A command is done at most once, never late, and always answered."""

import asyncio
import stat
from contextlib import asynccontextmanager

import pytest

from contract.clock import mono_ns
from contract.messages import Command, CommandStatus, Outcome
from contract.profile import load_profiles, shipped_profiles
from contract.site import ModbusDevice, ModbusTcpBus, Resolved
from edge.commands import CommandRunner
from edge.commands import runner as runner_module
from edge.commands.check import NO_TIME, TOO_LATE
from edge.commands.ledger import KEEP_NS, RESTARTED
from tests.support.waiting import eventually

NOW = 1_800_000_000_000_000_000
DONE = Outcome(CommandStatus.EXECUTED, "")


class Door:
    """A driver that notes what it was asked to do, and answers when it is let."""

    def __init__(self):
        self.done, self.answer, self.go, self.deadlines = [], DONE, asyncio.Event(), []
        self.go.set()

    async def execute(self, device, point, args, deadline_ns):
        self.done.append((device, point, dict(args)))
        self.deadlines.append(deadline_ns)
        await self.go.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@asynccontextmanager
async def runner(folder, driver, results, *, now=NOW, record=None):
    profile = load_profiles(shipped_profiles())["anju-door-unit"]
    device = ModbusDevice(id="door-1", name="Door", profile=profile.id, unit=1)
    bus = ModbusTcpBus(id="bus", protocol="modbus-tcp", host="127.0.0.1", devices=[device])

    async def keep(result):
        results.append(result)

    async with CommandRunner.open(
        folder / "commands.db", devices={"door-1": Resolved(device, bus, profile)},
        executors={"door-1": driver}, utc_ns=lambda: now, record=record or keep,
    ) as running:  # fmt: skip
        yield running


def unlock(number="c1", **changes):
    fields = {"id": number, "device": "door-1", "point": "unlock", "args": {"seconds": 5}, "not_after_ns": NOW + 1}
    return Command(**fields | changes)


async def answer_to(folder, command, *, now=NOW, driver=None):
    results, driver = [], driver or Door()
    async with runner(folder, driver, results, now=now) as running:
        await running.take(command)
        await eventually(lambda: results)
        await eventually(lambda: not running._under_way)
    (result,) = results
    assert result.id == command.id
    return result, driver


async def test_executes_and_answers(tmp_path):
    result, door = await answer_to(tmp_path, unlock())
    assert result.status is CommandStatus.EXECUTED
    assert door.done == [("door-1", "unlock", {"seconds": 5})]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"device": "door-9"}, "no device 'door-9'"),
        ({"point": "explode"}, "no command 'explode'"),
        ({"point": "contact"}, "cannot be commanded"),
        ({"args": {}}, "'unlock' of 'door-1': it needs the argument 'seconds'"),
        ({"args": {"seconds": 61}}, "must be 1 to 60, it is 61"),
        ({"args": {"seconds": 0}}, "must be 1 to 60, it is 0"),
        ({"args": {"seconds": 1.5}}, "must be a whole number"),
        ({"args": {"seconds": True}}, "must be a whole number"),
        ({"args": {"seconds": "5"}}, "must be a whole number"),
        ({"args": {"seconds": 5, "force": 1}}, "takes no argument 'force'"),
        ({"not_after_ns": NOW - 1}, TOO_LATE),
    ],
)
async def test_refuses_what_it_must_not_do(tmp_path, changes, reason):
    result, door = await answer_to(tmp_path, unlock(**changes))
    assert result.status is CommandStatus.REFUSED
    assert reason in result.reason
    assert door.done == []


async def test_refuses_without_the_time(tmp_path):
    result, door = await answer_to(tmp_path, unlock(), now=None)
    assert (result.status, result.reason, door.done) == (CommandStatus.REFUSED, NO_TIME, [])


async def test_the_driver_is_told_until_when_on_the_boxs_own_clock(tmp_path):
    before = mono_ns()
    _, door = await answer_to(tmp_path, unlock(not_after_ns=NOW + 5 * 10**9))
    (deadline,) = door.deadlines
    assert before + 5 * 10**9 <= deadline <= mono_ns() + 5 * 10**9


@pytest.mark.parametrize("outcome", [DONE, Outcome(CommandStatus.FAILED, "the device refused it: exception 4")])
async def test_a_repeated_command_is_not_done_and_its_answer_told_again_even_after_a_restart(tmp_path, outcome):
    first, again = Door(), Door()
    first.answer = outcome
    await answer_to(tmp_path, unlock(), driver=first)
    result, _ = await answer_to(tmp_path, unlock(), driver=again)
    assert (result.status, result.reason) == (outcome.status, outcome.reason)
    assert again.done == []


async def test_what_became_of_it_is_on_disk_before_anyone_is_told(tmp_path):
    """The urgent stream takes the answer for ever, and the box dies meanwhile: the next start tells what was done."""
    telling, results = asyncio.Event(), []

    async def never(_):
        telling.set()
        await asyncio.Event().wait()

    async with runner(tmp_path, Door(), [], record=never) as running:
        await running.take(unlock())
        await asyncio.wait_for(telling.wait(), 5)
    async with runner(tmp_path, Door(), results):
        await eventually(lambda: results)
    assert [(result.id, result.status) for result in results] == [("c1", CommandStatus.EXECUTED)]


async def test_the_file_of_commands_is_readable_by_its_owner_only(tmp_path):
    await answer_to(tmp_path, unlock())
    assert stat.S_IMODE((tmp_path / "commands.db").stat().st_mode) == 0o600


async def test_a_command_that_comes_again_under_way_is_done_once_and_answered_once(tmp_path):
    results, door = [], Door()
    door.go.clear()
    async with runner(tmp_path, door, results) as running:
        await running.take(unlock())
        await running.take(unlock())
        door.go.set()
        await eventually(lambda: not running._under_way)
    assert [result.status for result in results] == [CommandStatus.EXECUTED]
    assert len(door.done) == 1


async def test_a_restart_in_between_is_sent_not_confirmed(tmp_path):
    results, door = [], Door()
    door.go.clear()
    async with runner(tmp_path, door, results) as running:
        await running.take(unlock())
        await eventually(lambda: door.done)
    assert results == []
    async with runner(tmp_path, Door(), results):
        await eventually(lambda: results)
    assert (results[0].id, results[0].status, results[0].reason) == ("c1", RESTARTED.status, RESTARTED.reason)
    async with runner(tmp_path, Door(), results):
        pass
    assert len(results) == 1


async def test_a_driver_that_hangs_or_fails_is_answered(tmp_path, monkeypatch):
    monkeypatch.setattr(runner_module, "TIMEOUT_S", 0.05)
    door = Door()
    door.go.clear()
    result, _ = await answer_to(tmp_path, unlock(), driver=door)
    assert result.status is CommandStatus.SENT_NOT_CONFIRMED
    broken = Door()
    broken.answer = RuntimeError("a bug")
    result, _ = await answer_to(tmp_path, unlock("c2"), driver=broken)
    assert result.status is CommandStatus.SENT_NOT_CONFIRMED


async def test_old_ids_are_forgotten_a_day_after_their_time(tmp_path):
    await answer_to(tmp_path, unlock())
    await answer_to(tmp_path, unlock("c2", not_after_ns=NOW + 3 * KEEP_NS), now=NOW + 2 * KEEP_NS)
    result, _ = await answer_to(tmp_path, unlock(), now=NOW + 2 * KEEP_NS)
    assert result.reason == TOO_LATE  # not known as repeated any more, and too late all the same


async def test_a_damaged_file_of_commands_is_moved_aside(tmp_path):
    (tmp_path / "commands.db").write_bytes(b"no database at all, but long enough" * 100)
    result, _ = await answer_to(tmp_path, unlock())
    assert result.status is CommandStatus.EXECUTED
    assert list(tmp_path.glob("commands.db.damaged-*"))


def spoil(folder):
    """Damages the file of commands under the box's hands: what SQLite reads anew of it makes no sense."""
    for name in ("commands.db", "commands.db-wal"):
        path = folder / name
        path.write_bytes(b"\xff" * path.stat().st_size)


async def test_a_file_damaged_while_the_box_runs_is_moved_aside_and_what_is_under_way_goes_on(tmp_path):
    results, slow = [], Door()
    slow.go.clear()
    async with runner(tmp_path, slow, results) as running:
        await running.take(unlock("under-way"))
        await eventually(lambda: slow.done)
        spoil(tmp_path)
        await running._in_thread(lambda: running._ledger._db.execute("PRAGMA shrink_memory"))
        await running.take(unlock("new"))
        await eventually(lambda: len(slow.done) == 2)
        assert len(list(tmp_path.glob("commands.db.damaged-*[0-9]"))) == 1
        slow.go.set()
        await eventually(lambda: len(results) == 2)
        await eventually(lambda: not running._under_way)
        await running.take(unlock("under-way"))
        await eventually(lambda: len(results) == 3)
    assert {result.status for result in results} == {CommandStatus.EXECUTED}
    assert len(slow.done) == 2, "what was under way is known in the new file too"


async def test_where_the_file_cannot_be_had_at_start_commands_are_refused_in_words_until_it_can(tmp_path):
    (tmp_path / "commands.db").mkdir()
    results, door = [], Door()
    async with runner(tmp_path, door, results) as running:
        await running.take(unlock())
        await eventually(lambda: results)
        assert results[0].status is CommandStatus.REFUSED
        assert "cannot use its file of commands" in results[0].reason
        assert "done twice" in results[0].reason
        assert door.done == [], "nothing is done that would not be remembered"
        (tmp_path / "commands.db").rmdir()
        await running.take(unlock("c2"))
        await eventually(lambda: len(results) == 2)
        assert results[1].status is CommandStatus.EXECUTED
