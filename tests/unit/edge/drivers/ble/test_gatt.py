"""Whose turn it is to be connected, what is read then, and what a command's answer is. No radio."""

import asyncio

import pytest

from contract.clock import mono_ns
from contract.errors import Permanent, Retryable
from contract.messages import CommandStatus, Outcome
from contract.profile import Confirm
from contract.site import BleBus, Resolved
from edge.backoff import backoff_s
from edge.drivers.ble import radio as radio_module
from edge.drivers.ble.command import confirm, prepare, too_late
from edge.drivers.ble.config import DEFAULT_TIMING
from edge.drivers.ble.counters import Counters
from edge.drivers.ble.gatt import Gatt
from edge.drivers.ble.sensor import Sensor
from edge.drivers.ble.visits import Visits
from tests.support.drivers_ble import LOCK, STAYING, profile, sensor

S = 1_000_000_000
BELL = profile({
    "id": "bell", "kind": "panic_button", "silent_after_s": 60, "gatt": {"every_s": 60, "stay": True},
    "points": {"pressed": {"read": {"characteristic": "ff01", "notify": True}, "when": [1]},
               "battery": {"read": {"characteristic": "2a19"}}},
})  # fmt: skip


def made(model) -> Gatt:
    device, model = sensor(1, model)
    bus = BleBus(id="radio", protocol="ble", devices=[device])
    return Gatt(Resolved(device, bus, model), DEFAULT_TIMING, 0)


def test_a_device_has_its_first_turn_when_it_is_heard_or_after_a_while() -> None:
    gatt = made(LOCK)
    assert gatt.is_waiting
    assert gatt.due_ns == DEFAULT_TIMING.fresh_s * S
    assert not gatt.is_near(1)


def test_failures_put_a_device_off_longer_each_time_but_not_beyond_its_period() -> None:
    gatt = made(BELL)
    waits = []
    for _ in range(12):
        gatt.failed(0)
        waits.append(gatt.due_ns / S)
    assert 1 <= waits[0] <= 2
    assert max(waits) <= 60
    assert waits[-1] >= 30
    gatt.answered(0)
    assert (gatt.failures, gatt.due_ns) == (0, 60 * S)


@pytest.mark.parametrize("failures", [1, 2, 40, 10_000])
def test_backing_off_is_bounded(failures: int) -> None:
    assert 0 < backoff_s(failures, 0.2, 15) <= 15


def test_an_event_that_is_told_is_never_read_for_a_read_would_look_like_it() -> None:
    gatt = made(BELL)
    assert [uuid[4:8] for uuid in gatt.reads] == ["2a19"]
    assert [uuid[4:8] for uuid in gatt.notifying] == ["ff01"]
    (uuid,) = gatt.notifying
    (told,) = gatt.samples(uuid, b"\x01", 5, is_told=True)
    assert (told.point, told.raw, told.fields) == ("pressed", 1, {})


def test_a_state_that_is_told_is_a_state() -> None:
    gatt = made(STAYING)
    uuid = next(iter(gatt.notifying))
    (told,) = gatt.samples(uuid, b"\x01", 5, is_told=True)
    assert (told.point, told.raw, told.fields) == ("contact", 1, None)
    (short,) = gatt.samples(uuid, b"", 5)
    assert short.raw is None
    assert "too short" in short.error


def test_what_is_no_command_is_not_written() -> None:
    for model, point, args in (
        (None, "unlock", {}),
        (LOCK, "contact", {}),
        (LOCK, "nothing", {}),
        (LOCK, "unlock", {}),
    ):
        outcome = prepare(model, point, args)
        assert isinstance(outcome, Outcome)
        assert outcome.status is CommandStatus.FAILED
    prepared = prepare(LOCK, "unlock", {"seconds": 5})
    assert not isinstance(prepared, Outcome)
    assert prepared[1] == bytes.fromhex("a50500")


def test_too_late_is_refused() -> None:
    assert too_late(mono_ns() + S) is None
    late = too_late(mono_ns() - 1)
    assert late is not None
    assert late.status is CommandStatus.REFUSED


async def test_an_effect_that_comes_late_is_seen() -> None:
    shown = iter([None, 0, Permanent("busy"), 1])

    async def look(point: str, after_ns: int) -> int | None:
        said = next(shown)
        if isinstance(said, Exception):
            raise said
        return said

    wanted = Confirm(point="lock", state="unlocked", within_s=5)
    assert (await confirm(LOCK, wanted, look, 0.001, "")).status is CommandStatus.EXECUTED


async def test_a_connection_that_breaks_ends_the_looking_at_once() -> None:
    async def look(point: str, after_ns: int) -> int | None:
        raise Retryable("the connection broke")

    wanted = Confirm(point="lock", state="unlocked", within_s=60)
    outcome = await confirm(LOCK, wanted, look, 0.001, "no answer within 5 s")
    assert outcome.status is CommandStatus.SENT_NOT_CONFIRMED
    assert "no answer within 5 s" in outcome.reason
    nothing = await confirm(LOCK, None, look, 0.001, "")
    assert nothing.status is CommandStatus.SENT_NOT_CONFIRMED


class Hung:
    """A client of a bluetoothd that does not answer."""

    async def disconnect(self) -> None:
        await asyncio.Event().wait()


async def test_letting_go_of_many_devices_takes_no_longer_than_of_one(monkeypatch) -> None:
    monkeypatch.setattr(radio_module, "_STOP_S", 0.2)
    pairs = [sensor(n, BELL) for n in range(1, 21)]
    bus = BleBus(id="radio", protocol="ble", devices=[device for device, _ in pairs])
    items = [Resolved(device, bus, model) for device, model in pairs]
    now_ns = mono_ns()
    sensors = [Sensor(item, None, Counters(None), DEFAULT_TIMING, now_ns) for item in items]
    visits = Visits("radio", sensors, DEFAULT_TIMING, lambda _: None)
    for gatt in visits.gatts.values():
        gatt.client = Hung()  # type: ignore[assignment]
    async with asyncio.timeout(2):
        await visits.end("the radio was pulled out")
    assert len(visits.gatts) == 20
    assert all(gatt.client is None for gatt in visits.gatts.values())
