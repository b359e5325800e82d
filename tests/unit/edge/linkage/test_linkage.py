"""Linkage at work: before the disk, without the cloud, over restarts, and everything told."""

import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest

from contract.clock import mono_ns
from contract.messages import CommandStatus, Event, Outcome, Quality, Reading
from contract.records import StateRecord
from edge.linkage import Linkage, linkage, memory
from edge.linkage.orders import Kept
from edge.seams import UplinkStatus
from edge.zones import Mode, Phase
from tests.support.waiting import eventually
from tests.unit.edge.linkage.examples import S, says, site

BOOT = b"b" * 16


class Box:
    """What linkage has around it: drivers that do what they are told, a disk that can be slow, an uplink."""

    def __init__(self, folder):
        self.folder = folder
        self.told = []
        self.calls = []
        self.disk = asyncio.Event()
        self.disk.set()
        self.uplink = UplinkStatus(connected=True, since_ns=0)

    async def execute(self, device, point, args, deadline_ns):
        self.calls.append((device, point))
        return Outcome(CommandStatus.EXECUTED)

    async def put(self, items):
        self.told += items
        await self.disk.wait()

    @asynccontextmanager
    async def linked(self, boot=BOOT):
        loaded, devices = site()
        async with Linkage.open(
            loaded, devices, self.folder, boot=boot, executor_of=lambda _: self, put=self.put,
            uplink=lambda: self.uplink, utc_ns=lambda: None,
        ) as linked:  # fmt: skip
            yield linked

    def events(self):
        return [
            (item.device, item.fields["action"], item.fields["status"])
            for item in self.told
            if isinstance(item, Event) and item.point == "linkage"
        ]


@pytest.fixture
def box(tmp_path):
    return Box(tmp_path)


RELEASED = [("door-1", "release"), ("door-2", "unlock"), ("gate-1", "hold_open"), ("siren-1", "sound")]


async def fire(linked, *devices):
    for device in devices:
        await linked.pass_on([says(device, alarm=True, at=mono_ns())])


async def test_the_orders_are_with_the_drivers_before_the_disk_is_waited_for(box):
    async with box.linked() as linked:
        await fire(linked, "smoke-1")
        box.calls.clear()
        box.disk.clear()  # from now on nothing gets to disk
        await asyncio.wait_for(fire(linked, "smoke-2"), 0.5)
        assert box.calls == RELEASED, "before the bus that asked goes on"
        box.disk.set()
        await eventually(lambda: len(box.events()) == 3 + len(RELEASED))
    readings = [item for item in box.told if isinstance(item, Reading)]
    assert box.told.index(readings[1]) < box.told.index(
        next(item for item in box.told if isinstance(item, Event) and item.fields["action"] == "confirmed")
    ), "what was read is told before what came of it"


async def test_while_doors_are_being_opened_no_bus_waits_for_the_disk(box, monkeypatch):
    monkeypatch.setattr(linkage, "PRESSING_NS", S // 5)
    async with box.linked() as linked:
        await fire(linked, "smoke-1", "smoke-2")
        box.disk.clear()
        await asyncio.wait_for(linked.pass_on([says("leak-1", alarm=False, at=mono_ns())]), 0.5)
        assert box.told[-1].device == "leak-1"
        await asyncio.sleep(0.3)
        waiting = asyncio.create_task(linked.pass_on([says("leak-1", alarm=False, at=mono_ns())]))
        await asyncio.sleep(0.05)
        assert not waiting.done(), "then as ever"
        box.disk.set()
        await waiting


async def test_what_means_nothing_to_a_rule_waits_for_the_disk_as_ever(box):
    async with box.linked() as linked:
        box.disk.clear()
        waiting = asyncio.create_task(linked.pass_on([says("smoke-1", alarm=False, at=mono_ns())]))
        await asyncio.sleep(0.05)
        assert not waiting.done(), "back-pressure"
        box.disk.set()
        await waiting


async def test_a_disk_that_hangs_hides_no_fire(box, monkeypatch):
    monkeypatch.setattr(linkage, "PATIENCE_S", 0.05)
    async with box.linked() as linked:
        box.disk.clear()  # and fails at nothing: a worn card
        async with asyncio.timeout(5):
            await linked.pass_on([says("smoke-3", alarm=False, at=mono_ns())])
            await fire(linked, "smoke-1")
            await fire(linked, "smoke-2")
        assert box.calls[-4:] == RELEASED
        box.disk.set()
    told = [(item.device, item.value) for item in box.told if isinstance(item, Reading)]
    assert told == [("smoke-3", "clear"), ("smoke-1", "smoke"), ("smoke-2", "smoke")], "all, in order"


async def test_what_is_only_said_again_is_told_and_confirms_nothing(box):
    async with box.linked() as linked:
        await fire(linked, "smoke-1")
        box.calls.clear()
        await linked.pass_by([says("smoke-2", alarm=True, at=mono_ns())])
        assert [item.device for item in box.told if isinstance(item, Reading)] == ["smoke-1", "smoke-2"]
        assert box.calls == []


async def test_what_a_hanging_disk_leaves_in_memory_is_bounded(box, monkeypatch):
    monkeypatch.setattr(linkage, "PATIENCE_S", 0.0)
    monkeypatch.setattr(linkage, "MAX_BESIDE", 3)
    async with box.linked() as linked:
        box.disk.clear()
        for n in range(3):
            await asyncio.wait_for(linked.pass_on([says("leak-1", alarm=False, at=mono_ns() + n)]), 1)
        waiting = asyncio.create_task(linked.pass_on([says("leak-1", alarm=False, at=mono_ns())]))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        box.disk.set()
        await waiting


async def test_every_act_is_an_event_of_the_device_it_is_about(box):
    async with box.linked() as linked:
        await fire(linked, "smoke-1", "smoke-2")
        await eventually(lambda: len(box.events()) == 7)
    assert box.events()[:1] == [("smoke-1", "alert", "unconfirmed")]
    assert ("smoke-2", "confirmed", "confirmed") in box.events()
    assert {("door-1", "release", "executed"), ("door-2", "release", "executed"), ("gate-1", "hold_open", "executed"),
            ("siren-1", "sound", "executed")} <= set(box.events())  # fmt: skip
    (confirmed,) = [i for i in box.told if isinstance(i, Event) and i.fields["action"] == "confirmed"]
    assert confirmed.fields == {
        "zone": "b3", "rule": "fire-b3", "action": "confirmed", "status": "confirmed", "by": "rule",
        "why": "in alarm: smoke-1, smoke-2; not counted: smoke-3 (unseen), call-1 (unseen), call-2 (unseen)",
    }  # fmt: skip


async def test_cut_off_for_long_enough_any_smoke_makes_noise(box, monkeypatch):
    monkeypatch.setattr(linkage, "TICK_S", 0.01)
    async with box.linked() as linked:
        await fire(linked, "smoke-away")
        box.uplink = UplinkStatus(connected=False, since_ns=mono_ns())
        await asyncio.sleep(0.05)
        assert box.calls == []
        assert not linked.view().is_cut_off
        linked._opened_ns = 0
        box.uplink = UplinkStatus(connected=False, since_ns=mono_ns() - 61 * S)
        await eventually(lambda: box.calls == [("siren-guard", "sound")])
        assert linked.view().is_cut_off
        await eventually(lambda: ("smoke-away", "alert", "cut_off") in box.events())


async def test_a_fire_and_a_drill_are_known_after_a_restart(box):
    async with box.linked() as linked:
        await fire(linked, "smoke-1", "smoke-2")
        assert linked.start("cellar", Mode.DRY_RUN, 30) is None
        await eventually(lambda: memory.load(box.folder / "linkage.json").modes.keys() == {"cellar"})
    box.calls.clear()
    async with box.linked() as linked:
        zones = {zone.id: zone for zone in linked.view().zones}
        assert (zones["b3"].phase, zones["b3"].is_restored) == (Phase.CONFIRMED, True)
        assert zones["cellar"].mode is Mode.DRY_RUN
        await eventually(lambda: box.calls == RELEASED[:3])  # held, and no noise by memory alone
        await fire(linked, "smoke-1", "smoke-2")
        assert box.calls[-4:] == RELEASED
    box.calls.clear()
    async with box.linked(boot=b"another boot 16b") as linked:
        zones = {zone.id: zone for zone in linked.view().zones}
        assert zones["b3"].phase is Phase.CONFIRMED
        assert zones["cellar"].mode is None, "nobody knows how long the power was away"
        assert box.calls == [], "nor what it did"


async def test_a_disk_that_refuses_the_memory_stops_no_act(box, monkeypatch, capsys):
    def full(path, kept):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(memory, "save", full)
    monkeypatch.setattr(linkage, "RETRY_S", 0.01)
    async with box.linked() as linked:
        await fire(linked, "smoke-1", "smoke-2")
        assert box.calls[-4:] == RELEASED
        await asyncio.sleep(0.1)
        monkeypatch.undo()
        await eventually(lambda: memory.load(box.folder / "linkage.json").rules.keys() == {"fire-b3"})
    assert capsys.readouterr().out.count("cannot be kept") == 1, "said once"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\x00", b'{"rules": 3}', b"[" * 100_000])
async def test_a_damaged_memory_is_none(box, content, capsys):
    (box.folder / "linkage.json").write_bytes(content)
    assert memory.load(box.folder / "linkage.json") == Kept()
    assert "cannot be read" in capsys.readouterr().out
    async with box.linked() as linked:
        assert all(zone.phase is Phase.QUIET for zone in linked.view().zones)


async def test_restored_states_of_triggers_are_read_anew(box):
    states = [
        StateRecord("smoke-1", "smoke", "smoke", Quality.GOOD, 1),
        StateRecord("smoke-1", "fault", "ok", Quality.GOOD, 1),
        StateRecord("door-1", "lock", "locked", Quality.GOOD, 1),
        StateRecord("smoke-1", "link", "online", Quality.GOOD, 1),
    ]
    async with box.linked() as linked:
        assert linked.unsaid(states) == states[1:]


async def test_a_person_sees_and_asks(box):
    async with box.linked() as linked:
        await fire(linked, "smoke-1", "smoke-2")
        view = linked.view()
        (b3, _) = view.zones
        assert [(t.name, t.place) for t in view.alarms] == [("1层烟感", "3号楼 1层"), ("2层烟感", "")]
        await eventually(lambda: all(act.status == "executed" for act in linked.view().zones[0].acts[1:]))
        assert (b3.may_release, b3.may_silence, b3.may_drill_silently) == (True, True, True)
        assert "still in alarm" in linked.reset("b3").en
        box.calls.clear()
        assert linked.silence("b3") is None
        assert linked.release("b3") is None
        await eventually(lambda: len(box.calls) == 5)
        await fire(linked)
        for device in ("smoke-1", "smoke-2"):
            await linked.pass_on([says(device, alarm=False, at=mono_ns())])
        assert linked.reset("b3") is None
        await eventually(lambda: ("gate-1", "close") in box.calls)
        happened = [(h.action, h.by) for h in linked.view().happenings]
        assert ("reset", "guard page") in happened
        assert ("release", "guard page") in happened
        assert ("silence", "guard page") in happened


async def test_events_that_the_disk_does_not_take_are_bounded(box, monkeypatch, capsys):
    monkeypatch.setattr(linkage, "MAX_EVENTS", 5)
    async with box.linked() as linked:
        box.disk.clear()
        for _ in range(10):
            linked.start("b3", Mode.DRY_RUN, 5)
            linked.stop("b3")
        await asyncio.sleep(0)
        assert len(linked._events) <= 5
        box.disk.set()
    assert capsys.readouterr().out.count("events of linkage are lost") == 1


def test_what_is_kept_is_small_and_plain(tmp_path):
    kept = Kept(BOOT)
    memory.save(tmp_path / "linkage.json", kept)
    assert memory.load(tmp_path / "linkage.json") == kept
    assert msgspec.json.decode((tmp_path / "linkage.json").read_bytes())["rules"] == {}
    assert memory.load(tmp_path / "none.json") == Kept()
