"""Values put into payloads where a profile's paths say, and read back from there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.mqtt.document import frame_of, get, holds, put, steps_of

KEY = st.text(alphabet="ab:", min_size=1, max_size=3)
PATHS = st.lists(st.tuples(KEY, st.none() | st.integers(0, 3)), min_size=1, max_size=4).map(
    lambda parts: ".".join(key + ("" if index is None else f"[{index}].x") for key, index in parts)
)


@given(PATHS, st.integers())
def test_what_is_put_is_found(path: str, value: int) -> None:
    document: dict[str, object] = {}
    put(document, path, value)
    assert get(document, path) == value


def test_into_a_list_that_is_there_a_value_is_added() -> None:
    frame = frame_of("frigate/events")
    put(frame, "after.entered_zones", "restricted")
    assert frame["after"]["entered_zones"] == ["restricted"]
    assert frame_of("frigate/events")["after"]["entered_zones"] == [], "the next message begins anew"


@pytest.mark.parametrize(("path", "steps"), [("a.b", ["a", "b"]), ("rxInfo[0].rssi", ["rxInfo", 0, "rssi"])])
def test_steps(path: str, steps: list[str | int]) -> None:
    assert steps_of(path) == steps


def test_a_part_of_a_document() -> None:
    document = {"method": "Switch.Set", "params": {"id": 0, "on": True}}
    assert holds(document, {"method": "Switch.Set", "params": {"id": 0}})
    assert not holds(document, {"params": {"id": 1}})
    assert not holds("ON", {"params": {}})
    assert holds("ON", {})
    assert get("ON", "a") is None
