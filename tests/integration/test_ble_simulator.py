"""The simulated BlueZ keeps to what bluetoothd was seen to do, told by an unmodified bleak."""

import asyncio
from collections.abc import AsyncIterator
from typing import Self

import pytest
from bleak import BleakClient, BleakScanner
from bleak.args.bluez import OrPattern
from bleak.exc import BleakDBusError, BleakError

from contract.errors import Permanent
from contract.site import BleBus, Cloud, Estate, Site
from simulators.ble.bluez import BlueZ
from simulators.ble.links import RadioTimes
from simulators.ble.peripheral import Advertisement, full_uuid
from simulators.bus import Fault
from simulators.estate import Estate as SimulatedEstate
from simulators.log import TruthLog
from tests.support.drivers_ble import LEAK, LOCK, BleRig, ble_rig, sensor
from tests.support.waiting import eventually

ADDRESS = "A4:C1:38:00:00:01"
FCD2 = full_uuid("fcd2")
LOCKED = full_uuid("ff02")


@pytest.fixture
async def rig() -> AsyncIterator[BleRig]:
    async with ble_rig([sensor(1, LOCK)], runs=False, interval_s=3600) as rig:
        yield rig


class Listening:
    """A scanner of bleak's, and how often it was told of whom."""

    def __init__(self, mode: str = "active") -> None:
        self.told: list = []
        patterns = [OrPattern(0, 0x16, b"\xd2\xfc")] if mode == "passive" else []
        bluez = {"adapter": "hci0"} | ({"or_patterns": patterns} if patterns else {})
        self.scanner = BleakScanner(lambda d, a: self.told.append((d, a)), scanning_mode=mode, bluez=bluez)

    async def __aenter__(self) -> Self:
        await self.scanner.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.scanner.stop()

    async def after(self, times: int) -> None:
        await eventually(lambda: len(self.told) >= times)


async def send(rig: BleRig, data: bytes, times: int = 1) -> None:
    for _ in range(times):
        await rig.adapter.advertise(ADDRESS, Advertisement(service={FCD2: data}))


async def test_active_tells_of_each_passive_of_each_change(rig: BleRig) -> None:
    async with Listening() as active:
        await send(rig, b"\x40\x01", times=5)
        await active.after(5)
        await send(rig, b"\x40\x02")
        await active.after(6)
        assert len(active.told) == 6
    async with Listening("passive") as passive:
        await eventually(lambda: rig.adapter.is_listening)
        await send(rig, b"\x40\x02", times=5)
        await send(rig, b"\x40\x03", times=5)
        await passive.after(1)
        await rig.adapter.advertise(ADDRESS, Advertisement(service={full_uuid("181a"): b"\x01"}))  # no pattern fits
        await send(rig, b"\x40\x04")
        await passive.after(2)
        assert [advertised.service_data[FCD2] for _, advertised in passive.told] == [b"\x40\x03", b"\x40\x04"]


async def test_a_burst_loses_nothing(rig: BleRig) -> None:
    async with Listening() as active:
        await send(rig, bytes(24), times=3000)
        await active.after(3000)


async def test_what_is_not_heard_has_no_strength_and_is_forgotten(rig: BleRig) -> None:
    rig.adapter.times = RadioTimes(forget_s=0.3)
    async with Listening() as active:
        await send(rig, b"\x40")
        await active.after(1)
    device = active.told[0][0]
    await asyncio.sleep(0.1)
    assert rig.bus.bluez.get(device.details["path"], "org.bluez.Device1", "RSSI") is None
    await eventually(lambda: rig.bus.bluez.get(device.details["path"], "org.bluez.Device1", "Address") is None)
    with pytest.raises(BleakError):
        await BleakClient(device).connect()


async def test_it_does_not_connect_while_it_listens_actively(rig: BleRig) -> None:
    async with Listening() as active:
        await send(rig, b"\x40")
        await active.after(1)
        with pytest.raises(BleakDBusError, match="InProgress"):
            await BleakClient(active.told[0][0]).connect()
    assert rig.adapter.clashes == 1


async def _device(rig: BleRig) -> object:
    async with Listening() as active:
        await send(rig, b"\x40")
        await active.after(1)
    return active.told[0][0]


async def test_refusals_are_att_errors(rig: BleRig) -> None:
    async with BleakClient(await _device(rig)) as client:
        assert await client.read_gatt_char(LOCKED) == b"\x00"
        rig.bus.fail("lock-1", Fault(kind="exception", code=2))
        with pytest.raises(BleakError, match="Read Not Permitted"):
            await client.read_gatt_char(LOCKED)
        rig.bus.fail("lock-1", Fault(kind="exception", code=14))
        with pytest.raises(BleakError):
            await client.read_gatt_char(LOCKED)


async def test_a_connected_device_advertises_no_more_and_one_that_does_not_answer_is_dropped(rig: BleRig) -> None:
    rig.adapter.times = RadioTimes(att_s=0.2)
    dropped = asyncio.Event()
    client = BleakClient(await _device(rig), disconnected_callback=lambda _: dropped.set())
    await client.connect()
    async with Listening() as active:
        await send(rig, b"\x41")
        rig.bus.sensors["lock-1"].fault = Fault(kind="silent")
        with pytest.raises(BleakError):
            await client.read_gatt_char(LOCKED)
        await dropped.wait()
        await send(rig, b"\x42")
        await eventually(lambda: b"\x42" in {one.service_data[FCD2] for _, one in active.told})
        assert b"\x41" not in {one.service_data[FCD2] for _, one in active.told}
    await client.disconnect()


async def test_a_powered_off_radio_is_not_ready(rig: BleRig) -> None:
    rig.adapter.power(False)
    with pytest.raises(BleakError):
        async with Listening():
            pass


async def test_two_radios_of_an_estate_are_on_one_bluez(monkeypatch: pytest.MonkeyPatch) -> None:
    buses = [
        BleBus(id=f"radio-{n}", protocol="ble", adapter=f"hci{n}", devices=[sensor(n + 1, LEAK)[0]]) for n in (0, 1)
    ]  # fmt: skip
    site = Site(estate=Estate(name="西苑小区"), cloud=Cloud(url="http://127.0.0.1:1"), buses=buses)
    async with SimulatedEstate(site, {"leak": LEAK}, TruthLog()) as estate:
        assert estate.buses["radio-0"].bluez is estate.buses["radio-1"].bluez
        assert set(estate.buses["radio-0"].bluez.adapters) == {"hci0", "hci1"}
        assert "DBUS_SYSTEM_BUS_ADDRESS=unix:path=" in estate.buses["radio-0"].where
        estate.set("leak-2", "leak", "leak")
        assert estate.get("leak-2", "leak") == "leak"
        await estate.power("radio-1", False)
        assert set(estate.buses["radio-0"].bluez.adapters) == {"hci0"}
        for wrong in (lambda: estate.set("leak-2", "leak", "wet"), lambda: estate.set("leak-2", "nothing", 1)):
            with pytest.raises(Permanent):
                wrong()
        with pytest.raises(Permanent):
            estate.fail("leak-2", Fault(kind="crc"))


async def test_nothing_is_left_behind() -> None:
    async with BlueZ() as bluez:
        socket = bluez.address.removeprefix("unix:path=")
    with pytest.raises(OSError, match="No such file"):
        await asyncio.open_unix_connection(socket)
