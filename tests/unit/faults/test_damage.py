"""What is stored is weighed against what was answered: found are rows of nothing, rows of one answer, and gaps."""

from fractions import Fraction

import pytest

from contract.kinds import Lane
from contract.messages import Quality
from tests.faults.damage import Excuse, weigh
from tests.faults.findings import Stored
from tests.support.reference import History, Observation, Row

S = 1_000_000_000
SERIES = ("d", "temperature")
GOOD = int(Quality.GOOD)


def answered(values):
    """A history of one answer a second."""
    seen = [
        Observation(v * 10, v, GOOD, n * S, n * S - 1000, n * S + S // 2, sure=True, young=False)
        for n, v in enumerate(values, 10)
    ]
    return {SERIES: History("d", "temperature", Lane.BULK, Fraction(1), 900 * S, [seen])}


def stored(rows):
    """What the database has: (value, second)."""
    made = [Row(float(value), GOOD, round(at_s * S)) for value, at_s in rows]
    return Stored({SERIES: made}, {SERIES: made[-1]}, {}, {}, {}, {}, 0, 1 << 62)


def found(values, rows, excuses=(), declared=(), last=None):
    weighed = weigh(answered(values), stored(rows), excuses, [], declared, last or {}, 0.5)
    return {kind: n for kind in ("lost", "duplicated", "foreign", "other") if (n := getattr(weighed, kind))}


VALUES = [1.0, 5.0, 9.0, 14.0, 20.0, 3.0, 30.0, 36.0]
ROWS = list(zip(VALUES, range(10, 18), strict=True))


def test_all_there_is_right() -> None:
    assert found(VALUES, ROWS) == {}


@pytest.mark.parametrize("left_out", [4, 5, 7])
def test_what_is_missing_is_lost_unless_it_is_declared_or_excused(left_out: int) -> None:
    rows = ROWS[:left_out] + ROWS[left_out + 1 :]
    assert found(VALUES, rows) == {"lost": 1}
    assert found(VALUES, rows, declared=["damaged"]) == {}
    at = (10 + left_out) * S
    assert found(VALUES, rows, [Excuse(at - 1, at + 1, "lost by right")]) == {}


def test_a_row_twice_and_a_row_of_nothing_are_found() -> None:
    assert found(VALUES, [*ROWS, (3.0, 15.01)]) == {"duplicated": 1}
    assert found(VALUES, [*ROWS, (77.0, 15.01)]) == {"foreign": 1}
    assert found(VALUES, [*ROWS[:5], (3.0, 13.0), *ROWS[6:]]) == {"lost": 1, "foreign": 1}


def test_where_times_are_in_doubt_rows_find_the_answers_that_explain_most() -> None:
    values = [1.0, 5.0, 9.0, 14.0, 20.0, 3.0, 30.0, 20.0, 40.0]
    rows = [(value, at + 2.0) for at, value in enumerate(values, 10)]
    doubt = Excuse(10 * S, 11 * S, "", is_in_doubt=True)
    assert found(values, rows, [doubt]) == {}
    assert found(values, [*rows, (20.0, 14.1)], [doubt]) == {"duplicated": 1}
    assert found(values, rows[:5] + rows[6:], [doubt]) == {"lost": 1}


def test_a_state_that_is_over_is_found() -> None:
    assert found(VALUES, ROWS, last={SERIES: "clear"}) == {"other": 1}
