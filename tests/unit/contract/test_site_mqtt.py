"""What is refused of the addresses of MQTT devices."""

from pathlib import Path

import pytest

from contract.errors import ConfigError
from contract.profile import load_profiles, shipped_profiles
from contract.site import load_site

PROFILES = load_profiles(shipped_profiles())
SITE = """\
estate: {{name: 西苑小区}}
cloud: {{url: "https://anju.example.com"}}
buses:
  - id: broker
    protocol: mqtt
    devices:
      - {{id: a, name: 门, profile: uhppoted-door, address: "{address}", channel: 1}}
      - {{id: b, name: 门, profile: uhppoted-door, address: "405419896", channel: 2}}
      - {{id: c, name: 烟感, profile: zigbee2mqtt-smoke, address: 走廊}}
"""


def problems(folder: Path, address: str) -> list[str]:
    path = folder / "site.yaml"
    path.write_text(SITE.format(address=address), encoding="utf-8")
    try:
        load_site(path, PROFILES)
    except ConfigError as e:
        return [mistake.problem for mistake in e.mistakes]
    return []


def test_doors_of_one_controller_differ_in_channel(tmp_path: Path) -> None:
    assert problems(tmp_path, "405419896") == []


@pytest.mark.parametrize("address", ["north-gate", "0x1827", "４０５"])
def test_a_controller_called_by_number_has_one(tmp_path: Path, address: str) -> None:
    assert problems(tmp_path, address) == [f"address '{address}' is no number, and uhppoted-door is called by one"]
