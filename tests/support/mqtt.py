"""Parts of the MQTT driver put together without a broker, for its unit tests."""

from collections import deque
from collections.abc import Sequence

from contract.clock import mono_ns
from contract.profile import MqttProfile
from contract.site import MqttBus, MqttDevice, Resolved, ResolvedMqtt
from edge.drivers.mqtt.inbox import Arrived
from edge.drivers.mqtt.life import Lives
from edge.drivers.mqtt.plan import Plan
from edge.drivers.mqtt.read import Reader

CLIENT = "anju-box"


def resolved(
    profile: MqttProfile, address: str, *, name: str = "device-1", base: str = "", channel: int = 0
) -> ResolvedMqtt:
    """A device of a model, alone on a bus."""
    device = MqttDevice(id=name, name=name, profile=profile.id, address=address, base=base, channel=channel)
    return Resolved(device, MqttBus(id="bus", protocol="mqtt", devices=[device]), profile)


class LoneReader(Reader):
    """A reader with what it stands on within reach; `answers` are the messages on topics of answers."""

    def __init__(self, devices: Sequence[ResolvedMqtt]) -> None:
        self.plan = Plan(devices, CLIENT)
        self.lives = Lives({d.device.id: d.silent_after_s for d in devices}, self.plan.own_links)
        self.answers: deque[object] = deque(maxlen=16)
        super().__init__("bus", self.plan, self.lives, lambda take, document: self.answers.append(document))


def reader_of(devices: Sequence[ResolvedMqtt]) -> LoneReader:
    """A reader of these devices' messages."""
    return LoneReader(devices)


def arrived(
    reader: LoneReader, topic: str, payload: bytes, *, is_kept: bool = False, mid: int = 0, at_ns: int | None = None
) -> Arrived:
    """A message as the inbox gives it."""
    return Arrived(topic, payload, is_kept, mid, mono_ns() if at_ns is None else at_ns, reader.plan.find(topic))
