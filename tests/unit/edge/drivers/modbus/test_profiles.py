"""Each shipped profile: what the simulator shows by it, the box reads by it; and the driver's own files are sound."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

import edge.drivers.modbus
from contract.kinds import KINDS, PointType
from contract.messages import Quality
from contract.profile import ModbusProfile
from contract.site import ModbusDevice, ModbusTcpBus, load_site, resolve
from edge.drivers.modbus.decode import decode_read
from edge.drivers.modbus.plan import plan_unit
from edge.normalise import Normaliser, tokeniser
from simulators.log import TruthLog
from simulators.modbus.device import SimulatedUnit
from tests.support.modbus import PROFILES, site_of

FOLDER = Path(edge.drivers.modbus.__file__).parent


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda p: p.id)
def test_the_box_reads_what_the_simulator_shows(profile: ModbusProfile) -> None:
    devices = [
        ModbusDevice(id=f"d{channel}", name="d", profile=profile.id, unit=1, channel=channel)
        for channel in {0, profile.modbus.channels - 1}
    ]
    bus = ModbusTcpBus(id="bus", protocol="modbus-tcp", host="h", devices=devices)
    resolved = resolve(site_of(bus), PROFILES)
    unit = SimulatedUnit(resolved, TruthLog())
    normaliser, now_ns = Normaliser(resolved, tokenise=tokeniser(bytes(32))), 0
    shown: dict[tuple[str, str], tuple[float | str | None, Quality]] = {}
    for device in devices:
        for name, mapped in profile.points.items():
            if mapped.read is None:
                continue
            is_state = KINDS[profile.kind].points[name].type is PointType.STATE
            for value in mapped.states.values() if is_state else (mapped.minimum or 0.0, mapped.maximum or 1.0):
                unit.set(device.id, name, value)
                now_ns += 1
                for read in plan_unit(resolved):
                    words = unit.read(read.table, read.address, read.count)
                    for r in normaliser.take(decode_read(read, words, now_ns)):
                        shown[r.device, r.point] = (r.value, r.quality)
                assert shown[device.id, name] == (value, Quality.GOOD)
                assert unit.get(device.id, name) == value


def test_the_sample_is_a_site_the_box_takes() -> None:
    site = load_site(FOLDER / "sample.yaml", PROFILES)
    assert [device for bus in site.buses for device in bus.devices]


def test_the_quality_file_gives_a_reason_for_all_that_is_not_done() -> None:
    rules = YAML(typ="safe").load((FOLDER / "quality.yaml").read_text())["rules"]
    for rule, said in rules.items():
        assert said == "done" or (said["status"] in {"todo", "exempt"} and said["why"]), rule
