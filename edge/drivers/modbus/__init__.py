"""Modbus TCP and RTU. README.md says how the scheduler treats silent units, and what is checked of an answer."""

from edge.drivers.modbus.driver import ModbusDriver

__all__ = ["ModbusDriver"]
