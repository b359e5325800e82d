"""What a command publishes, and what its answers mean."""

import asyncio

import msgspec
import pytest

from contract.clock import mono_ns
from contract.errors import Permanent
from contract.messages import CommandStatus, Sample
from contract.profile import MqttWrite, load_profiles, shipped_profiles
from edge.drivers.mqtt.command import MAX_ORDERS, Commands, payload_of
from edge.drivers.mqtt.config import Timing
from edge.drivers.mqtt.plan import Plan
from edge.drivers.mqtt.topics import words_of
from edge.drivers.mqtt.wire import Lost
from tests.support.mqtt import CLIENT, resolved
from tests.support.waiting import eventually

PROFILES = load_profiles(shipped_profiles() / "mqtt")
WORDS = {"address": "a", "base": "b", "channel": "2", "client": "me"}
LATER_NS = 1 << 62
QUICK = Timing(timeout_s=0.1, ask_after_s=0.01)


@pytest.mark.parametrize(
    ("write", "args", "published"),
    [
        (MqttWrite(topic="t", value="{address} ON"), {}, b"{address} ON"),
        (MqttWrite(topic="t", value=1), {}, b"1"),
        (MqttWrite(topic="t", argument="text"), {"text": "火警 {address}"}, "火警 {address}".encode()),
        (MqttWrite(topic="t", argument="on", values={0: "OFF", 1: "ON"}), {"on": True}, b"ON"),
        (MqttWrite(topic="t", argument="on", values={0: "OFF", 1: "ON"}), {"on": 0}, b"OFF"),
        (MqttWrite(topic="t", path="a.b", argument="seconds"), {"seconds": 5}, b'{"a":{"b":5}}'),
        (MqttWrite(topic="t", payload={"src": "{client}", "p": {"id": "{channel}"}}, path="p.on", argument="on",
                   values={1: True}), {"on": True}, b'{"src":"me","p":{"id":2,"on":true}}'),
        (MqttWrite(topic="t", payload={"do": "open"}), {}, b'{"do":"open"}'),
    ],
)  # fmt: skip
def test_what_is_published(write: MqttWrite, args: dict[str, object], published: bytes) -> None:
    assert payload_of(write, write.given(args), WORDS, 7) == published


def test_an_argument_that_the_model_does_not_know_is_refused() -> None:
    write = MqttWrite(topic="t", argument="state", values={"open": "OFF"})
    with pytest.raises(Permanent, match="must be one of open"):
        write.given({"state": "ajar"})
    with pytest.raises(Permanent):
        write.given({"other": 1})


class Bench:
    """Commands of one Shelly output, and what was published for them."""

    def __init__(self, timing: Timing = QUICK) -> None:
        self.device = resolved(PROFILES["shelly-gen2-switch"], "shellyplus1-1", name="lamp")
        self.commands = Commands(CLIENT, timing)
        self.published: list[tuple[str, dict, float | None]] = []
        self.fails: Lost | None = None
        (self.answer,) = Plan([self.device], CLIENT).routes[f"{CLIENT}/rpc"].answers

    async def publish(self, topic: str, payload: bytes, expires_s: float | None) -> None:
        self.published.append((topic, msgspec.json.decode(payload), expires_s))
        if self.fails is not None:
            raise self.fails

    def give(self, deadline_ns: int = LATER_NS, *, on: bool = True) -> asyncio.Task:
        return asyncio.create_task(
            self.commands.execute(self.device, "switch", {"on": on}, deadline_ns, self.publish)
        )  # fmt: skip

    async def until_published(self, count: int = 1) -> dict:
        await eventually(lambda: len(self.published) >= count)
        return self.published[count - 1][1]

    def see(self, raw: object, **more: object) -> None:
        self.commands.see([Sample("lamp", "running", raw, more.pop("at_ns", mono_ns()), **more)])


async def test_executed_once_the_state_is_seen() -> None:
    bench = Bench(Timing())
    task = bench.give()
    sent = await bench.until_published()
    assert sent["params"] == {"id": 0, "on": True}
    bench.see(1, is_kept=True)
    bench.see(1, at_ns=1)
    bench.see(0)
    await asyncio.sleep(0)
    assert not task.done()
    bench.see(1)
    assert (await task).status is CommandStatus.EXECUTED
    task = bench.give(on=False)
    await bench.until_published(2)
    bench.see(0)
    assert (await task).status is CommandStatus.EXECUTED


async def test_a_refusal_is_told_in_the_devices_words() -> None:
    bench = Bench(Timing())
    task = bench.give()
    number = (await bench.until_published())["id"]
    bench.commands.answer(bench.answer, {"id": number + 1, "error": {"message": "of another"}})
    bench.commands.answer(bench.answer, {"id": {}, "error": {"message": "of nobody"}})
    bench.commands.answer(bench.answer, {"id": number, "error": {"code": -103, "message": "Overtemp " * 50}})
    outcome = await task
    assert outcome.status is CommandStatus.FAILED
    assert "Overtemp" in outcome.reason
    assert len(outcome.reason) < 200


async def test_an_answer_alone_is_no_effect_and_the_device_is_asked_once() -> None:
    bench = Bench(Timing(ask_after_s=0.01))
    task = bench.give()
    number = (await bench.until_published())["id"]
    bench.commands.answer(bench.answer, {"id": number, "result": {"was_on": False}})
    assert (await bench.until_published(2))["method"] == "Switch.GetStatus"
    bench.see(1)
    assert (await task).status is CommandStatus.EXECUTED
    assert len(bench.published) == 2


async def test_a_message_nobody_took_and_one_that_may_have_gone() -> None:
    bench = Bench()
    bench.fails = Lost("no connection")
    outcome = await bench.give()
    assert (outcome.status, outcome.reason) == (CommandStatus.FAILED, "no connection")
    bench.fails = Lost("not acknowledged", sent=True)
    task = bench.give()
    await bench.until_published(2)
    bench.see(1)
    assert (await task).status is CommandStatus.EXECUTED


async def test_too_late_is_refused_also_behind_another_and_expires_at_the_broker() -> None:
    bench = Bench(Timing())
    first = bench.give(mono_ns() + 2_000_000_000)
    await bench.until_published()
    assert 1.5 < bench.published[0][2] <= 2.0
    second = bench.give(mono_ns() - 1)
    await asyncio.sleep(0)
    bench.see(1)
    assert (await first).status is CommandStatus.EXECUTED
    outcome = await second
    assert outcome.status is CommandStatus.REFUSED
    assert len(bench.published) == 1


async def test_stopping_answers_all_and_too_many_are_turned_away() -> None:
    bench = Bench(Timing())
    tasks = [bench.give() for _ in range(MAX_ORDERS + 1)]
    await bench.until_published()
    bench.commands.stop("the driver stopped")
    outcomes = [await task for task in tasks]
    assert outcomes[0].status is CommandStatus.SENT_NOT_CONFIRMED
    assert {o.status for o in outcomes[1:]} == {CommandStatus.FAILED}
    assert "already under way" in outcomes[-1].reason
    assert len(bench.published) == 1


async def test_what_it_shows_instead_is_said() -> None:
    bench = Bench()
    confirm = msgspec.structs.replace(bench.device.profile.points["switch"].confirm, within_s=0.05)
    point = msgspec.structs.replace(bench.device.profile.points["switch"], confirm=confirm)
    profile = msgspec.structs.replace(
        bench.device.profile, points=bench.device.profile.points | {"switch": point}
    )  # fmt: skip
    bench.device = msgspec.structs.replace(bench.device, profile=profile)
    task = bench.give()
    await bench.until_published()
    bench.see(0)
    outcome = await task
    assert outcome.status is CommandStatus.SENT_NOT_CONFIRMED
    assert outcome.reason == "running did not become running within 0.05 s: it shows stopped"


def test_words_of_a_device() -> None:
    device = resolved(PROFILES["zigbee2mqtt-smoke"], "a", base="z2")
    assert words_of(device, "me") == {"address": "a", "base": "z2", "channel": "0", "client": "me"}
