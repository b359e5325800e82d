"""The shipped scenarios, each played to its end on simulated buses: what the truth log shows is the story it tells."""

import asyncio
import itertools
import re
from pathlib import Path

import pytest

from simulators.estate import Estate
from simulators.log import Change, Entry, TruthLog
from simulators.modbus.buses import SimulatedRtu, SimulatedRtuTcp, SimulatedTcp
from simulators.modbus.faults import SERIAL_KINDS, TCP_KINDS
from simulators.player import Player
from simulators.scenario import load_scenario, seconds

SCENARIOS = Path(__file__).resolve().parents[3] / "simulators" / "scenarios"
SITES = {"site.yaml", "estate.yaml"}
NAMES = sorted(path.name for path in SCENARIOS.glob("*.yaml") if path.name not in SITES)


class Told:
    """What a played scenario said and did: changes by scenario second, and what the bus did in between."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.said: list[str] = []
        self.changes: list[tuple[float, str, str, str | float]] = []

    def note(self, entry: Entry) -> None:
        if isinstance(entry, Change):
            self.changes.append((self.now_s, entry.device, entry.point, entry.value))

    def of(self, device: str, point: str) -> list[str | float]:
        """The values that a point took, after what it was at first."""
        return [value for at_s, *key, value in self.changes if key == [device, point] and at_s > 0]

    def last(self, device: str, point: str) -> str | float:
        return self.of(device, point)[-1]

    def when(self, device: str, point: str, value: str | float) -> float:
        """The second at which it first took this value."""
        return next(at_s for at_s, *what in self.changes if what == [device, point, value] and at_s > 0)


async def told(name: str, tmp_path: Path) -> Told:
    """Plays a scenario as fast as the machine can, with its buses up on free ports."""
    play = load_scenario(SCENARIOS / name)
    story = Told()

    async def wait(at_s: float) -> None:
        story.now_s = at_s
        await asyncio.sleep(0)

    estate = Estate(play.site, play.profiles, TruthLog(also=story.note), seed=play.scenario.seed)
    for bus in estate.buses.values():
        if isinstance(bus, SimulatedTcp):
            bus.server.port = 0
        elif isinstance(bus, SimulatedRtuTcp):
            bus.port.port = 0
        elif isinstance(bus, SimulatedRtu):
            bus.port.path = tmp_path / "port"
    async with estate:
        end_s = max(seconds(step.at) for step in play.scenario.steps)
        await Player(play, estate, story.said.append, wait=wait).run(until_s=end_s + 600)
    return story


@pytest.mark.parametrize("name", NAMES)
async def test_a_scenario_explains_itself_and_is_the_same_twice(name: str, tmp_path: Path) -> None:
    assert (SCENARIOS / name).read_text().startswith("# ")
    first, second = await told(name, tmp_path), await told(name, tmp_path)
    assert any(line.startswith("all steps are done") for line in first.said)
    assert sum(" — " in line for line in first.said) >= 2, "it says what happens, for people"
    assert first.changes
    assert first.changes == second.changes
    assert first.said == second.said


async def test_another_seed_is_another_run(tmp_path: Path) -> None:
    calm = (SCENARIOS / "storm.yaml").read_text()
    (tmp_path / "estate.yaml").write_text((SCENARIOS / "estate.yaml").read_text())
    (tmp_path / "storm.yaml").write_text(re.sub(r"seed: \d+", "seed: 99", calm))
    first = await told("storm.yaml", tmp_path)
    other = await told(str(tmp_path / "storm.yaml"), tmp_path)
    assert first.changes != other.changes


async def test_a_quiet_day(tmp_path: Path) -> None:
    story = await told("quiet-day.yaml", tmp_path)
    alarms = {"smoke", "fire", "leak", "alarm", "alarmed", "tampered", "fault", "obstructed", "held"}
    assert not [change for change in story.changes if change[3] in alarms]
    power = [(at_s, float(value)) for at_s, *key, value in story.changes if key == ["power-main", "power"]]
    evening = [value for at_s, value in power if 13 * 3600 < at_s < 15 * 3600]
    night = [value for at_s, value in power if 21 * 3600 < at_s < 24 * 3600]
    assert min(evening) > max(night), "the day is to be seen in the power"
    energy = [float(value) for value in story.of("power-main", "energy")]
    assert energy == sorted(energy)
    assert energy[-1] - energy[0] == pytest.approx(24 * 62, rel=0.1), "what the power adds up to"
    volume = [float(value) for value in story.of("water-main", "volume")]
    assert volume == sorted(volume)
    assert volume[-1] - volume[0] == pytest.approx(24 * 6.2, rel=0.15)


async def test_fire_in_building_3(tmp_path: Path) -> None:
    story = await told("fire.yaml", tmp_path)
    first, second = (story.when(f"smoke-3-{floor}", "smoke", "smoke") for floor in ("05", "06"))
    glass = story.when("call-3-04", "fire", "alarm")
    assert first < second < glass < first + 60
    burning = {device for _, device, point, value in story.changes if (point, value) == ("smoke", "smoke")}
    assert burning == {"smoke-3-05", "smoke-3-06"}
    assert max(float(value) for value in story.of("smoke-3-05", "obscuration")) > 10
    assert story.of("door-3", "contact") == ["open", "closed"]
    assert story.of("door-3-back", "contact") == ["open", "closed"]
    assert min(float(value) for value in story.of("hydrant-3", "pressure")) < 0.35
    for device, point, calm in (("smoke-3-05", "smoke", "clear"), ("call-3-04", "fire", "normal")):
        assert story.last(device, point) == calm


async def test_burst_pipe(tmp_path: Path) -> None:
    story = await told("burst-pipe.yaml", tmp_path)
    assert max(float(value) for value in story.of("water-3", "flow")) > 13
    volume = [float(value) for value in story.of("water-3", "volume")]
    assert volume[-1] - volume[0] == pytest.approx(14 * 125 / 3600, rel=0.15), "the meter counts what runs out"
    wet = [story.when(f"leak-3-{n}", "leak", "leak") for n in (3, 4, 5)]
    assert wet == sorted(wet)
    assert max(float(value) for value in story.of("sump", "level")) > 1.8
    assert story.of("pump-1", "running") == ["running", "stopped"]
    assert story.of("pump-2", "fault") == ["fault", "ok"]
    assert all(story.last(f"leak-3-{n}", "leak") == "dry" for n in (3, 4, 5))


async def test_power_cut(tmp_path: Path) -> None:
    story = await told("power-cut.yaml", tmp_path)
    gone = [line for line in story.said if re.search(r"bus \w+: gone", line)]
    back = [line for line in story.said if re.search(r"bus \w+: back", line)]
    assert (len(gone), len(back)) == (5, 5)
    assert {"gate", "leaks", "plant", "doors"} == {re.search(r"bus (\w+)", line)[1] for line in back}
    energy = [float(value) for value in story.of("power-main", "energy")]
    assert energy.count(0) == 1, "it shows 0 until it has read its memory, though it counts on meanwhile"
    after = energy[energy.index(0) :]
    assert max(after) > 800_000, "it reads its memory and shows what it had counted"
    assert story.when("power-main", "voltage_a", 172.0) == 5
    jump = [float(value) for at_s, *key, value in story.changes if key == ["water-main", "volume"] and at_s >= 40]
    assert jump[0] == 41262.5


async def test_storm(tmp_path: Path) -> None:
    story = await told("storm.yaml", tmp_path)
    moves = [at_s for at_s, *what in story.changes if what == ["perimeter-1", "motion", "motion"]]
    assert len(moves) > 20
    assert len({round(b - a, 2) for a, b in itertools.pairwise(moves)}) > 10, "wind is not regular"
    assert story.of("perimeter-1", "breach").count(1.0) >= 4
    assert len(story.of("door-2", "contact")) > 10
    assert max(float(value) for value in story.of("underpass", "level")) > 1.3
    assert max(float(value) for value in story.of("underpass", "rain")) > 50
    for device, point, calm in (("door-2", "contact", "closed"), ("perimeter-1", "motion", "still")):
        assert story.last(device, point) == calm


async def test_chattering_sensor(tmp_path: Path) -> None:
    story = await told("chattering-sensor.yaml", tmp_path)
    faults = [at_s for at_s, *what in story.changes if what == ["smoke-2-03", "fault", "fault"]]
    assert len(faults) > 50
    assert max(faults) < 64
    assert story.last("smoke-2-03", "fault") == "ok"
    assert story.last("smoke-2-03", "smoke") == "clear"
    assert 149.0 in story.of("smoke-2-05", "temperature")
    assert story.of("smoke-2-05", "smoke") == [], "only its number jumped"


async def test_forced_door(tmp_path: Path) -> None:
    story = await told("forced-door.yaml", tmp_path)
    assert story.of("door-3-back", "forced_open") == [1.0, 0.0]
    assert story.of("door-3-back", "lock") == [], "nobody unlocked it"
    assert story.when("door-3-back", "held_open", "held") > story.when("door-3-back", "contact", "open") + 20
    assert story.of("perimeter-4", "breach") == [1.0, 0.0]
    assert story.of("door-3-back", "tamper") == ["tampered", "normal"]


async def test_gate_jam(tmp_path: Path) -> None:
    story = await told("gate-jam.yaml", tmp_path)
    assert story.of("gate-north", "obstructed") == ["obstructed", "clear"]
    assert story.of("gate-north", "barrier").count("moving") >= 5
    assert max(float(value) for value in story.of("gate-north", "queue")) == 14
    assert story.last("gate-north", "barrier") == "down"
    assert story.of("gate-north", "fault") == ["fault", "ok"]


async def test_trouble_knows_every_fault_of_the_wires_and_begins_anew(tmp_path: Path) -> None:
    play = load_scenario(SCENARIOS / "trouble.yaml")
    met = {step.fault.kind for step in play.scenario.steps if step.fault}
    assert met == TCP_KINDS | SERIAL_KINDS
    mended = {step.mend for step in play.scenario.steps if step.mend}
    assert {step.fault.device for step in play.scenario.steps if step.fault} == mended
    story = await told("trouble.yaml", tmp_path)
    assert sum("a switch dies" in line for line in story.said) == 4, "in 750 s, at 70 s and each 180 s later"
