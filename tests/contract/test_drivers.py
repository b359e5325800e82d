"""What every driver does: success, partial, transient, permanent, slow, garbage, reconnect, commands, stopping."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from contract.clock import mono_ns
from contract.messages import CommandStatus
from edge.drivers import DRIVERS
from tests.support.drivers import RIGS, DriverRig
from tests.support.modbus import LATER_NS


@pytest.fixture(params=RIGS)
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[DriverRig]:
    async with RIGS[request.param]() as rig:
        await rig.collected.value(rig.a, rig.point, rig.low[1])
        await rig.collected.value(rig.b, rig.point, rig.low[1])
        yield rig


def test_every_driver_is_under_this_contract() -> None:
    assert RIGS.keys() == DRIVERS.keys()


async def test_success(rig: DriverRig) -> None:
    before = mono_ns()
    rig.put(rig.a, rig.high[0])
    sample = await rig.collected.value(rig.a, rig.point, rig.high[1])
    assert before < sample.mono_ns <= mono_ns()
    assert sample.error == ""
    assert rig.collected.of(rig.b, rig.point)[-1].raw == rig.low[1]


async def test_partial_a_silent_device_takes_nothing_from_the_other(rig: DriverRig) -> None:
    rig.silence(rig.a, None)
    failed = await rig.collected.error(rig.a, rig.point)
    assert failed.error
    rig.put(rig.b, rig.high[0])
    await rig.collected.value(rig.b, rig.point, rig.high[1])
    assert rig.counted.counts().silent_units == 1
    assert rig.counted.counts().connected, "a silent device is no lost bus"


async def test_transient(rig: DriverRig) -> None:
    rig.silence(rig.a, 1)
    await rig.collected.error(rig.a, rig.point)
    rig.put(rig.a, rig.high[0])
    await rig.collected.value(rig.a, rig.point, rig.high[1])
    assert rig.counted.counts().silent_units == 0


async def test_permanent_a_refusal_is_told_apart_from_silence(rig: DriverRig) -> None:
    rig.silence(rig.b, None)
    silent = await rig.collected.error(rig.b, rig.point)
    rig.refuse(rig.a)
    refused = await rig.collected.error(rig.a, rig.point)
    assert rig.refused in refused.error
    assert any(words in silent.error for words in rig.unanswered)
    assert rig.counted.counts().silent_units == 1


async def test_slow_is_not_failed(rig: DriverRig) -> None:
    rig.slow(rig.a)
    start = len(rig.collected.samples)
    rig.put(rig.a, rig.high[0])
    await rig.collected.value(rig.a, rig.point, rig.high[1])
    assert not [sample for sample in rig.collected.samples[start:] if sample.raw is None]


async def test_garbage_never_becomes_a_value(rig: DriverRig) -> None:
    for spoil in rig.garbage:
        spoil(rig.a)
        await rig.collected.error(rig.a, rig.point)
        start = len(rig.collected.samples)
        rig.put(rig.b, rig.high[0])
        await rig.collected.value(rig.b, rig.point, rig.high[1])
        values = [s.raw for s in rig.collected.samples[start:] if s.device == rig.a and s.raw is not None]
        assert set(values) <= {rig.low[1]}
        rig.mend(rig.a)
        await rig.collected.value(rig.a, rig.point, rig.low[1])
        rig.put(rig.b, rig.low[0])
        await rig.collected.value(rig.b, rig.point, rig.low[1])


async def test_reconnect_after_a_cut(rig: DriverRig) -> None:
    rig.cut()
    await rig.collected.error(rig.b, rig.point)
    await rig.collected.value(rig.b, rig.point, rig.low[1])
    assert rig.counted.counts().reconnects == 1


async def test_row_2_reconnects_for_ever(rig: DriverRig) -> None:
    await rig.power(False)
    for _ in range(6):
        await rig.collected.error(rig.a, rig.point)
    assert not rig.counted.counts().connected
    refused = await rig.driver.execute(rig.a, rig.command[0], rig.command[1], LATER_NS)
    assert refused.status is CommandStatus.FAILED
    await rig.power(True)
    await rig.collected.value(rig.a, rig.point, rig.low[1])
    await rig.collected.value(rig.b, rig.point, rig.low[1])
    assert rig.counted.counts().connected


async def test_a_command_is_executed_and_read_back(rig: DriverRig) -> None:
    outcome = await rig.driver.execute(rig.a, rig.command[0], rig.command[1], LATER_NS)
    assert outcome.status is CommandStatus.EXECUTED, outcome.reason


async def test_a_command_to_a_silent_device_is_not_confirmed(rig: DriverRig) -> None:
    rig.silence(rig.a, None)
    outcome = await rig.driver.execute(rig.a, rig.command[0], rig.command[1], LATER_NS)
    assert outcome.status is rig.silent_command
    assert outcome.reason


async def test_a_command_that_is_refused_failed(rig: DriverRig) -> None:
    rig.refuse(rig.a)
    assert (await rig.driver.execute(rig.a, rig.command[0], rig.command[1], LATER_NS)).status is CommandStatus.FAILED
    assert (await rig.driver.execute(rig.a, "no-such", {}, LATER_NS)).status is CommandStatus.FAILED
    assert (await rig.driver.execute("nobody", rig.command[0], rig.command[1], LATER_NS)).status is CommandStatus.FAILED


async def test_a_command_whose_time_has_passed_is_refused_and_nothing_written(rig: DriverRig) -> None:
    outcome = await rig.driver.execute(rig.a, rig.command[0], rig.command[1], mono_ns() - 1)
    assert outcome.status is CommandStatus.REFUSED
    assert "nothing was written" in outcome.reason
    assert rig.written() == 0


async def test_failures_of_one_poll_carry_one_time(rig: DriverRig) -> None:
    rig.silence(rig.a, None)
    failed = await rig.collected.error(rig.a, rig.point)
    together = [s for s in rig.collected.samples if s.device == rig.a and s.mono_ns == failed.mono_ns]
    assert {s.point for s in together} == {s.point for s in rig.collected.samples if s.device == rig.a}


async def test_each_series_is_in_order_of_time_and_all_is_counted(rig: DriverRig) -> None:
    rig.silence(rig.a, 2)
    await rig.driver.execute(rig.b, rig.command[0], rig.command[1], LATER_NS)
    rig.cut()
    await rig.collected.error(rig.b, rig.point)
    await rig.collected.value(rig.b, rig.point, rig.low[1])
    for device in (rig.a, rig.b):
        for point in {s.point for s in rig.collected.samples}:
            times = [s.mono_ns for s in rig.collected.of(device, point)]
            assert times == sorted(times)
    await asyncio.sleep(0)  # the driver counts once consume has returned
    assert rig.counted.counts().samples == len(rig.collected.samples)
    assert rig.counted.counts().polls >= rig.counted.counts().failures > 0


async def test_stopping_answers_who_waits(rig: DriverRig) -> None:
    rig.silence(rig.a, None)
    waiting = asyncio.create_task(rig.driver.execute(rig.a, rig.command[0], rig.command[1], LATER_NS))
    await asyncio.sleep(0)
    runner = next(task for task in asyncio.all_tasks() if task.get_name() == "driver")
    runner.cancel()
    outcome = await waiting
    assert outcome.status in {CommandStatus.FAILED, CommandStatus.SENT_NOT_CONFIRMED}
