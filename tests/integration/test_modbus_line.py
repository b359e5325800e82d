"""Serial lines as slow as they are: dead units, commands in between, late answers, noise, adapters pulled out."""

import asyncio
import time
from collections import Counter
from pathlib import Path
from statistics import mean

import pytest

from contract.clock import mono_ns
from contract.messages import CommandStatus
from contract.modbus_plan import Read
from contract.modbus_time import Line
from contract.profile import Table
from edge.drivers.modbus.config import Timing
from simulators.bus import Fault
from simulators.log import Write
from tests.support.modbus import LATER_NS, PROFILES, LineRig, door, line_rig

S = 1_000_000_000
LINES = ["modbus-rtu", "modbus-rtu-tcp"]
UNITS = 30
ANSWER_S = PROFILES["anju-door-unit"].modbus.answer_ms / 1000


def answered(rig: LineRig) -> Counter[str]:
    """How many good polls of each door were handed on so far."""
    return Counter(s.device for s in rig.collected.samples if s.point == "contact" and s.raw is not None)


async def polls(rig: LineRig, for_s: float) -> dict[str, float]:
    """Good polls a second of each door from now on."""
    before, start = answered(rig), time.monotonic()
    await asyncio.sleep(for_s)
    took = time.monotonic() - start
    return {device: (count - before[device]) / took for device, count in answered(rig).items()}


async def test_row_1_dead_units_on_a_paced_line_leave_the_others_their_rate_and_commands_their_turn(
    tmp_path: Path,
) -> None:
    """30 units at 9600 baud, a round takes 0.96 of each second. Then 1, then 10 of them are dead."""
    doors = [door(unit) for unit in range(1, UNITS + 1)]
    async with line_rig(tmp_path, "modbus-rtu", doors, 1.0, 0.5, baud=9600, timing=Timing()) as rig:
        await rig.collected.value(f"door-{UNITS}", "contact", 0)
        await asyncio.sleep(1.0)
        alone = await polls(rig, 6.0)
        assert mean(alone.values()) >= 0.95, "the line carries what is asked of it"
        for dead in (1, 10):
            for unit in range(1, dead + 1):
                rig.estate.fail(f"door-{unit}", Fault(kind="silent"))
            await rig.collected.until(lambda dead=dead: rig.driver.silent_units == dead)
            kept = await polls(rig, 8.0)
            live = [f"door-{unit}" for unit in range(dead + 1, UNITS + 1)]
            print(f"{dead} dead: the others are polled {mean(kept[d] for d in live):.3f}/s, "
                  f"alone {mean(alone[d] for d in live):.3f}/s")  # fmt: skip
            assert mean(kept[d] for d in live) >= 0.95 * mean(alone[d] for d in live)
            assert min(kept[d] for d in live) >= 0.95 - 1 / 8.0, "the window may cut off one poll at its edge"
            assert not any(kept.get(f"door-{unit}", 0) for unit in range(1, dead + 1))
        await doors_open_at_once(rig)


async def doors_open_at_once(rig: LineRig) -> None:
    """Commands at odd moments of a busy line with dead units: each waits for the transaction under way at most."""
    line = Line(9600, character_bits=11)
    read_s = line.read_s(Read(1, Table.DISCRETE_INPUT, 0, 4, ()), ANSWER_S)
    write_s = line.gap_s + 8 * line.character_s
    dead_s = write_s + Timing().probe_s
    waits = []
    for n in range(12):
        await asyncio.sleep(0.137 + n * 0.011)
        asked_ns, unit = mono_ns(), 11 + n
        outcome = await rig.driver.execute(f"door-{unit}", "unlock", {"seconds": 1}, LATER_NS)
        assert outcome.status is CommandStatus.EXECUTED, outcome.reason
        (done,) = [w for w in rig.truth if isinstance(w, Write) and w.unit == unit]
        waits.append((done.mono_ns - asked_ns) / S)
    print(f"door commands: {sorted(round(1000 * wait) for wait in waits)} ms, transaction {1000 * read_s:.0f} ms")
    assert max(waits) <= max(read_s, dead_s) + write_s + 0.025


@pytest.mark.parametrize("protocol", LINES)
async def test_row_12_after_a_time_out_the_late_value_of_the_same_point_is_thrown_away(
    tmp_path: Path, protocol: str
) -> None:
    """RTU names no transaction: the late answer looks like the one to the next question to that unit."""
    async with line_rig(tmp_path, protocol, [door(1)], poll_s=0.1, timeout_s=0.05) as rig:
        await rig.collected.value("door-1", "contact", 0)
        rig.estate.fail("door-1", Fault(kind="slow", delay_s=0.3, times=1))
        failed = await rig.collected.error("door-1", "contact")
        rig.estate.set("door-1", "contact", "open")
        await rig.collected.value("door-1", "contact", 1)
        await asyncio.sleep(0.5)
        later = [s.raw for s in rig.collected.of("door-1", "contact") if s.mono_ns > failed.mono_ns]
        assert 0 not in later
        assert rig.driver.late > 0


@pytest.mark.parametrize("protocol", LINES)
async def test_row_12_answers_that_are_always_one_question_late_are_never_taken(tmp_path: Path, protocol: str) -> None:
    async with line_rig(tmp_path, protocol, [door(1), door(2)], poll_s=0.1, timeout_s=0.05) as rig:
        await rig.collected.value("door-2", "contact", 0)
        rig.estate.fail("door-1", Fault(kind="late"))
        await rig.collected.error("door-1", "contact")
        rig.estate.set("door-1", "contact", "open")
        rig.estate.set("door-2", "contact", "open")
        await rig.collected.value("door-2", "contact", 1)
        start = len(rig.collected.samples)
        await asyncio.sleep(1.5)
        later = rig.collected.samples[start:]
        assert {s.raw for s in later if (s.device, s.point) == ("door-2", "contact")} == {1}
        assert 0 not in {s.raw for s in later if (s.device, s.point) == ("door-1", "contact")}
        assert rig.driver.late > 0


@pytest.mark.parametrize("protocol", LINES)
@pytest.mark.parametrize("kind", ["noise", "echo"])
async def test_what_a_real_line_adds_costs_nothing(tmp_path: Path, protocol: str, kind: str) -> None:
    async with line_rig(tmp_path, protocol, [door(1)], poll_s=0.1) as rig:
        await rig.collected.value("door-1", "contact", 0)
        rig.estate.fail("door-1", Fault(kind=kind))
        start = len(rig.collected.samples)
        for word, raw in [("open", 1), ("closed", 0), ("open", 1)]:
            rig.estate.set("door-1", "contact", word)
            await rig.collected.value("door-1", "contact", raw)
        outcome = await rig.driver.execute("door-1", "unlock", {"seconds": 1}, LATER_NS)
        assert outcome.status is CommandStatus.EXECUTED
        assert all(s.raw is not None for s in rig.collected.samples[start:])


@pytest.mark.parametrize("protocol", LINES)
async def test_a_damaged_answer_costs_less_than_a_silent_unit(tmp_path: Path, protocol: str) -> None:
    """It is told from silence as soon as the line is quiet again, long before the time-out."""
    async with line_rig(tmp_path, protocol, [door(1), door(2)], poll_s=0.1, timeout_s=3.0) as rig:
        await rig.collected.value("door-2", "contact", 0)
        rig.estate.fail("door-1", Fault(kind="crc", times=1))
        start = time.monotonic()
        failed = await rig.collected.error("door-1", "contact")
        assert time.monotonic() - start < 1.0
        assert "no sound answer" in failed.error
        await rig.collected.value("door-1", "contact", 0)
        assert rig.driver.silent_units == 0


async def test_a_line_keeps_the_silence_between_frames(tmp_path: Path) -> None:
    async with line_rig(tmp_path, "modbus-rtu", [door(unit) for unit in range(1, 6)], poll_s=0.2, baud=19200) as rig:
        await rig.collected.value("door-5", "contact", 0)
        await asyncio.sleep(2.0)
        assert rig.line.early == 0
        assert rig.line.collisions == 0
        assert rig.driver.polls > 40


async def test_an_adapter_that_is_pulled_out_is_opened_again_wherever_it_comes_back(tmp_path: Path) -> None:
    async with line_rig(tmp_path, "modbus-rtu", [door(1)], poll_s=0.1) as rig:
        await rig.collected.value("door-1", "contact", 0)
        await rig.bus.plug(is_in=False)
        lost = await rig.collected.error("door-1", "contact")
        assert lost.error.startswith(f"{tmp_path / 'line'}: ")
        await rig.collected.until(
            lambda: "is the adapter plugged in?" in rig.collected.of("door-1", "contact")[-1].error
        )
        assert not rig.driver.connected
        await rig.bus.plug(is_in=True)
        await rig.collected.value("door-1", "contact", 0)
        assert rig.driver.counts().reconnects == 1


async def test_a_port_that_another_program_uses_is_said_so(tmp_path: Path) -> None:
    async with line_rig(tmp_path, "modbus-rtu", [door(1)], poll_s=0.1) as rig:
        await rig.collected.value("door-1", "contact", 0)
        async with line_rig(tmp_path / "other", "modbus-rtu", [door(1)], poll_s=0.1) as other:
            await other.collected.value("door-1", "contact", 0)
            await other.bus.plug(is_in=False)
            (tmp_path / "other" / "line").symlink_to((tmp_path / "line").resolve())
            await other.collected.until(
                lambda: "another program uses it" in other.collected.of("door-1", "contact")[-1].error
            )
            (tmp_path / "other" / "line").unlink()
        await rig.collected.value("door-1", "contact", 0)
