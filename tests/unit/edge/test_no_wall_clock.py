"""The box never goes by the machine's wall clock, which may stand in 1970 or be set (decision 10, row 22)."""

import ast
from pathlib import Path

import edge

ALLOWED = {"uplink/system_clock.py"}
"""Reads it only where the kernel says that it is kept right."""
WALL = {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow"), ("date", "today")}


def wall_clock_uses(source: str) -> list[int]:
    """Lines that ask the wall clock."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and (node.value.id, node.attr) in WALL
    ]


def test_nothing_of_the_box_asks_the_wall_clock() -> None:
    folder = Path(edge.__file__).parent
    used = {
        str(path.relative_to(folder)): lines
        for path in folder.rglob("*.py")
        if (lines := wall_clock_uses(path.read_text(encoding="utf-8")))
    }
    assert used.keys() == ALLOWED


def test_the_check_finds_it() -> None:
    assert wall_clock_uses("import time\n\nprint(time.time())\n") == [3]
