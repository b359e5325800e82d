"""When the box acts by itself, case by case."""

import msgspec
import pytest

from contract.messages import Event, Quality
from edge.linkage.orders import Begin, End, Kept, KeptMode, KeptRule, Note
from edge.linkage.rules import Machine
from edge.zones import Doubt, Mode, Noise, Phase
from tests.unit.edge.linkage.examples import MINUTE, SITE, S, link, plan, says, state, with_first_rule

BOOT = b"b" * 16
T0 = 1000 * S


class Case:
    """A machine with a clock of its own; every device has been heard at rest."""

    def __init__(self, made=None, kept=None, boot=BOOT, *, heard=True):
        self.now = T0
        self.machine = Machine(made or plan(), self.now, kept, boot)
        self.out = self.machine.drain()
        if heard:
            for device in self.machine.triggers:
                self.hear(says(device, alarm=False, at=self.now))

    def hear(self, *items):
        for item in items:
            self.machine.take(item, self.now)
        return self.collect()

    def alarm(self, device, *, is_alarm=True):
        return self.hear(says(device, alarm=is_alarm, at=self.now))

    def tick(self, seconds=0.0, *, is_cut_off=False):
        self.now += round(seconds * S)
        self.machine.tick(self.now, is_cut_off=is_cut_off)
        return self.collect()

    def collect(self):
        fresh = self.machine.drain()
        self.out += fresh
        return fresh

    @property
    def phase(self):
        return self.machine.phase("b3")[0]


def begun(outputs, part=None):
    return [(o.act.device, o.act.do) for o in outputs if isinstance(o, Begin) and part in {None, o.key[1]}]


def noted(outputs):
    return [(o.device, o.action, o.status) for o in outputs if isinstance(o, Note)]


THEN = [("door-1", "release"), ("door-2", "release"), ("gate-1", "hold_open"), ("siren-1", "sound")]


def test_one_trigger_sounds_for_the_guard_and_releases_nothing():
    case = Case()
    out = case.alarm("smoke-1")
    assert begun(out) == [("siren-guard", "sound")]
    assert noted(out) == [("smoke-1", "alert", "unconfirmed")]
    assert case.phase is Phase.ALERT
    assert case.tick(60) == [], "and says it once"


@pytest.mark.parametrize("pair", [("smoke-1", "smoke-2"), ("smoke-2", "call-1"), ("call-2", "smoke-3")])
def test_two_detectors_or_one_and_a_call_point_release(pair):
    case = Case()
    case.alarm(pair[0])
    out = case.alarm(pair[1])
    assert begun(out) == THEN
    assert noted(out) == [(pair[1], "confirmed", "confirmed")]
    assert End("fire-b3", "first") in out
    assert case.phase is Phase.CONFIRMED
    assert {o.by for o in out if isinstance(o, Begin)} == {"rule"}


def test_two_call_points_alone_do_not():
    case = Case()
    out = case.alarm("call-1") + case.alarm("call-2")
    assert begun(out) == [("siren-guard", "sound")] * 2
    assert case.phase is Phase.ALERT
    assert begun(case.alarm("smoke-3")) == THEN


def test_what_is_in_another_zone_or_in_none_does_not_count():
    case = Case()
    assert begun(case.alarm("smoke-1") + case.alarm("smoke-away") + case.alarm("leak-1"), "then") == [
        ("siren-guard", "sound")
    ], "that is the leak's own rule"
    assert case.phase is Phase.ALERT


@pytest.mark.parametrize(
    ("spoil", "doubt"),
    [
        (lambda at: link("smoke-2", "offline", at), Doubt.OFFLINE),
        (lambda at: state("smoke-2", "fault", "fault", at), Doubt.FAULT),
        (lambda at: state("smoke-2", "test", "testing", at), Doubt.TESTING),
        (lambda at: says("smoke-2", alarm=True, at=at, quality=Quality.FAULT), Doubt.FAULT),
        (lambda at: says("smoke-2", alarm=True, at=at, quality=Quality.STALE), Doubt.STALE),
        (lambda at: says("smoke-2", alarm=True, at=at, quality=Quality.UNKNOWN), Doubt.UNSEEN),
    ],
)  # fmt: skip
def test_a_detector_that_cannot_be_believed_does_not_count_and_is_named(spoil, doubt):
    case = Case()
    if doubt not in {Doubt.OFFLINE, Doubt.FAULT}:  # in alarm before it went: see the next tests
        case.alarm("smoke-2")
    case.hear(spoil(case.now))
    if spoil(0).point != "smoke":
        case.alarm("smoke-2")
    out = case.alarm("smoke-1")
    assert begun(out, "then") == []
    assert case.phase is Phase.ALERT
    (note,) = [o for o in out if isinstance(o, Note)]
    assert note.why == f"not counted: smoke-2 ({doubt})"
    assert case.machine.triggers["smoke-2"].doubt(case.now) is doubt
    if doubt is Doubt.OFFLINE:
        assert begun(case.hear(link("smoke-2", "online", case.now))) == THEN, "it says so still, and can be believed"


LOSSES = [
    pytest.param(lambda device, at: link(device, "offline", at), "offline", id="offline"),
    pytest.param(lambda device, at: state(device, "fault", "fault", at), "fault", id="fault"),
    pytest.param(lambda device, at: says(device, alarm=False, at=at, quality=Quality.FAULT), "fault", id="unreadable"),
]


@pytest.mark.parametrize(("loss", "doubt"), LOSSES)
def test_a_detector_that_alarmed_and_then_got_lost_counts_for_ten_minutes_and_the_event_says_so(loss, doubt):
    case = Case()
    case.alarm("smoke-2")
    case.tick(5)
    assert noted(case.hear(loss("smoke-2", case.now))) == [], "its alarm goes on"
    case.tick(599)
    assert case.phase is Phase.ALERT
    out = case.alarm("smoke-1")
    assert begun(out) == THEN
    (note,) = [o for o in out if isinstance(o, Note)]
    assert note.why == f"in alarm: smoke-1, smoke-2; alarmed, then lost: smoke-2 ({doubt})"


@pytest.mark.parametrize(("loss", "doubt"), LOSSES)
def test_ten_minutes_after_it_was_lost_it_counts_no_more(loss, doubt):
    case = Case()
    case.alarm("smoke-2")
    case.hear(loss("smoke-2", case.now))
    assert noted(case.tick(601)) == [("smoke-2", "alert", "over")]
    out = case.alarm("smoke-1")
    assert begun(out, "then") == []
    assert out[0].why == f"not counted: smoke-2 ({doubt})"
    assert begun(case.hear(loss("smoke-2", case.now)), "then") == [], "nor when that is said once more"


@pytest.mark.parametrize(("loss", "doubt"), LOSSES)
def test_one_that_cleared_while_it_was_healthy_or_never_alarmed_does_not_count_once_it_is_lost(loss, doubt):
    case = Case()
    case.alarm("smoke-2")
    case.alarm("smoke-2", is_alarm=False)
    case.tick(1)
    case.hear(loss("smoke-2", case.now), loss("smoke-3", case.now))
    out = case.alarm("smoke-1")
    assert begun(out, "then") == []
    assert out[0].why == f"not counted: smoke-2 ({doubt}), smoke-3 ({doubt})"


def test_a_panel_that_shows_a_fault_in_the_place_of_the_alarm_has_lost_the_detector():
    case = Case()
    case.alarm("smoke-2")
    case.tick(1)
    case.hear(says("smoke-2", alarm=False, at=case.now), state("smoke-2", "fault", "fault", case.now))
    assert begun(case.alarm("smoke-1")) == THEN


def test_one_that_is_back_and_clear_does_not_count():
    case = Case()
    case.alarm("smoke-2")
    case.hear(link("smoke-2", "offline", case.now))
    case.tick(60)
    case.hear(link("smoke-2", "online", case.now), says("smoke-2", alarm=False, at=case.now))
    assert begun(case.alarm("smoke-1"), "then") == []
    case.hear(link("smoke-2", "offline", case.now + 1))
    assert case.phase is Phase.ALERT


def test_one_that_was_tested_when_it_was_lost_does_not_count():
    case = Case()
    case.alarm("smoke-2")
    case.hear(state("smoke-2", "test", "testing", case.now), link("smoke-2", "offline", case.now))
    assert begun(case.alarm("smoke-1"), "then") == []


def test_water_destroys_no_detector():
    case = Case()
    case.alarm("leak-1")
    assert case.machine.phase("cellar")[0] is Phase.CONFIRMED
    case.hear(link("leak-1", "offline", case.now))
    assert case.machine.phase("cellar")[0] is Phase.QUIET


def test_a_person_may_reset_what_only_lost_detectors_still_say_and_it_is_over_then():
    case = Case()
    case.alarm("smoke-1")
    case.alarm("smoke-2")
    case.hear(link("smoke-1", "offline", case.now), link("smoke-2", "offline", case.now))
    assert case.machine.reset("b3", case.now) is None
    case.collect()
    assert case.tick(1) == []
    assert case.phase is Phase.QUIET
    case.hear(link("smoke-1", "offline", case.now))
    assert case.phase is Phase.QUIET, "what a person has seen to is not lost once more"
    assert begun(case.alarm("smoke-3"), "then") == []


def test_a_value_that_is_too_old_is_none():
    case = Case()
    case.alarm("smoke-2")
    case.now += 800 * S  # two and a half heartbeats of 300 s
    out = case.alarm("smoke-1")
    assert begun(out, "then") == []
    assert "smoke-2 (stale)" in out[0].why


def test_what_was_never_heard_in_this_run_does_not_count():
    case = Case(heard=False)
    out = case.alarm("smoke-1")
    assert "smoke-2 (unseen), smoke-3 (unseen), call-1 (unseen), call-2 (unseen)" in out[0].why


def test_an_unconfirmed_alarm_ends_by_itself():
    case = Case()
    case.alarm("smoke-1")
    out = case.alarm("smoke-1", is_alarm=False)
    assert End("fire-b3", "first") in out
    assert noted(out) == [("smoke-1", "alert", "over")]
    assert case.phase is Phase.QUIET
    assert begun(case.alarm("smoke-1")) == [("siren-guard", "sound")]


def test_a_confirmed_fire_stays_until_a_person_resets_it():
    case = Case()
    case.alarm("smoke-1"), case.alarm("smoke-2")
    assert case.machine.reset("b3", case.now).en.startswith("still in alarm: 1层烟感、2层烟感")
    case.alarm("smoke-1", is_alarm=False), case.alarm("smoke-2", is_alarm=False)
    case.hear(link("smoke-1", "offline", case.now))
    assert case.phase is Phase.CONFIRMED
    assert case.machine.reset("b3", case.now) is None
    out = case.collect()
    assert End("fire-b3", "then") in out
    assert begun(out) == [("gate-1", "close")], "what after: says, and no door is locked"
    assert noted(out) == [("smoke-1", "reset", "done")]
    assert [o.by for o in out if isinstance(o, Note)] == ["guard page"]
    assert case.phase is Phase.QUIET
    assert case.machine.reset("b3", case.now).en == "nothing is confirmed in this zone"


def test_a_reset_with_one_still_in_alarm_leaves_an_alert():
    case = Case()
    case.alarm("smoke-1"), case.alarm("smoke-2")
    case.alarm("smoke-2", is_alarm=False)
    assert case.machine.reset("b3", case.now) is None
    assert begun(case.collect(), "first") == [("siren-guard", "sound")]
    assert case.phase is Phase.ALERT
    assert begun(case.alarm("smoke-2")) == THEN, "and a second one confirms anew"


def test_triggers_far_apart_in_time_do_not_count_together():
    case = Case(with_first_rule(SITE, within_ns=60 * S))
    case.alarm("smoke-1")
    case.now += 61 * S
    assert begun(case.alarm("smoke-2"), "then") == []
    case.now += 30 * S
    assert begun(case.alarm("smoke-3"), "then") == THEN


def test_as_many_as_the_rule_says():
    case = Case(with_first_rule(SITE, needs=3))
    assert begun(case.alarm("smoke-1") + case.alarm("call-1") + case.alarm("call-2"), "then") == []
    assert begun(case.alarm("smoke-3"), "then") == THEN


def test_a_leak_is_over_by_itself():
    case = Case()
    assert begun(case.alarm("leak-1")) == [("siren-guard", "sound")]
    out = case.alarm("leak-1", is_alarm=False)
    assert End("leak", "then") in out
    assert noted(out) == [("leak-1", "over", "done")]
    assert begun(case.alarm("leak-1")) == [("siren-guard", "sound")]


def test_silence_stops_the_noise_and_a_further_trigger_sounds_again():
    case = Case()
    case.alarm("smoke-1"), case.alarm("smoke-2")
    assert case.machine.silence("b3", case.now) is None
    out = case.collect()
    assert End("fire-b3", "then", sounds_only=True) in out
    assert begun(out) == [("siren-guard", "silence"), ("siren-1", "silence")]
    assert [dict(o.act.args) for o in out if isinstance(o, Begin)] == [{"seconds": 0}] * 2
    assert case.phase is Phase.CONFIRMED, "the alarm stays"
    assert begun(case.alarm("smoke-3")) == [("siren-1", "sound")]
    assert begun(case.alarm("smoke-3", is_alarm=False) + case.alarm("smoke-3")) == [], "a chattering one does not"


def sounded(outputs):
    return [(o.act.device, o.act.args["seconds"]) for o in outputs if isinstance(o, Begin) and o.act.do == "sound"]


def test_no_short_noise_ends_a_long_one():
    """One sounder for the guard and for the stairs: what calls people out lasts as long as the rule says."""
    page = "  sound:\n    - {device: %s, do: sound, args: {seconds: 60}}"
    case = Case(plan(SITE.replace(page % "siren-guard", page % "siren-1")))
    case.tick(is_cut_off=True)
    assert sounded(case.alarm("smoke-1")) == [("siren-guard", 30), ("siren-1", 60)]
    assert sounded(case.alarm("smoke-2")) == [("siren-1", 600), ("siren-1", 600)], "the rule's, then the guard's"
    case.tick(100.5, is_cut_off=True)
    assert sounded(case.alarm("smoke-away")) == [("siren-1", 500)], "what is left of it"
    assert case.machine.silence("b3", case.now) is None
    assert sounded(case.collect()) == []
    case.alarm("smoke-away", is_alarm=False)
    assert sounded(case.alarm("smoke-away")) == [("siren-1", 60)], "what was silenced sounds as long as it is told"
    assert sounded(case.alarm("smoke-3")) == [("siren-1", 600), ("siren-1", 600)]
    case.tick(601, is_cut_off=True)
    case.alarm("smoke-away", is_alarm=False)
    assert sounded(case.alarm("smoke-away")) == [("siren-1", 60)], "and what has ended by itself"
    for device in ("smoke-1", "smoke-2", "smoke-3"):
        case.alarm(device, is_alarm=False)
    assert case.machine.reset("b3", case.now) is None


def test_no_silencing_that_is_still_tried_undoes_a_new_alarm():
    case = Case()
    case.alarm("smoke-1"), case.alarm("smoke-2")
    case.machine.silence("b3", case.now)
    assert ("siren-1", "silence") in begun(case.collect()), "which is tried for a minute"
    out = case.alarm("smoke-3")
    again = next(i for i, o in enumerate(out) if isinstance(o, Begin) and o.act.device == "siren-1")
    assert out.index(End("b3", "silence")) < again


def test_a_person_can_release_without_any_trigger():
    case = Case()
    assert case.machine.release("b3", case.now) is None
    out = case.collect()
    assert begun(out) == THEN[:3]
    assert {(o.by, o.until_ns) for o in out} == {("guard page", case.now + MINUTE)}
    assert case.machine.release("cellar", case.now).en == "no rule of this zone releases anything"


def test_cut_off_any_smoke_makes_noise_also_outside_zones():
    case = Case()
    assert case.alarm("smoke-away") == []
    assert begun(case.tick(1, is_cut_off=True)) == [("siren-guard", "sound")]
    assert case.tick(1, is_cut_off=True) == [], "once an alarm"
    assert begun(case.alarm("leak-1"), "sound") == [], "a leak waits"
    assert begun(case.alarm("smoke-3"), "sound") == [("siren-guard", "sound")]
    case.alarm("smoke-away", is_alarm=False)
    assert begun(case.alarm("smoke-away"), "sound") == [("siren-guard", "sound")]
    case.tick(1)
    case.alarm("smoke-2", is_alarm=False)
    assert begun(case.alarm("smoke-2"), "sound") == [], "not while the cloud can be reached"
    assert case.machine.silence("", case.now) is None
    assert begun(case.collect()) == [("siren-guard", "silence")]


def test_a_drill_with_actions_does_everything_and_says_that_it_is_one():
    case = Case()
    assert case.machine.start("b3", Mode.DRILL, 30, case.now) is None
    assert noted(case.collect()) == [("smoke-1", "drill", "started")]
    case.alarm("smoke-1")
    out = case.alarm("smoke-2")
    assert begun(out) == THEN
    assert {o.mode for o in out if isinstance(o, Begin | Note)} == {"drill"}
    assert noted(case.tick(30 * 60)) == [("smoke-1", "drill", "ended")]
    assert case.machine.mode("b3") is None


@pytest.mark.parametrize("mode", [Mode.SILENT_DRILL, Mode.DRY_RUN])
def test_without_actions_everything_is_only_recorded(mode):
    case = Case()
    case.machine.start("b3", mode, 30, case.now)
    case.collect()
    out = case.alarm("smoke-1") + case.alarm("smoke-2")
    assert begun(out) == []
    assert [(d, a) for d, a, s in noted(out) if s == "not_done"] == [("siren-guard", "sound"), *THEN]
    assert {o.mode for o in out if isinstance(o, Note)} == {mode}
    case.alarm("smoke-1", is_alarm=False), case.alarm("smoke-2", is_alarm=False)
    out = case.tick(30 * 60)
    assert begun(out) == [], "it is over, nothing is left to be done"
    assert case.phase is Phase.QUIET


@pytest.mark.parametrize("mode", [Mode.SILENT_DRILL, Mode.DRY_RUN])
@pytest.mark.parametrize("by_hand", [False, True])
def test_what_is_confirmed_when_the_mode_ends_is_done(mode, by_hand):
    case = Case()
    case.machine.start("b3", mode, 5, case.now)
    case.alarm("smoke-1"), case.alarm("smoke-2")
    if by_hand:
        assert case.machine.stop("b3", case.now) is None
        out = case.collect()
    else:
        out = case.tick(5 * 60)
    assert begun(out) == THEN
    assert {o.mode for o in out if isinstance(o, Begin)} == {""}


def test_one_trigger_more_than_a_silent_drill_needs_is_a_real_fire():
    case = Case()
    case.machine.start("b3", Mode.SILENT_DRILL, 30, case.now)
    case.alarm("smoke-1"), case.alarm("smoke-2")
    out = case.alarm("call-1")
    assert begun(out) == THEN
    assert ("smoke-1", "silent_drill", "ended") in noted(out)
    assert case.machine.mode("b3") is None


def test_a_dry_run_does_nothing_whatever_comes_and_other_zones_act_as_ever():
    case = Case()
    case.machine.start("b3", Mode.DRY_RUN, 30, case.now)
    out = [o for d in ("smoke-1", "smoke-2", "smoke-3", "call-1", "call-2") for o in case.alarm(d)]
    assert begun(out) == []
    assert begun(case.alarm("leak-1")) == [("siren-guard", "sound")]


def test_a_zone_without_a_trigger_to_spare_has_no_silent_drill():
    case = Case(plan(SITE.replace("[smoke-1, smoke-2, smoke-3, call-1, call-2]", "[smoke-1, call-1, call-2]")))
    assert "no trigger to spare" in case.machine.start("b3", Mode.SILENT_DRILL, 30, case.now).en
    assert case.machine.start("b3", Mode.DRILL, 30, case.now) is None


def test_what_cannot_be_asked_is_said():
    case = Case()
    assert case.machine.start("b3", Mode.DRILL, 61, case.now).en == "it lasts 1 to 60 minutes"
    assert case.machine.start("b3", Mode.DRILL, 0, case.now) is not None
    assert case.machine.start("nowhere", Mode.DRILL, 5, case.now) is not None
    assert case.machine.stop("b3", case.now) is not None
    assert case.machine.silence("nowhere", case.now) is not None
    assert case.machine.reset("nowhere", case.now) is not None
    case.alarm("smoke-1"), case.alarm("smoke-2")
    assert "reset it first" in case.machine.start("b3", Mode.DRY_RUN, 5, case.now).en
    assert case.collect() == case.machine.drain() == []


@pytest.mark.parametrize("boot", [BOOT, b"other" * 3 + b"x"])
def test_after_a_restart_a_fire_is_remembered_and_does_more_only_when_heard_anew(boot):
    before = Case()
    before.alarm("smoke-1"), before.alarm("smoke-2")
    assert before.machine.is_changed
    kept = msgspec.json.decode(msgspec.json.encode(before.machine.kept()), type=Kept)
    case = Case(kept=kept, boot=boot, heard=False)
    held = THEN[:3] if boot == BOOT else []
    assert begun(case.out) == held, "no door that unlocks for seconds locks because the box alone was away"
    assert noted(case.out) == [("smoke-1", "confirmed", "remembered")]
    assert case.machine.phase("b3") == (Phase.CONFIRMED, T0 if boot == BOOT else 0, True)
    assert begun(case.tick(1)) == []
    assert begun(case.alarm("smoke-1")) == []
    out = case.alarm("smoke-2")
    assert begun(out) == THEN, "again: a power cut may have locked the doors"
    assert noted(out) == [("smoke-2", "confirmed", "again")]


@pytest.mark.parametrize("boot", [BOOT, b"other" * 3 + b"x"])
def test_a_remembered_fire_is_told_of_a_device_that_had_alarmed_with_what_is_done(boot):
    before = Case()
    before.alarm("smoke-3"), before.alarm("smoke-2")
    kept = msgspec.json.decode(msgspec.json.encode(before.machine.kept()), type=Kept)
    again = Case(kept=kept, boot=boot, heard=False)
    (note,) = [o for o in again.out if isinstance(o, Note)]
    assert note.device == "smoke-3", "smoke-1 is innocent"
    assert ("is held released until a person resets it" in note.why) == (boot == BOOT)
    assert note.why.endswith("as soon as its triggers are heard in alarm anew"), "not: nothing is done"
    once_more = Case(kept=again.machine.kept(), boot=boot, heard=False)
    assert noted(once_more.out) == [("smoke-3", "confirmed", "remembered")], "over a second restart too"
    once_more.machine.reset("b3", once_more.now)
    assert noted(once_more.collect())[0] == ("smoke-3", "reset", "done")


def test_of_what_nobody_knows_who_alarmed_its_first_action_device_is_told():
    case = Case(kept=Kept(BOOT, {"fire-b3": KeptRule(5 * S, has_acted=True)}), heard=False)
    assert noted(case.out) == [("door-1", "confirmed", "remembered")]


def lose(case, *devices):
    for device in devices:
        case.hear(link(device, "offline", case.now))


def test_a_zone_that_could_not_confirm_a_fire_is_blind_and_told_so_after_a_minute():
    case = Case()
    lose(case, "smoke-1", "smoke-2")
    assert case.machine.sight.blind_for("b3", case.now) == [], "a detector and a call point would do"
    lose(case, "smoke-3")
    assert case.machine.sight.blind_for("b3", case.now) == ["fire"], "call points alone confirm nothing"
    assert noted(case.tick(1)) == []
    out = case.tick(60)
    assert noted(out) == [("smoke-1", "blind", "started")]
    assert out[0].why == (
        "no fire would be confirmed here; not counted: smoke-1 (offline), smoke-2 (offline), smoke-3 (offline)"
    )
    assert noted(case.tick(3600)) == [], "once"
    case.hear(link("smoke-2", "online", case.now)), case.hear(says("smoke-2", alarm=False, at=case.now))
    assert noted(case.hear(says("call-1", alarm=False, at=case.now))) == []
    assert noted(case.tick(1)) == [("smoke-1", "blind", "ended")]


def test_what_alarmed_before_it_was_lost_blinds_nobody():
    case = Case()
    case.alarm("smoke-3")
    lose(case, "smoke-1", "smoke-2", "smoke-3")
    assert case.machine.sight.blind_for("b3", case.now) == [], "it and a call point confirm the fire"
    lose(case, "call-1", "call-2")
    assert case.machine.sight.blind_for("b3", case.now) == ["fire"]


def test_a_zone_without_a_rule_is_blind_when_none_of_its_detectors_counts():
    text = SITE.partition("linkage:")[0] + "guard_page:" + SITE.partition("guard_page:")[2]
    case = Case(plan(text))
    lose(case, "smoke-1", "smoke-2", "smoke-3", "call-1")
    assert case.machine.sight.blind_for("b3", case.now) == []
    lose(case, "call-2")
    assert case.machine.sight.blind_for("b3", case.now) == ["fire"]


SILENT_SITE = SITE.partition("  sound:")[0]


def test_cut_off_the_record_says_what_is_really_heard():
    case = Case()
    case.tick(1, is_cut_off=True)
    (note,) = [o for o in case.alarm("smoke-away") if isinstance(o, Note)]
    assert (note.status, note.why) == ("cut_off", "the cloud cannot be reached")
    case = Case(plan(SILENT_SITE))
    case.tick(1, is_cut_off=True)
    out = case.alarm("smoke-away")
    (note,) = [o for o in out if isinstance(o, Note)]
    assert (note.status, begun(out)) == ("not_heard", [])
    assert "names no sounder for it (guard_page.sound)" in note.why
    out = case.alarm("smoke-1")
    assert ("siren-guard", "sound") in begun(out), "its zone's rule has its own"
    assert [o.why for o in out if isinstance(o, Note) and o.status == "cut_off"] == [
        "the cloud cannot be reached; rule fire-b3 sounds"
    ]
    assert case.machine.noise.of(case.machine.triggers.values()) is Noise.SOME
    bare = plan(SILENT_SITE.replace("    first:\n      - {device: siren-guard, do: sound, args: {seconds: 30}}\n", ""))
    machine = Case(bare).machine
    assert machine.noise.of(machine.triggers.values()) is Noise.NONE
    assert machine.noise.of([]) is None


def test_a_dry_run_claims_no_noise_and_its_end_makes_it():
    case = Case()
    case.machine.start("b3", Mode.DRY_RUN, 5, case.now)
    case.tick(1, is_cut_off=True)
    out = case.alarm("smoke-1")
    assert begun(out) == []
    assert [o.why for o in out if isinstance(o, Note) and o.status == "not_heard"] == [
        "the cloud cannot be reached; a dry run is under way, so nothing sounds"
    ]
    assert ("siren-guard", "sound") in begun(case.tick(301, is_cut_off=True)), "it is in alarm still"


def test_a_remembered_fire_can_be_reset_and_what_follows_it_is_done():
    case = Case(kept=Kept(BOOT, {"fire-b3": KeptRule(5 * S, has_acted=True), "gone": KeptRule(1, has_acted=True)}))
    assert case.phase is Phase.CONFIRMED
    assert case.machine.reset("b3", case.now) is None
    assert begun(case.collect()) == [("gate-1", "close")]
    assert case.machine.kept() == Kept(BOOT)


def test_what_is_held_over_a_restart_ends_with_the_reset():
    case = Case(kept=Kept(BOOT, {"fire-b3": KeptRule(5 * S, has_acted=True)}), heard=False)
    assert case.tick(3600) == [], "as long as nobody resets it, whoever is heard or not"
    assert case.machine.reset("b3", case.now) is None
    assert End("fire-b3", "then") in case.collect()


@pytest.mark.parametrize("mode", [Mode.DRY_RUN, Mode.SILENT_DRILL])
def test_what_was_only_recorded_is_not_held_after_a_restart(mode):
    before = Case()
    before.machine.start("b3", mode, 30, before.now)
    before.alarm("smoke-1"), before.alarm("smoke-2")
    assert begun(Case(kept=before.machine.kept(), heard=False).out) == []


def two_fires():
    """Two stairwells whose rules hold the same gate open, and close it after."""
    text = SITE.replace("smoke-3, call-1, call-2]}", "call-1]}").replace(
        "  - {id: cellar,", "  - {id: b4, name: 4号楼, triggers: [smoke-3, call-2]}\n  - {id: cellar,"
    )
    opening, closing = "{device: gate-1, do: hold_open}", "{device: gate-1, do: close}"
    rule = f"  - {{id: fire-b4, zone: b4, then: [{opening}], after: [{closing}]}}\n"
    return Case(plan(text.replace("  - id: leak\n    zone", f"{rule}  - id: leak\n    zone")))


def test_the_end_of_one_fire_shuts_no_gate_that_another_needs():
    case = two_fires()
    for device in ("smoke-1", "smoke-2", "smoke-3", "call-2"):
        case.alarm(device)
    case.alarm("smoke-1", is_alarm=False), case.alarm("smoke-2", is_alarm=False)
    assert case.machine.reset("b3", case.now) is None
    out = case.collect()
    assert begun(out) == []
    assert ("gate-1", "close", "not_done") in noted(out)
    case.alarm("smoke-3", is_alarm=False)
    assert case.machine.reset("b4", case.now) is None
    assert begun(case.collect(), "after") == [("gate-1", "close")], "the last one shuts it"


@pytest.mark.parametrize("devices", [("smoke-3", "call-2"), ("smoke-1", "smoke-2")])
def test_a_fire_ends_what_is_still_being_taken_back(devices):
    case = two_fires()
    case.alarm("smoke-1"), case.alarm("smoke-2")
    case.alarm("smoke-1", is_alarm=False), case.alarm("smoke-2", is_alarm=False)
    case.machine.reset("b3", case.now)
    assert begun(case.collect()) == [("gate-1", "close")], "which is tried for a minute"
    case.alarm(devices[0])
    out = case.alarm(devices[1])
    closing, opening = End("fire-b3", "after"), ("gate-1", "hold_open")
    assert opening in begun(out)
    assert out.index(closing) < next(i for i, o in enumerate(out) if isinstance(o, Begin))


def test_a_mode_goes_on_over_a_restart_of_the_process_and_ends_by_itself():
    before = Case()
    before.machine.start("b3", Mode.DRY_RUN, 30, before.now)
    kept = msgspec.json.decode(msgspec.json.encode(before.machine.kept()), type=Kept)
    case = Case(kept=kept)
    assert case.machine.mode("b3") == KeptMode(Mode.DRY_RUN, T0 + 30 * MINUTE)
    assert noted(case.tick(30 * 60)) == [("smoke-1", "dry_run", "ended")]


@pytest.mark.parametrize(
    "kept",
    [
        Kept(b"other boot here!", modes={"b3": KeptMode(Mode.DRY_RUN, T0 + 5 * MINUTE)}),
        Kept(BOOT, modes={"b3": KeptMode(Mode.DRY_RUN, T0 - 1)}),
        Kept(BOOT, modes={"b3": KeptMode(Mode.DRY_RUN, T0 + 61 * MINUTE)}),
    ],
    ids=["another boot", "its time is over", "longer than any"],
)
def test_a_mode_of_which_nobody_can_say_that_it_lasts_has_ended(kept):
    case = Case(kept=kept)
    assert case.machine.mode("b3") is None
    assert noted(case.out) == [("smoke-1", "dry_run", "ended")]
    assert begun(case.alarm("smoke-1") + case.alarm("smoke-2"), "then") == THEN


def test_a_button_counts_for_a_minute():
    text = SITE.replace(
        "leak-1, name: 水浸1, profile: anju-leak-panel-16", "leak-1, name: 周界, profile: anju-intrusion-panel-16"
    )
    text = text.replace("when: leak", "when: intrusion")
    case = Case(plan(text), heard=False)
    assert begun(case.hear(Event("leak-1", "breach", {}, case.now))) == [("siren-guard", "sound")]
    assert noted(case.tick(59)) == []
    assert noted(case.tick(2)) == [("leak-1", "over", "done")]
    assert case.hear(Event("leak-1", "other", {}, case.now)) == []


def test_a_detector_that_joins_outside_the_zones_is_heard_and_one_that_goes_is_forgotten():
    case = Case()
    case.alarm("smoke-away")
    before = dict(plan().causes)
    without = {device: cause for device, cause in before.items() if device != "smoke-away"}
    case.machine.adopt(without)
    assert begun(case.tick(1, is_cut_off=True)) == []
    case.machine.adopt(before)
    assert begun(case.alarm("smoke-away")) == [("siren-guard", "sound")]
    case.machine.adopt({})
    assert case.machine.triggers.keys() == {"smoke-1", "smoke-2", "smoke-3", "call-1", "call-2", "leak-1"}


def test_a_rule_that_says_nothing_of_the_first_trigger_sounds_what_is_for_the_guard():
    first = "    first:\n      - {device: siren-guard, do: sound, args: {seconds: 30}}\n"
    assert first in SITE
    case = Case(plan(SITE.replace(first, "")))
    (order,) = [o for o in case.alarm("smoke-1") if isinstance(o, Begin)]
    assert (order.act.device, dict(order.act.args), order.key[:2]) == (
        "siren-guard",
        {"seconds": 60},
        ("fire-b3", "first"),
    )
