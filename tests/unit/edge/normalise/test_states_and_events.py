"""Debounced states, events of both sorts of protocol, values somebody kept, and personal fields."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.messages import Event, Quality, Reading, Sample
from contract.profile import (
    Counter,
    Debounce,
    ModbusPoint,
    ModbusProfile,
    MqttPoint,
    MqttProfile,
    Report,
)
from contract.site import ModbusDevice, ModbusTcpBus, MqttBus, MqttDevice, Resolved, ResolvedDevice
from edge.normalise import Normaliser, tokeniser
from edge.seams import CounterState

S = 1_000_000_000
KEY = bytes(range(32))
MODBUS = ModbusTcpBus(id="bus", protocol="modbus-tcp", host="h", devices=[])
MQTT = MqttBus(id="mqtt", protocol="mqtt", devices=[])


def polled(kind: str, **points: ModbusPoint) -> ResolvedDevice:
    profile = ModbusProfile(id="m", protocol="modbus", vendor="v", model="m", kind=kind, source="s", points=points)
    return Resolved(ModbusDevice(id="d", name="d", profile="m", unit=1), MODBUS, profile)


def heard(kind: str, **points: MqttPoint) -> ResolvedDevice:
    profile = MqttProfile(
        id="m", protocol="mqtt", vendor="v", model="m", kind=kind, source="s", silent_after_s=60, points=points
    )
    return Resolved(MqttDevice(id="d", name="d", profile="m", address="a"), MQTT, profile)


def normaliser(device: ResolvedDevice) -> Normaliser:
    return Normaliser([device], tokenise=tokeniser(KEY))


def states(taken: list[Reading | Event]) -> list[tuple[float | str | None, int]]:
    return [(item.value, item.mono_ns // S) for item in taken if isinstance(item, Reading) and item.point != "link"]


def contact(raw: int, at_s: float) -> Sample:
    return Sample("d", "contact", raw, round(at_s * S))


CONTACT = ModbusPoint(states={0: "closed", 1: "open"}, debounce=Debounce(enter_s=0, leave_s=5))


def test_a_state_is_left_only_when_it_stays_left_and_then_from_the_first_read_on() -> None:
    door = normaliser(polled("door", contact=CONTACT))
    taken = []
    for at_s, raw in enumerate([0, 1, 0, 1, 0, 0, 0, 0, 0, 0]):
        taken += door.take([contact(raw, at_s + 10)])
    assert states(taken) == [("closed", 10), ("open", 11), ("closed", 14)]


def test_a_state_that_nobody_repeats_settles_by_time_alone() -> None:
    door = normaliser(heard("door", contact=MqttPoint(states={0: "closed", 1: "open"}, debounce=Debounce(leave_s=5))))
    door.take([contact(1, 10)])
    assert states(door.take([contact(0, 12)])) == []
    assert door.tick(16 * S) == []
    assert states([*door.tick(17 * S)]) == [("closed", 12)]
    assert door.tick(18 * S) == []


@given(st.lists(st.tuples(st.sampled_from([0, 1]), st.integers(0, 3000)), min_size=1, max_size=60))
def test_debounced_states_never_go_back_in_time_and_end_with_what_held(steps: list[tuple[int, int]]) -> None:
    mapped = ModbusPoint(
        states={0: "closed", 1: "open"}, debounce=Debounce(enter_s=1, leave_s=2), report=Report(heartbeat_s=4)
    )
    door, at_ns, taken = normaliser(polled("door", contact=mapped)), 10 * S, []
    for raw, after_ms in steps:
        at_ns += after_ms * 1_000_000
        taken += door.take([Sample("d", "contact", raw, at_ns)])
    for _ in range(2):
        at_ns += 3 * S
        taken += door.take([Sample("d", "contact", steps[-1][0], at_ns)])
    readings = [item for item in taken if isinstance(item, Reading) and item.point == "contact"]
    assert [r.mono_ns for r in readings] == sorted(r.mono_ns for r in readings)
    assert readings[-1].value == ("closed", "open")[steps[-1][0]]


def test_a_polled_event_happens_at_its_edge() -> None:
    button = normaliser(polled("panic_button", pressed=ModbusPoint(when=(1,))))
    taken = []
    for at_s, raw in enumerate([0, 1, 1, 0, 1]):
        taken += button.take([Sample("d", "pressed", raw, at_s * S)])
    assert [item for item in taken if isinstance(item, Event)] == [
        Event("d", "pressed", {}, 1 * S), Event("d", "pressed", {}, 4 * S),
    ]  # fmt: skip


def test_what_is_pressed_while_the_box_starts_is_not_lost() -> None:
    button = normaliser(polled("panic_button", pressed=ModbusPoint(when=(1,))))
    assert Event("d", "pressed", {}, S) in button.take([Sample("d", "pressed", 1, S)])


def test_a_polled_event_without_values_happens_at_each_change() -> None:
    reader = normaliser(polled("door", access=ModbusPoint()))
    raws = [17, 17, 18, 18, 19]
    taken = [
        item
        for at_s, raw in enumerate(raws)
        for item in reader.take([Sample("d", "access", raw, at_s * S, fields={"credential": "00A1"})])
    ]
    assert [item.mono_ns // S for item in taken if isinstance(item, Event)] == [2, 4]


def test_each_message_that_says_so_is_an_event() -> None:
    camera = normaliser(heard("camera_event", gathering=MqttPoint(when=("new",))))
    samples = [
        Sample("d", "gathering", raw, at_s * S, fields={"image": "17.2-abc", "thumbnail": "/9j/4AA"})
        for at_s, raw in enumerate(["new", "update", "new"], 1)
    ]
    events = [item for item in camera.take(samples) if isinstance(item, Event)]
    assert events == [Event("d", "gathering", {"image": "17.2-abc"}, at_s * S) for at_s in (1, 3)]


def test_a_kept_message_is_no_event_and_no_sign_of_life() -> None:
    camera = normaliser(heard("camera_event", gathering=MqttPoint()))
    assert camera.take([Sample("d", "gathering", "new", S, fields={}, is_kept=True)]) == []


def test_a_kept_state_is_stale_until_the_device_speaks() -> None:
    door = normaliser(heard("door", contact=MqttPoint(states={0: "closed", 1: "open"})))
    (kept,) = door.take([Sample("d", "contact", 1, S, is_kept=True)])
    assert (kept.value, kept.quality) == ("open", Quality.STALE)
    link, said = door.take([contact(1, 2)])
    assert (link.point, link.value) == ("link", "online")
    assert (said.value, said.quality) == ("open", Quality.GOOD)
    assert door.take([Sample("d", "contact", 1, 3 * S, is_kept=True)]) == []


def test_the_transport_tells_who_went_and_who_is_back() -> None:
    door = normaliser(heard("door", contact=MqttPoint(states={0: "closed", 1: "open"})))
    door.take([contact(0, 1)])
    (gone,) = door.take([Sample("d", "link", "offline", 2 * S)])
    assert (gone.point, gone.value) == ("link", "offline")
    assert door.take([Sample("d", "link", "online", 3 * S, is_kept=True)]) == []
    (back,) = door.take([Sample("d", "link", "online", 4 * S)])
    assert back.value == "online"


@pytest.mark.parametrize(
    ("point", "field", "kind"), [("access", "credential", "door"), ("passage", "plate", "vehicle_gate")]
)
def test_personal_fields_leave_as_tokens_only(point: str, field: str, kind: str) -> None:
    device = normaliser(heard(kind, **{point: MqttPoint()}))
    clear = ["粤B·12345", "粤b12345", "粤B12346"]
    samples = [Sample("d", point, 1, S, fields={field: value, "owner": "王"}) for value in clear]
    tokens = [item.fields for item in device.take(samples) if isinstance(item, Event)]
    assert tokens[0] == tokens[1] != tokens[2]
    assert set(tokens[0]) == {field}
    assert not any(value in repr(tokens) for value in [*clear, "12345", "王"])


def test_another_estate_has_other_tokens() -> None:
    assert tokeniser(KEY)("123") == tokeniser(KEY)("123") != tokeniser(bytes(32))("123")


def test_a_relative_deadband_grows_with_the_value() -> None:
    mapped = ModbusPoint(report=Report(deadband=1, relative=0.1))
    meter = normaliser(polled("electricity_meter", power=mapped))
    raws = [100, 109, 111, 120, 123, 5, 5.9, 7]
    taken = [meter.take([Sample("d", "power", raw, at_s * S)]) for at_s, raw in enumerate(raws)]
    assert [value for value, _ in states([item for part in taken for item in part])] == [100, 111, 123, 5, 7]


def test_a_point_may_be_reported_at_every_read() -> None:
    meter = normaliser(polled("electricity_meter", power=ModbusPoint(report=Report(always=True))))
    taken = [item for at_s in range(5) for item in meter.take([Sample("d", "power", 7, at_s * S)])]
    assert len(states(taken)) == 5


def test_two_numbers_of_one_word_are_one_state_that_holds() -> None:
    mapped = ModbusPoint(states={0: "normal", 1: "alarm", 3: "alarm"}, debounce=Debounce(enter_s=3))
    detector = normaliser(polled("heat_detector", fire=mapped))
    taken = [
        item
        for at_s, raw in enumerate([0, 1, 3, 1, 3, 1, 3])
        for item in detector.take([Sample("d", "fire", raw, (at_s + 10) * S)])
    ]
    assert states(taken) == [("normal", 10), ("alarm", 11)]


def test_a_tick_between_a_read_and_its_coming_puts_nothing_out_of_order() -> None:
    mapped = ModbusPoint(states={0: "closed", 1: "open"}, debounce=Debounce(enter_s=5), report=Report(heartbeat_s=4))
    door = normaliser(polled("door", contact=mapped))
    door.take([contact(0, 10), contact(1, 13)])
    assert [*door.tick(round(14.5 * S))] == [], "the heartbeat is the next read's to say"
    (broken,) = door.take([contact(7, 14.3)])
    assert (broken.value, broken.mono_ns) == (None, round(14.3 * S))


def test_a_kept_count_of_long_ago_is_no_reset_however_often_it_comes() -> None:
    meter = heard("water_meter", volume=MqttPoint(counter=Counter()))
    water = Normaliser([meter], (), {("d", "volume"): CounterState(1000, 50)}, tokenise=tokeniser(KEY))
    taken = [item for at_s in (1, 2, 3) for item in water.take([Sample("d", "volume", 990, at_s * S, is_kept=True)])]
    assert [(r.value, r.quality) for r in taken if isinstance(r, Reading)] == [(1040, Quality.STALE)]
    taken = water.take([Sample("d", "volume", 1001, 4 * S)])
    assert [r.value for r in taken if isinstance(r, Reading) and r.point == "volume"] == [1051]
    assert (
        water.take([Sample("d", "volume", 2, 5 * S, is_kept=True), Sample("d", "volume", 2, 6 * S, is_kept=True)]) == []
    )
    assert water.counters() == {("d", "volume"): CounterState(1001, 50)}


def test_counters_go_on_over_a_changed_model_and_over_an_absence() -> None:
    meter = polled("water_meter", volume=ModbusPoint(counter=Counter()))
    water = normaliser(meter)
    for at_s, raw in enumerate([500, 3, 4]):
        water.take([Sample("d", "volume", raw, at_s * S)])
    water.adopt([polled("water_meter", volume=ModbusPoint(counter=Counter(), report=Report(heartbeat_s=60)))])
    assert states(water.take([Sample("d", "volume", 5, 3 * S)])) == [(505, 3)]
    water.adopt([])
    assert water.counters() == {("d", "volume"): CounterState(5, 500)}
    water = Normaliser([], (), water.counters(), tokenise=tokeniser(KEY))  # and a restart meanwhile
    water.adopt([meter])
    assert states(water.take([Sample("d", "volume", 6, 4 * S)])) == [(506, 4)]


def test_devices_of_which_one_cannot_be_made_change_nothing() -> None:
    door = polled("door", contact=ModbusPoint(states={0: "closed", 1: "open"}))
    before = normaliser(door)
    before.take([contact(0, 1)])
    with pytest.raises(ValueError, match="NaN"):
        before.adopt([polled("water_meter", volume=ModbusPoint(scale=float("nan"))), door])
    assert before.online() == {"d"}
    assert states(before.take([contact(1, 2)])) == [("open", 2)]


def test_a_card_is_the_same_card_however_its_number_is_written() -> None:
    door = normaliser(heard("door", access=MqttPoint()))
    samples = [
        Sample("d", "access", 1, S, fields={"credential": card})
        for card in ("170", 170, 170.0, "１７０", "17.0", 17, "- ")
    ]
    tokens = [item.fields["credential"] for item in door.take(samples) if isinstance(item, Event)]
    assert tokens[0] == tokens[1] == tokens[2] == tokens[3] == tokens[4] != tokens[5]
    assert tokens[6] == "", "nobody"


def test_a_sample_shows_no_card_wherever_it_is_shown() -> None:
    shown = repr([Sample("d", "access", "card 4711", S, fields={"credential": "4711", "granted": True})])
    assert "4711" not in shown
    assert "credential" in shown
    assert repr(Sample("d", "lock", 3, S)) == "Sample('d', 'lock', 3, 1000000000, '', None, False)"


def test_text_that_the_cloud_would_refuse_costs_no_event() -> None:
    button = normaliser(heard("panic_button", pressed=MqttPoint()))
    (_, pressed) = button.take([Sample("d", "pressed", 1, S, fields={"place": "3号楼\0\ud800" + "x" * 500})])
    assert isinstance(pressed, Event)
    assert pressed.fields == {"place": "3号楼" + "x" * 195}


def test_told_anew_what_speaks_by_itself_is_said_at_once_as_it_was_heard_last() -> None:
    door = normaliser(heard("door", contact=MqttPoint(states={0: "closed", 1: "open"})))
    assert door.tell_anew(S) == []
    door.take([contact(1, 2)])
    assert states(door.tell_anew(9 * S)) == [("open", 9)]
    assert states(door.take([contact(1, 10)])) == []


def test_what_was_read_before_it_is_told_anew_and_taken_after_is_not_stamped_before_it() -> None:
    door = normaliser(heard("door", contact=MqttPoint(states={0: "closed", 1: "open"})))
    door.take([contact(1, 2)])
    assert states(door.tell_anew(9 * S)) == [("open", 9)]
    assert states(door.take([contact(0, 8)])) == [("closed", 9)]


def test_told_anew_no_number_is_said_that_nobody_measured() -> None:
    meter = normaliser(heard("environment", temperature=MqttPoint()))
    meter.take([Sample("d", "temperature", 21, S)])
    assert states(meter.take([Sample("d", "temperature", 21, 2 * S)])) == []
    assert meter.tell_anew(3 * S) == []
    assert states(meter.take([Sample("d", "temperature", 21, 4 * S)])) == [(21.0, 4)]
