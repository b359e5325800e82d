"""deploy/ENVIRONMENT.md and the code name the same variables."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VARIABLE = re.compile(r"\b(?:(?:ANJU|MALLOC)_[A-Z_]+|DATABASE_URL)\b")
QUOTED = re.compile(r"[\"']([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|LANG)[\"']")
"""What can be a variable on a line that is about the environment."""


def read_in(*folders: str) -> set[str]:
    """The variables that code names: ours anywhere, any others where a line takes them from the environment."""
    found = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            found |= set(VARIABLE.findall(text))
            for line in text.splitlines():
                if re.search(r"environ|getenv|envvar", line):
                    found |= set(QUOTED.findall(line))
    return found


def described(*headings: str) -> set[str]:
    page = (ROOT / "deploy/ENVIRONMENT.md").read_text(encoding="utf-8")
    found = set()
    for heading in headings:
        section = page.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
        for cell in re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE):
            found |= set(re.findall(r"`(\w+)`", cell))
    return found


def said_of_the_unit(heading: str) -> dict[str, str]:
    """What the page says that the unit sets."""
    page = (ROOT / "deploy/ENVIRONMENT.md").read_text(encoding="utf-8")
    section = page.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|", section, re.MULTILINE)
    return {name: value.strip(" `") for name, value in rows if value.strip()}


def set_by(unit: str) -> dict[str, str]:
    text = (ROOT / "deploy/systemd" / unit).read_text(encoding="utf-8")
    words = [word for line in re.findall(r"^Environment=(.*)$", text, re.MULTILINE) for word in line.split()]
    return dict(word.split("=", 1) for word in words)


def test_what_the_units_set_is_said() -> None:
    assert said_of_the_unit("The box") == set_by("anju-edge.service")
    assert said_of_the_unit("The cloud") == set_by("anju-cloud.service")


def test_every_variable_that_the_code_reads_is_described() -> None:
    all_have = described("Set by systemd", "As everywhere")
    box, cloud, simulated = described("The box") | all_have, described("The cloud") | all_have, described("Simulated")
    assert read_in("edge") - box == set()
    assert read_in("cloud") - cloud == set()
    assert read_in("contract") - (box & cloud) == set()
    # It starts the box and the cloud, and gives them theirs.
    assert read_in("simulators") - box - cloud - simulated == set()


def test_every_variable_described_is_read() -> None:
    assert described("The box") - read_in("edge", "contract") == set()
    assert described("The cloud") - read_in("cloud", "contract") == set()
    assert described("Set by systemd") - read_in("edge", "contract") == set()
    assert described("Simulated") - read_in("simulators") == set()
