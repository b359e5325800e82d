"""Each shipped profile: what the simulator shows by it, the box reads by it; and the driver's own files are sound."""

import struct
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import edge.drivers.modbus
from contract.kinds import KINDS, PointType
from contract.modbus_plan import plan_unit
from contract.profile import ModbusProfile
from contract.site import ModbusDevice, ModbusTcpBus, load_site, resolve
from edge.drivers.modbus.decode import decoder_of
from edge.drivers.modbus.frame import pack_bits
from simulators.log import TruthLog
from simulators.modbus.device import SimulatedUnit
from simulators.modbus.encode import value_of
from tests.support.modbus import PROFILES, site_of

MODELS = [profile for profile in PROFILES.values() if isinstance(profile, ModbusProfile)]
FOLDER = Path(edge.drivers.modbus.__file__).parent


@pytest.mark.parametrize("profile", MODELS, ids=lambda p: p.id)
def test_the_box_reads_what_the_simulator_shows(profile: ModbusProfile) -> None:
    devices = [
        ModbusDevice(id=f"d{channel}", name="d", profile=profile.id, unit=1, channel=channel)
        for channel in {0, profile.modbus.channels - 1}
    ]
    bus = ModbusTcpBus(id="bus", protocol="modbus-tcp", host="h", devices=devices)
    resolved = resolve(site_of(bus), PROFILES)
    reads = plan_unit(1, profile, [(device.id, device.channel) for device in devices], profile.modbus)
    unit = SimulatedUnit(resolved, TruthLog())
    for device in devices:
        for name, mapped in profile.points.items():
            if mapped.read is None:
                continue
            kind = KINDS[profile.kind].points[name].type
            states = mapped.states.values() if kind is PointType.STATE else ()
            numbers = (0, 1) if kind is PointType.EVENT else (mapped.minimum or 0.0, mapped.maximum or 1.0)
            for value in states or numbers:
                unit.set(device.id, name, value)
                raw = {}
                for read in reads:
                    cells = unit.read(read.table, read.address, read.count)
                    data = pack_bits(cells) if read.table.is_bits else struct.pack(f">{len(cells)}H", *cells)
                    raw |= {(sample.device, sample.point): sample.raw for sample in decoder_of(read)(data, 1)}
                assert value_of(mapped, raw[device.id, name]) == unit.get(device.id, name)
                if isinstance(value, str):
                    assert unit.get(device.id, name) == value


def test_the_sample_is_a_site_the_box_takes() -> None:
    site = load_site(FOLDER / "sample.yaml", PROFILES)
    assert [device for bus in site.buses for device in bus.devices]


def test_the_quality_file_gives_a_reason_for_all_that_is_not_done() -> None:
    rules = YAML(typ="safe").load((FOLDER / "quality.yaml").read_text())["rules"]
    for rule, said in rules.items():
        assert said == "done" or (said["status"] in {"todo", "exempt"} and said["why"]), rule
