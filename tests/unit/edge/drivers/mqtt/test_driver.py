"""What the driver says of its broker before anything is connected."""

import pytest

from contract.site import MqttBus, Secret
from edge.drivers.mqtt.driver import risk_of


@pytest.mark.parametrize(
    ("host", "user", "tls", "says"),
    [
        ("192.168.7.3", "", False, "without a login"),
        ("broker.lan", "", True, "without a login"),
        ("192.168.7.3", "anju", False, "without TLS"),
        ("192.168.7.3", "anju", True, ""),
        ("127.0.0.1", "", False, ""),
        ("::1", "", False, ""),
        ("localhost", "", False, ""),
    ],
)
def test_a_broker_where_anybody_may_say_that_it_burns_is_told_of(host: str, user: str, tls: bool, says: str) -> None:
    password = Secret("mqtt") if user else None
    risk = risk_of(MqttBus(id="b", protocol="mqtt", host=host, user=user, password=password, tls=tls, devices=[]))
    assert says in risk
    assert bool(says) is bool(risk)
