"""BLE in the site file: radios of the box, and the sensors heard through them."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import msgspec

from contract.config import Problem, is_bad
from contract.profile import AnyProfile, BleProfile
from contract.site.common import Bus, Device, Secret, Where


class BleDevice(Device, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One sensor: its profile, its address, its key where it encrypts, and its place."""

    address: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^([0-9A-F]{2}:){5}[0-9A-F]{2}$", description="six bytes in capital letters: A4:C1:38:01:02:03"
        ),
    ]
    """The address printed on it, or shown by a scan."""
    bindkey: Secret | None = None
    """Its key (32 hex digits), as a secret, where it encrypts. Whatever is not encrypted is refused then."""
    counter_resets: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    """Raise it by one when a sensor that encrypts began to count anew (a changed battery); until then it is refused."""


class BleBus(Bus, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One radio of the box. It hears many sensors."""

    protocol: Literal["ble"]
    """Bluetooth Low Energy through BlueZ."""
    adapter: Annotated[str, msgspec.Meta(pattern=r"^hci\d+$", description="for example hci0")] = "hci0"
    """Which radio; each once in the file."""
    scan: Literal["active", "passive"] = "active"
    """passive saves the sensors' batteries, where the box's kernel and BlueZ can."""
    devices: list[BleDevice]
    """What is heard through it."""

    @property
    def endpoint(self) -> str:
        """What no other bus may use."""
        return self.adapter

    def silent_after_s(self, profile: BleProfile) -> float:
        """Seconds without a word after which a sensor is off line, by its model and how the radio listens."""
        if self.scan == "passive" and profile.silent_after_passive_s is not None:
            return profile.silent_after_passive_s
        return profile.silent_after_s


def check_ble_bus(bus: BleBus, where: Where, profiles: Mapping[str, AnyProfile]) -> Iterator[Problem]:
    """What is wrong with the addresses, keys, and with how the radio is to listen."""
    taken: dict[str, str] = {}
    for d, device in enumerate(bus.devices):
        if is_bad(device) or is_bad(device.address):
            continue
        here = (*where, "devices", d)
        first = taken.setdefault(device.address, device.id)
        if first is not device.id:
            problem = f"address {device.address} is already device {first!r}"
            yield Problem((*here, "address"), problem, "each sensor once a radio")
        profile = profiles.get(device.profile) if not is_bad(device.profile) else None
        if not isinstance(profile, BleProfile):
            continue
        if device.bindkey is not None and not profile.is_bthome:
            problem = f"{profile.id} has no key: only BTHome encrypts"
            yield Problem((*here, "bindkey"), problem, "leave bindkey: out")
        if bus.scan == "passive" and not profile.is_heard:
            problem = f"a radio that listens passively does not hear {profile.id}, whose advertisements say nothing"
            yield Problem((*where, "scan"), problem, "write scan: active, or put it on another radio")
