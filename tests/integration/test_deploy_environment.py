"""deploy/ENVIRONMENT.md and the code name the same variables."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VARIABLE = re.compile(r"\b(?:ANJU_[A-Z_]+|DATABASE_URL)\b")


def read_in(*folders: str) -> set[str]:
    return {
        name
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        for name in VARIABLE.findall(path.read_text(encoding="utf-8"))
    }


def described(heading: str) -> set[str]:
    page = (ROOT / "deploy/ENVIRONMENT.md").read_text(encoding="utf-8")
    section = page.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    return set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


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
    box, cloud = described("The box"), described("The cloud")
    assert read_in("edge") - box == set()
    assert read_in("cloud") - cloud == set()
    assert read_in("contract", "simulators") - box - cloud == set()


def test_every_variable_described_is_read() -> None:
    assert described("The box") - read_in("edge", "contract") == set()
    assert described("The cloud") - read_in("cloud", "contract") == set()
