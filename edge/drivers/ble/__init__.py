"""BLE. README.md says how a model is described, what is refused, and how one radio serves many sensors."""

from edge.drivers.ble.driver import BleDriver

__all__ = ["BleDriver"]
