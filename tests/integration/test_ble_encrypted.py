"""Sensors that encrypt, over the air and over restarts of the box: what an attacker with a radio can and cannot do."""

from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from contract.errors import AnjuError
from edge.drivers.ble import BleDriver
from simulators.ble import bthome
from simulators.ble.buses import bindkey_of
from simulators.ble.peripheral import Advertisement, full_uuid
from tests.support.drivers_ble import BUTTON, LEAK, QUICK, BleRig, ble_rig, sensor
from tests.support.waiting import eventually

ADDRESS = "A4:C1:38:00:00:01"
KEY = bytes.fromhex(bindkey_of("key-1"))


async def attack(rig: BleRig, data: bytes) -> None:
    await rig.adapter.advertise(ADDRESS, Advertisement(service={full_uuid(bthome.UUID): data}))


def wet(counter: int, key: bytes | None = KEY) -> bytes:
    return bthome.service_data(bthome.payload([bthome.binary("moisture", True)]), ADDRESS, key, counter)


async def test_encrypted_is_heard_and_everything_else_changes_nothing() -> None:
    with capture_logs() as logs:
        async with ble_rig([sensor(1, LEAK, encrypted=True)]) as rig:
            await rig.collected.value("leak-1", "leak", 0)
            recorded = bthome.service_data(bthome.payload([bthome.binary("moisture", True)]), ADDRESS, KEY, 1)
            tampered = bytearray(wet(10_000))
            tampered[2] ^= 4
            for data in (recorded, bytes(tampered), wet(10_000, key=None), wet(10_000, key=bytes(16)), b"\x41\x00"):
                await attack(rig, data)
            await eventually(lambda: sum(rig.driver.refused.get("leak-1", {}).values()) >= 5)
            await rig.collected.value("leak-1", "leak", 0)
            assert {sample.raw for sample in rig.collected.of("leak-1", "leak")} == {0}
            assert rig.driver.refused["leak-1"].keys() == {"replayed", "bindkey", "plain", "malformed"}
            assert rig.driver.counts().late >= 5
            rig.bus.set("leak-1", "leak", "leak")
            await rig.collected.value("leak-1", "leak", 1)
    assert not [entry for entry in logs if KEY.hex() in str(entry)]


async def test_what_was_recorded_before_a_restart_is_refused_after_it(tmp_path: Path) -> None:
    async with ble_rig([sensor(1, LEAK, encrypted=True)], state=tmp_path, interval_s=60) as rig:
        await rig.hears()
        await attack(rig, wet(700))
        await rig.collected.value("leak-1", "leak", 1)
        await rig.stop()
        rig.start()
        await rig.hears()
        for counter in (700, 699, 99, 3):
            await attack(rig, wet(counter))
        await eventually(lambda: rig.driver.refused.get("leak-1", {}).get("replayed", 0) >= 4)
        assert len(rig.collected.of("leak-1", "leak")) == 1
        await attack(rig, wet(701))
        await rig.collected.value("leak-1", "leak", 1)


async def test_the_counter_of_an_event_is_on_disk_soon(tmp_path: Path) -> None:
    timing = msgspec.structs.replace(QUICK, save_s=1000.0)
    async with ble_rig([sensor(1, BUTTON, encrypted=True)], state=tmp_path, interval_s=60, timing=timing) as rig:
        await rig.hears()
        rig.bus.set("button-1", "pressed", 1)
        await rig.collected.fresh("button-1", "pressed", lambda s: s.raw == "press")
        file = tmp_path / "ble-counters-radio.json"
        await eventually(lambda: file.exists() and b'"counter":' in file.read_bytes())
        assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "0102", "zz" * 16, "00" * 17])
async def test_a_secret_that_is_no_key_stops_the_start_and_is_not_repeated(text: str) -> None:
    async with ble_rig([sensor(1, LEAK, encrypted=True)], runs=False) as rig:
        with pytest.raises(AnjuError, match="32 hex digits") as refused:
            BleDriver(rig.resolved[0].bus, rig.resolved, rig.collected.consume, read_key=lambda _: text)
        assert not text or text not in str(refused.value)
