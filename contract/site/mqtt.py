"""MQTT in the site file: brokers, and the devices that publish to them."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import msgspec

from contract.config import Problem, is_bad
from contract.profile import AnyProfile, MqttProfile
from contract.site.common import Bus, Device, Secret, Where, host_hint


class MqttDevice(Device, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One device: its profile, its own part of the topics, and its place."""

    address: Annotated[
        str, msgspec.Meta(pattern=r"^[^+#\x00]+$", max_length=200, description="its part of the topic, without + and #")
    ]
    """What stands for {address} in its profile's topics: a friendly name, a device id, a DevEUI."""


class MqttBus(Bus, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One broker and the devices that publish to it."""

    protocol: Literal["mqtt"]
    """MQTT through a broker of this box or of the estate."""
    host: Annotated[str, msgspec.Meta(min_length=1, max_length=253)] = "127.0.0.1"
    """Address or name of the broker; each host and port once in the file."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 1883
    """TCP port; 8883 with TLS."""
    version: Literal["5", "3.1.1"] = "5"
    """Of the protocol, as the broker speaks it."""
    tls: bool = False
    """Whether the connection is encrypted."""
    ca: str | None = None
    """PEM file of an own certificate authority, relative to the site file."""
    user: str = ""
    """Its login, where it wants one."""
    password: Secret | None = None
    """Its password, as a secret."""
    devices: list[MqttDevice]
    """What publishes to it."""

    @property
    def endpoint(self) -> str:
        """What no other bus may use."""
        return f"{self.host}:{self.port}"

    def silent_after_s(self, profile: MqttProfile) -> float:
        """Seconds without a message after which a device is off line, by its model."""
        return profile.silent_after_s


def check_mqtt_bus(bus: MqttBus, where: Where, profiles: Mapping[str, AnyProfile]) -> Iterator[Problem]:
    """What is wrong with the address of the broker and those of the devices."""
    if not is_bad(bus.host) and (hint := host_hint(bus.host)):
        yield Problem((*where, "host"), f"{bus.host!r} is not an address", hint)
    taken: dict[tuple[str, str], str] = {}
    for d, device in enumerate(bus.devices):
        if is_bad(device) or is_bad(device.address, device.profile) or device.profile not in profiles:
            continue
        first = taken.setdefault((device.profile, device.address), device.id)
        if first is not device.id:
            problem = f"address {device.address!r} is already device {first!r}"
            yield Problem((*where, "devices", d, "address"), problem, "each device once a broker")
