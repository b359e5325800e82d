"""The MQTT driver against a real Mosquitto: logins, TLS, kept messages, floods, wills, and what else a broker does."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiomqtt
import msgspec
import pytest

from contract.errors import AnjuError
from contract.messages import CommandStatus, Event, Quality, Reading, Sample
from contract.profile import MqttPoint
from contract.site import MqttBus, MqttDevice, Resolved, Secret
from edge.drivers.mqtt import MqttDriver
from edge.drivers.mqtt.config import DEFAULT_LIMITS, Limits
from edge.drivers.mqtt.scan import discover
from edge.drivers.mqtt.wire import MAX_PACKET
from edge.normalise import Normaliser
from simulators.bus import Fault
from simulators.mqtt.broker import Broker
from simulators.mqtt.gate import Gate
from tests.support.certificates import certificates
from tests.support.drivers_mqtt import DOOR, PROFILES, QUICK, MqttRig, door, mqtt_rig
from tests.support.modbus import LATER_NS, Collected
from tests.support.waiting import eventually

LAMP = MqttDevice(id="lamp", name="灯", profile="zigbee2mqtt-switch", address="lamp")
SMOKE = MqttDevice(id="smoke", name="烟感", profile="zigbee2mqtt-smoke", address="smoke")
BUTTON = MqttDevice(id="button", name="求助", profile="zigbee2mqtt-button", address="button")


@asynccontextmanager
async def running(
    port: int, devices: Sequence[MqttDevice] = (SMOKE,), collected: Collected | None = None,
    limits: Limits = DEFAULT_LIMITS, **settings: object,
) -> AsyncIterator[tuple[MqttDriver, Collected]]:  # fmt: skip
    """The driver at a broker's port."""
    bus = MqttBus(id="bus", protocol="mqtt", port=port, devices=list(devices), **settings)
    known = {DOOR.id: DOOR, **PROFILES}
    collected = collected or Collected()
    resolved = [Resolved(device, bus, known[device.profile]) for device in devices]
    driver = MqttDriver(bus, resolved, collected.consume, QUICK, limits)
    task = asyncio.create_task(driver.run(), name="driver")
    try:
        yield driver, collected
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def seen(collected: Collected, device: str, point: str, raw: object, start: int = 0) -> Sample:
    """Waits until a sample of a series has this raw value, now or before (from the start-th on)."""

    def found() -> list[Sample]:
        return [s for s in collected.samples[start:] if (s.device, s.point, s.raw) == (device, point, raw)]

    await eventually(found)
    return found()[0]


async def connected(driver: MqttDriver) -> None:
    """Returns once the driver has subscribed."""
    await eventually(lambda: driver.counts().connected)


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with Broker() as broker:
        yield broker


def publisher(broker: Broker, **more: object) -> aiomqtt.Client:
    return aiomqtt.Client("127.0.0.1", broker.port, **more)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_tls_and_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    ca, certificate, key = certificates(tmp_path)
    (tmp_path / "broker-password").write_text("geheim-42\n")
    (tmp_path / "old-password").write_text("geheim-41\n")
    monkeypatch.setenv("ANJU_SECRETS", str(tmp_path))
    login = {"user": "box", "version": version, "tls": True, "ca": str(ca)}
    async with Broker(logins=[("box", "geheim-42")], certificate=(certificate, key)) as broker:
        async with running(broker.port, password=Secret("broker-password"), **login) as (driver, collected):
            await connected(driver)
            tls = aiomqtt.TLSParameters(ca_certs=str(ca))
            async with publisher(broker, username="box", password="geheim-42", tls_params=tls) as client:
                await client.publish("zigbee2mqtt/smoke", '{"smoke":true}', qos=1)
                await seen(collected, "smoke", "smoke", 1)
        async with running(broker.port, password=Secret("old-password"), **login) as (driver, collected):
            failed = await seen(collected, "smoke", "smoke", None)
            assert "the broker refuses the login" in failed.error
            assert "geheim" not in failed.error
            assert not driver.counts().connected
        async with running(broker.port, password=Secret("nowhere"), **login) as (driver, collected):
            assert "there is no secret 'nowhere'" in (await seen(collected, "smoke", "smoke", None)).error
        login.pop("ca")
        async with running(broker.port, password=Secret("broker-password"), **login) as (driver, collected):
            assert "certificate" in (await seen(collected, "smoke", "smoke", None)).error


async def test_what_was_kept_is_no_news_and_who_went_is_off_line(broker: Broker) -> None:
    async with publisher(broker) as client:
        for topic, payload in (
            ("zigbee2mqtt/smoke", '{"smoke":true}'), ("zigbee2mqtt/button", '{"action":"single"}'),
            ("zigbee2mqtt/smoke/availability", '{"state":"offline"}'), ("zigbee2mqtt/bridge/state", "online"),
        ):  # fmt: skip
            await client.publish(topic, payload, qos=1, retain=True)
        async with running(broker.port, [SMOKE, BUTTON]) as (driver, collected):
            kept = await seen(collected, "smoke", "smoke", 1)
            assert kept.is_kept
            await seen(collected, "smoke", "link", "offline")
            await client.publish("zigbee2mqtt/button", '{"action":"double"}', qos=1)
            pressed = await seen(collected, "button", "pressed", "double")
            assert pressed.fields == {}
            assert [s.raw for s in collected.of("button", "pressed")] == ["double"], "what was kept did not happen now"
            assert not [s for s in collected.of("button", "link") if s.raw == "online"], "its sample says that it lives"
            refused = await driver.execute("smoke", "test", {}, LATER_NS)
            assert refused.status is CommandStatus.FAILED


async def test_a_bridge_that_goes_takes_its_devices_along(broker: Broker) -> None:
    async with publisher(broker) as client, running(broker.port, [SMOKE, LAMP]) as (driver, collected):
        await connected(driver)
        await client.publish("zigbee2mqtt/bridge/state", '{"state":"online"}', qos=1, retain=True)
        await client.publish("zigbee2mqtt/smoke", '{"smoke":false}', qos=1)
        await seen(collected, "smoke", "smoke", 0)
        await client.publish("zigbee2mqtt/bridge/state", '{"state":"offline"}', qos=1, retain=True)
        for device in ("smoke", "lamp"):
            await seen(collected, device, "link", "offline")
        start = len(collected.samples)
        outcome = await driver.execute("lamp", "switch", {"on": True}, LATER_NS)
        assert (outcome.status, "nothing was written" in outcome.reason) == (CommandStatus.FAILED, True)
        await client.publish("zigbee2mqtt/bridge/state", '{"state":"online"}', qos=1, retain=True)
        await seen(collected, "smoke", "link", "online", start)
        assert collected.of("lamp", "link")[-1].raw == "offline", "nothing was ever heard of it"


async def test_a_flood_costs_no_other_device_its_alarm(broker: Broker) -> None:
    gate = asyncio.Event()

    class Slow(Collected):
        async def consume(self, samples: Sequence[Sample]) -> None:
            await gate.wait()
            await super().consume(samples)

    collected = Slow()
    async with running(broker.port, [SMOKE, LAMP], collected, Limits(messages=8)) as (driver, _):
        await connected(driver)
        async with publisher(broker) as client:
            await client.publish("zigbee2mqtt/smoke", '{"smoke":true}', qos=1)
            for n in range(500):
                await client.publish("zigbee2mqtt/lamp", f'{{"state":"{"ON" if n % 2 else "OFF"}","n":{n}}}', qos=1)
            await client.publish("zigbee2mqtt/smoke", '{"smoke":false}', qos=1)
            await eventually(lambda: driver._inbox._queue and driver.counts().skipped > 400)
            await eventually(lambda: list(driver._inbox._queue.values())[-1].topic == "zigbee2mqtt/smoke")
            assert len(driver._inbox) <= 16
            gate.set()
            await seen(collected, "smoke", "smoke", 0)
        assert [s.raw for s in collected.of("smoke", "smoke")] == [1, 0]
        assert collected.of("lamp", "running")[-1].raw == "ON", "the newest of a flood is kept"
        assert driver.counts().skipped + driver.counts().polls == 502 + driver.losses


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_message_as_large_as_a_disk_is_not_gathered(broker: Broker, version: str) -> None:
    async with running(broker.port, version=version) as (driver, collected), publisher(broker) as client:
        await connected(driver)
        await client.publish("zigbee2mqtt/smoke", b"x" * (40 * MAX_PACKET), qos=1)
        if version == "3.1.1":  # the broker cannot be told, so the connection is what it costs
            assert "more than" in (await seen(collected, "smoke", "smoke", None)).error
            await connected(driver)
        await client.publish("zigbee2mqtt/smoke", '{"smoke":true}', qos=1)
        await seen(collected, "smoke", "smoke", 1)
        assert driver.counts().reconnects == (version == "3.1.1")


async def test_a_second_client_of_the_same_name_is_named(broker: Broker) -> None:
    async with running(broker.port, client_id="box-1") as (driver, collected):
        await connected(driver)
        async with publisher(broker, identifier="box-1", protocol=aiomqtt.ProtocolVersion.V5):
            failed = await seen(collected, "smoke", "smoke", None)
        assert (
            "another client has the name 'box-1'" in failed.error or "another client at the broker took" in failed.error
        )
        await connected(driver)


async def test_the_box_itself_has_a_last_will(broker: Broker) -> None:
    async with publisher(broker) as client, Gate("127.0.0.1", 0, broker.port) as gate:
        await client.subscribe("anju/box-1/state", qos=1)
        said: list[tuple[bytes, bool]] = []

        async def listen() -> None:
            async for message in client.messages:
                said.append((message.payload, message.retain))  # noqa: PERF401  # it is looked at while it grows

        listening = asyncio.create_task(listen())
        async with running(gate.port, client_id="box-1", session_s=0) as (driver, _):
            await eventually(lambda: [b for b, _ in said] == [b"online"])
            gate.cut()
            await eventually(lambda: [b for b, _ in said][:3] == [b"online", b"offline", b"online"])
            await connected(driver)
        await eventually(lambda: said[-1][0] == b"offline")
        listening.cancel()


async def test_what_happened_while_the_box_was_away_is_told_once(broker: Broker) -> None:
    async with publisher(broker) as client, Gate("127.0.0.1", 0, broker.port) as gate:  # noqa: SIM117  # the order
        async with running(gate.port, [BUTTON]) as (driver, collected):
            await connected(driver)
            await gate.shut()
            await seen(collected, "button", "pressed", None)
            await client.publish("zigbee2mqtt/button", '{"action":"long"}', qos=1)
            await gate.open()
            await seen(collected, "button", "pressed", "long")
            await client.publish("zigbee2mqtt/button", '{"action":"single"}', qos=1)
            await seen(collected, "button", "pressed", "single")
            assert [s.raw for s in collected.of("button", "pressed") if s.raw] == ["long", "single"]


async def test_a_broker_that_accepts_and_says_nothing_leaves_nothing_behind() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError, OSError):
            await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    collected = Collected()
    bus = MqttBus(id="bus", protocol="mqtt", port=server.sockets[0].getsockname()[1], devices=[SMOKE])
    timing = QUICK.__class__(timeout_s=0.1, reconnect_s=0.01, reconnect_max_s=0.02)
    driver = MqttDriver(bus, [Resolved(SMOKE, bus, PROFILES[SMOKE.profile])], collected.consume, timing)
    task = asyncio.create_task(driver.run())
    await seen(collected, "smoke", "smoke", None)
    files, tasks = open_files(), len(asyncio.all_tasks())
    await eventually(lambda: len(collected.of("smoke", "smoke")) > 10)
    assert open_files() <= files + 4
    assert len(asyncio.all_tasks()) <= tasks + 4
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    server.close()


async def test_a_topic_that_may_not_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic readwrite anju/#\n")
    (tmp_path / "acl").chmod(0o644)
    async with Broker(settings=[f"acl_file {tmp_path / 'acl'}"]) as broker, running(broker.port) as (driver, _):
        await connected(driver)
        # Mosquitto grants a subscription whose messages it then withholds; nothing must be taken for alive.
        assert driver.counts().silent_units == 0


@pytest.mark.parametrize("profile", sorted(PROFILES))
async def test_every_model_is_read_as_its_simulator_publishes_it(profile: str) -> None:
    model = PROFILES[profile]
    device = MqttDevice(id="device", name="device", profile=profile, address="shellyplus1pm-441793d69718")
    async with mqtt_rig([device]) as rig:
        await connected(rig.driver)
        for name, mapped in model.points.items():
            if mapped.states and mapped.read:
                for word in mapped.states.values():
                    start = len(rig.collected.samples)
                    rig.bus.set("device", name, word)
                    await eventually(lambda n=name, m=mapped, w=word, s=start: w in words(rig, n, m, s))
            elif mapped.read and (mapped.when or mapped.fields):
                start = len(rig.collected.samples)
                rig.bus.set("device", name, 1)
                await eventually(lambda n=name, s=start: any(e.point == n for e in rig.collected.samples[s:]))
                assert rig.collected.of("device", name)[-1].fields.keys() == mapped.fields.keys()
            elif mapped.read:
                middle = ((mapped.minimum or 0) + min(mapped.maximum or 100, 100)) / 2
                rig.bus.set("device", name, middle)
                await eventually(lambda n=name, m=mapped, v=middle: is_near(rig, n, m, v))
        for name, mapped in model.points.items():
            if mapped.write:
                named = mapped.write.argument
                given = [{named: bool(v) if named == "on" else v} for v in mapped.write.values if named]
                for args in given or [{}]:
                    outcome = await rig.driver.execute("device", name, args, LATER_NS)
                    assert outcome.status is CommandStatus.EXECUTED, (name, args, outcome)
                if not given:  # what it shows is already what would be refused
                    continue
                rig.bus.fail("device", Fault(kind="exception"))
                outcome = await rig.driver.execute("device", name, args, LATER_NS)
                refuses = CommandStatus.FAILED if mapped.write.answer else CommandStatus.SENT_NOT_CONFIRMED
                assert outcome.status is refuses, outcome
                rig.bus.fail("device", None)


def words(rig: MqttRig, name: str, mapped: MqttPoint, start: int) -> set[str]:
    """What a state was seen to be."""
    return {mapped.states[s.raw] for s in rig.collected.samples[start:] if s.point == name and s.raw is not None}


def is_near(rig: MqttRig, name: str, mapped: MqttPoint, value: float) -> bool:
    raws = [s.raw for s in rig.collected.of("device", name) if s.raw is not None]
    return any(abs(raw * mapped.scale + mapped.offset - value) < 1e-3 for raw in raws)


async def test_a_door_of_another_shares_nothing_but_the_broker() -> None:
    async with mqtt_rig([door(1), door(2)]) as rig:
        await seen(rig.collected, "door-2", "contact", 0)
        rig.bus.fail("door-1", Fault(kind="flood", rate=300))
        rig.bus.set("door-2", "contact", "open")
        await seen(rig.collected, "door-2", "contact", 1)
        outcome = await rig.driver.execute("door-2", "unlock", {"seconds": 1}, LATER_NS)
        assert outcome.status is CommandStatus.EXECUTED, outcome


async def test_announced_devices_are_proposed_beside_a_running_box(broker: Broker) -> None:
    file = Path(__file__).parents[1] / "recordings" / "mqtt" / "discovery" / "announcements.json"
    async with publisher(broker) as client, running(broker.port) as (driver, _):
        await connected(driver)
        for one in json.loads(file.read_text(encoding="utf-8")):
            await client.publish(one["topic"], one["payload"], qos=1, retain=True)
        await client.publish("homeassistant/sensor/evil/config", b"[" * 5000, qos=1, retain=True)
        said: list[str] = []
        await client.subscribe("#", qos=1)
        bus = MqttBus(id="bus", protocol="mqtt", port=broker.port, devices=[])
        proposals = await discover(bus, PROFILES, seconds=0.5)
        assert {p.profile for p in proposals} == {"zigbee2mqtt-smoke", "tasmota-meter", ""}
        async with asyncio.timeout(1):
            async for message in client.messages:
                said.append(message.topic.value)
                if len(said) >= 6:
                    break
        assert not [topic for topic in said if topic.startswith("anju/anju-scan")], "it left nothing behind"
        assert driver.counts().reconnects == 0
    with pytest.raises(AnjuError, match="cannot be asked"):
        await discover(MqttBus(id="bus", protocol="mqtt", port=1, devices=[]), PROFILES, seconds=0.1)


async def test_a_device_that_speaks_only_when_something_changes_is_asked_again() -> None:
    model = msgspec.structs.replace(PROFILES["shelly-gen2-switch"], refresh_s=1.0)
    device = MqttDevice(id="lamp", name="灯", profile=model.id, address="shellyplus1-1")
    async with mqtt_rig([device], {model.id: model}) as rig:
        await eventually(lambda: len([s for s in rig.collected.of("lamp", "running") if s.raw == 0]) >= 3)
        assert rig.collected.samples[-1].mono_ns - rig.collected.samples[0].mono_ns < 8e9, (
            "by itself it says nothing yet"
        )


async def test_from_a_payload_to_what_the_cloud_is_told(broker: Broker) -> None:
    """Driver and normaliser together: kept values are stale, a lost broker takes links off line, its return mends."""
    devices = [SMOKE, BUTTON]
    resolved = [
        Resolved(device, MqttBus(id="bus", protocol="mqtt", devices=devices), PROFILES[device.profile])
        for device in devices
    ]
    normaliser = Normaliser(resolved, tokenise=str)
    told: list[Reading | Event] = []

    class Normalised(Collected):
        async def consume(self, samples: Sequence[Sample]) -> None:
            told.extend(normaliser.take(samples))

    def states(device: str, point: str) -> list[tuple[object, Quality]]:
        return [
            (r.value, r.quality) for r in told if isinstance(r, Reading) and (r.device, r.point) == (device, point)
        ]  # fmt: skip

    async with publisher(broker) as client, Gate("127.0.0.1", 0, broker.port) as gate:
        await client.publish("zigbee2mqtt/smoke", '{"smoke":true}', qos=1, retain=True)
        async with running(gate.port, devices, Normalised()):
            await eventually(lambda: states("smoke", "smoke") == [("smoke", Quality.STALE)])
            assert states("smoke", "link") == []
            await client.publish("zigbee2mqtt/smoke", '{"smoke":false}', qos=1)
            await client.publish("zigbee2mqtt/button", '{"action":"hold"}', qos=1)
            await eventually(lambda: [e.point for e in told if isinstance(e, Event)] == ["pressed"])
            assert states("smoke", "smoke")[-1] == ("clear", Quality.GOOD)
            assert states("smoke", "link") == [("online", Quality.GOOD)]
            await gate.shut()
            await eventually(lambda: states("smoke", "link")[-1][0] == "offline")
            await gate.open()
            await eventually(lambda: states("smoke", "link")[-1][0] == "online")
            await client.publish("zigbee2mqtt/smoke", '{"smoke":[]}', qos=1)
            await client.publish("zigbee2mqtt/smoke", '{"smoke":true}', qos=1)
            await eventually(lambda: states("smoke", "smoke")[-1] == ("smoke", Quality.GOOD))
            assert [word for word, _ in states("smoke", "link")] == ["online", "offline", "online"]
