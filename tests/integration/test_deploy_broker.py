"""The broker on the box: the real Mosquitto with deploy/mosquitto in Debian's configuration, and every MQTT profile."""

import asyncio
import contextlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiomqtt
import pytest

from contract.profile import MqttProfile, load_profiles, shipped_profiles
from edge.drivers.mqtt.topics import fill

MOSQUITTO = Path(__file__).resolve().parents[2] / "deploy/mosquitto"
DEBIAN = Path("/etc/mosquitto/mosquitto.conf")
DEBIANS_UNIT = Path("/lib/systemd/system/mosquitto.service")
BOX, CLIENT_ID = "anju", "anju-box"
IMPOSTOR = "plug-8"
"""A device with a password of its own that says what others say."""
PROFILES = {name: p for name, p in load_profiles(shipped_profiles()).items() if isinstance(p, MqttProfile)}


def tool(name: str) -> str:
    """Path of a Debian program, also of one in /usr/sbin when the person testing is not root."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        pytest.fail(f"{name} is missing; `make test-servers` installs it")
    return found


GATEWAYS = {"zigbee2mqtt", "chirpstack", "frigate", "uhppoted"}
"""Whoever speaks for many devices."""


def speaker_of(profile: str) -> tuple[str, str]:
    """Who publishes for a profile: user name and address, as deploy/mosquitto/anju.acl gives them out."""
    family = profile.partition("-")[0]
    return (family, "thing-1") if family in GATEWAYS else (f"{family}-7", f"{family}-7")


def heard(profile: MqttProfile) -> Iterator[str]:
    """The topics in which devices speak."""
    for point in profile.points.values():
        yield from () if point.read is None else (source.topic for source in point.read.sources)
        if point.write is not None and point.write.answer is not None:
            yield point.write.answer.topic
    yield from (link.topic for link in profile.link)
    yield from (source.topic for source in profile.alive)


def said(profile: MqttProfile) -> Iterator[str]:
    """The topics in which the box speaks to devices."""
    for point in profile.points.values():
        yield from () if point.write is None else (point.write.topic,)
        if point.confirm is not None and point.confirm.ask is not None:
            yield point.confirm.ask.topic
    yield from (message.topic for message in profile.refresh)


def filled(topics: Iterator[str], profile: MqttProfile, address: str) -> set[str]:
    words = {"address": address, "base": profile.base, "channel": "0", "client": CLIENT_ID}
    return {fill(topic, words).replace("+", "7") for topic in topics}


@pytest.fixture
def configured(tmp_path: Path) -> int:
    """Writes the configuration of a Mosquitto as the box runs it, its paths and port put under this test's; its port.

    Each user's password is the user's name.
    """
    if not DEBIAN.exists():
        pytest.fail(f"{DEBIAN} is missing; `make test-servers` installs it")
    passwords = tmp_path / "anju.passwords"
    passwords.touch(0o600)
    for user in {BOX, IMPOSTOR, *(speaker_of(name)[0] for name in PROFILES)}:
        subprocess.run([tool("mosquitto_passwd"), "-b", str(passwords), user, user], check=True, capture_output=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    (tmp_path / "conf.d").mkdir()
    shutil.copy(MOSQUITTO / "anju.acl", tmp_path)
    (tmp_path / "anju.acl").chmod(0o600)
    ours = (MOSQUITTO / "anju.conf").read_text().replace("/etc/mosquitto/", f"{tmp_path}/")
    assert "\nlistener 1883 127.0.0.1\n" in ours
    ours = ours.replace("\nlistener 1883 127.0.0.1", f"\nlistener {port} 127.0.0.1")
    (tmp_path / "conf.d/anju.conf").write_text(ours)
    debians = re.sub(r"/(var/lib|var/log|run|etc)/mosquitto/", f"{tmp_path}/", DEBIAN.read_text())
    # Started by root it would become a user who may not read this test's folder.
    (tmp_path / "mosquitto.conf").write_text(debians + ("\nuser root\n" if os.geteuid() == 0 else ""))
    return port


@pytest.fixture
async def broker(configured: int, tmp_path: Path) -> AsyncIterator[int]:
    """The port of that Mosquitto while it runs."""
    command = (tool("mosquitto"), "-c", str(tmp_path / "mosquitto.conf"))
    process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL)
    try:
        async with asyncio.timeout(10):
            while process.returncode is None:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", configured)
                    writer.close()
                    break
                await asyncio.sleep(0.02)
        if process.returncode is not None:
            pytest.fail(f"Mosquitto ended with {process.returncode}; run it by hand: {' '.join(command)}")
        yield configured
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def client(port: int, user: str, password: str | None = None, **more: str) -> aiomqtt.Client:
    version = aiomqtt.ProtocolVersion.V5
    return aiomqtt.Client("127.0.0.1", port, username=user, password=password or user, protocol=version, **more)


async def topics_until(last: str, listener: aiomqtt.Client) -> set[str]:
    """The topics of what comes, up to that one."""
    got = set()
    async with asyncio.timeout(10):
        async for message in listener.messages:
            if str(message.topic) == last:
                break
            got.add(str(message.topic))
    return got


async def test_nobody_comes_in_without_a_password(broker: int) -> None:
    for user, password in (("", "x"), (BOX, "wrong")):
        with pytest.raises(aiomqtt.MqttError):
            async with client(broker, user, password):
                pass


@pytest.mark.parametrize("name", sorted(PROFILES))
async def test_each_model_is_heard_and_told(name: str, broker: int) -> None:
    profile = PROFILES[name]
    user, address = speaker_of(name)
    says, is_told = filled(heard(profile), profile, address), filled(said(profile), profile, address)
    async with client(broker, BOX, identifier=CLIENT_ID) as box, client(broker, user) as device:
        await box.subscribe("#", 1)
        for topic in sorted(says):
            await device.publish(topic, "{}", 1)
        await box.publish("anju/end", "", 1)
        assert says <= await topics_until("anju/end", box)
        for topic in sorted(is_told):
            await device.subscribe(topic, 1)
            await box.publish(topic, "{}", 1)
            async with asyncio.timeout(10):
                assert str((await anext(device.messages)).topic) == topic


async def test_a_device_neither_speaks_for_another_nor_hears_it(broker: int) -> None:
    foreign: set[str] = {"anju/anju-box/state"}
    for name, profile in PROFILES.items():
        address = speaker_of(name)[1]
        foreign |= filled(heard(profile), profile, address) | filled(said(profile), profile, address)
    foreign.remove(f"{CLIENT_ID}/rpc")  # a Shelly's answers: each has a number that only the one who was asked knows
    async with client(broker, BOX, identifier=CLIENT_ID) as box, client(broker, IMPOSTOR) as impostor:
        await box.subscribe("#", 1)
        for topic in sorted(foreign):
            with contextlib.suppress(aiomqtt.MqttError):  # the broker says that it did not take it
                await impostor.publish(topic, "{}", 1)
        await impostor.publish(f"{IMPOSTOR}/end", "", 1)
        assert await topics_until(f"{IMPOSTOR}/end", box) == set()
        await impostor.subscribe("#", 1)
        for topic in sorted(topic for topic in foreign if topic.startswith(("cmnd/", "zigbee2mqtt/"))):
            with contextlib.suppress(aiomqtt.MqttError):
                await box.publish(topic, "{}", 1)
        await box.publish(f"cmnd/{IMPOSTOR}/POWER", "", 1)
        assert await topics_until(f"cmnd/{IMPOSTOR}/POWER", impostor) <= {f"{IMPOSTOR}/end"}


def test_debians_unit_takes_the_hardening(tmp_path: Path) -> None:
    unit = tmp_path / "mosquitto.service"
    unit.write_text(DEBIANS_UNIT.read_text())
    (tmp_path / "mosquitto.service.d").mkdir()
    shutil.copy(MOSQUITTO / "hardening.conf", tmp_path / "mosquitto.service.d/anju.conf")
    done = subprocess.run(
        [tool("systemd-analyze"), "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if "mosquitto" in line]) == (0, [])
    done = subprocess.run(
        [tool("systemd-analyze"), "security", "--offline=true", "--threshold=20", "--no-pager", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-200:] + done.stderr
