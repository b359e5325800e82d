"""The box's own link state: on line at the first good read, off line by failures or by silence, repeated."""

import msgspec

from contract.kinds import Lane
from contract.messages import Quality, Reading, Sample
from contract.records import StateRecord
from contract.site import LINK_HEARTBEAT_S
from edge.normalise import Normaliser
from tests.unit.edge.normalise.test_normaliser import BUS, NOW, TOKENISE, S, detector, smoke


def words(readings: list[Reading]) -> list[tuple[float | str | None, int]]:
    return [(r.value, r.mono_ns) for r in readings if r.point == "link"]


def failed(at_ns: int, *points: str) -> list[Sample]:
    return [Sample("d", point, None, at_ns, "no answer") for point in points or ("smoke", "temperature")]


def test_nothing_is_said_before_anything_is_known() -> None:
    assert Normaliser([detector()], tokenise=TOKENISE).tick(NOW) == []


def test_online_at_the_first_good_read_and_said_once() -> None:
    normaliser = Normaliser([detector()], tokenise=TOKENISE)
    first, _ = normaliser.take([smoke(0)])
    assert first == Reading("d", "link", "online", Quality.GOOD, NOW, Lane.URGENT)
    assert normaliser.take([smoke(0, NOW + S)]) == []


def test_offline_after_three_failed_polls_however_many_points_failed_in_each() -> None:
    normaliser = Normaliser([detector()], tokenise=TOKENISE)
    normaliser.take([smoke(0)])
    assert normaliser.take(failed(NOW + 1) + failed(NOW + 2)) == []
    assert words(normaliser.take(failed(NOW + 3))) == [("offline", NOW + 3)]
    assert normaliser.take(failed(NOW + 4)) == []


def test_one_good_point_a_poll_keeps_a_device_online() -> None:
    normaliser = Normaliser([detector()], tokenise=TOKENISE)
    for k in range(20):
        normaliser.take([smoke(0, NOW + k * S), *failed(NOW + k * S + 1, "temperature")])
    assert words(normaliser.tick(NOW + 20 * S)) == []


def test_a_device_that_was_never_there_is_offline() -> None:
    normaliser = Normaliser([detector()], tokenise=TOKENISE)
    assert words(normaliser.take(failed(1) + failed(2) + failed(3))) == [("offline", 3)]


def test_row_13_silence_counts_even_when_nobody_reports_a_failure() -> None:
    normaliser = Normaliser([detector()], tokenise=TOKENISE)
    normaliser.take([smoke(0)])
    limit_ns = round(detector().silent_after_s * S)
    assert normaliser.tick(NOW + limit_ns) == []
    assert words(normaliser.tick(NOW + limit_ns + 1)) == [("offline", NOW + limit_ns + 1)]
    assert words(normaliser.take([smoke(0, NOW + 2 * limit_ns)])) == [("online", NOW + 2 * limit_ns)]


def test_silence_from_the_start_is_offline_too() -> None:
    normaliser = Normaliser([detector()], tokenise=TOKENISE)
    normaliser.tick(NOW)
    assert words(normaliser.tick(NOW + 11 * S)) == [("offline", NOW + 11 * S)]


def test_a_slow_poll_has_a_longer_limit() -> None:
    bus = msgspec.structs.replace(BUS, poll_s=60)
    assert msgspec.structs.replace(detector(), bus=bus).silent_after_s == 300


def test_a_link_is_repeated_at_its_heartbeat() -> None:
    normaliser = Normaliser([detector()], tokenise=TOKENISE)
    beat = round(LINK_HEARTBEAT_S * S)
    normaliser.take([smoke(0), smoke(0, NOW + beat - S)])
    assert normaliser.tick(NOW + beat - 1) == []
    assert words(normaliser.tick(NOW + beat)) == [("online", NOW + beat)]


def test_a_read_older_than_the_tick_before_it_does_not_go_back_in_time() -> None:
    normaliser = Normaliser([detector()], tokenise=TOKENISE)
    normaliser.take([smoke(0)])
    normaliser.tick(NOW + 20 * S)
    assert words(normaliser.take([smoke(0, NOW + 20 * S - 1)])) == [("online", NOW + 20 * S)]


def test_a_restored_link_is_not_said_again_but_its_end_is() -> None:
    normaliser = Normaliser([detector()], [StateRecord("d", "link", "online", Quality.GOOD, NOW)], tokenise=TOKENISE)
    assert words(normaliser.take([smoke(0, NOW + S)])) == []
    again = Normaliser([detector()], [StateRecord("d", "link", "online", Quality.GOOD, NOW)], tokenise=TOKENISE)
    assert words(again.take(failed(NOW + 1) + failed(NOW + 2) + failed(NOW + 3))) == [("offline", NOW + 3)]


def test_a_restored_online_is_not_repeated_before_the_device_was_heard() -> None:
    normaliser = Normaliser([detector()], [StateRecord("d", "link", "online", Quality.GOOD, NOW)], tokenise=TOKENISE)
    assert normaliser.tick(5 * S) == []
    normaliser.take([smoke(0, 6 * S)])
    assert words(normaliser.tick(7 * S)) == [("online", 7 * S)], "the restored time is of another boot: due at once"


def test_told_anew_what_is_polled_is_news_at_its_next_read() -> None:
    normaliser = Normaliser([detector()], tokenise=TOKENISE)
    normaliser.take([smoke(0)])
    assert normaliser.take([smoke(0, NOW + S)]) == []
    assert normaliser.tell_anew(NOW + S) == []
    again = normaliser.take([smoke(0, NOW + 2 * S)])
    assert [(r.point, r.value) for r in again] == [("smoke", "clear")]
    assert [(r.point, r.value) for r in normaliser.tick(NOW + 2 * S)] == [("link", "online")]
    assert normaliser.take([smoke(0, NOW + 3 * S)]) == []
    assert normaliser.tick(NOW + 3 * S) == []


def test_told_anew_the_states_of_a_device_that_is_lost_are_said_at_once() -> None:
    normaliser = Normaliser([detector()], tokenise=TOKENISE)
    normaliser.take([smoke(1)])
    normaliser.take(failed(NOW + 1) + failed(NOW + 2) + failed(NOW + 3))
    again = normaliser.tell_anew(NOW + S)
    assert [(r.point, r.value, r.mono_ns) for r in again] == [("smoke", "smoke", NOW + S)], "nobody asks it any more"
    assert words(normaliser.tick(NOW + 2 * S)) == [("offline", NOW + 2 * S)]
