"""A figure knows its limit, either way, and says all of it to build/bench.json."""

import pytest

from tests.bench.figures import Figure, percentile, spread


@pytest.mark.parametrize(
    ("value", "most", "least", "missed", "limit"),
    [
        (1.0, 1.0, None, False, "≤ 1"),
        (1.1, 1.0, None, True, "≤ 1"),
        (10.0, None, 10.0, False, "≥ 10"),
        (9.9, None, 10.0, True, "≥ 10"),
        (9.9, None, None, False, ""),
    ],
)
def test_a_limit_is_missed_beyond_it(value, most, least, missed, limit):
    figure = Figure(name="x", value=value, unit="s", most=most, least=least)
    assert (figure.missed, figure.limit) == (missed, limit)


def test_the_file_has_value_unit_and_rival():
    figure = Figure(name="x", value=1.23456789, unit="MB", least=1, rival="other 1.0", rival_value=2.0, note="so")
    assert figure.as_json() == {
        "value": 1.2346, "unit": "MB", "rival": "other 1.0", "rival_value": 2.0, "limit": 1, "limit_is": "least",
        "is_missed": False, "note": "so",
    }  # fmt: skip
    assert Figure(name="x", value=1.0, unit="s").as_json()["rival"] is None


def test_percentiles_are_values_that_were_measured():
    assert percentile([5.0, 1.0, 3.0], 50) == 3.0
    assert percentile([float(n) for n in range(1, 201)], 99) == 198.0
    assert spread([1.0, 2.0, 9.0], " s") == "2 s (1 to 9 in 3 rounds)"
