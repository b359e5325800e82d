"""The report policy against a plain reference in exact fractions, and case by case."""

import time
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.kinds import Lane
from contract.messages import Quality, Reading, Sample
from contract.profile import ModbusPoint, ModbusProfile, Report
from contract.records import StateRecord
from contract.site import ModbusDevice, ModbusTcpBus, Resolved, ResolvedDevice
from edge.normalise import Normaliser, tokeniser

TOKENISE = tokeniser(b"0" * 32)
S = 1_000_000_000
NOW = 1_000 * S
BUS = ModbusTcpBus(id="bus", protocol="modbus-tcp", host="h", devices=[], poll_s=0.25)
SMOKE = {0: "clear", 1: "smoke"}


def detector(
    temperature: ModbusPoint | None = None, smoke: ModbusPoint | None = None, id_: str = "d"
) -> ResolvedDevice:
    points = {"temperature": temperature or ModbusPoint(), "smoke": smoke or ModbusPoint(states=SMOKE)}
    profile = ModbusProfile(
        protocol="modbus", id="m", vendor="v", model="m", kind="smoke_detector", source="s", points=points
    )
    return Resolved(ModbusDevice(id=id_, name="d", profile="m", unit=1), BUS, profile)


def points_of(readings: Sequence[Reading]) -> list[Reading]:
    return [reading for reading in readings if reading.point != "link"]


def temperature(raw: float | str | None, at_ns: int = NOW) -> Sample:
    return Sample("d", "temperature", raw, at_ns)


def smoke(raw: float | str | None, at_ns: int = NOW) -> Sample:
    return Sample("d", "smoke", raw, at_ns)


def one(mapped: ModbusPoint, raw: float | str) -> Reading:
    (reading,) = points_of(Normaliser([detector(mapped)], tokenise=TOKENISE).take([temperature(raw)]))
    return reading


class Reference:
    """The policy as one would say it aloud, without any of the short cuts."""

    def __init__(self, mapped: ModbusPoint) -> None:
        self.map = mapped
        self.last: tuple[Fraction, Quality, int] | None = None

    def take(self, raw: int, at_ns: int) -> tuple[Fraction, Quality] | None:
        exact = Fraction(str(self.map.scale)) * raw + Fraction(str(self.map.offset))
        low, high = self.map.minimum, self.map.maximum
        is_plausible = (low is None or exact >= Fraction(str(low))) and (high is None or exact <= Fraction(str(high)))
        quality = Quality.GOOD if is_plausible else Quality.FAULT
        if self.last is not None:
            value, was, reported_ns = self.last
            is_due = at_ns - reported_ns >= self.map.report.heartbeat_s * S
            if not is_due and quality is was and abs(exact - value) <= Fraction(str(self.map.report.deadband)):
                return None
        self.last = (exact, quality, at_ns)
        return exact, quality


maps = st.builds(
    ModbusPoint,
    scale=st.sampled_from([1.0, 0.1, 0.01, -0.5, 0.25, 10.0]),
    offset=st.sampled_from([0.0, -40.0, 0.3]),
    minimum=st.sampled_from([None, -4.0, 0.1]),
    maximum=st.sampled_from([None, 5.0, 20.3]),
    report=st.builds(
        Report, deadband=st.sampled_from([0.0, 0.05, 0.2, 1.0]), heartbeat_s=st.sampled_from([1.0, 2.5, 300.0])
    ),
)
steps = st.lists(st.tuples(st.integers(-60, 300), st.integers(0, 1500)), min_size=1, max_size=40)


@given(mapped=maps, steps=steps)
def test_telemetry_is_reported_as_the_reference_says(mapped: ModbusPoint, steps: list[tuple[int, int]]) -> None:
    normaliser, reference, at_ns = Normaliser([detector(mapped)], tokenise=TOKENISE), Reference(mapped), NOW
    for raw, after_ms in steps:
        at_ns += after_ms * 1_000_000
        got = points_of(normaliser.take([temperature(raw, at_ns)]))
        expected = reference.take(raw, at_ns)
        if expected is None:
            assert got == []
            continue
        (reading,) = got
        assert reading.value == float(expected[0]), "the nearest float to the exact decimal"
        assert (reading.quality, reading.mono_ns, reading.lane) == (expected[1], at_ns, Lane.BULK)


@given(raws=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1500)), min_size=1, max_size=40))
def test_a_state_is_reported_on_change_and_by_heartbeat(raws: list[tuple[int, int]]) -> None:
    mapped = ModbusPoint(states=SMOKE, report=Report(heartbeat_s=2.0))
    normaliser, at_ns = Normaliser([detector(smoke=mapped)], tokenise=TOKENISE), NOW
    last: tuple[str | None, int] | None = None
    for raw, after_ms in raws:
        at_ns += after_ms * 1_000_000
        word = SMOKE.get(raw)
        got = points_of(normaliser.take([smoke(raw, at_ns)]))
        if last is not None and last[0] == word and at_ns - last[1] < 2 * S:
            assert got == []
            continue
        last = (word, at_ns)
        quality = Quality.GOOD if word else Quality.FAULT
        assert got == [Reading("d", "smoke", word, quality, at_ns, Lane.URGENT)]


@pytest.mark.parametrize("raw", [float("nan"), float("inf"), "warm"])
def test_what_is_no_number_is_a_fault_without_a_value(raw: float | str) -> None:
    reading = one(ModbusPoint(minimum=0.0), raw)
    assert (reading.value, reading.quality) == (None, Quality.FAULT)


def test_what_is_out_of_range_keeps_its_value_and_is_a_fault() -> None:
    reading = one(ModbusPoint(scale=0.1, maximum=150.0), 1501)
    assert (reading.value, reading.quality) == (150.1, Quality.FAULT)


def test_a_float_register_keeps_its_digits() -> None:
    assert one(ModbusPoint(scale=0.1), 20.3).value == 20.3 * 0.1


def test_a_state_in_a_float_register_has_its_word() -> None:
    normaliser = Normaliser([detector()], tokenise=TOKENISE)
    readings = normaliser.take([smoke(1.0), smoke(0.5, NOW + 1), smoke("smoke", NOW + 2)])
    assert [reading.value for reading in points_of(readings)] == ["smoke", None]


def test_a_failed_read_says_nothing_of_the_point() -> None:
    normaliser = Normaliser([detector()], tokenise=TOKENISE)
    normaliser.take([smoke(1)])
    assert normaliser.take([smoke(None, NOW + 1), smoke(1, NOW + 2)]) == []


def test_restored_states_are_not_said_again_until_they_change() -> None:
    restored = [
        StateRecord("d", "smoke", "smoke", Quality.GOOD, NOW),
        StateRecord("d", "link", "online", Quality.GOOD, NOW),
    ]
    normaliser = Normaliser([detector()], restored, tokenise=TOKENISE)
    assert normaliser.take([smoke(1, NOW + S)]) == []
    (reading,) = normaliser.take([smoke(0, NOW + 2 * S)])
    assert (reading.point, reading.value) == ("smoke", "clear")


def test_a_restored_state_is_said_again_when_its_heartbeat_is_due() -> None:
    normaliser = Normaliser([detector()], [StateRecord("d", "smoke", "smoke", Quality.GOOD, NOW)], tokenise=TOKENISE)
    (reading,) = points_of(normaliser.take([smoke(1, NOW + 300 * S)]))
    assert reading.value == "smoke"


def test_a_restored_state_of_a_longer_boot_is_said_again_at_once() -> None:
    normaliser = Normaliser([detector()], [StateRecord("d", "smoke", "smoke", Quality.GOOD, NOW)], tokenise=TOKENISE)
    assert len(points_of(normaliser.take([smoke(1, 5 * S)]))) == 1


def test_a_restored_fault_is_not_said_again() -> None:
    normaliser = Normaliser([detector()], [StateRecord("d", "smoke", None, Quality.FAULT, NOW)], tokenise=TOKENISE)
    assert points_of(normaliser.take([smoke(9, NOW + S)])) == []


def test_samples_of_nobody_are_counted() -> None:
    normaliser = Normaliser([detector()], tokenise=TOKENISE)
    normaliser.take([Sample("x", "smoke", 1, NOW), Sample("d", "pressure", 1, NOW), Sample("d", "link", 1, NOW)])
    assert normaliser.ignored == 3


def refused(at_ns: int) -> list[Sample]:
    """A poll of a device that answers, but for one point."""
    return [temperature(200, at_ns), Sample("d", "smoke", None, at_ns + 1, "exception 2: illegal address")]


def reported(
    normaliser: Normaliser, polls: Sequence[Sequence[Sample]]
) -> list[tuple[int, float | str | None, Quality]]:
    """Which poll brought which report of the state."""
    return [
        (number, reading.value, reading.quality)
        for number, samples in enumerate(polls)
        for reading in normaliser.take(samples)
        if reading.point == "smoke"
    ]


def test_row_13_a_point_its_device_refuses_is_a_fault_once_and_good_again_once() -> None:
    normaliser = Normaliser([detector()], tokenise=TOKENISE)
    polls = [[temperature(200, NOW), smoke(0, NOW)]]
    polls += [refused(NOW + number * S) for number in range(1, 10)]
    polls += [[temperature(200, NOW + 10 * S), smoke(0, NOW + 10 * S)], [smoke(0, NOW + 11 * S)]]
    assert reported(normaliser, polls) == [
        (0, "clear", Quality.GOOD), (3, None, Quality.FAULT), (10, "clear", Quality.GOOD),
    ]  # fmt: skip


def test_a_point_refused_from_the_start_is_a_fault_too_and_said_again_by_its_heartbeat() -> None:
    normaliser = Normaliser([detector()], tokenise=TOKENISE)
    polls = [refused(NOW + number * 50 * S) for number in range(14)]
    assert reported(normaliser, polls) == [(2, None, Quality.FAULT), (8, None, Quality.FAULT)]


def test_a_device_that_falls_silent_says_nothing_of_its_points() -> None:
    normaliser = Normaliser([detector()], tokenise=TOKENISE)
    normaliser.take([temperature(200), smoke(0)])
    for number in range(1, 10):
        at_ns = NOW + number * S
        failed = [Sample("d", point, None, at_ns, "no answer") for point in ("temperature", "smoke")]
        assert points_of(normaliser.take(failed)) == []


def test_a_bus_that_comes_and_goes_makes_no_fault_of_a_point_that_answers() -> None:
    normaliser = Normaliser([detector()], tokenise=TOKENISE)
    for number in range(20):
        at_ns = NOW + number * S
        normaliser.take([temperature(200, at_ns), smoke(0, at_ns)])
        failed = [Sample("d", point, None, at_ns + k, "cut") for k in (1, 2) for point in ("temperature", "smoke")]
        assert points_of(normaliser.take(failed)) == []


def test_a_restored_fault_of_a_point_that_is_still_refused_is_not_said_again() -> None:
    normaliser = Normaliser([detector()], [StateRecord("d", "smoke", None, Quality.FAULT, NOW)], tokenise=TOKENISE)
    assert reported(normaliser, [refused(NOW + number * S) for number in range(1, 10)]) == []


def test_telemetry_that_is_refused_is_a_fault_without_a_value() -> None:
    normaliser = Normaliser([detector()], tokenise=TOKENISE)
    for number in range(3):
        at_ns = NOW + number * S
        readings = normaliser.take([smoke(0, at_ns), Sample("d", "temperature", None, at_ns + 1, "exception 4")])
    assert readings == [Reading("d", "temperature", None, Quality.FAULT, at_ns + 1, Lane.BULK)]
    (again,) = normaliser.take([temperature(200, at_ns + 2)])
    assert (again.value, again.quality) == (200.0, Quality.GOOD)


def test_it_takes_200_000_samples_a_second() -> None:
    normaliser = Normaliser(
        [detector(ModbusPoint(scale=0.1, report=Report(deadband=0.2)), id_=f"d{i}") for i in range(100)],
        tokenise=TOKENISE,
    )
    batches = [
        [
            s
            for i in range(100)
            for s in (
                Sample(f"d{i}", "temperature", 200 + k % 7, NOW + k * S),
                Sample(f"d{i}", "smoke", 0, NOW + k * S),
            )
        ]
        for k in range(200)
    ]
    best = min(_seconds(normaliser, batches) for _ in range(3))
    assert 200 * len(batches) / best > 200_000


def _seconds(normaliser: Normaliser, batches: list[list[Sample]]) -> float:
    start = time.process_time()
    for batch in batches:
        normaliser.take(batch)
    return time.process_time() - start
