"""The vocabulary is what the domain's table says: every kind, its Chinese name, its points, their type, unit, words."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from contract.kinds import COMMON, KINDS, Kind, Lane, Point, PointType

TABLE = Path(__file__).parents[2] / "cases" / "domain_kinds.md"
TYPES = {
    "t": PointType.TELEMETRY,
    "s": PointType.STATE,
    "e": PointType.EVENT,
    "c": PointType.COMMAND,
    "s/c": PointType.STATE,
}
GROUPS = {"水/气/热表": "水表, 气表, 热表", "公共设备": "水泵, 照明, 风机, 电梯"}
"""Names that the table gives to kinds together."""
FIELDS = {("panic_button", "place"): "pressed", ("camera_event", "image"): "gathering"}
"""What the table lists among the points and is carried by events."""
ENTRY = re.compile(r"`(\w+)((?:/\w)*)`\s*(s/c|[tsec]\b)?\s*([a-z]+(?:/[a-z]+)+)?\s*(?:\(([^)]*)\))?\s*(?:\{([^}]*)\})?")


@dataclass
class Entry:
    """One point as the table says it. Without a type it is telemetry."""

    name: str
    type: PointType
    commandable: bool
    words: set[str]
    note: str
    fields: list[str]


@dataclass
class Line:
    """One line of the table: kinds that share points."""

    kinds: list[str]
    zh: list[str]
    entries: list[Entry]


def entries_of(text: str) -> list[Entry]:
    entries = []
    for first, more, kind, words, note, fields in ENTRY.findall(text):
        names = [first, *(first[:-1] + letter for letter in more.split("/")[1:])]
        carried = [field.split()[0] for field in fields.split(", ")] if fields else []
        entries += [
            Entry(name, TYPES[kind or "t"], kind == "s/c", set(filter(None, words.split("/"))), note, carried)
            for name in names
        ]
    return entries


def lines() -> list[Line]:
    found = []
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            kinds, zh, points = (cell.strip() for cell in line.strip("|").split(" | "))
            names = [name.partition("/")[0] for name in GROUPS.get(zh, zh).split(", ")]
            found.append(Line(re.findall(r"`(\w+)`", kinds), names, entries_of(points)))
    return found


LINES = lines()
CASES = [(KINDS[name], line) for line in LINES for name in line.kinds if name in KINDS]


def agrees(point: Point, entry: Entry) -> None:
    assert (point.type, point.commandable) == (entry.type, entry.commandable)
    if entry.words:
        assert {word.code for word in point.words} == entry.words
    if entry.type is PointType.TELEMETRY and entry.note:
        assert point.unit == {"vehicles": "辆"}.get(entry.note, entry.note)
    if entry.fields:
        assert list(point.fields) == entry.fields
    if entry.type is PointType.COMMAND and entry.note in {"seconds", "text"}:
        assert list(point.fields) == [entry.note]


def test_the_table_is_read_whole() -> None:
    assert len(LINES) == 19
    assert sum(len(line.entries) for line in LINES) > 70


def test_the_kinds_are_those_of_the_table() -> None:
    assert {name for line in LINES for name in line.kinds} == KINDS.keys()


@pytest.mark.parametrize(("kind", "line"), CASES, ids=lambda value: getattr(value, "name", ""))
def test_a_kind_is_called_and_has_what_the_table_says(kind: Kind, line: Line) -> None:
    assert kind.zh == line.zh[line.kinds.index(kind.name)]
    for entry in line.entries:
        carrier = FIELDS.get((kind.name, entry.name))
        if carrier:
            assert entry.name in kind.points[carrier].fields
        elif entry.name in kind.points:
            agrees(kind.points[entry.name], entry)
        else:
            assert len(line.kinds) > 1, f"{kind.name} lacks {entry.name}"
    own = kind.points.keys() - {point.name for point in COMMON}
    assert own <= {entry.name for entry in line.entries}


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.kinds[0])
def test_kinds_that_share_a_line_have_its_points_between_them(line: Line) -> None:
    have = {name for kind in line.kinds for name in KINDS[kind].points}
    fields = {name for kind, name in FIELDS if kind in line.kinds}
    assert {entry.name for entry in line.entries} - fields <= have


def test_what_every_kind_may_have() -> None:
    prose = TABLE.read_text(encoding="utf-8").partition("All kinds also have")[2].partition("|")[0]
    said = dict(re.findall(r"`(\w+)`\s*\(([^)]*)\)", prose))
    assert said.keys() == {point.name for point in COMMON}
    for point in COMMON:
        kind, *rest = re.split(r"[:,] ", said[point.name])
        assert point.type is TYPES[kind]
        if point.type is PointType.TELEMETRY:
            assert [point.unit] == rest
        elif rest:
            assert {word.code for word in point.words} == set(rest[0].split("/"))
        assert all(point == kind.points[point.name] for kind in KINDS.values())


def test_every_state_has_words_in_both_languages_and_every_number_a_unit() -> None:
    for kind in KINDS.values():
        assert kind.zh
        assert kind.en
        for name, point in kind.points.items():
            assert name == point.name
            assert point.zh
            assert point.en
            assert point.lane is (Lane.BULK if point.type is PointType.TELEMETRY else Lane.URGENT)
            assert bool(point.unit) is (point.type is PointType.TELEMETRY)
            assert bool(point.words) is (point.type is PointType.STATE)
            codes = [word.code for word in point.words]
            assert len(codes) == len(set(codes))
            assert all(word.zh and word.en and point.word(word.code) is word for word in point.words)
            assert point.word("no such word") is None
