"""Payloads as the families of devices write them: what is around the values, and values put in their places. Pure.

Sources: the documentation that device_profiles/mqtt names; the shapes are those of tests/recordings/mqtt.
"""

import copy
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

_STEP = re.compile(r"\[(\d+)\]|[^.\[\]]+")
_FRAMES: tuple[tuple[re.Pattern[str], dict[str, Any]], ...] = (
    (re.compile(r"^\w+/events$"), {
        "type": "new",
        "before": {"stationary": False, "current_zones": [], "entered_zones": []},
        "after": {
            "label": "person", "top_score": 0.88, "false_positive": False, "end_time": None, "score": 0.88,
            "box": [432, 496, 544, 854], "current_zones": [], "entered_zones": [], "thumbnail": None,
            "has_snapshot": False, "has_clip": False, "stationary": False, "sub_label": None,
        },
    }),
    (re.compile(r"^application/.*/event/up$"), {
        "deviceInfo": {"tenantName": "ChirpStack", "applicationName": "estate"}, "fPort": 85, "dr": 2,
        "object": {}, "rxInfo": [{"gatewayId": "0016c001f153a14c", "rssi": -60, "snr": 9.5}],
        "txInfo": {"frequency": 470300000},
    }),
    (re.compile(r"/status/switch:\d+$"), {"id": 0, "source": "timer", "temperature": {"tC": 44.9, "tF": 112.9}}),
    (re.compile(r"^tele/.*/SENSOR$"), {"Time": "2026-01-01T00:00:00", "ENERGY": {"Factor": 0.98}}),
    (re.compile(r"^tele/.*/STATE$"), {"Time": "2026-01-01T00:00:00", "Wifi": {"AP": 1, "RSSI": 80}}),
    (re.compile(r"^zigbee2mqtt/"), {"linkquality": 116}),
)  # fmt: skip


def frame_of(topic: str) -> dict[str, Any]:
    """What a message on a topic holds besides what the profile reads."""
    return next((copy.deepcopy(frame) for pattern, frame in _FRAMES if pattern.search(topic)), {})


def steps_of(path: str) -> list[str | int]:
    """The steps of a path."""
    return [int(match[1]) if match[1] else match[0] for match in _STEP.finditer(path)]


def put(document: dict[str, Any], path: str, value: Any) -> None:
    """Sets what is at a path, making what there is not; into a list that is there already, the value is put."""
    steps = steps_of(path)
    last = steps[-1]
    node: Any = document
    for step, after in pairwise(steps):
        empty: Any = [] if isinstance(after, int) else {}
        if isinstance(step, int):
            node.extend({} for _ in range(step + 1 - len(node)))
            node = node[step]
        else:
            node = node.setdefault(step, empty)
    if isinstance(last, str) and isinstance(node.get(last), list):
        node[last] = [*node[last], value]
    else:
        node[last] = value


def get(document: Any, path: str) -> Any:
    """What is at a path, or None."""
    node = document
    for step in steps_of(path):
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            return None
    return node


def holds(document: Any, part: Mapping[str, Any]) -> bool:
    """Whether a document says all that a part of it says."""
    if not isinstance(document, dict):
        return not part
    return all(
        holds(document.get(key), value) if isinstance(value, dict) else document.get(key) == value
        for key, value in part.items()
    )
