"""The BLE driver and an unmodified bleak on a simulated BlueZ: what is heard, connected, lost and found again."""

import asyncio
import os
import sys
from pathlib import Path

import msgspec
from structlog.testing import capture_logs

from contract.messages import CommandStatus
from edge.drivers.ble.adapter import Adapter as Watch
from edge.drivers.ble.adapter import Lost
from simulators.ble.peripheral import Advertisement
from simulators.bus import Fault
from tests.support.drivers_ble import (
    BUTTON,
    CLIMATE,
    HYBRID,
    LEAK,
    LOCK,
    QUICK,
    SILENT_S,
    STAYING,
    ble_rig,
    sensor,
)
from tests.support.modbus import LATER_NS
from tests.support.waiting import eventually


async def test_bthome_plain() -> None:
    async with ble_rig([sensor(1, LEAK), sensor(2, LEAK)]) as rig:
        rig.bus.set("leak-1", "battery", 87)
        await rig.collected.value("leak-1", "battery", 87)
        rig.bus.set("leak-1", "leak", "leak")
        await rig.collected.value("leak-1", "leak", 1)
        await rig.collected.value("leak-2", "leak", 0)
        assert rig.collected.of("leak-1", "rssi")[-1].raw == -60
        assert rig.driver.counts().connected
        assert rig.driver.counts().silent_units == 0


async def test_a_press_of_a_button_happens_once_however_often_it_is_sent() -> None:
    async with ble_rig([sensor(1, BUTTON)], interval_s=60) as rig:
        await rig.hears()
        for presses in (1, 2):
            rig.bus.set("button-1", "pressed", 1)
            await rig.collected.fresh("button-1", "pressed", lambda s: s.raw == "press" and s.fields == {})
            sent = rig.adapter.advertised
            await eventually(lambda sent=sent: rig.adapter.advertised >= sent + 2)  # it is sent three times
            rig.bus.set("button-1", "battery", 50 + presses)
            await rig.collected.value("button-1", "battery", 50 + presses)
            assert len(rig.collected.of("button-1", "pressed")) == presses


async def test_vendor_format() -> None:
    async with ble_rig([sensor(1, CLIMATE)]) as rig:
        rig.bus.set("climate-1", "temperature", -12.345)
        rig.bus.set("climate-1", "battery", 99)
        await rig.collected.value("climate-1", "temperature", -2469)
        await rig.collected.value("climate-1", "battery", 99)


async def test_what_repeats_unchanged_is_a_sign_of_life_now_and_then() -> None:
    async with ble_rig([sensor(1, CLIMATE)]) as rig:
        first = await rig.collected.value("climate-1", "battery", 0)
        again = await rig.collected.value("climate-1", "battery", 0)
        assert again.mono_ns - first.mono_ns >= QUICK.again_s * 0.99e9
        assert not [s for s in rig.collected.samples if s.raw is None]


async def test_a_silent_sensor_is_told_and_so_is_its_return() -> None:
    async with ble_rig([sensor(1, LEAK), sensor(2, LEAK)]) as rig:
        await rig.collected.value("leak-1", "leak", 0)
        rig.bus.fail("leak-1", Fault(kind="silent"))
        failed = await rig.collected.error("leak-1", "leak")
        assert "nothing heard for 1 s" in failed.error
        assert rig.driver.counts().silent_units == 1
        rig.bus.fail("leak-1", None)
        await rig.collected.value("leak-1", "leak", 0)
        assert rig.driver.counts().silent_units == 0
        assert not [s for s in rig.collected.samples if s.device == "leak-2" and s.raw is None]


async def test_passive_scan_hears_changes() -> None:
    async with ble_rig([sensor(1, LEAK), sensor(2, CLIMATE)], scan="passive") as rig:
        await rig.collected.value("leak-1", "leak", 0)
        rig.bus.set("leak-1", "leak", "leak")
        await rig.collected.value("leak-1", "leak", 1)
        rig.bus.set("climate-2", "battery", 33)
        await rig.collected.value("climate-2", "battery", 33)
        assert not rig.adapter.is_discovering


async def test_passive_scan_that_is_refused_becomes_active_and_says_so_once() -> None:
    with capture_logs() as logs:
        async with ble_rig([sensor(1, LEAK)], scan="passive", is_experimental=False) as rig:
            await rig.collected.value("leak-1", "leak", 0)
            await rig.bus.power(False)
            await rig.collected.error("leak-1", "leak")
            await rig.bus.power(True)
            await rig.collected.value("leak-1", "leak", 0)
            assert rig.adapter.is_discovering
    assert len([entry for entry in logs if "cannot listen passively" in entry["event"]]) == 1


async def test_gatt_connects_one_at_a_time_and_never_while_it_scans() -> None:
    async with ble_rig([sensor(n, LOCK) for n in range(1, 6)] + [sensor(9, LEAK)]) as rig:
        for n in range(1, 6):
            rig.bus.set(f"lock-{n}", "contact", "open")
            await rig.collected.value(f"lock-{n}", "contact", 1)
        rig.bus.set("leak-9", "leak", "leak")
        await rig.collected.value("leak-9", "leak", 1)
        assert rig.adapter.connects >= 5
        assert rig.adapter.clashes == 0
        assert rig.driver.counts().failures == 0


async def test_a_connection_that_stays_tells_changes_by_itself_and_is_made_again() -> None:
    async with ble_rig([sensor(1, STAYING)]) as rig:
        await rig.collected.value("staying-1", "contact", 0)
        await eventually(rig.adapter.linked)
        rig.bus.set("staying-1", "contact", "open")
        told = await rig.collected.value("staying-1", "contact", 1)
        assert told.fields is None  # a state, not an event
        connects = rig.adapter.connects
        rig.adapter.drop("A4:C1:38:00:00:01")
        rig.bus.set("staying-1", "contact", "closed")
        await rig.collected.value("staying-1", "contact", 0)
        assert rig.adapter.connects > connects


async def test_a_command_whose_effect_is_heard_rather_than_read() -> None:
    async with ble_rig([sensor(1, HYBRID)]) as rig:
        await rig.collected.value("hybrid-1", "lock", 0)
        outcome = await rig.driver.execute("hybrid-1", "unlock", {"seconds": 5}, LATER_NS)
        assert outcome.status is CommandStatus.EXECUTED, outcome
        rig.bus.fail("hybrid-1", Fault(kind="exception", code=3))
        refused = await rig.driver.execute("hybrid-1", "unlock", {"seconds": 5}, LATER_NS)
        assert refused.status is CommandStatus.FAILED
        assert "the device refused it" in refused.reason
        assert rig.adapter.clashes == 0


async def test_a_command_that_no_answer_came_to_is_in_doubt() -> None:
    async with ble_rig([sensor(1, LOCK)]) as rig:
        await rig.collected.value("lock-1", "lock", 0)
        rig.bus.fail("lock-1", Fault(kind="slow", delay_s=QUICK.answer_s * 1.5))
        outcome = await rig.driver.execute("lock-1", "unlock", {"seconds": 5}, LATER_NS)
        assert outcome.status is CommandStatus.SENT_NOT_CONFIRMED
        assert "no answer within" in outcome.reason


async def test_arguments_that_do_not_fit_are_not_written() -> None:
    async with ble_rig([sensor(1, LOCK)]) as rig:
        for args in ({}, {"seconds": 601}, {"seconds": "5"}, {"seconds": 1.5}, {"minutes": 1}):
            outcome = await rig.driver.execute("lock-1", "unlock", args, LATER_NS)
            assert outcome.status is CommandStatus.FAILED, args
        assert rig.adapter.linked() == []


async def test_the_radio_is_lost_and_found_for_ever_and_both_are_said_once() -> None:
    with capture_logs() as logs:
        async with ble_rig([sensor(1, LEAK)]) as rig:
            await rig.collected.value("leak-1", "leak", 0)
            for turn in (1, 2):
                await rig.bus.power(False)
                failed = await rig.collected.error("leak-1", "leak")
                assert "hci0" in failed.error
                assert not rig.driver.counts().connected
                await rig.bus.power(True)
                await rig.collected.value("leak-1", "leak", 0)
                assert rig.driver.counts().reconnects == turn
    assert len([entry for entry in logs if entry["event"].startswith("radio lost")]) == 2
    assert len([entry for entry in logs if entry["event"] == "radio is back"]) == 2


async def test_a_box_that_starts_without_a_radio_waits_for_it() -> None:
    async with ble_rig([sensor(1, LEAK)], runs=False) as rig:
        await rig.bus.power(False)
        rig.start()
        await rig.collected.error("leak-1", "leak")
        await rig.bus.power(True)
        await rig.collected.value("leak-1", "leak", 0)


async def test_a_radio_switched_off_by_software_is_lost_and_found() -> None:
    async with ble_rig([sensor(1, LEAK)]) as rig:
        await rig.collected.value("leak-1", "leak", 0)
        rig.adapter.power(False)
        failed = await rig.collected.error("leak-1", "leak")
        assert "switched off" in failed.error
        rig.adapter.power(True)
        await rig.collected.value("leak-1", "leak", 0)


async def test_bluetoothd_crashes_and_comes_back() -> None:
    async with ble_rig([sensor(1, LEAK), sensor(2, LOCK), sensor(3, STAYING)]) as rig:
        await rig.collected.value("leak-1", "leak", 0)
        await rig.collected.value("staying-3", "contact", 0)
        await rig.bus.bluez.crash()
        rig.bus.meet(rig.adapter)
        for device, point in (("leak-1", "leak"), ("lock-2", "contact"), ("staying-3", "contact")):
            await rig.collected.value(device, point, 0)
        assert rig.driver.counts().reconnects == 1


async def test_the_end_of_the_systems_bus_is_noticed() -> None:
    async with ble_rig([sensor(1, LEAK)]) as rig:
        await rig.collected.value("leak-1", "leak", 0)
        await rig.bus.bluez.kill_bus()
        await eventually(lambda: not rig.driver.counts().connected)
        failed = await rig.collected.error("leak-1", "leak")
        assert "D-Bus" in failed.error


async def test_a_scan_that_hears_nothing_at_all_is_begun_anew() -> None:
    timing = msgspec.structs.replace(QUICK, stall_s=1.0)
    async with ble_rig([sensor(1, LEAK)], timing=timing) as rig:
        await rig.collected.value("leak-1", "leak", 0)
        rig.adapter.forget_discovery()
        await rig.collected.error("leak-1", "leak")
        await rig.collected.value("leak-1", "leak", 0)


_LEAVE_A_LINK = """
import asyncio, os
from bleak import BleakClient, BleakScanner

async def main():
    device = await BleakScanner.find_device_by_address("A4:C1:38:00:00:01", timeout=5)
    await BleakClient(device).connect()
    os._exit(9)

asyncio.run(main())
"""


async def test_a_link_that_a_killed_run_left_is_ended_at_the_start() -> None:
    async with ble_rig([sensor(1, LEAK), sensor(2, LOCK)], runs=False) as rig:
        killed = await asyncio.create_subprocess_exec(sys.executable, "-c", _LEAVE_A_LINK, env=dict(os.environ))
        assert await killed.wait() == 9
        assert rig.adapter.linked() == ["A4:C1:38:00:00:01"]
        rig.start()
        await rig.collected.value("leak-1", "leak", 0)
        assert "A4:C1:38:00:00:01" not in rig.adapter.linked()


async def test_losses_leave_no_task_and_no_handle_behind() -> None:
    async with ble_rig([sensor(1, LEAK), sensor(2, LOCK), sensor(3, STAYING)]) as rig:

        async def all_are_heard() -> tuple[int, int]:
            for device, point in (("leak-1", "leak"), ("lock-2", "contact"), ("staying-3", "contact")):
                await rig.collected.value(device, point, 0)
            await eventually(rig.adapter.linked)
            return len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir()))

        before = await all_are_heard()
        for _ in range(3):
            rig.bus.cut()
            await all_are_heard()
            await rig.bus.bluez.crash()
            rig.bus.meet(rig.adapter)
            await all_are_heard()
            rig.adapter.drop("A4:C1:38:00:00:03")
            after = await all_are_heard()
        # A connect that happens to be under way has a handful of its own.
        assert after[0] <= before[0] + 6
        assert after[1] <= before[1] + 4


async def test_a_flood_of_strangers_and_their_nonsense_costs_no_memory_and_hides_nobody() -> None:
    async with ble_rig([sensor(1, LEAK)]) as rig:
        await rig.hears()
        for n in range(2000):
            address = ":".join(f"{byte:02X}" for byte in n.to_bytes(6))
            data = bytes(n % 256 for _ in range(n % 32))
            name = "\x1b[2J\r\nroot: all is well\x07" + "长" * (n % 20)
            heard = Advertisement(name=name, manufacturer={n % 65536: data}, service={"fcd2": data})
            await rig.adapter.advertise(address, heard)
        rig.bus.set("leak-1", "leak", "leak")
        await rig.collected.value("leak-1", "leak", 1)
        assert {sample.device for sample in rig.collected.samples} == {"leak-1"}
        held = [value for value in vars(rig.driver).values() if hasattr(value, "__len__")]
        assert max(len(value) for value in held) < 100


async def test_only_an_advertisement_is_a_sign_of_life() -> None:
    """BlueZ tells of a device anew, with its last data, when something else of it changes."""
    async with ble_rig([sensor(1, HYBRID)]) as rig:
        await rig.collected.value("hybrid-1", "lock", 0)
        rig.bus.fail("hybrid-1", Fault(kind="silent"))
        heard_ns = rig.driver._sensors["A4:C1:38:00:00:01"].life_ns
        rig.adapter.tell_of("A4:C1:38:00:00:01", trusted=True)
        await rig.collected.error("hybrid-1", "lock")
        assert rig.driver._sensors["A4:C1:38:00:00:01"].life_ns - heard_ns < SILENT_S * 0.5e9


async def test_the_watch_says_what_to_do_where_there_is_no_radio() -> None:
    async with ble_rig([sensor(1, LEAK)], runs=False) as rig:
        assert "bluetoothctl list" in await _why(Watch("hci7"))
        rig.adapter.power(False)
        assert "bluetoothctl power on" in await _why(Watch("hci0"))
    assert "D-Bus" in await _why(Watch("hci0"))


async def _why(watch: Watch) -> str:
    try:
        async with watch:
            return "it is there"
    except Lost as e:
        return str(e)
