"""What a maintenance window or a fire drill may be, and which alarms a drill sets off."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.alarms.rules import RuleBook
from cloud.alarms.windows import is_fire, problem_of
from cloud.store.alarms import Moved, Subject
from cloud.store.windows import Scope

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
GOOD = {"kind": "maintenance", "scope": Scope(estate=1), "why": "换线", "from_at": NOW, "until_at": NOW + HOUR}


def problem(**changes: object) -> str:
    asked = GOOD | changes
    return problem_of(
        asked["kind"], asked["scope"], [1, 2], asked["why"], asked["from_at"], asked["until_at"], NOW
    )  # fmt: skip


def test_a_window_and_a_drill_of_an_hour_are_good() -> None:
    assert problem() == problem(kind="drill") == ""


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": "drill", "until_at": NOW + timedelta(hours=4, seconds=1)}, "4 hours"),
        ({"until_at": NOW + timedelta(days=7, seconds=1)}, "7 days"),
        ({"until_at": NOW}, "over already"),
        ({"from_at": NOW + 2 * HOUR}, "over already"),
        ({"from_at": NOW + timedelta(days=61), "until_at": NOW + timedelta(days=62)}, "60 days"),
        ({"why": ""}, "say why"),
        ({"scope": Scope(estate=3)}, "no such estate"),
        ({"scope": Scope(estate=1, unit="1")}, "of a building"),
        ({"scope": Scope(estate=1, bus="bus-1")}, "of a gateway"),
        ({"scope": Scope(estate=1, devices=())}, "between 1 and 1,000"),
        ({"scope": Scope(estate=1, devices=tuple(range(1001)))}, "between 1 and 1,000"),
    ],
)
def test_what_is_refused_says_what_to_change(changes: dict, says: str) -> None:
    assert says in problem(**changes)


@given(st.sampled_from(["maintenance", "drill"]), st.integers(-(10**7), 10**7), st.integers(-(10**7), 10**7))
def test_whatever_is_taken_ends_by_itself_in_its_time(kind: str, starts_s: int, ends_s: int) -> None:
    begins, ends = NOW + timedelta(seconds=starts_s), NOW + timedelta(seconds=ends_s)
    if not problem(kind=kind, from_at=begins, until_at=ends):
        assert NOW < ends <= begins + (4 * HOUR if kind == "drill" else timedelta(days=7))


@pytest.mark.parametrize(
    ("rule", "kind", "fires"),
    [
        ("smoke", "smoke_detector", True),
        ("fire", "manual_call_point", True),
        ("fire_confirmed", "place", True),
        ("gas", "gas_detector", False),  # nobody lets gas out for a fire drill
        ("panic", "panic_button", False),
        ("silent", "door", False),
    ],
)
def test_a_drill_marks_fire_alarms_only(rule: str, kind: str, fires: bool) -> None:
    book = RuleBook()
    subject = Subject("series:1", kind, "", 1, (1,), "UTC")
    alarm = Moved(UUID(int=1), rule, subject, "NORM", "UNACK", NOW, "raise", "critical", True)
    found = book.get(rule)
    assert found is not None
    assert is_fire(alarm, found) is fires
