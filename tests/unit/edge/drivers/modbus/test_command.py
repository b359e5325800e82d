"""Commands without a bus: what is written, and what each way of failing is called."""

from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from contract.messages import CommandStatus, Outcome, Sample
from contract.profile import Confirm, Table
from contract.site import ModbusTcpBus, Resolved
from edge.drivers.modbus.command import execute
from edge.drivers.modbus.errors import ACKNOWLEDGE, BUSY, Busy, Disconnected, Refused, Silent, TooLate
from edge.drivers.modbus.frame import write_question
from edge.drivers.modbus.plan import Planned, Write
from tests.support.modbus import PROFILES, QUICK, door

UNLOCK = PROFILES["anju-door-unit"].points["unlock"]
SOON = replace(UNLOCK, confirm=Confirm(point="lock", state="unlocked", within_s=0.1))
PROFILE = replace(PROFILES["anju-door-unit"], points=PROFILES["anju-door-unit"].points | {"unlock": SOON})
DOOR = Resolved(door(3), ModbusTcpBus(id="b", protocol="modbus-tcp", host="h", devices=[]), PROFILE)
DEADLINE_NS = 1 << 62
TIMING = replace(QUICK, busy_s=0.001)


async def outcome_of(
    on_write: Exception | Iterator[Exception | None] | None, on_read: Callable[[], int | Exception]
) -> tuple[Outcome, list[Planned | Write]]:
    asked: list[Planned | Write] = []

    async def ask(what: Planned | Write) -> list[Sample]:
        asked.append(what)
        if isinstance(what, Write):
            error = next(on_write) if isinstance(on_write, Iterator) else on_write
            if error:
                raise error
            return []
        answer = on_read()
        if isinstance(answer, Exception):
            raise answer
        return [Sample("door-3", "lock", answer, 1)]

    return await execute(DOOR, "unlock", {"seconds": 5}, DEADLINE_NS, ask, TIMING), asked


async def test_executed_means_the_effect_was_read_back() -> None:
    shown = iter([0, 0, 1])
    outcome, asked = await outcome_of(None, lambda: next(shown))
    assert outcome == Outcome(CommandStatus.EXECUTED)
    assert asked[0] == Write(write_question(3, Table.HOLDING_REGISTER, 0, [5]), DEADLINE_NS)
    assert len(asked) == 4


async def test_row_17_written_but_without_effect_is_not_executed() -> None:
    outcome, _ = await outcome_of(None, lambda: 0)
    assert outcome.status is CommandStatus.SENT_NOT_CONFIRMED
    assert outcome.reason == "lock did not become unlocked within 0.1 s: it shows locked"


async def test_a_write_without_an_answer_may_still_have_been_done() -> None:
    outcome, _ = await outcome_of(Silent("no answer within 1 s"), lambda: 1)
    assert outcome.status is CommandStatus.EXECUTED


async def test_no_answer_at_all_is_not_confirmed() -> None:
    outcome, _ = await outcome_of(Silent("no answer"), lambda: Silent("no answer"))
    assert outcome.status is CommandStatus.SENT_NOT_CONFIRMED


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Refused(2), CommandStatus.FAILED),
        (TooLate("its time had passed"), CommandStatus.REFUSED),
        (Disconnected("no connection", sent=False), CommandStatus.FAILED),
        (Disconnected("closed", sent=True), CommandStatus.SENT_NOT_CONFIRMED),
    ],
)
async def test_errors_of_the_write(error: Exception, status: CommandStatus) -> None:
    outcome, asked = await outcome_of(error, lambda: 1)
    assert outcome.status is status
    assert outcome.reason
    assert len(asked) == 1


async def test_a_busy_unit_is_asked_again() -> None:
    outcome, asked = await outcome_of(iter([Busy(BUSY), Busy(BUSY), None]), lambda: 1)
    assert outcome == Outcome(CommandStatus.EXECUTED)
    assert [isinstance(what, Write) for what in asked] == [True, True, True, False]


async def test_a_unit_that_stays_busy_has_done_nothing() -> None:
    outcome, asked = await outcome_of(Busy(BUSY), lambda: 1)
    assert outcome.status is CommandStatus.FAILED
    assert "stayed busy" in outcome.reason
    assert len(asked) == TIMING.pleas + 1


async def test_what_the_unit_says_it_is_working_on_is_written_once_and_looked_for() -> None:
    outcome, asked = await outcome_of(Busy(ACKNOWLEDGE), lambda: 1)
    assert outcome == Outcome(CommandStatus.EXECUTED)
    assert sum(isinstance(what, Write) for what in asked) == 1


async def test_a_command_nobody_has_fails_in_words() -> None:
    async def ask(what: Planned | Write) -> list[Sample]:
        raise AssertionError("nothing may be written")

    for device, point in [(None, "unlock"), (DOOR, "release"), (DOOR, "lock")]:
        assert (await execute(device, point, {}, DEADLINE_NS, ask, TIMING)).status is CommandStatus.FAILED


async def test_arguments_that_cannot_be_written_are_told() -> None:
    async def ask(what: Planned | Write) -> list[Sample]:
        raise AssertionError("nothing may be written")

    outcome = await execute(DOOR, "unlock", {"seconds": 61}, DEADLINE_NS, ask, TIMING)
    assert outcome == Outcome(CommandStatus.FAILED, "'seconds' must be 1 to 60, it is 61")
