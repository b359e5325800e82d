"""The MQTT buses of a site file: a broker where the site says, and the devices that publish to it."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any, ClassVar, Self

import aiomqtt

from contract.errors import Permanent
from contract.site import MqttBus, ResolvedMqtt
from simulators.bus import Fault, Value, check_fault
from simulators.log import TruthLog
from simulators.mqtt.broker import Broker
from simulators.mqtt.device import SimulatedDevice
from simulators.mqtt.gate import Gate

MAX_WAITING = 10_000
"""Messages of all devices that wait for the broker; a flood loses the rest."""


class SimulatedMqtt:
    """One broker and its devices. The broker is a Mosquitto of its own, on a port of its own; boxes reach it through a
    gate at the site file's host and port, which is what `cut` and `power` act on. It takes any user and no TLS.
    """

    kinds: ClassVar[frozenset[str]] = frozenset(
        {"silent", "slow", "exception", "cut", "garbage", "truncated", "jump", "flood"}
    )

    def __init__(
        self, bus: MqttBus, devices: Sequence[ResolvedMqtt], log: TruthLog, speed: float = 1.0, seed: int = 1
    ) -> None:
        self._bus = bus
        self.broker = Broker()
        self.gate = Gate(bus.host, bus.port, 0)
        dice = random.Random(seed)  # noqa: S311  # the same seed, the same dice
        self.devices = {
            device.device.id: SimulatedDevice(device, log, speed, dice, self._publish) for device in devices
        }
        self._stack = AsyncExitStack()
        self._outgoing: asyncio.Queue[tuple[str, bytes, bool]] = asyncio.Queue(MAX_WAITING)
        self._tasks: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        if self._bus.tls:
            raise OSError(f"the simulated broker of {self._bus.id} speaks no TLS; leave tls: out")
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.broker)
            self.gate = Gate(self._bus.host, self.gate.port, self.broker.port)
            await stack.enter_async_context(self.gate)
            client = await stack.enter_async_context(
                aiomqtt.Client("127.0.0.1", self.broker.port, identifier=f"simulated-{self._bus.id}")
            )
            stack.push_async_callback(self._stop)
            topics = {topic for device in self.devices.values() for topic in device.topics}
            if topics:
                await client.subscribe([(topic, 1) for topic in sorted(topics)])
            self._run(self._send(client))
            self._run(self._listen(client))
            for i, device in enumerate(self.devices.values()):
                device.is_live = True
                for topic, payload in device.bridge_links().items():
                    self._publish(topic, payload, True, 0.0)
                device.say_link(is_online=True)
                self._run(self._speak_now_and_then(device, i / len(self.devices)))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _stop(self) -> None:
        for device in self.devices.values():
            device.is_live = False
            device.close()
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception) and not isinstance(outcome, aiomqtt.MqttError):
                raise outcome  # of the simulator itself: nobody must take it for a silent device

    @property
    def where(self) -> str:
        """Where the broker is, and how many publish to it."""
        return f"{self.gate.host}:{self.gate.port}, {len(self.devices)} devices"

    def set(self, device: str, point: str, value: Value) -> None:
        """A point takes a value now; the device says so at once."""
        self._device(device).set(point, value)

    def get(self, device: str, point: str) -> Value:
        """What a point is now."""
        return self._device(device).get(point)

    def fail(self, device: str, fault: Fault | None) -> None:
        """Gives a device a fault, or takes it away."""
        if fault is not None:
            check_fault(fault, self.kinds, "mqtt")
        self._device(device).fail(fault)

    def cut(self) -> None:
        """The boxes' connections to the broker break."""
        self.gate.cut()

    async def power(self, is_on: bool) -> None:
        """The broker cannot be reached, or can again."""
        await (self.gate.open() if is_on else self.gate.shut())

    def points(self) -> Iterator[tuple[ResolvedMqtt, str]]:
        """Every point of its devices that is read."""
        for device in self.devices.values():
            for name, mapped in device.device.profile.points.items():
                if mapped.read:
                    yield device.device, name

    def _device(self, device: str) -> SimulatedDevice:
        if device not in self.devices:
            raise Permanent(f"there is no device {device!r} on this bus")
        return self.devices[device]

    def _run(self, work: Any) -> None:
        self._tasks.append(asyncio.create_task(work))

    def _publish(self, topic: str, payload: bytes, is_kept: bool, delay_s: float) -> None:
        def put() -> None:
            with suppress(asyncio.QueueFull):
                self._outgoing.put_nowait((topic, payload, is_kept))

        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, put)
        else:
            put()

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            topic, payload, is_kept = await self._outgoing.get()
            await client.publish(topic, payload, qos=1, retain=is_kept)

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            topic = message.topic.value
            for device in self.devices.values():
                if topic in device.topics:
                    device.take(topic, bytes(message.payload))

    async def _speak_now_and_then(self, device: SimulatedDevice, phase: float) -> None:
        device.say_all()
        await asyncio.sleep(phase * device.period_s)
        while True:
            await asyncio.sleep(device.period_s)
            device.say_all()
