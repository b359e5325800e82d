"""Small sites of simulated devices, and what they were and did."""

from contract.profile import load_profiles, shipped_profiles
from contract.site import AnyBus, Cloud, Estate, ModbusDevice, Site

PROFILES = load_profiles(shipped_profiles())


def door(unit: int) -> ModbusDevice:
    """A door unit called door-N."""
    return ModbusDevice(id=f"door-{unit}", name=f"门{unit}", profile="anju-door-unit", unit=unit)


def detector(unit: int, channel: int) -> ModbusDevice:
    """A detector on a panel, called smoke-U-C."""
    return ModbusDevice(
        id=f"smoke-{unit}-{channel}", name=f"烟感{channel}", profile="anju-smoke-panel-16", unit=unit, channel=channel
    )


def site_of(*buses: AnyBus) -> Site:
    """A site with these buses."""
    return Site(estate=Estate(name="西苑小区"), cloud=Cloud(url="http://127.0.0.1:8080"), buses=list(buses))
