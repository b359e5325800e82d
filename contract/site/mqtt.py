"""MQTT in the site file: brokers, and the devices that publish to them."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import msgspec

from contract.config import Problem, is_bad
from contract.profile import AnyProfile, MqttProfile
from contract.site.common import Bus, Device, Secret, Where, host_hint

_TOPIC_PART = msgspec.Meta(
    pattern=r"^[^+#{}\x00]+$", max_length=200, description="its part of a topic, without + and #"
)


class MqttDevice(Device, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One device: its profile, its own part of the topics, and its place."""

    address: Annotated[str, _TOPIC_PART]
    """What stands for {address} in its profile's topics: a friendly name, a device id, a DevEUI, a camera's name."""
    base: Annotated[str, msgspec.Meta(pattern=r"^[^#{}\x00]*$", max_length=200)] = ""
    """What stands for {base}, where it is not what the profile says: the base topic of a second Zigbee2MQTT."""
    channel: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0
    """Which output or input of a device that has several, as its maker counts them."""


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
    """Whether the connection is encrypted and the broker proves itself."""
    ca: str | None = None
    """PEM file of an own certificate authority, with its whole path: /etc/anju/estate-ca.pem."""
    user: str = ""
    """Its login, where it wants one."""
    password: Secret | None = None
    """Its password, as a secret."""
    client_id: Annotated[
        str, msgspec.Meta(pattern=r"^[0-9A-Za-z_-]*$", max_length=64, description="letters, digits, _ and -")
    ] = ""
    """The box's name at the broker, which only one client may have; by default one made of the machine's own id."""
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=600)] = 30
    """A broker or box that is silent for one and a half times this long is lost."""
    session_s: Annotated[int, msgspec.Meta(ge=0, le=3600)] = 60
    """So long the broker keeps what it was told for the box while the box is away (only with version 5)."""
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
    """What is wrong with how the broker is reached, and with the addresses of the devices."""
    if not is_bad(bus.host) and (hint := host_hint(bus.host)):
        yield Problem((*where, "host"), f"{bus.host!r} is not an address", hint)
    if bus.ca is not None and bus.tls is False:
        yield Problem((*where, "ca"), "ca is of no use without TLS", "add tls: true")
    if bus.ca is not None and not is_bad(bus.ca) and not bus.ca.startswith("/"):
        yield Problem((*where, "ca"), f"ca is {bus.ca!r}", "write the whole path, as /etc/anju/estate-ca.pem")
    if bus.password is not None and bus.user == "":
        yield Problem((*where, "password"), "a password without a user", "add user:")
    taken: dict[tuple[str, str, str, int], str] = {}
    for d, device in enumerate(bus.devices):
        if is_bad(device) or is_bad(device.address, device.base, device.channel, device.profile):
            continue
        if device.profile not in profiles:
            continue
        profile = profiles[device.profile]
        is_number = device.address.isascii() and device.address.isdecimal()
        if isinstance(profile, MqttProfile) and profile.is_called_by_number and not is_number:
            problem = f"address {device.address!r} is no number, and {profile.id} is called by one"
            yield Problem((*where, "devices", d, "address"), problem, f"anju profile show {profile.id} says which")
        first = taken.setdefault((device.profile, device.base, device.address, device.channel), device.id)
        if first is not device.id:
            problem = f"address {device.address!r} is already device {first!r}"
            hint = "each device once a broker; several outputs of one differ in channel"
            yield Problem((*where, "devices", d, "address"), problem, hint)
