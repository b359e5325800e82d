"""Pauses after what may bring itself about again."""

from edge.backoff import Pauses


def test_pauses_grow_while_there_is_no_calm_and_are_short_after_one():
    pauses = Pauses(5.0, 30.0)
    assert [pauses.next_s(calm_s) for calm_s in (0.0, 0.1, 0.0, 9.0, 30.0, 31.0, 5.0)] == [5, 10, 20, 30, 30, 5, 10]
