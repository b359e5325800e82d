"""What is refused in the topics, paths and payloads of an MQTT model: each mistake at its place, with what to do."""

from pathlib import Path

import pytest

from contract.errors import ConfigError
from contract.profile import load_profile

PROFILE = """\
id: m
protocol: mqtt
vendor: v
model: m
kind: {kind}
source: s
silent_after_s: 60
{more}points:
"""


def mistakes(folder: Path, points: str, kind: str = "lighting", more: str = "") -> list[tuple[int, str]]:
    path = folder / "m.yaml"
    path.write_text(PROFILE.format(kind=kind, more=more) + points)
    try:
        load_profile(path)
    except ConfigError as e:
        return [(mistake.line, f"{mistake.problem}; {mistake.hint}") for mistake in e.mistakes]
    return []


@pytest.mark.parametrize(
    "read",
    [
        '{topic: "{address}/state"}',
        '{topic: "application/+/device/{address}/event/up", path: "rxInfo[0].rssi"}',
        '{topic: all, path: "params.switch:{channel}.output", match: {src: ["{address}"]}}',
        '{topic: all, path: on, match: {id: ["{number}"]}}',
        '{topic: stats, path: "cameras.{address}.fps"}',
        '{topic: "{base}/{address}", path: state, also: [{topic: "{address}/other", path: "[0]"}]}',
    ],
)
def test_every_way_of_being_in_a_message_is_taken(tmp_path: Path, read: str) -> None:
    assert mistakes(tmp_path, f"  running: {{read: {read}, states: {{0: stopped, 1: running}}}}\n") == []


@pytest.mark.parametrize(
    ("read", "said"),
    [
        ('{topic: "#"}', "is too wide; name the topic"),
        ('{topic: "a/#/{address}"}', "is too wide"),
        ('{topic: "a+/{address}"}', "has a + that cannot be there; + stands alone"),
        ('{topic: "{adress}/x"}', "has a placeholder that does not exist; {address}"),
        ('{topic: "{address}/{"}', "has a placeholder that does not exist"),
        ("{topic: state}", "nothing tells this device's messages from another's"),
        ('{topic: ""}', "topic: expected text of length >= 1"),
        ('{topic: "{address}", path: a..b}', "'a..b' is no path"),
        ('{topic: "{address}", path: "a[x]"}', "is no path"),
        ('{topic: "{address}", match: {a..b: [1]}}', "'a..b' is no path"),
        ('{topic: "{address}", also: [{topic: "#"}]}', "is too wide"),
        ('{topic: "{address}", pth: a}', "has no field 'pth'; did you mean 'path'?"),
    ],
)
def test_where_a_point_cannot_be_read(tmp_path: Path, read: str, said: str) -> None:
    found = mistakes(tmp_path, f"  running: {{read: {read}, states: {{0: stopped, 1: running}}}}\n")
    assert any(said in text for _, text in found), found
    assert {line for line, _ in found} == {9}


@pytest.mark.parametrize(
    ("write", "said"),
    [
        ('{topic: "+/set", value: 1}', "has a + that cannot be there; a message goes to one topic"),
        ('{topic: "{address}/set"}', "it says nothing to publish; add value:"),
        ('{topic: "{address}/set", payload: {a: 1}, argument: "on"}', "does not say where in the payload"),
        ('{topic: "{address}/set", payload: {a: 1}, path: b}', "there is no value to put there"),
        ('{topic: "{address}/set", path: "a[0]", argument: "on"}', "can only be put into objects"),
        ('{topic: "{address}/set", argument: state}', "'switch' has no argument 'state'; on"),
        ('{topic: "{address}/set", value: 1, answer: {topic: "#", error: e}}', "is too wide"),
        ('{topic: "{address}/set", value: 1, answer: {topic: a, error: e..}}', "is no path"),
    ],
)
def test_what_cannot_be_published(tmp_path: Path, write: str, said: str) -> None:
    found = mistakes(tmp_path, f"  switch: {{write: {write}}}\n")
    assert any(said in text for _, text in found), found


def test_a_confirmation_that_is_never_seen(tmp_path: Path) -> None:
    points = (
        '  running: {read: {topic: "{address}"}, states: {"ON": running}}\n'
        '  switch: {write: {topic: "{address}/set", argument: "on"},\n'
        "           confirm: {point: running, state: running, states: {0: stopped}}}\n"
    )
    (found,) = mistakes(tmp_path, points)
    assert found == (11, "confirm waits for 'stopped', which 'running' never says; one of: running")


def test_links_signs_of_life_and_questions(tmp_path: Path) -> None:
    more = (
        'link:\n  - {topic: "+/x"}\n  - {topic: a, path: a..b}\n'
        'alive:\n  - {topic: stats, path: fps}\nrefresh:\n  - {topic: "#"}\n'
    )
    point = '  running: {read: {topic: "{address}"}, states: {0: stopped, 1: running}}\n'
    (nothing,) = mistakes(tmp_path, point, more="refresh_s: 60\n")
    assert nothing == (8, "there is nothing to ask again; add refresh:")
    found = mistakes(tmp_path, point, more=more)
    assert [line for line, _ in found] == [9, 10, 12, 14]
