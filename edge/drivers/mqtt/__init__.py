"""MQTT through a broker. README.md says how messages become samples, and what a flood or a lost broker does."""

from edge.drivers.mqtt.driver import MqttDriver

__all__ = ["MqttDriver"]
