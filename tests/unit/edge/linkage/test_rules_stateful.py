"""Whatever happens in whatever order: the promises of the rules, held against a simple model of who is in alarm."""

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from contract.messages import Quality
from edge.linkage.orders import Begin, Kept
from edge.linkage.rules import Machine
from edge.zones import Mode, Phase
from tests.unit.edge.linkage.examples import S, link, plan, says, state

PLAN = plan()
DEVICES = ("smoke-1", "smoke-2", "smoke-3", "call-1", "call-2")
RELEASING = {"release", "hold_open"}
BOOTS = (b"a" * 16, b"b" * 16)
device = st.sampled_from(DEVICES)
quality = st.sampled_from([Quality.GOOD] * 4 + [Quality.STALE, Quality.FAULT, Quality.UNKNOWN])


class Linked(RuleBasedStateMachine):
    """The machine beside what the test itself knows of the devices."""

    @initialize()
    def begin(self):
        self.now = 100 * S
        self.boot = 0
        self.machine = Machine(PLAN, self.now, None, BOOTS[0])
        self.forget()
        self.has_acted = False

    def forget(self):
        self.said: dict[str, bool] = {}
        self.good: dict[str, bool] = {}
        self.read: dict[str, int] = {}
        self.offline: set[str] = set()
        self.faulty: set[str] = set()
        self.unreadable: set[str] = set()
        self.alarmed: set[str] = set()
        """In alarm when they could be believed last."""
        self.cleared: dict[str, int] = {}
        self.lost: dict[str, int] = {}

    def is_believable(self, device):
        """Whether what it says counts; fresh, for what a device said long ago says nothing of its health."""
        return (
            self.good.get(device, False)
            and device not in self.offline | self.faulty
            and self.now - self.read[device] <= 750 * S
        )

    def note(self, device):
        """What was just heard of a device makes of its being lost."""
        if self.is_believable(device):
            if device in self.alarmed and not self.said[device]:
                self.cleared[device] = self.now
            (self.alarmed.add if self.said[device] else self.alarmed.discard)(device)
            self.lost.pop(device, None)
        elif device in self.offline | self.faulty | self.unreadable and device not in self.lost:
            was_alarmed = device in self.alarmed or self.cleared.get(device) == self.now
            self.lost |= {device: self.now} if was_alarmed else {}

    def in_alarm(self, *, lost=True):
        believed = {d for d in DEVICES if self.said.get(d) and self.is_believable(d)}
        return believed | {d for d, since in self.lost.items() if lost and self.now - since <= 600 * S}

    def strength(self, *, lost=True):
        counted = self.in_alarm(lost=lost)
        return sum(d.startswith("smoke") for d in counted) + any(d.startswith("call") for d in counted)

    def drain(self, *, by_hand=False, is_restart=False):
        """Checks everything that comes out against the model."""
        out = [item for item in self.machine.drain() if isinstance(item, Begin)]
        acts = self.mode is None or self.mode.acts
        for item in out:
            if item.by == "rule" and item.act.do in RELEASING:
                assert self.strength() >= 2, "a release without two independent triggers"
                assert acts, "a release in a mode without actions"
                self.has_acted = True
            elif item.by == "guard page":
                assert by_hand
            elif is_restart:
                assert item.act.is_held
                assert self.has_acted, "a release by memory of what was never released"
            else:
                assert acts, "noise in a mode without actions"
        return out

    @property
    def mode(self):
        kept = self.machine.mode("b3")
        return kept.mode if kept else None

    @rule(device=device, alarm=st.booleans(), quality=quality)
    def hear(self, device, alarm, quality):
        self.said[device], self.good[device], self.read[device] = alarm, quality is Quality.GOOD, self.now
        (self.unreadable.add if quality is Quality.FAULT else self.unreadable.discard)(device)
        self.note(device)
        self.machine.take(says(device, alarm=alarm, at=self.now, quality=quality), self.now)
        self.drain()

    @rule(device=device, is_online=st.booleans())
    def hear_link(self, device, is_online):
        (self.offline.discard if is_online else self.offline.add)(device)
        self.note(device)
        self.machine.take(link(device, "online" if is_online else "offline", self.now), self.now)
        self.drain()

    @rule(device=device, is_faulty=st.booleans())
    def hear_fault(self, device, is_faulty):
        (self.faulty.add if is_faulty else self.faulty.discard)(device)
        self.note(device)
        self.machine.take(state(device, "fault", "fault" if is_faulty else "ok", self.now), self.now)
        self.drain()

    @rule(seconds=st.sampled_from([0.5, 10, 61, 400, 3700]), is_cut_off=st.booleans())
    def wait(self, seconds, is_cut_off):
        self.now += round(seconds * S)
        self.machine.tick(self.now, is_cut_off=is_cut_off)
        self.drain()
        kept = self.machine.mode("b3")
        assert kept is None or kept.until_ns > self.now, "a mode outlived its time"

    @rule()
    def reset(self):
        strength = self.strength(lost=False)
        was = self.machine.phase("b3")[0]
        refused = self.machine.reset("b3", self.now)
        assert (refused is None) is (was is Phase.CONFIRMED and strength < 2)
        if refused is None:
            self.has_acted = False
            self.lost.clear()
            self.cleared.clear()
            self.alarmed = self.in_alarm(lost=False)
        self.drain(by_hand=True)

    @rule()
    def silence(self):
        was = self.machine.phase("b3")
        assert self.machine.silence("b3", self.now) is None
        assert self.machine.phase("b3") == was, "silence changes no alarm"
        self.drain(by_hand=True)

    @rule(mode=st.sampled_from(Mode), minutes=st.integers(1, 60))
    def start(self, mode, minutes):
        was = self.machine.phase("b3")[0]
        assert (self.machine.start("b3", mode, minutes, self.now) is None) is (was is not Phase.CONFIRMED)
        self.drain(by_hand=True)

    @rule()
    def stop(self):
        before = self.mode
        assert (self.machine.stop("b3", self.now) is None) is (before is not None)
        self.drain()

    @rule(is_power_cut=st.booleans())
    def restart(self, is_power_cut):
        before = self.mode
        kept = msgspec.json.decode(msgspec.json.encode(self.machine.kept()), type=Kept)
        self.boot ^= is_power_cut
        self.forget()
        self.machine = Machine(PLAN, self.now, kept, BOOTS[self.boot])
        held = {item.act.do for item in self.drain(is_restart=True)}
        assert held == (RELEASING if self.has_acted and not is_power_cut else set()), "all it held, nothing else"
        if is_power_cut:
            assert self.mode is None
        else:
            assert self.mode is before

    @invariant()
    def two_in_alarm_are_a_fire(self):
        if hasattr(self, "machine") and self.strength() >= 2:
            assert self.machine.phase("b3")[0] is Phase.CONFIRMED
            assert self.has_acted or not (self.mode is None or self.mode.acts)
            assert self.strength() == 2 or self.mode is not Mode.SILENT_DRILL, "a third one is a real fire"

    @invariant()
    def what_was_acted_on_stays_until_a_person_resets_it(self):
        if hasattr(self, "machine") and self.has_acted:
            assert self.machine.phase("b3")[0] is Phase.CONFIRMED


TestLinked = Linked.TestCase
TestLinked.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
