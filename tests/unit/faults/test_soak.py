"""Growth is found in noise, and noise is not taken for growth."""

import random
from pathlib import Path

from contract.profile import load_profiles, shipped_profiles
from contract.site import load_site, resolve
from simulators.generate import Wish, write_estate
from simulators.scenario import load_scenario
from tests.faults.soak import BOUNDS, judge, slope, story

FLAT = dict.fromkeys(BOUNDS, 10.0)


def looks(**changes):
    """Half an hour of looks, each five seconds; `changes` gives a number by the time in seconds."""
    return [
        {"at_s": at, "readings": float(at), **FLAT, **{name: number(at) for name, number in changes.items()}}
        for at in range(0, 1800, 5)
    ]


def test_a_slope_is_the_trend_whatever_single_looks_say():
    dice = random.Random(1)
    points = [(float(x), 3.0 * x + dice.gauss(0, 1) + (1e6 if x % 10 == 0 else 0)) for x in range(100)]
    assert abs(slope(points) - 3.0) < 0.1
    assert slope([(0.0, 1.0)]) == 0.0


def test_what_is_level_did_not_grow_though_it_is_noisy_and_was_small_at_first():
    dice = random.Random(2)
    found = judge(looks(rss_mb=lambda at: min(50.0, 20.0 + at / 10) + dice.gauss(0, 1)), 30)
    assert found["grown"] == []


def test_a_slow_leak_is_found():
    dice = random.Random(3)
    found = judge(looks(rss_mb=lambda at: 50.0 + at / 400 + dice.gauss(0, 0.5)), 30)
    assert [one.partition(":")[0] for one in found["grown"]] == ["rss_mb"]
    found = judge(looks(files=lambda at: 30 + at // 600), 30)
    assert [one.partition(":")[0] for one in found["grown"]] == ["files"]


def test_too_much_is_too_much_though_it_went_away_and_reading_nothing_is_no_success():
    found = judge(looks(tasks=lambda at: 10_000.0 if at == 300 else 10.0, readings=lambda _: 7.0), 30)
    assert [one.partition(":")[0] for one in found["grown"]] == ["tasks", "nothing was read any more"]


def test_the_story_can_be_played(tmp_path: Path):
    profiles = load_profiles(shipped_profiles())
    write_estate(Wish(devices=60, ports=str(tmp_path / "ports")), profiles, tmp_path)
    devices = resolve(load_site(tmp_path / "site.yaml", profiles), profiles)
    (tmp_path / "story.yaml").write_text(story(tmp_path / "day.yaml", devices), encoding="utf-8")
    play = load_scenario(tmp_path / "story.yaml")
    kinds = {step.fault.kind for step in play.scenario.steps if step.fault}
    assert {"silent", "crc", "flood", "garbage", "cut"} <= kinds
    assert {step.power_off for step in play.scenario.steps if step.power_off} == {bus.id for bus in play.site.buses}
