"""What stands beside the code: the sample is a whole site file, and the quality list says why where it is not done."""

from pathlib import Path

from ruamel.yaml import YAML

from contract.profile import load_profiles, shipped_profiles
from contract.site import load_site

FOLDER = Path(__file__).parents[5] / "edge" / "drivers" / "ble"


def test_the_sample_is_a_whole_site_file() -> None:
    site = load_site(FOLDER / "sample.yaml", load_profiles(shipped_profiles()))
    assert [bus.protocol for bus in site.buses] == ["ble"]


def test_the_quality_list_says_why() -> None:
    rules = YAML(typ="safe").load((FOLDER / "quality.yaml").read_text(encoding="utf-8"))["rules"]
    for rule, status in rules.items():
        assert status == "done" or (status["status"] in {"todo", "exempt"} and status["why"]), rule
