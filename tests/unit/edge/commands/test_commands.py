"""A command is done at most once, never late, and always answered."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from contract.messages import Command, CommandStatus, Outcome
from contract.profile import load_profiles, shipped_profiles
from contract.site import Device, ModbusBus, ResolvedDevice
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
        self.done, self.answer, self.go = [], DONE, asyncio.Event()
        self.go.set()

    async def execute(self, device, point, args):
        self.done.append((device, point, dict(args)))
        await self.go.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@asynccontextmanager
async def runner(folder, driver, results, *, now=NOW):
    profile = load_profiles(shipped_profiles())["anju-door-unit"]
    device = Device(id="door-1", name="Door", profile=profile.id, unit=1)
    bus = ModbusBus(id="bus", protocol="modbus", host="127.0.0.1", devices=[device])

    async def record(result):
        results.append(result)

    async with CommandRunner.open(
        folder / "commands.db", devices={"door-1": ResolvedDevice(device, bus, profile)},
        executors={"door-1": driver}, utc_ns=lambda: now, record=record,
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
        ({"args": {}}, "needs the argument 'seconds'"),
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


async def test_a_repeated_command_is_refused_even_after_a_restart(tmp_path):
    await answer_to(tmp_path, unlock())
    result, door = await answer_to(tmp_path, unlock())
    assert result.status is CommandStatus.REFUSED
    assert door.done == []


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
