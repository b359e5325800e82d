"""Device profiles: the models by protocol, and how they are loaded."""

from contract.profile.ble import BlePoint, BleProfile, BleRead, BleWrite
from contract.profile.common import (
    Args,
    Confirm,
    Counter,
    Debounce,
    Name,
    PointMap,
    Profile,
    Raw,
    Report,
    Seconds,
)
from contract.profile.load import AnyProfile, ProfileStore, check_profile, load_profile, load_profiles, shipped_profiles
from contract.profile.modbus import DataType, ModbusLimits, ModbusPoint, ModbusProfile, ModbusRead, ModbusWrite, Table
from contract.profile.mqtt import (
    MqttAnswer,
    MqttConfirm,
    MqttLink,
    MqttPoint,
    MqttProfile,
    MqttPublish,
    MqttRead,
    MqttSource,
    MqttWrite,
)

__all__ = [
    "AnyProfile", "Args", "BlePoint", "BleProfile", "BleRead", "BleWrite", "Confirm", "Counter", "DataType", "Debounce",
    "ModbusLimits", "ModbusPoint", "ModbusProfile", "ModbusRead", "ModbusWrite", "MqttAnswer", "MqttConfirm",
    "MqttLink", "MqttPoint", "MqttProfile", "MqttPublish", "MqttRead", "MqttSource", "MqttWrite", "Name", "PointMap",
    "Profile", "ProfileStore", "Raw", "Report", "Seconds", "Table", "check_profile", "load_profile", "load_profiles",
    "shipped_profiles",
]  # fmt: skip
