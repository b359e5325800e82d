"""The BLE driver and an unmodified bleak on a simulated BlueZ: what is heard, refused, connected, lost and found."""

from contract.messages import CommandStatus
from tests.support.drivers_ble import CLIMATE, LEAK, LOCK, ble_rig, sensor
from tests.support.modbus import LATER_NS


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


async def test_vendor_format() -> None:
    async with ble_rig([sensor(1, CLIMATE)]) as rig:
        rig.bus.set("climate-1", "temperature", -12.345)
        rig.bus.set("climate-1", "battery", 99)
        await rig.collected.value("climate-1", "temperature", -2469)
        await rig.collected.value("climate-1", "battery", 99)


async def test_gatt() -> None:
    async with ble_rig([sensor(1, LOCK)]) as rig:
        await rig.collected.value("lock-1", "contact", 0)
        rig.bus.set("lock-1", "contact", "open")
        await rig.collected.value("lock-1", "contact", 1)
        outcome = await rig.driver.execute("lock-1", "unlock", {"seconds": 30}, LATER_NS)
        assert outcome.status is CommandStatus.EXECUTED, outcome
        assert rig.adapter.clashes == 0
