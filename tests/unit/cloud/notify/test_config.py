"""The file that says who is told of what: read whole, and every mistake said at once with its line."""

from pathlib import Path

import pytest

from cloud.notify.channels import make_channel
from cloud.notify.config import load
from cloud.notify.tools import read_tools
from contract.errors import ConfigError

EXAMPLE = Path(__file__).parents[4] / "deploy" / "notify.example.yaml"
TOOLS = read_tools({})


def check(kind, config):
    return make_channel(kind, config, TOOLS)


def test_the_example_is_sound() -> None:
    file = load(EXAMPLE, check).value
    assert [channel.name for channel in file.channels] == ["门岗群", "邮件"]
    assert file.policies[0].steps[1].tell[1].role == "manager"


def mistakes(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "notify.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path, check)
    return [f"{mistake.line}: {mistake.problem}" for mistake in caught.value.mistakes]


def test_every_mistake_is_said_at_once_with_its_line(tmp_path: Path) -> None:
    said = mistakes(
        tmp_path,
        """\
channels:
  - {name: gate, kind: dingtalk, area: west, config: {token: abcdef0123}}
  - {name: gate, kind: pigeon, area: west}
people:
  - {login: wang, mobile: "12 34", channels: [gaet]}
schedules:
  - name: night
    zone: Mars/Olympus
    rotations: [{people: [], start: 8 o'clock}]
  - name: day
    zone: Mars/Olympus
    rotations: [{people: [wang], start: "2026-02-30 08:00"}]
policies:
  - name: all
    area: west
    priorities: [urgent]
    steps: [{after_s: -1, tell: [{schedule: nihgt}, {person: wang, role: manager}, {}]}]
    repeat: {every_s: 1, times: 3}
""",
    )
    lines = [int(one.split(":")[0]) for one in said]
    assert {2, 3, 5, 9, 10, 16, 17, 18} <= set(lines)
    assert any("stands twice" in one for one in said)
    assert any("no time zone" in one or "not a time zone" in one for one in said)
    assert any("no channel 'gaet'" in one for one in said)
    assert any("no schedule 'nihgt'" in one for one in said)
    assert sum("not exactly one" in one for one in said) == 2
    assert not any("abcdef0123" in one for one in said)  # a secret in clear is not repeated


@pytest.mark.parametrize("text", ["", "channels: 3", "- a", "channels: [1, {name: x}]", "people: [{login: [a]}]"])
def test_what_has_another_form_is_a_mistake_and_no_fault(tmp_path: Path, text: str) -> None:
    assert mistakes(tmp_path, text)
