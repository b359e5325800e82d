"""What happens in an estate in a month, and what its boxes would say of it. Pure: the same seed, the same story.

Rates are of real estates where a source was at hand, else assumptions, said as such; none is chosen by what alarms it
makes. Events that several devices share (a storm, a dip of the grid) come from what all estates have in common.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from simulators.month.estate import ON_BATTERY, Device, Estate

What = Literal["real", "false", "test"]
Value = float | str | dict[str, str | int | float | bool]
_DAY, _HOUR, _MINUTE, _SECOND = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)

A_MONTH: Mapping[str, float] = {
    # China had some 0.6 home fires a thousand homes and year (National Fire and Rescue Administration, 2023: 38 % of
    # 745,000 fires); three times that for an estate of a thousand homes, so that a month of fifty has enough to miss.
    "fire": 0.15,
    # GB/T 38315 and local rules: a drill at least each half-year.
    "drill": 1 / 6,
    # GB 25201: monthly check by the maintainer, of a share of the detectors.
    "detector_test": 1.0,
    "gas_false": 0.3, "panic_false": 0.8, "panic_real": 0.1, "elevator_trapped": 0.1, "elevator_fault": 1.5,
    "gate_obstructed": 8.0, "forced_false": 0.7, "forced_real": 0.1, "tamper": 0.5, "breach": 0.3,
    "camera": 6.0, "gathering": 2.0, "turned_away": 1.0, "leak": 0.5, "night_flow": 0.7, "pump_fault": 0.3,
    "hydrant_low": 0.4, "power_cut": 0.5, "uplink_cut": 0.8, "bus_cut": 0.5, "chatter": 0.6, "over_voltage": 0.7,
}  # fmt: skip
"""How often something happens in an estate in 30 days. Assumptions where no source is named."""
A_DEVICE_YEAR: Mapping[str, float] = {
    # BS 5839-1 (30.2) bears one false alarm for 50 detectors and year where they are well kept; homes have kitchens.
    "cooking": 0.3,
    # EN 54 and alike: some years without; radio and dust make it more often.
    "fault": 0.3, "link_lost": 1.0, "dead": 0.1,
    # Lithium cells of 3 to 5 years.
    "battery": 0.25,
    # Goods, prams, a wedge: each door once in ten days. Assumption.
    "held_open": 36.0,
    "dirty": 0.15,
}  # fmt: skip
"""How often it happens to a device in a year, of the kinds that it can happen to."""
_TESTED = 0.08
"""Share of the smoke detectors that are tested at a visit."""


class Said(msgspec.Struct, frozen=True):
    """What a device says: a state's word, a number, or an event's fields."""

    at: datetime
    device: str
    point: str
    value: Value


class Cut(msgspec.Struct, frozen=True):
    """A box says nothing for a time. Without power nothing is seen either; without a line all of it comes later."""

    at: datetime
    until: datetime
    box: int
    has_power: bool


class Window(msgspec.Struct, frozen=True):
    """People announce work, or a drill, and open a window in the console."""

    at: datetime
    until: datetime
    kind: Literal["maintenance", "drill"]
    building: str
    unit: str


class Truth(msgspec.Struct, frozen=True):
    """What was really so with some devices for a time, whatever alarms say."""

    at: datetime
    until: datetime
    devices: frozenset[str]
    what: What
    why: str


class Story(msgspec.Struct):
    """A month of an estate, each list by time."""

    estate: Estate
    said: list[Said] = []
    cuts: list[Cut] = []
    windows: list[Window] = []
    truths: list[Truth] = []

    @property
    def fires(self) -> list[Truth]:
        """The real fires, which must not be missed."""
        return [truth for truth in self.truths if truth.why == "fire"]

    def truth_of(self, device: str, at: datetime) -> Truth | None:
        """What was so with a device at a time; a fire before anything else."""
        found = [t for t in self.truths if device in t.devices and t.at - _MINUTE <= at <= t.until + _HOUR]
        return min(found, key=lambda truth: truth.why != "fire", default=None)


class Weather(msgspec.Struct, frozen=True):
    """What all estates share: storms (when, for how long, which estates, how high) and dips of the grid."""

    storms: tuple[tuple[datetime, timedelta, frozenset[int]], ...]
    dips: tuple[tuple[datetime, timedelta, frozenset[int]], ...]


def make_weather(estates: int, start: datetime, days: int, seed: int) -> Weather:
    """A storm over half of the estates and three dips of the grid over a fifth, in 30 days. Assumption."""
    dice = random.Random(f"weather {seed}")  # noqa: S311  # a simulation's

    def some(count: int, share: float, low: timedelta, high: timedelta) -> tuple[
        tuple[datetime, timedelta, frozenset[int]], ...
    ]:  # fmt: skip
        made = []
        for _ in range(count):
            at = start + dice.uniform(0.2, max(0.3, days - 0.5)) * _DAY
            hit = frozenset(dice.sample(range(estates), max(1, round(share * estates))))
            made.append((at, low + (high - low) * dice.random(), hit))
        return tuple(made)

    return Weather(
        some(max(1, round(days / 30)), 0.5, 2 * _HOUR, 5 * _HOUR), some(max(1, days // 10), 0.2, _MINUTE, _HOUR)
    )


def make_story(
    estate: Estate, weather: Weather, start: datetime, days: int, seed: int, fires: float = A_MONTH["fire"]
) -> Story:
    """The month of an estate from `start` on; `fires`: how many real ones in 30 days, on average."""
    return _Teller(estate, weather, start, days, seed).tell({**A_MONTH, "fire": fires})


class _Teller:
    def __init__(self, estate: Estate, weather: Weather, start: datetime, days: int, seed: int) -> None:
        self._dice = random.Random(f"story {seed}/{estate.number}")  # noqa: S311  # a simulation's
        self._estate, self._weather = estate, weather
        self._start, self._days = start, days
        self._end = start + days * _DAY
        self._story = Story(estate)

    def tell(self, a_month: Mapping[str, float]) -> Story:
        for name, often in a_month.items():
            for _ in range(self._count(often * self._days / 30)):
                getattr(self, f"_{name}")(self._time())
        for name, often in A_DEVICE_YEAR.items():
            happens: Callable[[Device, datetime], None] = getattr(self, f"_{name}")
            for device in self._estate.devices:
                if name in _HAPPENS_TO.get(device.kind, _TO_ALL):
                    for _ in range(self._count(often * self._days / 365)):
                        happens(device, self._time())
        self._share_weather()
        story = self._story
        story.said = sorted((s for s in story.said if s.at < self._end), key=lambda said: said.at)
        story.cuts.sort(key=lambda cut: cut.at)
        self._spare_fires()
        return story

    def _count(self, mean: float) -> int:
        """Poisson."""
        limit, product, count = math.exp(-mean), self._dice.random(), 0
        while product > limit:
            product, count = product * self._dice.random(), count + 1
        return count

    def _time(self) -> datetime:
        return self._start + self._dice.uniform(0.01, self._days - 0.05) * _DAY

    def _lasts(self, low_s: float, high_s: float) -> timedelta:
        """Between two times, short ones more often."""
        return timedelta(seconds=math.exp(self._dice.uniform(math.log(low_s), math.log(high_s))))

    def _say(self, at: datetime, device: Device, point: str, value: Value) -> None:
        self._story.said.append(Said(at, device.key, point, value))

    def _stand(self, at: datetime, lasts: timedelta, device: Device, point: str, word: str, rest: str) -> None:
        self._say(at, device, point, word)
        self._say(at + lasts, device, point, rest)

    def _true(self, at: datetime, lasts: timedelta, devices: Sequence[Device], what: What, why: str) -> None:
        self._story.truths.append(Truth(at, at + lasts, frozenset(d.key for d in devices), what, why))

    def _one(self, *kinds: str) -> Device:
        return self._dice.choice(self._estate.of_kind(*kinds))

    def _unit_of_detectors(self) -> list[Device]:
        """The smoke detectors of a unit that has two or more."""
        units: dict[tuple[str, str], list[Device]] = {}
        for device in self._estate.of_kind("smoke_detector"):
            units.setdefault((device.building, device.unit), []).append(device)
        return self._dice.choice([some for some in units.values() if len(some) > 1])

    # What happens to an estate.

    def _fire(self, at: datetime) -> None:
        detectors = self._dice.sample(self._unit_of_detectors(), 2)
        points = [
            d
            for d in self._estate.of_kind("manual_call_point")
            if (d.building, d.unit) == (detectors[0].building, detectors[0].unit)
        ]
        lasts = self._lasts(900, 5400)
        for n, device in enumerate(detectors):
            begins = at + n * self._lasts(30, 240)
            self._stand(begins, lasts, device, "smoke", "smoke", "clear")
        if points and self._dice.random() < 0.6:
            self._stand(at + self._lasts(60, 300), lasts, points[0], "fire", "alarm", "normal")
        self._true(at, lasts, [*detectors, *points], "real", "fire")

    def _drill(self, at: datetime) -> None:
        at = self._by_day(at)
        detectors = self._dice.sample(self._unit_of_detectors(), 2)
        place = detectors[0].building, detectors[0].unit
        self._story.windows.append(Window(at - 2 * _MINUTE, at + _HOUR, "drill", *place))
        for n, device in enumerate(detectors):
            self._stand(at + n * _MINUTE, self._lasts(120, 900), device, "smoke", "smoke", "clear")
        self._true(at, _HOUR, detectors, "test", "drill")

    def _detector_test(self, at: datetime) -> None:
        """A maintainer goes round with a can of test smoke; one in ten forgets to announce it."""
        at = self._by_day(at)
        detectors = self._estate.of_kind("smoke_detector")
        tested = self._dice.sample(detectors, max(2, round(_TESTED * len(detectors))))
        if self._dice.random() < 0.9:
            for place in sorted({(d.building, d.unit) for d in tested}):
                self._story.windows.append(Window(at - 5 * _MINUTE, at + 3 * _HOUR, "maintenance", *place))
        for n, device in enumerate(tested):
            begins = at + n * 15 * _MINUTE * self._dice.uniform(0.8, 1.2)
            self._stand(begins, 150 * _SECOND, device, "test", "testing", "idle")
            self._stand(begins + 20 * _SECOND, self._lasts(20, 90), device, "smoke", "smoke", "clear")
            self._true(begins, 5 * _MINUTE, [device], "test", "detector test")

    def _by_day(self, at: datetime) -> datetime:
        """Between nine and four of the day, as people work; `start` is a local midnight."""
        midnight = self._start + (at - self._start) // _DAY * _DAY
        return midnight + self._dice.uniform(9, 16) * _HOUR

    def _gas_false(self, at: datetime) -> None:
        """Alcohol, wine for cooking, a pot that boils over."""
        device, lasts = self._one("gas_detector"), self._lasts(60, 900)
        self._stand(at, lasts, device, "alarm", "alarm", "normal")
        self._true(at, lasts, [device], "false", "gas, without any")

    def _panic_false(self, at: datetime) -> None:
        self._panic(at, "false")

    def _panic_real(self, at: datetime) -> None:
        self._panic(at, "real")

    def _panic(self, at: datetime, what: What) -> None:
        device = self._one("panic_button")
        for n in range(self._dice.choice((1, 1, 2))):
            self._say(at + n * 8 * _SECOND, device, "pressed", {})
        self._true(at, _HOUR, [device], what, "panic button pressed")

    def _elevator_trapped(self, at: datetime) -> None:
        device = self._one("elevator")
        self._stand(at, self._lasts(1200, 7200), device, "fault", "fault", "ok")
        self._say(at + 40 * _SECOND, device, "trapped", {})
        self._true(at, 2 * _HOUR, [device], "real", "people trapped")

    def _elevator_fault(self, at: datetime) -> None:
        self._fault(self._one("elevator"), at)

    def _gate_obstructed(self, at: datetime) -> None:
        device, lasts = self._one("vehicle_gate"), self._lasts(5, 600)
        self._stand(at, lasts, device, "obstructed", "obstructed", "clear")
        self._true(at, lasts, [device], "real", "obstructed")

    def _forced_false(self, at: datetime) -> None:
        """A lock that does not tell of its handle on the inside."""
        device = self._one("door")
        self._say(at, device, "forced_open", {})
        self._true(at, _MINUTE, [device], "false", "opened from within")

    def _forced_real(self, at: datetime) -> None:
        device = self._one("door")
        self._say(at, device, "forced_open", {})
        self._true(at, _MINUTE, [device], "real", "forced open")

    def _tamper(self, at: datetime) -> None:
        device, lasts = self._dice.choice(self._estate.devices), self._lasts(120, 7200)
        self._stand(at, lasts, device, "tamper", "tampered", "normal")
        self._true(at, lasts, [device], "real", "cover open")

    def _breach(self, at: datetime) -> None:
        device = self._one("intrusion")
        self._say(at, device, "breach", {})
        self._true(at, _MINUTE, [device], "false", "a cat")

    def _camera(self, at: datetime) -> None:
        device = self._one("camera_event")
        self._say(at, device, "intrusion", {})
        self._true(at, _MINUTE, [device], "false", "somebody on the way home")

    def _gathering(self, at: datetime) -> None:
        device = self._one("camera_event")
        self._say(at, device, "gathering", {})
        self._true(at, _MINUTE, [device], "real", "gathering")

    def _turned_away(self, at: datetime) -> None:
        device = self._one("door")
        for n in range(7):
            self._say(at + n * 9 * _SECOND, device, "access", {"granted": False})
        self._true(at, _MINUTE, [device], "real", "somebody without a card")

    def _leak(self, at: datetime) -> None:
        """Wet, and now and then dry for a moment."""
        device, lasts = self._one("water_leak"), self._lasts(600, 14400)
        for n in range(4):
            self._stand(at + n * lasts / 4, lasts / 4 - 10 * _SECOND, device, "leak", "leak", "dry")
        self._true(at, lasts, [device], "real", "leak")

    def _night_flow(self, at: datetime) -> None:
        """A cistern that runs through the nights until somebody mends it."""
        device, midnight = self._one("water_meter"), self._start + (at - self._start) // _DAY * _DAY
        for night in range(self._dice.randint(1, 4)):
            for n in range(48):
                self._say(midnight + night * _DAY + n * 10 * _MINUTE, device, "flow", 0.05 if n < 46 else 0.0)
        self._true(midnight, 4 * _DAY, [device], "real", "flow at night")

    def _pump_fault(self, at: datetime) -> None:
        self._fault(self._one("pump"), at)

    def _hydrant_low(self, at: datetime) -> None:
        device, lasts = self._one("hydrant"), self._lasts(300, 18 * 3600)
        depth = self._dice.choice((0.12, 0.12, 0.12, 0.07))
        for n in range(6):
            self._say(at + n * lasts / 6, device, "pressure", depth + self._dice.uniform(0, 0.01))
        self._say(at + lasts, device, "pressure", 0.3)
        self._true(at, lasts, [device], "real", "low pressure")

    def _over_voltage(self, at: datetime) -> None:
        """A lightly loaded line: one meter's phases a little above for some hours."""
        device, lasts = self._one("electricity_meter"), self._lasts(600, 20_000)
        for phase in "ab":
            for n in range(6):
                self._say(at + n * lasts / 6, device, f"voltage_{phase}", 236 + self._dice.uniform(0, 3))
            self._say(at + lasts, device, f"voltage_{phase}", 228.0)
        self._true(at, lasts, [device], "real", "over-voltage")

    def _power_cut(self, at: datetime) -> None:
        box = self._dice.randrange(self._estate.boxes)
        self._story.cuts.append(Cut(at, at + self._lasts(120, 4 * 3600), box, has_power=False))

    def _uplink_cut(self, at: datetime) -> None:
        box = self._dice.randrange(self._estate.boxes)
        self._story.cuts.append(Cut(at, at + self._lasts(20, 3 * 3600), box, has_power=True))

    def _bus_cut(self, at: datetime) -> None:
        device = self._dice.choice(self._estate.devices)
        lost = [d for d in self._estate.devices if (d.box, d.bus) == (device.box, device.bus)]
        lasts = self._lasts(300, 20 * 3600)
        for n, one in enumerate(lost):
            wait = n * 60 * _SECOND / len(lost) + self._dice.uniform(0, 5) * _SECOND
            self._stand(at + wait, lasts, one, "link", "offline", "online")
        self._true(at, lasts, lost, "real", "bus cut")

    def _chatter(self, at: datetime) -> None:
        """A contact that is about to break: minutes of flicker, some times a day, until it is mended."""
        choices = (("door", "held_open", "held", "normal"), ("vehicle_gate", "obstructed", "obstructed", "clear"),
                   ("smoke_detector", "fault", "fault", "ok"), ("pump", "fault", "fault", "ok"),
                   ("door", "tamper", "tampered", "normal"), ("water_leak", "leak", "leak", "dry"))  # fmt: skip
        kind, point, word, rest = self._dice.choice(choices)
        device, bursts = self._one(kind), self._dice.randint(1, 5)
        for n in range(bursts):
            time = at + n * self._lasts(1800, 8 * 3600)
            for _ in range(self._dice.randint(10, 40)):
                lasts = timedelta(seconds=self._dice.uniform(1, 15))
                self._stand(time, lasts, device, point, word, rest)
                time += lasts + timedelta(seconds=self._dice.uniform(1, 15))
        self._true(at, 2 * _DAY, [device], "false", "chattering contact")

    # What happens to a device.

    def _cooking(self, device: Device, at: datetime) -> None:
        lasts = self._lasts(20, 300)
        self._stand(at, lasts, device, "smoke", "smoke", "clear")
        self._true(at, lasts, [device], "false", "cooking")

    def _fault(self, device: Device, at: datetime) -> None:
        """Most faults of electronics go by themselves; the others until somebody comes."""
        lasts = self._lasts(5, 600) if self._dice.random() < 0.6 else self._lasts(1800, 30 * 3600)
        self._stand(at, lasts, device, "fault", "fault", "ok")
        self._true(at, lasts, [device], "real", "fault")

    def _link_lost(self, device: Device, at: datetime) -> None:
        lasts = self._lasts(30, 3 * 3600)
        self._stand(at, lasts, device, "link", "offline", "online")
        self._true(at, lasts, [device], "real", "link lost")

    def _dead(self, device: Device, at: datetime) -> None:
        """Dead until it is exchanged, within two days mostly."""
        lasts = self._lasts(2 * 3600, 50 * 3600)
        self._stand(at, lasts, device, "link", "offline", "online")
        self._true(at, lasts, [device], "real", "dead")

    def _battery(self, device: Device, at: datetime) -> None:
        """Falls for days, a little lower on cold nights; exchanged within a day or three of the alarm."""
        steps, mended = 12, self._lasts(8 * 3600, 60 * 3600)
        for n in range(steps):
            self._say(at + n * mended / steps, device, "battery", 20.5 - n * 0.15 + self._dice.uniform(-1, 1))
        self._say(at + mended, device, "battery", 100.0)
        self._true(at, mended, [device], "real", "battery")

    def _held_open(self, device: Device, at: datetime) -> None:
        lasts = self._lasts(10, 5400)
        self._stand(at, lasts, device, "held_open", "held", "normal")
        self._true(at, lasts, [device], "real", "held open")

    def _dirty(self, device: Device, at: datetime) -> None:
        lasts = self._lasts(8 * 3600, 72 * 3600)
        self._stand(at, lasts, device, "contamination", "dirty", "clean")
        self._true(at, lasts, [device], "real", "dirty")

    # What estates share.

    def _share_weather(self) -> None:
        for at, lasts, hit in self._weather.storms:
            if self._estate.number in hit:
                for device in self._estate.of_kind("water_level"):
                    self._flood(at, lasts, device)
        for at, lasts, hit in self._weather.dips:
            if self._estate.number in hit:
                lowest = self._dice.uniform(170, 197)
                meters = self._estate.of_kind("electricity_meter")
                for device in self._dice.sample(meters, max(1, len(meters) // 3)):
                    begins = at + timedelta(seconds=self._dice.uniform(0, 60))
                    self._say(begins, device, "voltage_a", lowest + self._dice.uniform(-2, 2))
                    self._say(begins + lasts, device, "voltage_a", 221.0)
                    self._true(begins, lasts, [device], "real", "under-voltage")

    def _flood(self, at: datetime, lasts: timedelta, device: Device) -> None:
        """Water rises and falls, with waves on it."""
        begins, highest = at + self._dice.random() * lasts / 2, self._dice.uniform(0.05, 0.5)
        steps = 60
        for n in range(steps):
            level = highest * math.sin(math.pi * n / (steps - 1)) + self._dice.uniform(-0.01, 0.01)
            self._say(begins + n * lasts / steps, device, "level", max(0.0, level))
        self._say(begins + lasts, device, "level", 0.0)
        self._true(begins, lasts, [device], "real", "storm")

    def _spare_fires(self) -> None:
        """No box is without power in a fire: what nobody can hear no engine can raise."""
        self._story.cuts = [
            cut
            for cut in self._story.cuts
            if not any(cut.at - _HOUR <= fire.at <= cut.until + _HOUR for fire in self._story.fires) or cut.has_power
        ]


_TO_ALL = frozenset({"fault", "link_lost", "dead"})
_HAPPENS_TO: Mapping[str, frozenset[str]] = {
    "smoke_detector": _TO_ALL | {"cooking", "dirty"},
    "door": _TO_ALL | {"held_open"},
    **{kind: _TO_ALL | {"battery"} for kind in ON_BATTERY},
}
