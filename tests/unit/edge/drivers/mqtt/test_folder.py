"""The driver's folder can be understood alone: a sample that is sound, and what is done."""

from pathlib import Path

from ruamel.yaml import YAML

from contract.profile import load_profiles, shipped_profiles
from contract.site import MqttBus, load_site
from edge.drivers.mqtt.driver import client_id_of

FOLDER = Path(__file__).parents[5] / "edge" / "drivers" / "mqtt"


def test_the_sample_is_sound() -> None:
    site = load_site(FOLDER / "sample.yaml", load_profiles(shipped_profiles()))
    assert [type(bus) for bus in site.buses] == [MqttBus]


def test_what_is_not_done_says_why() -> None:
    rules = YAML(typ="safe").load((FOLDER / "quality.yaml").read_text(encoding="utf-8"))["rules"]
    for rule, status in rules.items():
        assert status == "done" or (status["status"] in {"todo", "exempt"} and status["why"]), rule


def test_the_name_at_the_broker_stays_and_tells_nothing() -> None:
    assert client_id_of("broker") == client_id_of("broker") != client_id_of("other")
    assert len(client_id_of("broker")) <= 23, "as long as every broker takes (MQTT 3.1.1, section 3.1.3.1)"
    machine = Path("/etc/machine-id")
    if machine.exists() and machine.read_text().strip():
        assert machine.read_text().strip()[:8] not in client_id_of("broker")
